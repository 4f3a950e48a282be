"""What from outside disturbed a run: another load on its cores, or a GPU that had to slow down.

Decided from what the system shows alone, never from whether the figure pleases, so that leaving
such a run out and making it again favours nobody. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tuner.collect.usage import over
from tuner.gang import UsageSample
from tuner.measure import Reading
from tuner.model import Attempt, Measurement
from tuner.spec import JobSpec

LOAD_PCT = 10.0
"""A load counts when it takes this much more of the gang's cores than is usual for the job."""
CHANGED_LOAD_PCT = 5.0
"""... or when it changed by this much at the moment when the rate changed."""
THROTTLED_PCT = 1.0
MAX_REPEATS = 2
"""How often a disturbed run is made again."""
MAX_DISTURBED_SHARE = 1 / 3
"""A computer that disturbs more of the runs than this is what it is: none is made again."""
_FEW = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the system showed while a gang ran."""

    samples: Sequence[UsageSample]
    num_cores: int
    """Cores that the gang holds."""
    usual_load_pct: float | None
    """What other processes usually take of them; None: no load is a disturbance."""

    def in_window(self, window: tuple[float, float] | None) -> dict[str, float]:
        """Used between two moments: growth of sums, means of levels; empty where unknown."""
        return over(self.samples, *window) if window is not None else {}

    def load_pct(self, start_s: float, end_s: float) -> float | None:
        """CPU time that other processes took, in per cent of the gang's cores."""
        taken_s = over(self.samples, start_s, end_s).get("other_cpu_s")
        if taken_s is None or end_s <= start_s or self.num_cores == 0:
            return None
        return 100 * taken_s / ((end_s - start_s) * self.num_cores)


def marked(measurement: Measurement, reading: Reading, around: Surroundings) -> Measurement:
    """The measurement with what disturbed its steady window, and the load during it."""
    if reading.window is None:
        return measurement
    load = around.load_pct(*reading.window)
    known = {} if load is None else {"other_cpu_pct": round(load, 2)}
    causes = tuple(_causes(around, reading.window, reading.change_s))
    return replace(
        measurement,
        metrics={**measurement.metrics, **known},
        is_stable=measurement.is_stable and not causes,
        is_disturbed=bool(causes),
        notes=(*measurement.notes, *causes),
    )


def _causes(
    around: Surroundings, window: tuple[float, float], change_s: float | None
) -> Iterator[str]:
    load, usual = around.load_pct(*window), around.usual_load_pct
    is_loaded = load is not None and usual is not None and load > usual + LOAD_PCT
    if is_loaded:
        yield f"another load took {load:.0f} % of its cores ({usual:.0f} % is usual here)"
    start_s, end_s = window
    throttled_s = around.in_window(window).get("gpu_throttled_s", 0.0)
    throttled_pct = 100 * throttled_s / (end_s - start_s) if end_s > start_s else 0.0
    if throttled_pct > THROTTLED_PCT:
        yield f"a GPU was throttled for {throttled_pct:.0f} % of the time (heat or power supply)"
    if not is_loaded and usual is not None and change_s is not None:
        before, after = around.load_pct(start_s, change_s), around.load_pct(change_s, end_s)
        if before is not None and after is not None and abs(after - before) > CHANGED_LOAD_PCT:
            yield f"another load went from {before:.0f} % to {after:.0f} % of its cores meanwhile"


def usual_load_pct(spec: JobSpec, attempts: Sequence[Attempt]) -> float | None:
    """What other processes take in three of four runs of a job, or more; 0 before any. None where
    its trials run side by side, as then they are each other's load."""
    if spec.search.parallel_trials > 1:
        return None
    loads = [
        attempt.measurement.metrics["other_cpu_pct"]
        for attempt in attempts
        if attempt.measurement is not None and "other_cpu_pct" in attempt.measurement.metrics
    ]
    return sorted(loads)[len(loads) // 4] if loads else 0.0


def is_repeated(attempt: Attempt, attempts: Sequence[Attempt]) -> bool:
    """Whether a disturbed run is made again: not for ever, and not where most are disturbed."""
    if attempt.measurement is None or not attempt.measurement.is_disturbed:
        return False
    measured = [a for a in attempts if a.measurement is not None]
    disturbed = [a for a in measured if a.measurement is not None and a.measurement.is_disturbed]
    if len(measured) >= _FEW and len(disturbed) > MAX_DISTURBED_SHARE * len(measured):
        return False
    same = [
        a for a in disturbed if (a.trial_number, a.pair) == (attempt.trial_number, attempt.pair)
    ]
    return len(same) <= MAX_REPEATS
