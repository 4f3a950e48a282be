import pytest

from tuner.executors.supervisor import first_cause


@pytest.mark.parametrize(
    ("exits", "cause"),
    [
        ({}, None),
        ({0: 0, 1: 0}, None),
        ({0: 0, 1: 3}, 1),
        ({0: 1, 1: 1}, 0),
        ({0: 1, 1: 1, 2: -9}, 2),
        ({0: -15, 1: -9}, 0),
    ],
)
def test_the_cause_is_the_rank_that_a_signal_ended(
    exits: dict[int, int | None], cause: int | None
) -> None:
    assert first_cause(exits) == cause
