"""Time to a proven plan: Trimtab against what an engineer would write in an afternoon.

    python benchmarks/time_to_plan.py [--pairs 1] [--seed 0] [--json]

Every configuration of a small real DLRM is measured first, twice, which tells the optimum; that is
kept and used again while machine, code and data are the same. Then both tune the same space on
this computer, one after the other: `trimtab run`, and Optuna's TPE with torchrun and a window of
30 s per trial (`benchmarks/engineer.py`), stopped by who knows the optimum as soon as it is within
5 % of it. Told is the time, and the time of held cores, until such a configuration is in hand, and
until it is confirmed. The computer should be idle: it takes about 15 minutes, and 11 where the grid
was kept.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median

import yaml
from platformdirs import user_cache_path

from benchmarks import engineer
from benchmarks.engineer import Moment
from benchmarks.record_surface import record
from tuner import fingerprint
from tuner.executors.host import LocalHost
from tuner.jobfile import load_job_file
from tuner.model import Attempt, Plan, Trial
from tuner.service import Service
from tuner.space import Params, key
from tuner.spec import JobSpec, Measuring

HERE = Path(__file__).parent
WITHIN = 0.95
"""Of the optimum; a configuration from here on is good."""
ROUNDS = 2
"""The whole grid so often: the speed of a computer wanders."""
GRID = Measuring(precision_pct=1.5, min_window_s=3.0, max_window_s=5.0, max_trial_s=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Every configuration, measured."""

    fingerprint: dict[str, str]
    rates: dict[str, float]
    """`tuner.space.key` of a configuration -> samples per second; 0 where it failed."""

    @property
    def optimum(self) -> float:
        return max(self.rates.values())

    def share(self, params: Params) -> float:
        """What a configuration gives, of the optimum."""
        return self.rates[key(params)] / self.optimum

    def is_good(self, params: Params) -> bool:
        return self.share(params) >= WITHIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one way took; None where it did not come so far."""

    in_hand_s: float | None
    in_hand_core_s: float | None
    confirmed_s: float | None
    confirmed_core_s: float | None
    total_s: float
    """Until it gave up or was done."""
    total_core_s: float
    trials: int
    share: float
    """What its last choice gives, of the optimum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One pair."""

    seed: int
    trimtab_first: bool
    trimtab: Took
    engineer: Took


def grid_of(spec: JobSpec, path: Path) -> tuple[Grid, bool]:
    """The grid of a job, and whether it is one that was kept."""
    here = dict(LocalHost().fingerprint(spec))
    kept = kept_grid(path, spec, here)
    if kept is not None:
        return kept, True
    seen: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for trial in record(replace(spec, measuring=GRID)):
            metrics = trial.measurement.metrics if trial.measurement is not None else {}
            seen.setdefault(key(trial.params), []).append(metrics.get("samples_per_s", 0.0))
    grid = Grid(fingerprint=here, rates={name: fmean(rates) for name, rates in seen.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(grid), indent=1), encoding="utf-8")
    return grid, False


def kept_grid(path: Path, spec: JobSpec, here: Mapping[str, str]) -> Grid | None:
    """None where there is none for this space, machine, code and data."""
    if not path.exists():
        return None
    grid = Grid(**json.loads(path.read_text(encoding="utf-8")))
    changes = fingerprint.difference(grid.fingerprint, here)
    same_space = set(grid.rates) == {key(params) for params in spec.space.members()}
    if changes or not same_space:
        print(f"measuring anew: {'; '.join(changes) or 'another space'}", file=sys.stderr)
        return None
    return grid


def run_trimtab(job: Path, grid: Grid, seed: int) -> Took:
    """`trimtab run`, as anybody starts it, with an empty home."""
    with tempfile.TemporaryDirectory() as folder:
        seeded = Path(folder) / job.name
        content = yaml.safe_load(job.read_text(encoding="utf-8"))
        content.setdefault("search", {})["seed"] = seed
        seeded.write_text(yaml.safe_dump(content), encoding="utf-8")
        started, started_s = datetime.now(UTC), time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "tuner.cli.main", "run", "-f", str(seeded)],
            env={**os.environ, "TRIMTAB_HOME": folder},
            stdout=sys.stderr,
            check=True,
        )
        total_s = time.monotonic() - started_s
        with Service(Path(folder)) as service:
            ref = service.jobs()[-1].id
            trials, attempts = service.trials(ref), service.attempts(ref)
            plan = next(iter(service.plans(ref)), None)
    return took_by_trimtab(grid, started, total_s, trials, attempts, plan)


def took_by_trimtab(
    grid: Grid,
    started: datetime,
    total_s: float,
    trials: Sequence[Trial],
    attempts: Sequence[Attempt],
    plan: Plan | None,
) -> Took:
    core_s = sum(attempt.spend.core_s for attempt in attempts)
    good = first_good(grid, moments_of(started, trials, attempts))
    is_proven = plan is not None and plan.verdict == "better" and grid.is_good(plan.params)
    return Took(
        in_hand_s=good.at_s if good else None,
        in_hand_core_s=good.core_s if good else None,
        confirmed_s=total_s if is_proven else None,
        confirmed_core_s=core_s if is_proven else None,
        total_s=total_s,
        total_core_s=core_s,
        trials=len(trials),
        share=grid.share(plan.params) if plan is not None else 0.0,
    )


def moments_of(
    started: datetime, trials: Sequence[Trial], attempts: Sequence[Attempt]
) -> list[Moment]:
    """After each trial the best steady one so far."""
    moments: list[Moment] = []
    best: Trial | None = None
    ended = [(t.ended_at, t) for t in trials if t.ended_at is not None]
    for at, trial in sorted(ended, key=lambda pair: pair[0]):
        if rate(trial) > (rate(best) if best is not None else 0.0):
            best = trial
        if best is None:
            continue
        spent = [a.spend.core_s for a in attempts if a.ended_at is not None and a.ended_at <= at]
        at_s = (at - started).total_seconds()
        moments.append(Moment(at_s=at_s, core_s=sum(spent), best=best.params))
    return moments


def rate(trial: Trial) -> float:
    """0 where it may not win."""
    found = trial.measurement
    return found.metrics["samples_per_s"] if found is not None and found.is_stable else 0.0


def run_engineer(spec: JobSpec, grid: Grid, seed: int, trials: int, window_s: float) -> Took:
    environ = {**os.environ, **spec.workload.env}

    def run(params: Params) -> float:
        found = engineer.run_once(engineer.words_of(spec, params), environ, window_s)
        print(f"engineer: {found:,.0f} samples/s | {dict(params)}", file=sys.stderr)
        return found

    cores = len(LocalHost().cores())
    search = engineer.tune(spec.space, run, grid.is_good, num_cores=cores, seed=seed, trials=trials)
    return took_by_engineer(grid, search)


def took_by_engineer(grid: Grid, search: engineer.Search) -> Took:
    good = first_good(grid, search.moments)
    return Took(
        in_hand_s=good.at_s if good else None,
        in_hand_core_s=good.core_s if good else None,
        confirmed_s=search.confirmed_s if good else None,
        confirmed_core_s=search.confirmed_core_s if good else None,
        total_s=search.confirmed_s,
        total_core_s=search.confirmed_core_s,
        trials=len(search.moments),
        share=grid.share(search.moments[-1].best),
    )


def first_good(grid: Grid, moments: Sequence[Moment]) -> Moment | None:
    return next((moment for moment in moments if grid.is_good(moment.best)), None)


def compare(spec: JobSpec, job: Path, grid: Grid, options: argparse.Namespace) -> list[Compared]:
    """Pairs in coin-tossed order."""
    found = []
    for seed in range(options.seed, options.seed + options.pairs):
        trimtab_first = random.Random(seed).random() < 0.5
        took: dict[str, Took] = {}
        for way in ("trimtab", "engineer") if trimtab_first else ("engineer", "trimtab"):
            if way == "trimtab":
                took[way] = run_trimtab(job, grid, seed)
            else:
                took[way] = run_engineer(spec, grid, seed, options.trials, options.window_s)
            print(f"{way}: {took[way]}", file=sys.stderr)
        found.append(Compared(seed=seed, trimtab_first=trimtab_first, **took))
    return found


def summary(grid: Grid, default: Params, pairs: Sequence[Compared]) -> dict[str, object]:
    """Medians over the pairs; null where Trimtab did not come so far. Where the engineer gave up,
    the time until then counts, so that a ratio is rather too large."""
    return {
        "time_ratio": ratio(pairs, "confirmed_s", "total_s"),
        "core_hours_ratio": ratio(pairs, "confirmed_core_s", "total_core_s"),
        "quality_share": round(median(pair.trimtab.share for pair in pairs), 4),
        "in_hand_time_ratio": ratio(pairs, "in_hand_s", "total_s"),
        "in_hand_core_hours_ratio": ratio(pairs, "in_hand_core_s", "total_core_s"),
        "engineer_quality_share": round(median(pair.engineer.share for pair in pairs), 4),
        "engineer_gave_up": sum(pair.engineer.confirmed_s is None for pair in pairs),
        "default_share": round(grid.share(default), 4),
        "configurations": len(grid.rates),
        "good_configurations": sum(r >= WITHIN * grid.optimum for r in grid.rates.values()),
        "optimum_samples_per_s": round(grid.optimum, 1),
        "optimum": json.loads(max(grid.rates, key=lambda name: grid.rates[name])),
        "pairs": [asdict(pair) for pair in pairs],
    }


def ratio(pairs: Sequence[Compared], name: str, given_up: str) -> float | None:
    """Trimtab's over the engineer's."""
    ratios: list[float] = []
    for pair in pairs:
        ours, theirs = getattr(pair.trimtab, name), getattr(pair.engineer, name)
        if ours is None:
            return None
        ratios.append(ours / (theirs if theirs is not None else getattr(pair.engineer, given_up)))
    return round(median(ratios), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--job", type=Path, default=HERE / "time_to_plan.yaml")
    parser.add_argument("--grid", type=Path, help="where the measured grid is kept")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first pair")
    parser.add_argument("--trials", type=int, default=engineer.TRIALS, help="the engineer's most")
    parser.add_argument("--window-s", type=float, default=engineer.WINDOW_S)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    spec = load_job_file(options.job)
    kept = options.grid or user_cache_path("trimtab") / f"grid-{spec.name}.json"
    grid, was_kept = grid_of(spec, kept)
    pairs = compare(spec, options.job, grid, options)
    result = {**summary(grid, spec.space.default(), pairs), "grid_was_kept": was_kept}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        if name != "pairs":
            print(f"{name:>25}  {shown(value)}")


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
