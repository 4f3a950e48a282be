"""Whether a gang gets on, by what its ranks have told."""

import pytest

from tuner.collect.standing import Standings
from tuner.gang import Record, RunState, RunStatus
from tuner.spec import Measuring

LIMITS = Measuring(stall_s=60, startup_s=300, max_trial_s=600, pause_s=200)


def at(now_s: float, elapsed_s: float = 100.0) -> RunStatus:
    return RunStatus(state=RunState.RUNNING, now_s=now_s, elapsed_s=elapsed_s)


def of(*records: Record) -> Standings:
    standings = Standings()
    standings.note(records)
    return standings


def steps(rank: int, *moments: float) -> list[Record]:
    return [Record(rank=rank, t_s=moment, steps=1, values={"loss": 0.5}) for moment in moments]


STEADY = of(*steps(0, *range(90, 100)), *steps(1, *range(90, 100)))


@pytest.mark.parametrize(
    ("now_s", "elapsed_s", "expected"),
    [(99.5, 599.0, ""), (99.5, 601.0, "cap"), (158.9, 70.0, ""), (159.5, 70.0, "stalled")],
)
def test_time_ends_it(now_s: float, elapsed_s: float, expected: str) -> None:
    assert STEADY.trouble(LIMITS, at(now_s, elapsed_s)) == expected


def test_no_first_step_is_a_startup_timeout() -> None:
    assert of().trouble(LIMITS, at(400.0, 299.0)) == ""
    assert of().trouble(LIMITS, at(400.0, 301.0)) == "startup_timeout"


def test_what_is_not_read_yet_is_no_silence_but_time_goes_on() -> None:
    assert STEADY.trouble(LIMITS, at(200.0), caught_up=False) == ""
    assert STEADY.trouble(LIMITS, at(200.0, 601.0), caught_up=False) == "cap"
    assert of().trouble(LIMITS, at(400.0, 301.0), caught_up=False) == ""


def test_one_silent_rank_is_a_stall() -> None:
    standings = of(*steps(0, *range(90, 200)), *steps(1, *range(90, 100)))
    assert standings.trouble(LIMITS, at(199.0)) == "stalled"


def test_a_rank_that_told_a_value_and_never_steps_holds_nobody_up() -> None:
    told_once = Record(rank=2, t_s=90.0, values={"parameters": 1e6})
    standings = of(told_once, *steps(0, *range(90, 200)), *steps(1, *range(90, 200)))
    assert standings.trouble(LIMITS, at(200.0)) == ""
    assert [standing.rank for standing in standings.ranks] == [0, 1]


def test_a_value_does_not_shorten_the_start() -> None:
    standings = of(Record(rank=0, t_s=10.0, values={"parameters": 1e6}))
    assert standings.trouble(LIMITS, at(100.0, 100.0)) == ""
    assert standings.trouble(LIMITS, at(310.0, 310.0)) == "stalled"


def test_values_alone_are_progress() -> None:
    told = [Record(rank=n % 2, t_s=float(n), values={"latency_ms": 3.0}) for n in range(400)]
    told.insert(0, Record(rank=2, t_s=0.0, values={"parameters": 1e6}))
    assert of(*told).trouble(LIMITS, at(410.0, 410.0)) == ""


def test_slow_steps_are_waited_for() -> None:
    slow = of(*steps(0, 100.0, 120.0, 140.0))
    assert slow.trouble(LIMITS, at(339.0)) == ""
    assert slow.trouble(LIMITS, at(341.0)) == "stalled"


def test_a_pause_has_its_own_limit_for_all() -> None:
    pausing = Record(rank=0, t_s=100.0, is_pausing=True)
    standings = of(*steps(0, *range(90, 100)), *steps(1, *range(90, 100)), pausing)
    assert standings.trouble(LIMITS, at(298.0)) == ""
    assert standings.trouble(LIMITS, at(300.0)) == "stalled"
    standings.note([Record(rank=0, t_s=250.0, pause_s=150.0)])
    standings.note(steps(1, 250.0))
    assert standings.trouble(LIMITS, at(309.0)) == ""
    assert standings.trouble(LIMITS, at(311.0)) == "stalled"


def test_a_pause_makes_no_slow_step() -> None:
    standings = of(*steps(0, 100.0, 101.0), Record(rank=0, t_s=151.0, pause_s=50.0))
    standings.note([*steps(0, 152.0), *steps(1, 100.0, 101.0, 152.0)])
    assert standings.slowest_step_s == pytest.approx(1.0)


def odd(t_s: float, name: str = "loss") -> Record:
    return Record(rank=0, t_s=t_s, steps=1, not_finite=(name,))


def test_losses_that_are_no_number_end_it() -> None:
    standings = of(*steps(0, 97.0), odd(98.0), odd(99.0))
    assert standings.trouble(LIMITS, at(99.0)) == ""
    assert standings.diverged(for_sure=False) is not None
    standings.note([odd(100.0)])
    assert standings.trouble(LIMITS, at(100.0), caught_up=False) == "diverged"


def test_one_odd_loss_and_other_odd_figures_are_passed_over() -> None:
    standings = of(odd(97.0), *steps(0, 98.0), *[odd(99.0 + n, "auc") for n in range(5)])
    assert standings.diverged(for_sure=False) is None
    assert standings.trouble(LIMITS, at(104.0)) == ""


def test_behind_is_who_made_fewest_steps() -> None:
    assert STEADY.behind is None
    standings = of(*steps(0, 1, 2, 3), *steps(1, 1, 2), *steps(2, 1, 1.5))
    assert standings.behind is not None
    assert standings.behind.rank == 2
