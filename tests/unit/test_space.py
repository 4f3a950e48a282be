"""Spaces: members, conditions, constraints, identities."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.search.search_cases import CONDITIONAL, REAL, TINY, patiently
from tuner.expression import Value
from tuner.space import Choice, Float, Int, Params, Space, key

NAMES = ("a", "b", "c", "d")


VALUES = st.integers() | st.booleans() | st.text('ab é"\\', max_size=4)


@st.composite
def parameters(draw: st.DrawFn, when: str | None, *, real: bool) -> Int | Float | Choice:
    kind = draw(st.sampled_from(["int", "choice", *(["float"] if real else [])]))
    low = draw(st.integers(1, 5))
    log = draw(st.booleans())
    if kind == "int":
        high, step = low + draw(st.integers(0, 4)), draw(st.integers(1, 3))
        return Int(low=low, high=high, step=step, log=log, when=when)
    if kind == "float":
        return Float(low=low, high=low + draw(st.floats(0.5, 5)), log=log, when=when)
    options = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True))
    return Choice(options=tuple(options), when=when)


@st.composite
def spaces(draw: st.DrawFn, *, real: bool = False) -> Space:
    """Up to four parameters, each with a condition on one before it, and a constraint."""
    count = draw(st.integers(1, 4))
    params: dict[str, Int | Float | Choice] = {}
    for index, name in enumerate(NAMES[:count]):
        on = draw(st.sampled_from([None, *NAMES[:index]]))
        when = f"{on} {draw(st.sampled_from(['>', '<=', '!=']))} 3" if on else None
        params[name] = draw(parameters(when, real=real))
    limit = draw(st.integers(4, 20))
    constraints = draw(st.sampled_from([(), (f"a + {NAMES[count - 1]} <= {limit}",)]))
    return Space(params=params, constraints=constraints)


@patiently
@given(space=spaces(real=True), seed=st.integers(0, 99))
def test_what_is_drawn_is_a_member(space: Space, seed: int) -> None:
    params = space.sample(random.Random(seed), tries=50)
    assert params is None or space.problem(params) is None


@patiently
@given(space=spaces(real=True), seed=st.integers(0, 99))
def test_dropping_what_does_not_apply_is_done_once(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    everything: dict[str, Value] = {name: rng.randint(1, 9) for name in space.params}
    active = space.active(everything)
    assert space.active(active) == active
    assert active.items() <= everything.items()
    assert list(active) == [name for name in space.params if name in active]


@patiently
@given(spaces())
def test_the_members_are_distinct_and_all_that_is_valid(space: Space) -> None:
    members = list(space.members())
    assert len({key(params) for params in members}) == len(members)
    assert all(space.contains(params) for params in members)
    size = space.raw_size()
    assert size is not None
    assert len(members) <= size
    drawn = [space.sample(random.Random(seed), tries=20) for seed in range(20)]
    assert all(params in members for params in drawn if params is not None)


@patiently
@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_a_key_does_not_depend_on_order_and_can_be_read_back(params: dict[str, Value]) -> None:
    backwards = dict(reversed(params.items()))
    assert key(backwards) == key(params)
    assert json.loads(key(params)) == params


def test_a_key_tells_values_apart() -> None:
    configurations: list[Params] = [{"a": 1}, {"a": 2}, {"a": "1"}, {"a": True}, {"b": 1}, {}]
    assert len({key(params) for params in configurations}) == len(configurations)


def test_the_members_of_a_small_space() -> None:
    assert [tuple(params.values()) for params in TINY.members()] == [
        (n, strategy) for n in (1, 2, 3) for strategy in ("data_parallel", "row_wise")
    ]


def test_conditions_of_conditions() -> None:
    space = Space(
        params={
            "sharded": Choice(options=(False, True)),
            "columns": Int(low=1, high=2, when="sharded"),
            "overlap": Choice(options=(False, True), when="columns > 1"),
        }
    )
    assert [tuple(params.values()) for params in space.members()] == [
        (False,),
        (True, 1),
        (True, 2, False),
        (True, 2, True),
    ]
    assert space.default() == {"sharded": False}


def test_a_constraint_on_what_does_not_apply_says_nothing() -> None:
    assert CONDITIONAL.contains({"nnodes": 1, "batch": 256, "strategy": "row_wise", "fused": False})
    assert not CONDITIONAL.contains(
        {"nnodes": 1, "batch": 256, "strategy": "table_wise", "columns": 2, "fused": False}
    )


def test_defaults_come_first_or_as_given() -> None:
    assert CONDITIONAL.default() == {
        "nnodes": 1,
        "batch": 256,
        "strategy": "data_parallel",
        "fused": False,
    }


MEMBER: dict[str, Value] = {
    "nnodes": 2,
    "batch": 256,
    "strategy": "table_wise",
    "columns": 3,
    "fused": True,
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"speed": 1}, "speed is not a parameter of the space"),
        ({"nnodes": 5}, "nnodes = 5 is outside its range"),
        ({"nnodes": True}, "nnodes = True is outside its range"),
        ({"nnodes": "2"}, "nnodes = '2' is outside its range"),
        ({"batch": 300}, "batch = 300 is outside its range"),
        ({"fused": 1}, "fused = 1 is outside its range"),
        ({"strategy": "row_wise"}, "columns: given where it does not apply, or missing"),
        ({"nnodes": 4, "batch": 2048}, "breaks the constraint 'nnodes * batch <= 4096'"),
    ],
)
def test_problems_are_named(change: dict[str, Value], problem: str) -> None:
    assert CONDITIONAL.problem(MEMBER) is None
    assert CONDITIONAL.problem({**MEMBER, **change}) == problem


def test_a_missing_parameter_is_named() -> None:
    missing = {name: value for name, value in MEMBER.items() if name != "nnodes"}
    assert CONDITIONAL.problem(missing) == "nnodes: given where it does not apply, or missing"


def test_a_logarithmic_number_is_drawn_by_ratio() -> None:
    rng = random.Random(0)
    space = Space(
        params={
            "n": Int(low=1, high=10_000, log=True),
            "x": Float(low=1, high=10_000, log=True),
            "m": Int(low=2, high=31, step=3, log=True),
        }
    )
    drawn = [params for _ in range(400) if (params := space.sample(rng)) is not None]
    for name in ("n", "x"):
        below = sum(float(params[name]) <= 100 for params in drawn)
        assert 150 < below < 250, name
    assert {params["m"] for params in drawn} == set(range(2, 32, 3))


def test_a_float_space_cannot_be_listed() -> None:
    assert not REAL.is_finite
    assert REAL.raw_size() is None
    with pytest.raises(ValueError, match="learning_rate is a float"):
        next(REAL.members())


def test_sampling_gives_up() -> None:
    assert replace(TINY, constraints=("nproc > 3",)).sample(random.Random(0), tries=9) is None


def test_what_changes_learning() -> None:
    space = Space(
        params={
            "global_batch_size": Int(low=1, high=2),
            "precision": Choice(options=("fp32", "bf16"), changes_learning=False),
            "dropout": Float(low=0, high=1, changes_learning=True),
            "workers": Int(low=1, high=2),
        }
    )
    assert [name for name in space.params if space.changes_learning(name)] == [
        "global_batch_size",
        "dropout",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Int(low=3, high=2), "low 3, high 2, step 1 hold no value"),
        (lambda: Int(low=1, high=2, step=0), "step 0 hold no value"),
        (lambda: Int(low=0, high=2, log=True), "log needs low >= 1, not 0"),
        (lambda: Int(low=1, high=9, step=2, default=4), "default 4 is not one of"),
        (lambda: Float(low=1, high=1), "low 1 and high 1 hold no range"),
        (lambda: Float(low=0, high=float("inf")), "hold no range"),
        (lambda: Float(low=0, high=1, log=True), "log needs low > 0, not 0"),
        (lambda: Float(low=0, high=1, default=2), "default 2 is not in 0 to 1"),
        (lambda: Choice(options=()), "at least one"),
        (lambda: Choice(options=(1, 1)), "different values"),
        (lambda: Choice(options=("a",), default="b"), "default 'b' is not one of"),
        (lambda: Space(params={}), "at least one parameter"),
        (lambda: Space(params={"a-b": Int(low=1, high=2)}), "'a-b' is not a name"),
        (
            lambda: Space(params={"a": Int(low=1, high=2, when="b > 1")}),
            r"a.when 'b > 1' names \['b'\]; the parameters are: a",
        ),
        (
            lambda: replace(TINY, constraints=("nprocs < 3",)),
            r"constraint 'nprocs < 3' names \['nprocs'\]; the parameters are: nproc, strategy",
        ),
        (lambda: replace(TINY, constraints=("nproc <",)), "is not an expression"),
    ],
)
def test_a_wrong_space_says_what_is_wrong(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()


def test_a_constraint_that_cannot_be_worked_out_does_not_hold() -> None:
    space = Space(
        params={"a": Int(low=1, high=2), "w": Int(low=0, high=1, default=1)},
        constraints=("a / w <= 4",),
    )
    assert not space.contains({"a": 1, "w": 0})
    assert space.contains({"a": 1, "w": 1})


def test_wide_integers_cost_nothing_to_check() -> None:
    space = Space(params={"n": Int(low=1, high=10**15)})
    assert space.contains({"n": 10**15})
    assert not space.contains({"n": True})
    assert space.raw_size() == 10**15
