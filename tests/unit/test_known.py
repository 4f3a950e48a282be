"""The price of a configuration is known before it is tried."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.unit.builders import spec
from tuner.known import known_gain
from tuner.spec import JobSpec

BOOK = {
    "as_of": "2026-11-01",
    "per_core_hour": {"on_demand": 0.1},
    "per_gpu_hour": {"H100": {"on_demand": 3.0}},
}
SPACE = {"params": {"nnodes": {"kind": "int", "low": 1, "high": 8}}}


class SmallHost:
    """Four cores; GPUs as given."""

    def __init__(self, *gpus: str) -> None:
        self._gpus = gpus

    def cores(self) -> tuple[int, ...]:
        return (0, 1, 2, 3)

    def gpus(self) -> tuple[int, ...]:
        return tuple(range(len(self._gpus)))

    def gpu_names(self) -> dict[int, str]:
        return dict(enumerate(self._gpus))

    def fingerprint(self, spec: JobSpec) -> Mapping[str, str]:
        return {}


def job(metric: str = "usd_per_million_samples", **changes: object) -> JobSpec:
    content = {
        "workload": {"command": ["train"], "launch": "per_rank"},
        "space": SPACE,
        "objectives": [{"metric": metric, "direction": "minimize"}],
        "prices": BOOK,
        "resources": {"cores_per_node": 1},
        **changes,
    }
    return spec(**content)


def test_twice_the_cores_cost_twice_as_much() -> None:
    known = known_gain(job(), SmallHost())
    assert known is not None
    assert known({"nnodes": 4}) - known({"nnodes": 2}) == pytest.approx(-math.log(2))


def test_gpus_are_priced_by_their_names() -> None:
    known = known_gain(job(), SmallHost("H100", "H100"))
    assert known is not None
    assert known({"nnodes": 2}) == pytest.approx(-math.log(2 * 3.1))
    assert known_gain(job(), SmallHost("A40", "A40")) is None


def test_what_does_not_fit_here_is_worth_no_question() -> None:
    known = known_gain(job(), SmallHost())
    assert known is not None
    assert known({"nnodes": 8}) < -40


def test_weights_of_several_objectives_count() -> None:
    two = job(
        objectives=[
            {"metric": "samples_per_s", "direction": "maximize"},
            {"metric": "usd_per_hour", "direction": "minimize", "weight": 3.0},
        ]
    )
    known = known_gain(two, SmallHost())
    assert known is not None
    assert known({"nnodes": 2}) - known({"nnodes": 1}) == pytest.approx(-3 * math.log(2))


def test_without_money_nothing_is_known() -> None:
    assert known_gain(job("samples_per_s"), SmallHost()) is None
    assert known_gain(replace(job("samples_per_s"), prices=None), SmallHost()) is None
