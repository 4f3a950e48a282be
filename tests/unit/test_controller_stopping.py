"""A search that ends before its budget: why, written down once, whoever goes on with the job."""

from collections.abc import Sequence

import pytest

from tests.unit.test_controller import InOrder, World
from tuner.controller import Controller
from tuner.interfaces import Searcher
from tuner.known import Known
from tuner.model import JobState, Suggestion, Trial
from tuner.spec import JobSpec

GAINS = (0.3, 0.0004, 0.0003, 0.0002, 0.0001)


class Expecting(InOrder):
    """Tells of every suggestion a gain that falls from trial to trial."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        super().__init__(spec, trials)
        self._gain = GAINS[len(trials) - 1]

    def ask(self, n: int) -> list[Suggestion]:
        (asked,) = super().ask(1)
        return [Suggestion(params=asked.params, reason="test", expected_gain=self._gain)]


def expecting(spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
    return Expecting(spec, trials)


class ExpectingWorld(World):
    """A world in which searchers tell what they expect."""

    def new_controller(self) -> Controller:
        super().new_controller()  # takes the lease
        return Controller(
            self.store,
            self.executor,
            self.clock,
            self.host,
            make_searcher=expecting,
            epoch=self.epoch,
        )


def ends(world: World) -> list[str]:
    return [e.detail for e in world.store.events("job_1") if e.action == "search.end"]


def to_next_launch(world: World) -> None:
    launched = len(world.executor.launched)
    world.run(until=lambda: len(world.executor.launched) > launched)


WHY = "the expected gain of another trial, 0.01 %, does not pay for it: 0.1 % would"


def test_a_search_ends_where_trials_do_not_pay_and_says_so() -> None:
    world = ExpectingWorld()
    world.run()
    assert world.job.state is JobState.SUCCEEDED
    assert [t.expected_gain for t in world.trials] == [None, *GAINS[:4]]
    assert ends(world) == [WHY]
    assert world.job.search_ended == WHY
    assert f"The search ended: {WHY}." in world.job.message
    (plan,) = world.store.plans()
    assert f"The search ended: {WHY}." in plan.explanation


def test_it_ends_in_the_same_way_under_ever_new_controllers() -> None:
    world = ExpectingWorld()
    while not world.job.state.is_finished:
        to_next_launch(world)
        world.controller = world.new_controller()
    assert ends(world) == [WHY]
    assert len(world.trials) == 5


def test_confirming_tells_why_the_search_ended() -> None:
    world = World()
    world.run(until=lambda: world.job.state is JobState.CONFIRMING)
    said = "the budget of 6 trials is used up"
    assert world.job.message == f"confirming the winner; the search ended: {said}"
    world.run()
    assert ends(world) == [said]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"trials": 50}, "nothing is left to try"),
        ({"trials": 50, "minutes": 1}, "no other trial fits into budget.minutes"),
    ],
)
def test_every_other_end_is_named(budget: dict[str, float], said: str) -> None:
    world = World(budget=budget)
    world.run()
    assert len(ends(world)) == 1
    assert ends(world)[0].startswith(said)
