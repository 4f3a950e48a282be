"""Which way each table is spread."""

import pytest

from workloads.sharding import STRATEGIES
from workloads.table_plan import SizeRule, held_bytes, written_out

KNOWN = [*STRATEGIES]


def test_the_rule_goes_by_rows() -> None:
    rule = SizeRule(small_rows=10, large_rows=100, large_strategy="column_wise")
    expected = ["data_parallel", "table_wise", "table_wise", "column_wise"]
    assert rule.plan([9, 10, 99, 100]) == expected


def test_a_plan_may_be_written_out() -> None:
    found = written_out("data_parallel*2, row_wise,table_wise", 4, KNOWN)
    assert found == ["data_parallel", "data_parallel", "row_wise", "table_wise"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("diagonal*4", "'diagonal' is none of data_parallel, table_wise"),
        ("row_wise*0", "'row_wise*0' must be STRATEGY or STRATEGY*COUNT"),
        ("row_wise*x", "'row_wise*x' must be"),
        ("row_wise*3", "it names 3 tables, the model has 4"),
        ("", "'' is none of"),
    ],
)
def test_a_plan_that_does_not_fit_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        written_out(text, 4, KNOWN)


def test_bytes_on_an_average_rank() -> None:
    assert held_bytes(["data_parallel", "row_wise"], [10, 100], dim=4, world_size=2) == 320 + 800
    assert held_bytes(["data_parallel", "row_wise"], [10, 100], dim=4, world_size=1) == 160 + 1600
