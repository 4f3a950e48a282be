from dataclasses import replace
from decimal import Decimal

import pytest

from tests.unit.builders import measurement, spec, trial
from tuner.description import Description, Hardware
from tuner.errors import UserError
from tuner.estimate.configuration import configuration_of
from tuner.estimate.planner import Question, estimate
from tuner.spec import JobSpec

BOOK = {
    "as_of": "2026-11-01",
    "per_core_hour": {"on_demand": 0},
    "per_gpu_hour": {"NVIDIA H100 80GB HBM3": {"on_demand": 3}, "any": {"on_demand": 1}},
}
WORK = Description(flops_per_sample=1e9, dense_parameters=10_000_000, hardware=Hardware(gpu="V100"))


def job(work: Description | None = WORK) -> JobSpec:
    return replace(spec(prices=BOOK), estimate=work)


def test_more_nodes_are_faster_by_less_than_their_number() -> None:
    one, four = estimate(job(), Question(nodes=(1, 4))).answers
    assert (one.nodes, four.nodes, four.ranks) == (1, 4, 4)
    assert one.step.transfer_s == 0 < four.step.transfer_s
    assert four.samples_per_s < 4 * one.samples_per_s


def test_another_gpu_brings_its_own_peak_and_price() -> None:
    (slow,) = estimate(job(), Question()).answers
    (fast,) = estimate(job(), Question(gpu="H100")).answers
    assert slow.step.device_s / fast.step.device_s == pytest.approx(67 / 15.7)
    assert slow.usd_per_million_samples is not None
    assert fast.usd_per_million_samples is not None
    ratio = fast.usd_per_million_samples / slow.usd_per_million_samples
    assert float(ratio) == pytest.approx(3 * slow.samples_per_s / fast.samples_per_s)


def test_a_faster_link_sends_faster() -> None:
    (slow,) = estimate(job(), Question(nodes=(2,), link_gb_per_s=1)).answers
    (fast,) = estimate(job(), Question(nodes=(2,), link_gb_per_s=25)).answers
    assert slow.step.transfer_s == pytest.approx(25 * fast.step.transfer_s)


def test_a_wanted_rate_is_carried_by_whole_gangs() -> None:
    (each,) = estimate(job(), Question()).answers
    (many,) = estimate(job(), Question(rate_per_s=2.5 * each.samples_per_s)).answers
    assert many.gangs == 3
    assert many.usd_per_hour == Decimal(3)


def test_unknown_prices_stay_unknown() -> None:
    (answer,) = estimate(replace(job(), prices=None), Question(rate_per_s=1)).answers
    assert answer.usd_per_million_samples is None
    assert answer.usd_per_hour is None


def test_trials_of_the_job_calibrate_and_what_they_tell_is_no_default() -> None:
    slow = [
        trial(n, {"global_batch_size": batch, "loader_workers": 0}, measurement(batch / time_s))
        for n, (batch, time_s) in enumerate([(256, 0.12), (1024, 0.42), (2048, 0.82)])
    ]
    question = Question(params={"global_batch_size": 512})
    (before,) = estimate(job(), question).answers
    found = estimate(job(), question, slow)
    (after,) = found.answers
    assert before.step_s < 0.15
    assert after.step_s == pytest.approx(0.22, rel=0.1)
    assert found.calibration.runs == 3
    assert "factor compute" not in found.defaults
    assert "factor transfer" in found.defaults


def test_an_unstable_trial_calibrates_nothing() -> None:
    told = [trial(0, outcome=measurement(5.0, is_stable=False)), trial(1)]
    assert estimate(job(), Question(), told).calibration.runs == 0


def test_what_cannot_fit_is_named_with_its_sum() -> None:
    large = replace(WORK, dense_parameters=2_000_000_000)
    (answer,) = estimate(job(large), Question()).answers
    assert answer.does_not_fit is not None
    assert "parameters 7.5 GiB" in answer.does_not_fit
    assert answer.does_not_fit.endswith("> 16.0 GiB")


def test_ranks_of_a_node_without_gpus_share_its_memory() -> None:
    work = replace(WORK, hardware=Hardware(memory_gib=1), process_gib=0.4)
    told = replace(spec(workload={"command": ["x"], "nproc_per_node": 2}), estimate=work)
    (answer,) = estimate(told, Question()).answers
    assert str(answer.does_not_fit).startswith("2 x (process 0.4 GiB")


def test_probes_are_members_of_the_space() -> None:
    found = estimate(job(), Question(probes=2)).probes
    sizes = [params["global_batch_size"] for params in found]
    assert sorted(map(int, sizes)) == [256, 2048]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(gpu="Abacus"), "use one of K80"),
        (Question(params={"batch": 1}), "use one of loader_workers"),
    ],
)
def test_what_is_not_known_is_told_with_a_remedy(question: Question, words: str) -> None:
    with pytest.raises(UserError, match=words):
        estimate(job(), question)


def test_a_job_that_does_not_tell_its_work_is_told_how() -> None:
    with pytest.raises(UserError, match="add a section `estimate`"):
        estimate(job(None), Question())


def test_the_batch_is_what_the_log_counts_or_the_parameter() -> None:
    told = spec(workload={"command": ["x"], "log": {"samples_per_step": "2 * global_batch_size"}})
    assert configuration_of(told, {"global_batch_size": 256}).global_batch == 512
    assert configuration_of(spec(), {"global_batch_size": 256}).global_batch == 256
    none = spec(workload={"command": ["x"], "log": {"samples_per_step": "0 * global_batch_size"}})
    assert configuration_of(none, {"global_batch_size": 256}).global_batch == 1
    odd = configuration_of(spec(), {"nnodes": True, "global_batch_size": "many"})
    assert (odd.nodes, odd.global_batch) == (1, 1)
