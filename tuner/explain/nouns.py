"""What an explanation consists of. Gains are per cent of the weighted objectives."""

from dataclasses import dataclass

from tuner.expression import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much of what makes configurations differ one parameter explains by itself."""

    name: str
    share_pct: float | None
    """Of the variance of the predicted log gain over the space; None: it was not varied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The best configuration with one parameter moved; gains are over the best."""

    name: str
    value: Value
    gain_pct: float
    """By the model of all trials, which also smooths what was measured."""
    low_pct: float
    high_pct: float
    """Nominal 95 % interval of the prediction."""
    measured_pct: float | None = None
    """None where that configuration gave no measurement."""
    trial_number: int | None = None
    """None where it was not tried."""
    failure: str = ""
    """Kind of the failure where it failed, else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A configuration nearly as good as the best that takes less."""

    trial_number: int | None
    """None where it was not tried: its gain is predicted."""
    params: dict[str, Value]
    gain_pct: float
    """Over the best: at most a little below 0."""
    savings_pct: dict[str, float]
    """What it takes (`cores`, `gpus`, or a metric) -> by how much less than the best, largest
    first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compromise:
    """A measured configuration that no other beats in every objective."""

    trial_number: int
    params: dict[str, Value]
    gains_pct: dict[str, float]
    """Objective -> by how much better than the baseline's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the trials of a job say together."""

    job_id: str
    best: int | None
    """Number of the best trial so far that may win."""
    learned_from: int
    """Trials that were measured."""
    method: str
    """How importance was computed."""
    importance: tuple[Importance, ...] = ()
    """The largest first; what was not varied last."""
    together_pct: float | None = None
    """Share of the variance that only several parameters together explain."""
    sensitivity: tuple[Effect, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    front: tuple[Compromise, ...] = ()
    """Of several objectives, by the first; empty for one."""
    advice: tuple[str, ...] = ()
    """What else is worth knowing of the best trial: input that is waited for, types of nodes."""
    note: str = ""
    """Why something is missing; empty where nothing is."""
