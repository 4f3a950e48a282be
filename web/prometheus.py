"""The figures at `/metrics`: of the whole service, never a label per job or trial."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tuner.estimate.error import error_of
from tuner.model import FailureKind, JobState, Spend, Trial, TrialState
from tuner.service import Service

__all__ = ["CONTENT_TYPE", "exposition"]

_OUTCOMES = (TrialState.COMPLETE, TrialState.CANCELLED, *FailureKind)


def exposition(service: Service) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(service))
    return generate_latest(registry)


class _Figures(Collector):
    """Counted from the store at each scrape, so that a restart loses nothing."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        jobs = self._service.jobs()
        yield _by_label(
            GaugeMetricFamily("trimtab_jobs", "Jobs by state", labels=["state"]),
            JobState,
            (job.state for job in jobs),
        )
        trials = [trial for job in jobs for trial in self._service.trials(job.id)]
        yield _by_label(
            CounterMetricFamily("trimtab_trials", "Ended trials by outcome", labels=["outcome"]),
            _OUTCOMES,
            (_outcome(trial) for trial in trials if trial.state.is_finished),
        )
        error_pct = error_of(trials)
        if error_pct is not None:
            text = "Median absolute error of what was predicted of trials, in per cent"
            yield GaugeMetricFamily("trimtab_prediction_error_pct", text, value=error_pct)
        yield from _spend([self._service.progress(job.id).spend for job in jobs])
        yield from self._controller()

    def _controller(self) -> Iterator[Metric]:
        lease = self._service.controller()
        up = 0 if lease is None else 1
        yield GaugeMetricFamily("trimtab_controller_up", "Whether a controller is alive", value=up)
        if lease is not None:
            age_s = (datetime.now(UTC) - lease.renewed_at).total_seconds()
            text = "Seconds since the controller renewed its lease"
            yield GaugeMetricFamily("trimtab_controller_heartbeat_age_seconds", text, value=age_s)


def _outcome(trial: Trial) -> str:
    return trial.failure.kind if trial.failure is not None else trial.state


def _by_label(
    family: GaugeMetricFamily | CounterMetricFamily, labels: Iterable[str], values: Iterable[str]
) -> Metric:
    counts = Counter(map(str, values))
    for label in labels:
        family.add_metric([str(label)], counts.pop(str(label), 0))
    for label, count in counts.items():
        family.add_metric([label], count)
    return family


def _spend(spends: list[Spend]) -> Iterator[Metric]:
    core_s = sum(spend.core_s for spend in spends)
    gpu_s = sum(spend.gpu_s for spend in spends)
    yield CounterMetricFamily("trimtab_spend_core_seconds", "Core seconds of trials", value=core_s)
    yield CounterMetricFamily("trimtab_spend_gpu_seconds", "GPU seconds of trials", value=gpu_s)
    known = [spend.usd for spend in spends if spend.usd is not None]
    if known:
        text = "Cost of trials, of the jobs that have a price book"
        yield CounterMetricFamily("trimtab_spend_usd", text, value=float(sum(known)))
