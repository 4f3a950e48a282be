"""Money and energy: by the price book, and unknown where nothing is known."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.builders import NOON, attempt, spec
from tuner import cost
from tuner.gang import RunState, RunStatus
from tuner.model import AttemptState, Placement, Spend
from tuner.spec import JobSpec

H100 = "NVIDIA H100 80GB HBM3"
BOOK: dict[str, Any] = {
    "as_of": "2026-11-01",
    "per_core_hour": {"on_demand": 0.05, "spot": 0},
    "per_gpu_hour": {H100: {"on_demand": 3, "spot": 1.5}, "any": {"on_demand": 2}},
    "per_kwh": 0.2,
    "node_types": {
        "big": {"cores": 8, "gpus": 4, "per_hour": {"on_demand": 10}},
        "whole": {"per_hour": {"on_demand": 1}},
    },
}
TWO_NODES = Placement(cores=((0, 1), (2, 3)), gpus=((0,), (1,)), gpu_names={0: H100, 1: "A100"})
NO_GPU = Placement(cores=((0, 1), (2, 3)), gpus=((), ()))


def priced(purchase: str = "on_demand", node_type: str | None = None, **changes: Any) -> JobSpec:
    resources = {"purchase": purchase, "node_type": node_type}
    return spec(prices={**BOOK, **changes}, resources=resources)


def test_price_of_what_is_held_by_the_name_of_each_gpu() -> None:
    assert cost.usd_per_hour(priced(), TWO_NODES) == Decimal("0.2") + 3 + 2
    assert cost.usd_per_hour(priced(), NO_GPU) == Decimal("0.2")
    assert cost.usd_per_hour(spec(), TWO_NODES) is None


def test_a_part_without_a_price_makes_the_whole_unknown() -> None:
    spot = priced("spot")  # nobody said what an A100 costs there
    assert cost.usd_per_hour(spot, TWO_NODES) is None
    only_h100 = Placement(cores=((0,),), gpus=((0,),), gpu_names={0: H100})
    assert cost.usd_per_hour(spot, only_h100) == Decimal("1.5"), "0 for the core was stated"
    assert cost.usd_per_hour(priced("reserved"), NO_GPU) is None
    assert cost.usd_per_hour(priced(per_gpu_hour={}), TWO_NODES) is None
    assert cost.usd_per_hour(priced(per_gpu_hour={}), NO_GPU) is not None


def test_node_types_are_charged_by_the_larger_share_or_as_a_whole() -> None:
    assert cost.usd_per_hour(priced(node_type="big"), TWO_NODES) == 5, "4 of 8 cores"
    one = Placement(cores=((0,),), gpus=((0, 1, 2),))
    assert cost.usd_per_hour(priced(node_type="big"), one) == Decimal("7.5"), "3 of 4 GPUs"
    assert cost.usd_per_hour(priced(node_type="whole"), NO_GPU) == 2
    assert cost.usd_per_hour(priced(node_type="whole"), TWO_NODES) is None, "it has no GPU"
    assert cost.usd_per_hour(priced("spot", node_type="big"), TWO_NODES) is None


def test_another_currency_is_exchanged_exactly() -> None:
    exchange = {"usd_per_unit": 1.1, "as_of": "2026-11-01"}
    euro = priced(currency="EUR", exchange=exchange)
    assert cost.usd_per_hour(euro, NO_GPU) == Decimal("0.22")
    assert cost.energy_usd(euro, TWO_NODES, 3.6e6) == Decimal("0.22")


def test_energy_has_a_price_times_the_power_usage_effectiveness() -> None:
    assert cost.energy_usd(priced(pue=1.5), TWO_NODES, 3.6e6) == Decimal("0.3")
    assert cost.energy_usd(priced(), TWO_NODES, None) is None, "priced, but not measured"
    assert cost.energy_usd(priced(), NO_GPU, None) == 0, "nothing measures that of cores"
    assert cost.energy_usd(priced(per_kwh=None), TWO_NODES, None) == 0, "the hour includes it"
    assert cost.energy_usd(spec(), TWO_NODES, 1.0) is None


def test_shared_cores_are_paid_once() -> None:
    assert cost.num_cores(Placement(cores=((0, 1), (1, 0)), gpus=((), ()))) == 2


def test_price_of_a_million_with_energy() -> None:
    price = cost.usd_per_million(priced(), TWO_NODES, 1000.0, 3.6)
    assert price is not None
    assert float(price) == pytest.approx(5.2 / 3600 / 1000 * 1e6 + 0.2)
    assert cost.usd_per_million(priced(), TWO_NODES, 0.0, 3.6) is None
    assert cost.usd_per_million(priced(), TWO_NODES, 1000.0, None) is None


def test_spend_of_an_attempt_is_exact_and_never_too_low() -> None:
    job, held = priced(), attempt(0, placement=TWO_NODES)
    status = RunStatus(state=RunState.EXITED, elapsed_s=1800, usage={"energy_j": 3.6e6})
    spend = cost.spend_of(job, held, status, NOON)
    assert spend.usd == Decimal("2.8")
    assert (spend.core_s, spend.gpu_s, spend.energy_j) == (7200, 3600, 3.6e6)
    third = RunStatus(state=RunState.EXITED, elapsed_s=1, usage={"energy_j": 0})
    spent = cost.spend_of(job, held, third, NOON).usd
    assert spent == Decimal("0.001444445")
    unknown = cost.spend_of(spec(), held, RunStatus(state=RunState.EXITED, elapsed_s=10), NOON)
    assert (unknown.usd, unknown.energy_j) == (None, None)


def test_a_lost_attempt_is_charged_from_its_launch() -> None:
    lost = RunStatus(state=RunState.LOST)
    found = cost.spend_of(priced(), attempt(0), lost, NOON + timedelta(seconds=90))
    assert found.wall_s == 90
    later = cost.spend_of(priced(), attempt(0), lost, NOON + timedelta(days=1))
    assert later.wall_s == 600 + 300, "it ended at its own limit, or with its lease"
    told = RunStatus(state=RunState.LOST, elapsed_s=7)
    assert cost.spend_of(priced(), attempt(0), told, NOON + timedelta(days=1)).wall_s == 7


def test_what_runs_is_charged_until_now() -> None:
    live = attempt(0, state=AttemptState.RUNNING, handle="h", placement=NO_GPU)
    found = cost.up_to_now(priced(), live, NOON + timedelta(seconds=36)).spend
    assert (found.wall_s, found.usd) == (36, Decimal("0.002"))
    intent = attempt(0, state=AttemptState.INTENT)
    assert cost.up_to_now(priced(), intent, NOON + timedelta(seconds=36)) == intent


def test_a_total_is_unknown_where_a_part_is() -> None:
    assert cost.total([]) == Spend()
    known = attempt(0, spend=Spend(wall_s=10, core_s=20, usd=Decimal("0.5")))
    assert cost.total([known, attempt(1)]) == Spend(wall_s=10, core_s=20, usd=Decimal("0.5"))
    mixed = [known, attempt(1, spend=Spend(wall_s=1))]
    assert cost.total(mixed).usd is None
    assert cost.known(mixed).usd == Decimal("0.5")
