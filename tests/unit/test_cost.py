"""Money and energy: by the price book, and unknown where nothing is known."""

import pytest

from tests.unit.builders import attempt
from tuner import cost
from tuner.gang import RunState, RunStatus
from tuner.model import Placement, Spend
from tuner.spec import PriceBook

PRICES = PriceBook(
    as_of="2026-11-01", usd_per_core_hour=0.05, usd_per_gpu_hour=2.0, usd_per_kwh=0.2
)
TWO_NODES = Placement(cores=((0, 1), (2, 3)), gpus=((0,), (1,)))


def test_price_of_what_is_held() -> None:
    assert cost.usd_per_hour(PRICES, TWO_NODES) == pytest.approx(4 * 0.05 + 2 * 2.0)
    assert cost.usd_per_hour(None, TWO_NODES) is None


def test_shared_cores_are_paid_once() -> None:
    assert cost.num_cores(Placement(cores=((0, 1), (1, 0)), gpus=((), ()))) == 2


def test_price_of_a_million_samples_with_energy() -> None:
    price = cost.usd_per_million_samples(PRICES, TWO_NODES, 1000.0, joules_per_sample=3.6)
    held = 4.2 / 3600 / 1000 * 1e6
    assert price == pytest.approx(held + 3.6e6 / 3.6e6 * 0.2)
    assert cost.usd_per_million_samples(PRICES, TWO_NODES, 0.0, None) is None


def test_spend_of_an_attempt() -> None:
    status = RunStatus(state=RunState.EXITED, elapsed_s=1800, usage={"energy_j": 3.6e6})
    spend = cost.spend_of(PRICES, TWO_NODES, status)
    assert spend.usd == pytest.approx(2.1 + 0.2)
    assert (spend.core_s, spend.gpu_s, spend.energy_j) == (7200, 3600, 3.6e6)
    unknown = cost.spend_of(None, TWO_NODES, RunStatus(state=RunState.EXITED, elapsed_s=10))
    assert unknown.usd is None
    assert unknown.energy_j is None


def test_total_keeps_unknown_unknown() -> None:
    assert cost.total([]).usd is None
    known = attempt(0, spend=Spend(wall_s=10, core_s=20, usd=0.5))
    assert cost.total([known, attempt(1)]) == Spend(wall_s=10, core_s=20, usd=0.5)
