"""From a reading of the records to the measurement of an attempt, and when to stop it. Pure."""

import math
from collections.abc import Mapping, Sequence

from tuner import cost, decide
from tuner.gang import RunStatus
from tuner.measure import Reading
from tuner.model import Attempt, Measurement, Placement, Stopped, Trial
from tuner.spec import JobSpec

MAX_SKEW = 1.15
"""Slowest over median rank; beyond it the ranks do not work as one."""


def measurement_of(
    spec: JobSpec,
    reading: Reading,
    status: RunStatus,
    placement: Placement,
    window_usage: Mapping[str, float],
    doubts: Sequence[str] = (),
) -> Measurement | None:
    """What an attempt showed so far; None where an objective was not measured.

    `window_usage` is what the gang used within the steady window, `doubts` what speaks against
    the records themselves. Of the usage over the whole run the load of others is left out: it is
    known of the window or not at all.
    """
    used = {name: value for name, value in status.usage.items() if name != "other_cpu_pct"}
    metrics = {**used, **reading.values, **_throughput_metrics(reading, window_usage)}
    intervals = dict(reading.intervals)
    rate = reading.throughput
    if rate is not None and rate.interval is not None:
        intervals["samples_per_s"] = rate.interval
    _add_costs(spec, placement, metrics, intervals)
    if any(o.metric not in metrics for o in spec.objectives):
        return None
    notes = (*(rate.notes if rate is not None else ()), *_skew(reading), *doubts)
    return Measurement(
        metrics={n: v for n, v in metrics.items() if math.isfinite(v)},
        intervals=intervals,
        window_s=_window_s(reading),
        warmup_s=rate.warmup_s if rate is not None else 0.0,
        steps=reading.steps,
        samples=reading.samples,
        is_stable=not notes,
        notes=notes,
        stopped=_stopped(status.reason),
    )


def _stopped(reason: str) -> Stopped:
    match reason:
        case "precise" | "beaten" | "cap":
            return reason
        case "budget":
            return "cap"
    return "finished"


def _window_s(reading: Reading) -> float:
    if reading.throughput is not None or reading.window is None:
        return reading.throughput.window_s if reading.throughput is not None else 0.0
    start_s, end_s = reading.window
    return end_s - start_s


def _skew(reading: Reading) -> list[str]:
    if reading.rank_skew is None or reading.rank_skew <= MAX_SKEW:
        return []
    return [f"ranks apart: the slowest takes {reading.rank_skew:.2f} times the median's time"]


def _throughput_metrics(reading: Reading, window_usage: Mapping[str, float]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    rate = reading.throughput
    if rate is not None:
        metrics["samples_per_s"] = rate.value
        energy_j, samples = window_usage.get("energy_j"), rate.value * rate.window_s
        if energy_j is not None and samples > 0:
            metrics["joules_per_sample"] = energy_j / samples
    power_w, requests_per_s = window_usage.get("gpu_power_w"), reading.values.get("requests_per_s")
    if power_w is not None and requests_per_s and "joules_per_request" not in reading.values:
        metrics["joules_per_request"] = power_w / requests_per_s
    if reading.step_rate:
        metrics["step_time_s"] = 1.0 / reading.step_rate
    if reading.rank_skew is not None:
        metrics["rank_skew"] = reading.rank_skew
    if reading.steps:
        metrics["pause_share_pct"] = 100.0 * reading.pause_share
    return metrics


def _add_costs(
    spec: JobSpec,
    placement: Placement,
    metrics: dict[str, float],
    intervals: dict[str, tuple[float, float]],
) -> None:
    """Prices of a sample, and of a request where the job reports `requests_per_s`."""
    per_hour = cost.usd_per_hour(spec, placement)
    if per_hour is not None:
        metrics["usd_per_hour"] = float(per_hour)
    for noun in ("sample", "request"):
        rate_name, name = f"{noun}s_per_s", f"usd_per_million_{noun}s"
        joules = metrics.get(f"joules_per_{noun}")
        rates = [metrics.get(rate_name, 0.0), *intervals.get(rate_name, ())]
        prices = [cost.usd_per_million(spec, placement, max(r, 1e-9), joules) for r in rates]
        known = [float(price) for price in prices if price is not None]
        if rates[0] > 0 and len(known) == len(rates):
            metrics[name] = known[0]
            if len(known) == 3:
                intervals[name] = (known[2], known[1])
    _add_billions(metrics, intervals)


def _add_billions(metrics: dict[str, float], intervals: dict[str, tuple[float, float]]) -> None:
    """The same price in the unit in which rows of logs are paid."""
    million, billion = "usd_per_million_samples", "usd_per_billion_samples"
    if million in metrics:
        metrics[billion] = 1000 * metrics[million]
    if million in intervals:
        low, high = intervals[million]
        intervals[billion] = (1000 * low, 1000 * high)


def stop_reason(
    spec: JobSpec,
    attempt: Attempt,
    reading: Reading,
    status: RunStatus,
    measurement: Measurement | None,
    trials: Sequence[Trial],
) -> str | None:
    """Why an attempt has been measured for long enough; None while it should go on."""
    if measurement is None:  # an objective is missing: long enough to know that it will not come
        rate = reading.throughput
        is_long = rate is not None and rate.window_s >= spec.measuring.max_window_s
        return "cap" if is_long else None
    if is_precise(spec, measurement, confirming=attempt.purpose == "confirm"):
        return "precise"
    if measurement.window_s >= spec.measuring.max_window_s and has_quality(spec, measurement):
        return "cap"
    is_searching = attempt.purpose == "measure" and attempt.trial_number != 0
    if is_searching and measurement.window_s >= spec.measuring.min_window_s / 2:
        best = next(iter(decide.ranking(spec, trials)), None)
        baseline = decide.baseline_of(trials)
        if decide.is_beaten(spec, measurement, best.measurement if best else None, baseline):
            return "beaten"
    return None


def is_precise(spec: JobSpec, measurement: Measurement, *, confirming: bool) -> bool:
    """Whether every objective's interval is tight enough and the quality figure is known."""
    limits = spec.measuring
    wanted = limits.confirm_precision_pct if confirming else limits.precision_pct
    if measurement.window_s < limits.min_window_s or not measurement.is_stable:
        return False
    if not has_quality(spec, measurement):
        return False
    return all(precision_pct(measurement, o.metric) <= wanted for o in spec.objectives)


def has_quality(spec: JobSpec, measurement: Measurement) -> bool:
    """Whether the quality figure, where the job has one, was reported."""
    return spec.quality is None or spec.quality.metric in measurement.metrics


def precision_pct(measurement: Measurement, metric: str) -> float:
    """Half width of a metric's interval in per cent of its value; infinite where it has none."""
    interval = measurement.intervals.get(metric)
    value = measurement.metrics.get(metric, 0.0)
    if interval is None or value == 0:
        return math.inf
    return 100.0 * (interval[1] - interval[0]) / 2 / abs(value)
