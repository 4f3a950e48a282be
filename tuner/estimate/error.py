"""How far predictions were off."""

from collections.abc import Iterable, Sequence
from statistics import median

from tuner.model import Trial


def median_error_pct(predicted: Sequence[float], measured: Sequence[float]) -> float | None:
    """Median of |predicted / measured - 1| in per cent; None without pairs."""
    errors = [abs(p / m - 1) * 100 for p, m in zip(predicted, measured, strict=True) if m]
    return median(errors) if errors else None


def error_of(trials: Iterable[Trial]) -> float | None:
    """Median absolute percentage error of what was predicted of trials against what was measured of
    them; None where no figure has both."""
    pairs = [
        (predicted, trial.measurement.metrics[name])
        for trial in trials
        if trial.measurement is not None
        for name, predicted in trial.predicted.items()
        if name in trial.measurement.metrics
    ]
    return median_error_pct([p for p, _ in pairs], [m for _, m in pairs])
