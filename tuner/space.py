"""The search space: named parameters, when they apply, and constraints between them."""

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from tuner import expression
from tuner.expression import Value

Params = Mapping[str, Value]

LEARNING_PARAMS = frozenset(
    {"global_batch_size", "precision", "optimizer", "learning_rate", "micro_batch_size"}
)
"""Parameters that change what the model learns, unless a job file says otherwise."""

MEMORY_PARAMS = frozenset(
    {
        *("micro_batch_size", "activation_checkpointing", "cache_gib", "prefetch_batches"),
        *("table_rows_scale", "max_batch_size", "embedding_cache_rows"),
    }
)
"""Parameters by which memory may run out, unless a job file says otherwise."""

Risk = Literal["safe", "memory_risk", "semantics"]

_CONFIG: dict[str, object] = {"extra": "forbid", "use_attribute_docstrings": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Int:
    """Whole numbers from `low` to `high`, both included."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    kind: Literal["int"] = "int"
    low: int
    high: int
    step: int = 1
    log: bool = False
    """Whether ratios matter rather than differences."""
    default: int | None = None
    """The value of the baseline; the lowest where it is not given."""
    when: str | None = None
    """An expression; the parameter is left out of a configuration where it does not hold."""
    changes_learning: bool | None = None
    """Whether it changes what the model learns; known for the usual names."""
    risks_memory: bool | None = None
    """Whether memory may run out by it; known for the usual names."""

    def __post_init__(self) -> None:
        if self.low > self.high or self.step < 1:
            raise ValueError(f"low {self.low}, high {self.high}, step {self.step} hold no value")
        if self.log and self.low < 1:
            raise ValueError(f"log needs low >= 1, not {self.low}")
        _check_default(self)

    def values(self) -> range:
        return range(self.low, self.high + 1, self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Float:
    """Real numbers from `low` to `high`."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    """Whether ratios matter rather than differences."""
    default: float | None = None
    """The value of the baseline; the lowest where it is not given."""
    when: str | None = None
    """An expression; the parameter is left out of a configuration where it does not hold."""
    changes_learning: bool | None = None
    """Whether it changes what the model learns; known for the usual names."""
    risks_memory: bool | None = None
    """Whether memory may run out by it; known for the usual names."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low {self.low} and high {self.high} hold no range")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low > 0, not {self.low}")
        if self.default is not None and not self.low <= self.default <= self.high:
            raise ValueError(f"default {self.default} is not in {self.low} to {self.high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the listed values; numbers in rising order are searched as a scale."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    kind: Literal["choice"] = "choice"
    options: tuple[Value, ...]
    default: Value | None = None
    """The value of the baseline; the first where it is not given."""
    when: str | None = None
    """An expression; the parameter is left out of a configuration where it does not hold."""
    changes_learning: bool | None = None
    """Whether it changes what the model learns; known for the usual names."""
    risks_memory: bool | None = None
    """Whether memory may run out by it; known for the usual names."""

    def __post_init__(self) -> None:
        if not self.options or len(set(self.options)) != len(self.options):
            raise ValueError("options must be a list of different values, at least one")
        _check_default(self)

    def values(self) -> tuple[Value, ...]:
        return self.options

    @property
    def is_numeric(self) -> bool:
        """Whether the options are numbers, so that nearness means something."""
        return all(type(option) in (int, float) for option in self.options)


def _check_default(parameter: Int | Choice) -> None:
    if parameter.default is not None and parameter.default not in parameter.values():
        raise ValueError(f"default {parameter.default!r} is not one of {parameter.values()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Every configuration that may be tried."""

    __pydantic_config__: ClassVar[dict[str, object]] = _CONFIG
    params: dict[str, Int | Float | Choice]
    """Name -> parameter. The names may be used as `${name}` in the command."""
    constraints: tuple[str, ...] = ()
    """Expressions over the parameters that must hold, e.g. `nnodes * threads_per_rank <= 2`."""

    def __post_init__(self) -> None:
        if not self.params:
            raise ValueError("a space needs at least one parameter")
        for name, parameter in self.params.items():
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a name (letters, digits and _)")
            if parameter.when is not None:
                self._check_names(f"{name}.when", parameter.when)
        for constraint in self.constraints:
            self._check_names("constraint", constraint)

    def _check_names(self, place: str, text: str) -> None:
        unknown = sorted(expression.names(text) - set(self.params))
        if unknown:
            known = ", ".join(self.params)
            raise ValueError(f"{place} {text!r} names {unknown}; the parameters are: {known}")

    def active(self, params: Params) -> dict[str, Value]:
        """`params` in the order of the space, without those whose condition does not hold."""
        chosen: dict[str, Value] = {n: params[n] for n in self.params if n in params}
        # A condition may read a parameter that is itself conditional: repeat until nothing drops.
        for _ in self.params:
            kept = {n: v for n, v in chosen.items() if self._applies(n, chosen)}
            if kept == chosen:
                break
            chosen = kept
        return chosen

    def _applies(self, name: str, params: Params) -> bool:
        when = self.params[name].when
        return when is None or expression.holds(when, params)

    def default(self) -> dict[str, Value]:
        """The baseline: the default of every parameter that applies."""
        return self.active({name: _default(p) for name, p in self.params.items()})

    def problem(self, params: Params) -> str | None:
        """Why a configuration is not a member; None where it is."""
        for name, value in params.items():
            if name not in self.params:
                return f"{name} is not a parameter of the space"
            if not admits(self.params[name], value):
                return f"{name} = {value!r} is outside its range"
        filled = {**{n: _default(p) for n, p in self.params.items()}, **params}
        expected = self.active(filled)
        if set(expected) != set(params):
            wrong = ", ".join(sorted(set(expected) ^ set(params)))
            return f"{wrong}: given where it does not apply, or missing"
        broken = [c for c in self.constraints if not self._constraint_holds(c, params)]
        return f"breaks the constraint {broken[0]!r}" if broken else None

    def _constraint_holds(self, constraint: str, params: Params) -> bool:
        # A constraint about a parameter that does not apply says nothing.
        if not expression.names(constraint) <= set(params):
            return True
        try:
            return bool(expression.evaluate(constraint, params))
        except ValueError:  # a division by zero, say: what cannot be worked out does not hold
            return False

    def contains(self, params: Params) -> bool:
        return self.problem(params) is None

    @property
    def is_finite(self) -> bool:
        return not any(isinstance(p, Float) for p in self.params.values())

    def raw_size(self) -> int | None:
        """Configurations before conditions and constraints; None where there is a Float."""
        if not self.is_finite:
            return None
        return math.prod(len(p.values()) for p in self.params.values() if not isinstance(p, Float))

    def members(self) -> Iterator[dict[str, Value]]:
        """Every distinct valid configuration, in a fixed order. Raises ValueError with a Float."""
        columns = []
        for name, parameter in self.params.items():
            if isinstance(parameter, Float):
                raise ValueError(f"{name} is a float: the space cannot be listed")
            columns.append([(name, value) for value in parameter.values()])
        seen: set[str] = set()
        for combination in itertools.product(*columns):
            params = self.active(dict(combination))
            identity = key(params)
            if identity not in seen and self.contains(params):
                seen.add(identity)
                yield params

    def sample(self, rng: random.Random, tries: int = 10_000) -> dict[str, Value] | None:
        """A random valid configuration; None where `tries` draws all broke a constraint."""
        for _ in range(tries):
            params = self.active({n: _draw(p, rng) for n, p in self.params.items()})
            if self.contains(params):
                return params
        return None

    def changes_learning(self, name: str) -> bool:
        """Whether a parameter changes what the model learns."""
        said = self.params[name].changes_learning
        if said is None and name == "micro_batch_size":
            # Beside a global batch it only says how that is cut up.
            return "global_batch_size" not in self.params
        return name in LEARNING_PARAMS if said is None else said

    def risk(self, name: str) -> Risk:
        """What changing a parameter may do at worst: change the learning, use up the memory, or
        only be slow."""
        if self.changes_learning(name):
            return "semantics"
        said = self.params[name].risks_memory
        is_risky = name in MEMORY_PARAMS if said is None else said
        return "memory_risk" if is_risky else "safe"


def key(params: Params) -> str:
    """The identity of a configuration: two with the same key are the same trial."""
    return json.dumps(dict(sorted(params.items())), separators=(",", ":"))


def _default(parameter: Int | Float | Choice) -> Value:
    if parameter.default is not None:
        return parameter.default
    return parameter.options[0] if isinstance(parameter, Choice) else parameter.low


def admits(parameter: Int | Float | Choice, value: Value) -> bool:
    """Whether a value lies on the scale of a parameter."""
    if isinstance(parameter, Float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and parameter.low <= float(value) <= parameter.high
    if isinstance(parameter, Int):
        return type(value) is int and value in parameter.values()
    same_type = [v for v in parameter.values() if type(v) is type(value) or _numbers(v, value)]
    return value in same_type


def _numbers(left: Value, right: Value) -> bool:
    return type(left) in (int, float) and type(right) in (int, float)


def _draw(parameter: Int | Float | Choice, rng: random.Random) -> Value:
    if isinstance(parameter, Int) and parameter.log:
        ratio = rng.uniform(math.log(parameter.low), math.log(parameter.high + 1))
        steps = (math.exp(ratio) - parameter.low) // parameter.step
        return parameter.low + min(int(steps), len(parameter.values()) - 1) * parameter.step
    if not isinstance(parameter, Float):
        return rng.choice(parameter.values())
    if parameter.log:
        return math.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high)))
    return rng.uniform(parameter.low, parameter.high)
