"""Cost and energy of a sample and of a request, as metrics with their intervals."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.fakes import FakeOutcome
from tests.unit.builders import spec
from tests.unit.test_controller import World, by_batch
from tests.unit.test_cost import BOOK, H100
from tuner import assess
from tuner.gang import Gang, Record, RunState, RunStatus
from tuner.measure import read
from tuner.model import Measurement, Placement
from tuner.spec import JobSpec

GPU = Placement(cores=((0, 1),), gpus=((0,),), gpu_names={0: H100})
SERVING = {"objectives": [{"metric": "requests_per_s", "direction": "maximize"}]}


def served(job: JobSpec, whole_run: dict[str, float] | None = None, **window: float) -> Measurement:
    records = [
        Record(rank=0, t_s=10 + 0.1 * i, steps=1, samples=10, values={"requests_per_s": 50.0})
        for i in range(300)
    ]
    status = RunStatus(state=RunState.EXITED, usage=whole_run or {})
    found = assess.measurement_of(job, read(records), status, GPU, window)
    assert found is not None
    return found


def test_a_million_requests_cost_time_and_energy() -> None:
    found = served(spec(prices=BOOK, **SERVING), gpu_power_w=500.0).metrics
    assert found["joules_per_request"] == pytest.approx(10)
    held = 3.1 / 3600 / 50 * 1e6
    assert found["usd_per_million_requests"] == pytest.approx(held + 10e6 / 3.6e6 * 0.2)
    assert found["usd_per_hour"] == pytest.approx(3.1)


def test_energy_with_a_price_but_without_a_figure_leaves_the_cost_unknown() -> None:
    found = served(spec(prices=BOOK, **SERVING)).metrics
    assert "usd_per_million_requests" not in found
    assert "usd_per_million_samples" not in found
    assert found["usd_per_hour"] == pytest.approx(3.1), "holding it has a price all the same"


def test_without_prices_there_is_no_cost() -> None:
    found = served(spec(**SERVING), gpu_power_w=500.0).metrics
    assert not [name for name in found if name.startswith("usd_")]
    assert found["joules_per_request"] == pytest.approx(10)


def test_energy_of_a_request_and_load_are_those_of_the_window() -> None:
    whole_run = {"gpu_power_w": 300.0, "energy_j": 9000.0, "other_cpu_pct": 40.0}
    found = served(spec(**SERVING), whole_run, gpu_power_w=500.0).metrics
    assert found["joules_per_request"] == pytest.approx(10), "not of the idle start as well"
    assert (found["energy_j"], found["gpu_power_w"]) == (9000, 300), "sums are of the whole run"
    unseen = served(spec(**SERVING), whole_run).metrics
    assert "joules_per_request" not in unseen
    assert "other_cpu_pct" not in unseen


def test_energy_that_a_file_of_the_job_tells_is_charged() -> None:
    def outcome(gang: Gang) -> FakeOutcome:
        return replace(by_batch(gang), files={"slurm": "JobID|ConsumedEnergyRaw\n7|3600000\n"})

    prices = {"as_of": "2026-11-01", "per_core_hour": {"on_demand": 0}, "per_kwh": 0.5}
    workload = {
        "command": ["train", "--batch=${global_batch_size}"],
        "launch": "per_rank",
        "log": {"files": [{"path": "slurm", "format": "sacct"}]},
    }
    world = World(outcome, budget={"trials": 1}, prices=prices, workload=workload)
    world.run(until=lambda: world.executor.running != [])
    world.run(until=lambda: world.store.attempts("job_1")[0].state.is_finished)
    first = world.store.attempts("job_1")[0]
    assert first.measurement is not None
    assert first.measurement.metrics["energy_j"] == 3.6e6
    assert (first.spend.energy_j, first.spend.usd) == (3.6e6, Decimal("0.5"))
