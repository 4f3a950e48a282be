"""How well the estimate predicts recorded runs, before and after calibration by three of them.

    python -m benchmarks.estimate --surfaces DIR [--seeds N] [--json]

Reads `gavel.csv` from the folder (throughput in samples/s by GPU type, number of GPUs, placement
and batch of each GPU; Narayanan et al., "Heterogeneity-aware cluster scheduling policies for deep
learning workloads", OSDI 2020), and the DLRM that Trimtab recorded by its own trials, which lies
beside this file. The runs that calibrate are left out of the error.
"""

import argparse
import csv
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tuner.description import Description, Hardware
from tuner.estimate.calibrate import calibrate
from tuner.estimate.configuration import Configuration
from tuner.estimate.devices import Device, device_of
from tuner.estimate.error import median_error_pct
from tuner.estimate.factors import Factors
from tuner.estimate.probes import most_telling
from tuner.estimate.step import step_of
from tuner.jobfile import load_job_file

HERE = Path(__file__).parent
CALIBRATING = 3

GAVEL = {
    # 0.56 billion multiply-adds forward on a picture of CIFAR-10; backward takes twice as much.
    "gavel_ResNet18": Description(flops_per_sample=3.3e9, dense_parameters=11_200_000),
    # 4.1 billion multiply-adds forward on 224 x 224 pixels.
    "gavel_ResNet50": Description(flops_per_sample=24.6e9, dense_parameters=25_600_000),
    # Two LSTM layers of 200 and a vocabulary of 33,278; a sample is 35 words of WikiText-2.
    "gavel_LM": Description(flops_per_sample=1.54e9, dense_parameters=14_000_000),
    # Six layers of 512 each way; a sample is a sentence of Multi30k, about 20 words with padding.
    "gavel_Transformer": Description(flops_per_sample=6e9, dense_parameters=54_000_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A recorded run, and what the estimate is told of it."""

    task: str
    group: str
    """What a job would have of its own: the task on one type of GPU."""
    work: Description
    device: Device
    configuration: Configuration
    samples_per_s: float

    @property
    def time_s(self) -> float:
        """Of a step."""
        return self.configuration.global_batch / self.samples_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Errors of a task: medians over the runs that did not calibrate, then over seeds."""

    task: str
    runs: int
    before_pct: float
    after_chosen_pct: float
    """By three runs on each type of GPU, those that tell most."""
    after_random_pct: float
    """By three runs on each type of GPU, drawn at random."""
    after_shared_pct: float
    """By three runs in all, drawn at random, whatever their GPU."""


def read_gavel(folder: Path) -> list[Run]:
    """Runs that went through, consolidated ones as one node, others as a node per GPU."""
    with open(folder / "gavel.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["thr"]) > 0]
    return [_gavel_run(row) for row in rows]


def _gavel_run(row: dict[str, str]) -> Run:
    gpus, together = int(row["k_gpus"]), row["k_consol"] == "1"
    return Run(
        task=row["task"],
        group=f"{row['task']} {row['k_gpu']}",
        work=GAVEL[row["task"]],
        device=device_of(Hardware(gpu=row["k_gpu"])),
        configuration=Configuration(
            nodes=1 if together else gpus,
            ranks_per_node=gpus if together else 1,
            global_batch=float(row["k_batch"]) * gpus,
        ),
        samples_per_s=float(row["thr"]),
    )


def read_own() -> list[Run]:
    """The recorded DLRM on two cores; a rank alone has both of them."""
    work = load_job_file(HERE.parent / "examples" / "dlrm.yaml").estimate
    assert work is not None
    with open(HERE / "surfaces" / "dlrm-2-cores.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["feasible"] == "True"]
    return [_own_run(work, row) for row in rows]


def _own_run(work: Description, row: dict[str, str]) -> Run:
    nodes, strategy = int(row["k_nnodes"]), row["k_shard_strategy"]
    return Run(
        task=row["task"],
        group=row["task"],
        work=work,
        device=device_of(work.hardware),
        configuration=Configuration(
            nodes=nodes,
            ranks_per_node=1,
            global_batch=float(row["k_global_batch_size"]),
            strategy="data_parallel" if strategy == "none" else strategy,
            precision=row["k_precision"],
            loader_workers=int(row["k_loader_workers"]),
            threads=2 // nodes,
        ),
        samples_per_s=float(row["samples_per_s"]),
    )


def predicted(runs: Iterable[Run], factors: Factors) -> list[float]:
    """Seconds of a step of each run."""
    return [step_of(r.work, r.device, r.configuration, factors).total_s for r in runs]


def held_out_errors(runs: Sequence[Run], chosen: Sequence[Run]) -> list[float]:
    """Absolute errors in per cent of the rate of all runs but the chosen ones, which calibrate."""
    fitted = calibrate(lambda factors: predicted(chosen, factors), [r.time_s for r in chosen])
    rest = [run for run in runs if run not in chosen]
    times = predicted(rest, fitted.factors)
    return [abs(run.time_s / t - 1) * 100 for run, t in zip(rest, times, strict=True)]


def chosen(runs: Sequence[Run]) -> list[Run]:
    """The three runs that tell most, known from the formulas alone."""
    found = most_telling(lambda factors: predicted(runs, factors), CALIBRATING)
    return [runs[position] for position in found]


def assess(task: str, runs: Sequence[Run], seeds: int) -> Row:
    """The errors of one task."""
    groups = [[r for r in runs if r.group == name] for name in sorted({r.group for r in runs})]
    draws = [random.Random(seed) for seed in range(seeds)]
    own = [_of_groups([(g, rng.sample(g, CALIBRATING)) for g in groups]) for rng in draws]
    shared = [_of_groups([(runs, rng.sample(list(runs), CALIBRATING))]) for rng in draws]
    rates = [1 / t for t in predicted(runs, Factors())]
    before = median_error_pct(rates, [1 / run.time_s for run in runs])
    assert before is not None
    return Row(
        task=task,
        runs=len(runs),
        before_pct=before,
        after_chosen_pct=_of_groups([(group, chosen(group)) for group in groups]),
        after_random_pct=median(own),
        after_shared_pct=median(shared),
    )


def _of_groups(groups: Sequence[tuple[Sequence[Run], Sequence[Run]]]) -> float:
    """The median over all held-out runs of groups that are calibrated apart."""
    return median([error for runs, used in groups for error in held_out_errors(runs, used)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--surfaces", type=Path, help="the folder of gavel.csv")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = read_own() + (read_gavel(options.surfaces) if options.surfaces else [])
    tasks = sorted({run.task for run in runs})
    rows = [assess(t, [r for r in runs if r.task == t], options.seeds) for t in tasks]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(
        f"{'task':20}{'runs':>6}{'before':>9}{'3 chosen':>10}{'3 random':>10}{'3 of any GPU':>14}"
    )
    for row in rows:
        after = f"{row.after_chosen_pct:8.0f} %{row.after_random_pct:8.0f} %"
        print(
            f"{row.task:20}{row.runs:6}{row.before_pct:7.0f} %{after}{row.after_shared_pct:12.0f} %"
        )


if __name__ == "__main__":
    main()
