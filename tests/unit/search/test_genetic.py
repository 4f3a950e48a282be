"""The operators of the genetic search, and what it does with several objectives."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.search.search_cases import CONDITIONAL, REAL, ended, job, patiently
from tuner.expression import Value
from tuner.model import Trial
from tuner.search import make_searcher
from tuner.search.genetic import bred, drawn, mutated, tournament
from tuner.space import Choice, Int, Params, Space
from tuner.spec import Objective

PLAIN: Params = {"nnodes": 1, "batch": 256, "strategy": "row_wise", "fused": False}


def line(size: int) -> Space:
    return Space(params={"x": Int(low=0, high=size - 1)})


def test_a_child_has_every_parameter_from_a_parent_or_near_it() -> None:
    space = Space(params=dict.fromkeys("abcdefgh", Choice(options=tuple(range(50)))))
    one, other = (dict.fromkeys("abcdefgh", value) for value in (10, 30))
    children = [bred(space, one, other, random.Random(seed)) for seed in range(200)]
    genes = Counter(value for child in children for value in child.values())
    assert 0.3 < genes[10] / genes[30] < 3
    # One of eight parameters is mutated on average.
    assert 0.08 < 1 - (genes[10] + genes[30]) / genes.total() < 0.17


def test_a_child_keeps_to_the_conditions() -> None:
    split: Params = {**PLAIN, "strategy": "table_wise", "columns": 3}
    children = [bred(CONDITIONAL, PLAIN, split, random.Random(seed)) for seed in range(60)]
    assert all(("columns" in c) == (c["strategy"] == "table_wise") for c in children)


def test_a_parameter_that_no_parent_had_takes_any_value() -> None:
    children = [bred(CONDITIONAL, PLAIN, PLAIN, random.Random(seed)) for seed in range(300)]
    assert {child["columns"] for child in children if "columns" in child} == {1, 2, 3}


@given(st.integers(), st.sampled_from(sorted(REAL.params)))
@patiently
def test_a_mutation_stays_in_range(seed: int, name: str) -> None:
    rng = random.Random(seed)
    parameter = REAL.params[name]
    space = Space(params={name: parameter})
    value = mutated(parameter, drawn(parameter, rng), rng)
    assert space.contains({name: value})


def test_a_mutation_along_a_scale_prefers_near_values_and_always_moves() -> None:
    sizes = Choice(options=(512, 64, 128, 256, 1024, 2048))
    rng = random.Random(0)
    moves = Counter(mutated(sizes, 256, rng) for _ in range(1000))
    assert moves[256] == 0
    assert min(moves[128], moves[512]) > 2 * max(moves[64], moves[1024])
    at_the_end = {mutated(sizes, 64, rng) for _ in range(100)}
    assert at_the_end >= {128, 256}
    assert 64 not in at_the_end


def test_a_mutated_category_is_any_other() -> None:
    strategies = Choice(options=("a", "b", "c"))
    rng = random.Random(0)
    moves = Counter(mutated(strategies, "a", rng) for _ in range(300))
    assert sorted(moves) == ["b", "c"]
    assert min(moves.values()) > 100


def test_what_has_one_value_is_not_mutated() -> None:
    rng = random.Random(0)
    assert mutated(Choice(options=("only",)), "only", rng) == "only"
    assert mutated(Int(low=3, high=3), 3, rng) == 3


def test_a_tournament_prefers_the_better() -> None:
    parents: list[Params] = [{"x": x} for x in range(4)]
    rng = random.Random(0)
    wins = Counter(tournament(parents, rng)["x"] for _ in range(1000))
    assert wins[0] > wins[1] > wins[2] > wins[3] > 0


def test_with_known_prices_it_breeds_sooner() -> None:
    spec = job(line(60), method="genetic")
    trials = [ended(i, {"x": x}, samples_per_s=1.0 + x) for i, x in enumerate((0, 59, 30))]
    (priced,) = make_searcher(spec, trials, lambda params: -float(params["x"])).ask(1)
    (unpriced,) = make_searcher(spec, trials).ask(1)
    assert priced.reason.startswith("child of the best of 3 trials")
    assert unpriced.reason == "space-filling start 4 of 5"


def test_where_every_child_is_taken_the_nearest_untried_is_tried() -> None:
    spec = job(line(300), method="genetic")
    tried = [x for x in range(300) if x not in (250, 299)]
    trials = [ended(i, {"x": x}, samples_per_s=1e3 - x) for i, x in enumerate(tried)]
    (suggestion,) = make_searcher(spec, trials).ask(1)
    assert suggestion.params == {"x": 250}


def front(size: int, seed: int) -> list[Params]:
    """What was tried of the front, which is the side without waste, in 40 trials of a square."""
    objectives = (
        Objective(metric="samples_per_s", direction="maximize"),
        Objective(metric="watts", direction="minimize"),
    )
    axis = Int(low=0, high=size, default=size)
    space = Space(params={"nodes": axis, "waste": axis})
    spec = job(space, method="genetic", seed=seed, objectives=objectives)

    def tried(number: int, params: dict[str, Value]) -> Trial:
        nodes, waste = float(params["nodes"]) + 1, float(params["waste"]) + 1
        return ended(number, params, samples_per_s=100 * nodes**0.5 / waste, watts=nodes * waste)

    trials = [tried(0, space.default())]
    searcher = make_searcher(spec, trials)
    for number in range(1, 40):
        (suggestion,) = searcher.ask(1)
        trials.append(tried(number, suggestion.params))
        searcher.tell(trials[-1])
    return [trial.params for trial in trials if trial.params["waste"] == 0]


def test_with_several_objectives_the_whole_front_is_tried() -> None:
    for seed in range(3):
        nodes = [float(params["nodes"]) for params in front(20, seed)]
        assert min(nodes) == 0
        assert max(nodes) == 20
        assert len({x // 7 for x in nodes}) == 3, nodes
        assert len(nodes) >= 10
