"""How far the estimates of TorchRec's planner are off, by sharding type, from measured trials.

    trimtab trial list --job @last -o json | python -m workloads.torchrec_calibration factors.json

A trial of `workloads.torchrec_dlrm` tells what the planner predicted for its tables on the slowest
rank, type by type (`planned_<type>_s`), and what their lookup and update really took
(`embedding_s`). The factors written are what the planner's estimates are multiplied by where the
workload gets `--calibration=factors.json`.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median

SHARDING_TYPES = (
    "data_parallel",
    "table_wise",
    "column_wise",
    "table_column_wise",
    "row_wise",
    "table_row_wise",
    "grid_shard",
)
_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was predicted for a plan, and what it took."""

    planned_s: Mapping[str, float]
    """By sharding type, before any calibration."""
    measured_s: float


def fit(runs: Sequence[Run]) -> dict[str, float]:
    """Factors by sharding type: sum(factor * planned) = measured, in the sense of ratios.

    Multiplicative updates: each type's factor moves by the geometric mean of the ratios of the
    runs that use it, weighted by its share of their predicted time; so a type that runs alone in
    some trial gets the ratio measured there, and factors stay above 0."""
    used = sorted({name for run in runs for name in run.planned_s})
    factors = dict.fromkeys(used, 1.0)
    for _ in range(_ROUNDS):
        factors = {name: factors[name] * _moved(name, runs, factors) for name in used}
    return factors


def _moved(name: str, runs: Sequence[Run], factors: Mapping[str, float]) -> float:
    moved = weights = 0.0
    for run in runs:
        predicted = predict(run, factors)
        weight = factors[name] * run.planned_s.get(name, 0.0) / predicted
        moved += weight * math.log(run.measured_s / predicted)
        weights += weight
    return math.exp(moved / weights)


def factor_of(name: str, factors: Mapping[str, float]) -> float:
    """A type without a factor of its own gets the mean of the others, as all are off alike: else
    the planner would take it for the fastest."""
    usual = geometric_mean(factors.values()) if factors else 1.0
    return factors.get(name, usual)


def predict(run: Run, factors: Mapping[str, float]) -> float:
    """Seconds."""
    return sum(factor_of(name, factors) * planned for name, planned in run.planned_s.items())


def error_pct(runs: Sequence[Run], factors: Mapping[str, float]) -> float:
    """Median of the absolute percentage errors."""
    return median(abs(predict(run, factors) / run.measured_s - 1) * 100 for run in runs)


def left_out_error_pct(runs: Sequence[Run]) -> float | None:
    """The same of runs that the factors were not fitted to, one left out at a time."""
    if len(runs) < 2:
        return None
    others = [[run for run in runs if run is not left] for left in runs]
    pairs = zip(runs, others, strict=True)
    return median(abs(predict(r, fit(o)) / r.measured_s - 1) * 100 for r, o in pairs)


def runs_of(trials: Sequence[Mapping[str, object]]) -> list[Run]:
    """The trials of a listing that tell of a plan; others are left out."""
    return [run for trial in trials if (run := _run(trial.get("measurement"))) is not None]


def _run(measurement: object) -> Run | None:
    if not isinstance(measurement, Mapping):
        return None
    metrics = measurement["metrics"]
    planned = {name: metrics.get(f"planned_{name}_s") or 0.0 for name in SHARDING_TYPES}
    measured = metrics.get("embedding_s") or 0.0
    found = {name: float(value) for name, value in planned.items() if value > 0}
    return Run(planned_s=found, measured_s=float(measured)) if found and measured > 0 else None


def read_factors(path: Path) -> dict[str, float]:
    """Factors as written by this module. Raises ValueError."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))["factors"]
        factors = {str(name): float(value) for name, value in read.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"calibration {path}: {error}. Remedy: write it by "
            "`trimtab trial list -o json | python -m workloads.torchrec_calibration FILE`"
        ) from error
    wrong = [name for name, value in factors.items() if not 0 < value < math.inf]
    if wrong or set(factors) - set(SHARDING_TYPES):
        raise ValueError(f"calibration {path}: {factors} must be factors above 0 by sharding type")
    return factors


def main(words: list[str]) -> None:
    if len(words) != 1:
        sys.exit("usage: trimtab trial list --job JOB -o json | torchrec_calibration FILE")
    listing = json.load(sys.stdin)
    trials = listing if isinstance(listing, list) else listing["items"]
    runs = runs_of(trials)
    if not runs:
        sys.exit("none of these trials tells of a plan. Remedy: list those of a TorchRec job")
    factors = fit(runs)
    left_out = left_out_error_pct(runs)
    text = json.dumps({"factors": factors, "trials": len(runs)}, indent=1)
    Path(words[0]).write_text(text + "\n", encoding="utf-8")
    for name, factor in factors.items():
        print(f"{name:<18} measured / predicted {factor:,.2f}")
    unseen = "" if left_out is None else f", {left_out:.0f} % of trials left out"
    before, after = error_pct(runs, dict.fromkeys(SHARDING_TYPES, 1.0)), error_pct(runs, factors)
    print(f"{len(runs)} trials, error {before:.0f} % before, {after:.0f} % after{unseen}")


if __name__ == "__main__":
    main(sys.argv[1:])
