"""What goes live that should not, and what does not that should: real trials with planted effects.

    python benchmarks/promotion.py [--runs 20] [--simulated 4000] [--json]

Each run is a job of its own, from the first trial to the plan file, a real start with the plan, and
its canary: A against A, a candidate that does 5 % more work per step, and one that does 5 % less.
The true gain is that of all deciding pairs of all runs together, winners or not.

Beside it the same deciding code is run thousands of times on drawn measurements, whose spread is
that of the real pairs. That is a simulation, and says so.
"""

import argparse
import json
import math
import os
import random
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev

from tuner import decide
from tuner.application import ApplicationState
from tuner.jobfile import load_job
from tuner.model import Attempt, AttemptState, Measurement, Placement, Plan
from tuner.pairs import pairs_of
from tuner.service import Service
from tuner.spec import JobSpec
from tuner.targets.starting import start_from

SCRIPT = Path(__file__).with_name("planted_train.py")
JOB = """
name: {name}
workload:
  command: ["${{python}}", {script}, "--work=${{work}}", "--arm=${{arm}}", --seconds=8]
space: {{params: {{work: {{options: {work}}}, arm: {{options: {arm}}}}}}}
search: {{method: grid, seed: {seed}, stop_gain_pct: 0, use_history: false}}
budget: {{trials: 2}}
resources: {{cores_per_node: 1}}
measuring: {{min_window_s: 1.5, precision_pct: 3, confirm_precision_pct: 1.5, max_window_s: 4}}
apply: {{mode: next_start, target: {{path: {path}}}, canary: {{min_steps: 50}}}}
"""
PLANTED = {"a_a": 100, "regression": 105, "improvement": 95}
"""Kind of run -> the work per step of the candidate; the default does 100."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one run."""

    kind: str
    confirmed: bool = False
    promoted: bool = False
    live: bool = False
    told_gain_pct: float | None = None
    deciding: list[float] = field(default_factory=list)
    """Log gain of each deciding pair."""


def spec_of(kind: str, number: int, folder: Path) -> JobSpec:
    work = PLANTED[kind]
    text = JOB.format(
        name=f"{kind}-{number}".replace("_", "-"),
        script=json.dumps(str(SCRIPT)),
        work=[100] if work == 100 else [100, work],
        arm=[0, 1] if work == 100 else [0],
        seed=number,
        path=json.dumps(str(folder / f"{kind}-{number}.json")),
    )
    return load_job(text, "promotion")


def run(service: Service, kind: str, number: int, folder: Path) -> Outcome:
    """One job to its end; a winner is started for real, and its canary judged."""
    outcome = Outcome(kind=kind)
    job = service.create_job(spec_of(kind, number, folder), actor="benchmark")
    service.run(threading.Event(), until_finished=[job.id])
    for plan in service.plans(job.id):
        outcome.confirmed = bool(plan.pairs)
        outcome.promoted = plan.verdict == "better"
        outcome.told_gain_pct = plan.gain_pct
        outcome.deciding = deciding(plan)
    if service.applications(job.id):
        path = Path(service.applications(job.id)[0].target_path)
        start_from(path, folder / "starts", lambda text: None)
        service.run(threading.Event(), until_finished=[job.id])
        (application,) = service.applications(job.id)
        outcome.live = application.state is ApplicationState.LIVE
    return outcome


def deciding(plan: Plan) -> list[float]:
    return [math.log1p(pair.gain_pct / 100) for pair in plan.pairs if pair.decides]


def shares(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The figures of the real runs."""
    by_kind = {kind: [o for o in outcomes if o.kind == kind] for kind in PLANTED}
    better = by_kind["improvement"]
    gains = [gain for o in better for gain in o.deciding]
    truth_pct = 100 * math.expm1(fmean(gains)) if gains else None
    told = [o.told_gain_pct for o in better if o.promoted and o.told_gain_pct is not None]
    over = fmean(told) - truth_pct if told and truth_pct is not None else None
    return {
        "runs": {kind: len(found) for kind, found in by_kind.items()},
        "a_a_promoted_share": share([o.promoted for o in by_kind["a_a"]]),
        "a_a_confirmed_share": share([o.confirmed for o in by_kind["a_a"]]),
        "regression_live_share": share([o.live for o in by_kind["regression"]]),
        "improvement_live_share": share([o.live for o in better]),
        "improvement_promoted_share": share([o.promoted for o in better]),
        "gain_overstatement_pct": over,
        "true_gain_pct": truth_pct,
        "pair_spread_pct": 100 * spread(outcomes),
    }


def share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def spread(outcomes: Sequence[Outcome]) -> float:
    """Standard deviation of the log gain of a pair about the mean of its kind of run."""
    rests: list[float] = []
    for kind in PLANTED:
        gains = [gain for o in outcomes if o.kind == kind for gain in o.deciding]
        rests += [gain - fmean(gains) for gain in gains] if len(gains) > 1 else []
    return stdev(rests) if len(rests) > 1 else 0.02


# The same deciding code on drawn measurements


def drawn(spec: JobSpec, true_log_gain: float, sd: float, chance: random.Random) -> list[Attempt]:
    """All pairs of a confirmation, each arm with half the variance of a pair."""
    attempts = []
    for pair in range(pairs_of(spec)):
        for number, mean in ((0, 0.0), (1, true_log_gain)):
            rate = 1000 * math.exp(mean + chance.gauss(0, sd / math.sqrt(2)))
            attempts.append(attempt(number, pair, rate))
    return attempts


def attempt(number: int, pair: int, rate: float) -> Attempt:
    measured = Measurement(
        metrics={"samples_per_s": rate}, window_s=2, warmup_s=0, steps=100, samples=1e5
    )
    return Attempt(
        job_id="simulated",
        trial_number=number,
        number=pair + 1,
        purpose="confirm",
        pair=pair,
        state=AttemptState.COMPLETE,
        placement=Placement(cores=((0,),), gpus=((),)),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        measurement=measured,
    )


def simulate(runs: int, sd: float, folder: Path) -> dict[str, object]:
    """Shares of wins by true gain, at the policy's margin and without one."""
    chance = random.Random(0)
    spec = spec_of("improvement", 0, folder)
    bare = replace(spec, apply=replace(spec.apply, min_gain_pct=0.0))
    found: dict[str, object] = {"runs": runs, "pair_spread_pct": 100 * sd}
    for name, gain_pct in (("a_a", 0.0), ("regression", -5.0), ("improvement", 5.0)):
        true_log_gain = math.log1p(gain_pct / 100)
        told, wins, wins_bare = [], 0, 0
        for _ in range(runs):
            attempts = drawn(spec, true_log_gain, sd, chance)
            wins_bare += decide.has_won(bare, 1, attempts)
            if decide.has_won(spec, 1, attempts):
                wins += 1
                told.append(decide.judge(spec, 1, attempts).gain_pct or 0.0)
        found[f"{name}_promoted_share"] = wins / runs
        found[f"{name}_promoted_share_without_margin"] = wins_bare / runs
        found[f"{name}_overstatement_pct"] = fmean(told) - gain_pct if told else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="real runs of each kind")
    parser.add_argument("--simulated", type=int, default=4000, help="drawn runs of each kind")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name, Service(Path(name) / "home") as service:
        outcomes = []
        for number in range(options.runs):
            for kind in PLANTED:
                outcomes.append(run(service, kind, number, Path(name)))
                print(f"{number + 1}/{options.runs} {asdict(outcomes[-1])}", file=sys.stderr)
        real = shares(outcomes)
        simulated = simulate(options.simulated, spread(outcomes), Path(name))
    if options.json:
        print(json.dumps({**real, "simulated": simulated}))
        return
    print("Real runs")
    for name, figure in real.items():
        print(f"  {name:32} {figure}")
    print("Simulation of the same deciding code (no processes)")
    for name, figure in simulated.items():
        print(f"  {name:42} {figure}")


if __name__ == "__main__":
    main()
