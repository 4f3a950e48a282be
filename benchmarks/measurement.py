"""How far to trust a short trial: real trials, run on until they are ten times as long.

    python benchmarks/measurement.py [--trials 6] [--precision-pct 3] [--json]

Each trial is watched by the very code that would end it once its interval is narrow enough; the
gang is left to run on, and its figure from then on is the truth that the short one is held against:
how many of those called stable lie within 3 % of it, how many intervals contain it, and how much
less was measured than in a fixed window of 60 s. Stable are those that were steady and as precise
as asked; what was not precise at its cap is counted apart. What would take longer than 120 s is
ended there.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tuner import measure
from tuner.disturbance import LOAD_PCT, usual_load_pct
from tuner.executors.host import LocalHost
from tuner.executors.local import LocalExecutor
from tuner.expression import Value
from tuner.gang import Gang, RunState, RunStatus
from tuner.interfaces import Executor
from tuner.jobfile import load_job_file
from tuner.launch import launch_command, place
from tuner.model import Attempt, Measurement, Trial
from tuner.observe import Watch
from tuner.spec import JobSpec, Measuring

TIMES_LONGER = 10
PRECISION_PCT = Measuring().precision_pct
FIXED_WINDOW_S = 60.0
LONGEST_S = 120.0
"""A trial that is hardly ever precise would otherwise run for ten times its cap."""
TURN_S = 0.1
END_LIMIT_S = 30.0


@dataclass(slots=True, kw_only=True)
class Short:
    """What a trial would have given, had it ended when it was time."""

    params: dict[str, Value]
    measurement: Measurement
    reason: str
    truth: float = 0.0
    """Samples per second of the run after it."""
    times_longer: float = 0.0
    load_pct: float | None = None
    """What other processes took of the cores during that."""

    @property
    def measured_s(self) -> float:
        return self.measurement.warmup_s + self.measurement.window_s

    @property
    def error(self) -> float:
        return self.measurement.metrics["samples_per_s"] / self.truth - 1

    @property
    def is_called_stable(self) -> bool:
        return self.measurement.is_stable and self.reason == "precise"

    @property
    def is_comparable(self) -> bool:
        """Whether no other load came while the run went on; told by the load, not the figure."""
        own = self.measurement.metrics.get("other_cpu_pct", 0.0)
        return self.load_pct is None or self.load_pct <= own + LOAD_PCT

    @property
    def is_covered(self) -> bool:
        low, high = self.measurement.intervals.get("samples_per_s", (0.0, float("inf")))
        return low <= self.truth <= high


@dataclass(slots=True)
class PatientWatch(Watch):
    """Notes when it is time to end, and lets the gang run on."""

    status: RunStatus | None = None
    ended: tuple[Measurement, str] | None = None
    num_short: int = 0
    """How many records the short figure rests on."""

    def look(self, executor: Executor, status: RunStatus, trials: object) -> None:
        self.status = status
        Watch.look(self, executor, status, ())

    def stop(self, executor: Executor, reason: str) -> None:
        assert self.status is not None
        measurement = self._measured(measure.read(self.records), self.status)
        self.is_stopping, self.num_short = True, len(self.records)
        if measurement is not None:
            self.ended = measurement, reason


def job_of(path: Path, precision_pct: float) -> JobSpec:
    """The job with the default way of measuring, and without an evaluation in its trials."""
    spec = load_job_file(path)
    args = {n: v for n, v in spec.workload.args.items() if n != "eval_at_samples"}
    return replace(
        spec,
        workload=replace(spec.workload, args=args),
        measuring=Measuring(precision_pct=precision_pct, max_trial_s=10 * LONGEST_S),
        quality=None,
    )


def run(executor: LocalExecutor, spec: JobSpec, trial: Trial, usual_pct: float) -> Short | None:
    """One gang, ended when it has run ten times as long as it had to."""
    attempt = attempt_of(spec, trial)
    command = launch_command(spec, trial.params)
    gang = Gang(launch_key=attempt.launch_key, command=command, placement=attempt.placement)
    handle = executor.launch(gang)
    watch = PatientWatch.of(spec, trial, attempt, handle)
    watch.usual_load_pct = usual_pct
    try:
        while (status := executor.poll(handle)).state in (RunState.STARTING, RunState.RUNNING):
            watch.look(executor, status, ())
            if is_long_enough(watch, status):
                executor.stop(handle, "cancelled")
            time.sleep(TURN_S)
    finally:  # interrupted: it must not run on beside whatever comes next
        end(executor, handle)
    return short_of(watch)


def end(executor: LocalExecutor, handle: str) -> None:
    executor.stop(handle, "cancelled")
    deadline_s = time.monotonic() + END_LIMIT_S
    while time.monotonic() < deadline_s:
        if executor.poll(handle).state not in (RunState.STARTING, RunState.RUNNING):
            return
        time.sleep(TURN_S)


def attempt_of(spec: JobSpec, trial: Trial) -> Attempt:
    host = LocalHost()
    cores, gpus = host.cores(), host.gpus()
    placement = place(
        spec,
        launch_command(spec, trial.params),
        free_cores=cores,
        all_cores=cores,
        free_gpus=gpus,
        all_gpus=gpus,
    )
    if placement is None:
        sys.exit(f"no room for {trial.params}")
    return Attempt(
        job_id=trial.job_id,
        trial_number=trial.number,
        number=0,
        placement=placement,
        created_at=datetime.now(UTC),
    )


def is_long_enough(watch: PatientWatch, status: RunStatus) -> bool:
    if watch.ended is None:
        return False
    measured_s = watch.ended[0].warmup_s + watch.ended[0].window_s
    first_s = next((r.t_s for r in watch.records), status.now_s)
    return status.now_s - first_s >= min(LONGEST_S, TIMES_LONGER * measured_s)


def short_of(watch: PatientWatch) -> Short | None:
    """The short figure beside the long one; None where the trial failed or never had to end."""
    reading = measure.read(watch.records[watch.num_short :])
    whole = reading.throughput
    if watch.ended is None or whole is None:
        return None
    measurement, reason = watch.ended
    short = Short(params=watch.trial.params, measurement=measurement, reason=reason)
    short.truth = whole.value
    if reading.window is not None:
        short.load_pct = watch.surroundings().load_pct(*reading.window)
    short.times_longer = (whole.warmup_s + whole.window_s) / max(short.measured_s, 1e-9)
    return short


def trials_of(spec: JobSpec, count: int, seed: int) -> list[Trial]:
    """The default and a draw of the space."""
    members = [m for m in spec.space.members() if m != spec.space.default()]
    random.Random(seed).shuffle(members)
    chosen = [spec.space.default(), *members][:count]
    return [
        Trial(job_id="benchmark", number=n, params=p, reason="", created_at=datetime.now(UTC))
        for n, p in enumerate(chosen)
    ]


def compare(spec: JobSpec, trials: list[Trial]) -> list[Short]:
    found: list[Short] = []
    done: list[Attempt] = []
    with tempfile.TemporaryDirectory() as folder:
        executor = LocalExecutor(Path(folder), warm_package="workloads")
        try:
            for trial in trials:
                usual_pct = usual_load_pct(spec, done) or 0.0
                short = run(executor, spec, trial, usual_pct)
                if short is not None:
                    print(line_of(short), file=sys.stderr, flush=True)
                    found.append(short)
                    done.append(replace(attempt_of(spec, trial), measurement=short.measurement))
        finally:
            executor.close()
    return found


def line_of(short: Short) -> str:
    notes = "; ".join(short.measurement.notes) or "not precise enough"
    words = "stable" if short.is_called_stable else notes
    return (
        f"{short.measured_s:6.1f} s ({short.reason}), "
        f"{100 * short.error:+6.2f} % of the figure after {short.times_longer:.0f} times as long "
        f"(other load {short.load_pct or 0:.0f} %), "
        f"{words}: {short.params}"
    )


def summary(shorts: list[Short]) -> dict[str, float | None]:
    stable = [s for s in shorts if s.is_called_stable and s.is_comparable]
    known = [s for s in stable if "samples_per_s" in s.measurement.intervals]
    saved = [1 - s.measured_s / FIXED_WINDOW_S for s in shorts]
    return {
        "figures": len(shorts),
        "stable": len(stable),
        "imprecise": sum(s.measurement.is_stable and s.reason != "precise" for s in shorts),
        "truth_disturbed": sum(not s.is_comparable for s in shorts),
        "disturbed": sum(s.measurement.is_disturbed for s in shorts),
        "within_3pct_share": share([abs(s.error) <= 0.03 for s in stable]),
        "coverage": share([s.is_covered for s in known]),
        "seconds_saved_ratio": round(sum(saved) / len(saved), 4) if saved else None,
        "median_measured_s": median([s.measured_s for s in shorts]) if shorts else None,
        "median_times_longer": median([s.times_longer for s in shorts]) if shorts else None,
        "largest_error_pct": max((100 * abs(s.error) for s in stable), default=None),
    }


def share(found: list[bool]) -> float | None:
    return round(sum(found) / len(found), 4) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=6, help="configurations; the default first")
    parser.add_argument("--job", type=Path, default=Path("examples/dlrm.yaml"))
    parser.add_argument("--precision-pct", type=float, default=PRECISION_PCT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the gang must be stopped first
    spec = job_of(options.job, options.precision_pct)
    result = summary(compare(spec, trials_of(spec, options.trials, options.seed)))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:>22}  {'unknown' if value is None else f'{value:.4g}'}")


if __name__ == "__main__":
    main()
