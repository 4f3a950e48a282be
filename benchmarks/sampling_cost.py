"""What sampling costs a trial: a real one, watched in turn with sampling and without.

    python benchmarks/sampling_cost.py [--seconds 15] [--json]

One DLRM on two ranks with a loader each. Its supervisor samples for a second, and does not for
the next, in coin-tossed order, so that whatever else the computer does meets both alike. Shown are
the supervisor's CPU time over wall time in both kinds of seconds, and how neighbouring seconds
differ in throughput, with the 95 % interval. Another load on the computer makes that wide; then the
two ways in which sampling costs tell more: the CPU time that it takes from the trial, and the
difference in samples per CPU second, which shows how much it disturbs the rest.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tuner import report
from tuner.executors import files, supervisor
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.executors.nvml import GpuMeter
from tuner.gang import Gang, RunState
from tuner.model import LaunchCommand, Placement
from tuner.stats import half_width

RANKS = 2
OPTIONS = ("--global-batch-size=256", "--threads-per-rank=1", "--loader-workers=1")
BLOCK_S = 1.0
WARM_UP_S = 2.0
START_LIMIT_S = 60.0
POLL_S = 0.1
CODE_ROOT = Path(__file__).resolve().parents[1]
BLOCKS = "blocks.jsonl"


class Block(NamedTuple):
    """A stretch of a run, and the CPU time that its supervisor and the gang took meanwhile."""

    start_s: float
    end_s: float
    samples: bool
    cpu_s: float
    gang_cpu_s: float


class Alternating(supervisor.Supervision):
    """Supervises as ever, but samples in every other block only, and notes what each cost."""

    _ends_s = 0.0
    _begun = (0.0, 0.0, 0.0)
    _samples_now = True
    _second_of_pair = False

    def _turn(self, gpus: GpuMeter) -> None:
        now_s = time.monotonic()
        if now_s >= self._ends_s:
            self._change(now_s)
        if not self._samples_now:
            self._sample_due_s = self._snapshot_due_s = math.inf
        super()._turn(gpus)

    def _change(self, now_s: float) -> None:
        ticks = sum(member.cpu_ticks for member in self._members())
        now = (now_s, time.process_time(), ticks / os.sysconf("SC_CLK_TCK"))
        start_s, cpu_s, gang_cpu_s = self._begun
        block = Block(start_s, now_s, self._samples_now, now[1] - cpu_s, now[2] - gang_cpu_s)
        if start_s:
            with open(self._folder.path / BLOCKS, "a", encoding="utf-8") as file:
                print(json.dumps(block), file=file)
        tossed = random.random() < 0.5
        self._samples_now = not self._samples_now if self._second_of_pair else tossed
        self._second_of_pair = not self._second_of_pair
        self._begun, self._ends_s = now, now_s + BLOCK_S
        self._sample_due_s = self._snapshot_due_s = 0.0


def run_trial(root: Path, seconds: float) -> GangFolder:
    """A trial that its own supervisor watches in blocks, for so long after its start."""
    executor = LocalExecutor(root, warm_package=None)
    folder = GangFolder(root / "trial")
    folder.path.mkdir(parents=True)
    folder.lease.touch()
    files.write_gang(folder, gang())
    argv = [sys.executable, "-m", "benchmarks.sampling_cost", "supervise", str(folder.path)]
    subprocess.run(argv, cwd=CODE_ROOT, check=True, timeout=START_LIMIT_S)
    end_s = time.monotonic() + START_LIMIT_S
    while not (done := steps(folder, 0)) and time.monotonic() < end_s:
        wait(executor)
    if not done:
        sys.exit(f"the trial did not start: {executor.tail('trial', 0, 2000)}")
    end_s = done[0][0] + WARM_UP_S + seconds
    while time.monotonic() < end_s:
        wait(executor)
    executor.stop("trial", "measured")
    while executor.poll("trial").state is RunState.RUNNING:
        time.sleep(POLL_S)
    return folder


def wait(executor: LocalExecutor) -> None:
    status = executor.poll("trial")
    if status.state not in (RunState.STARTING, RunState.RUNNING):
        sys.exit(f"the trial is {status.state}: {executor.tail('trial', 0, 2000)}")
    time.sleep(POLL_S)


def gang() -> Gang:
    command = LaunchCommand(
        argv=(sys.executable, "-m", "workloads.dlrm", *OPTIONS),
        env={},
        working_dir=str(CODE_ROOT),
        nnodes=1,
        nproc_per_node=RANKS,
        per_rank=True,
    )
    nowhere = Placement(cores=((),), gpus=((),))
    return Gang(launch_key="trial", command=command, placement=nowhere)


def steps(folder: GangFolder, rank: int) -> list[tuple[float, float]]:
    """When a rank ended its steps, and its samples until then."""
    try:
        text = folder.metrics(rank).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = [line for each in text.splitlines() if (line := report.parse(each)) and line.steps]
    totals = accumulate(line.samples for line in lines)
    return [(line.t_s, total) for line, total in zip(lines, totals, strict=True)]


def rate_over(done: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Samples a second between two moments, within a step in proportion; 0 outside of the steps."""
    if start_s <= done[0][0] or end_s >= done[-1][0]:
        return 0.0
    return (samples_by(done, end_s) - samples_by(done, start_s)) / (end_s - start_s)


def samples_by(done: Sequence[tuple[float, float]], t_s: float) -> float:
    after = bisect_right(done, (t_s, math.inf))
    (before_s, before), (after_s, total) = done[after - 1 : after + 1]
    return before + (total - before) * (t_s - before_s) / (after_s - before_s)


def change_pct(
    pairs: Sequence[tuple[Block, Block]], rate: Callable[[Block], float]
) -> tuple[float, float]:
    """How much lower a rate is with sampling, and half the width of the interval."""
    logs = []
    for pair in pairs:
        with_it, without = sorted(pair, key=lambda block: not block.samples)
        if rate(with_it) and rate(without):
            logs.append(math.log(rate(with_it) / rate(without)))
    if len(logs) < 2:
        sys.exit("too short: nothing to compare")
    return -100 * fmean(logs), 100 * half_width(logs, 0.975)


def summary(folder: GangFolder) -> dict[str, float]:
    text = (folder.path / BLOCKS).read_text(encoding="utf-8")
    blocks = [Block(*json.loads(line)) for line in text.splitlines()]
    done = steps(folder, 0)
    steady_s = done[0][0] + WARM_UP_S
    pairs = [
        (first, second)
        for first, second in zip(blocks[::2], blocks[1::2], strict=False)
        if first.start_s >= steady_s and second.end_s <= done[-1][0]
    ]
    kept = [block for pair in pairs for block in pair]

    def share_pct(samples: bool) -> float:
        chosen = [block for block in kept if block.samples == samples]
        wall_s = sum(block.end_s - block.start_s for block in chosen)
        return 100 * sum(block.cpu_s for block in chosen) / max(wall_s, BLOCK_S)

    def rate(block: Block) -> float:
        return rate_over(done, block.start_s, block.end_s)

    def rate_per_cpu(block: Block) -> float:
        taken_s = block.gang_cpu_s / (block.end_s - block.start_s)
        return rate(block) / taken_s if taken_s > 0 else 0.0

    lost, half = change_pct(pairs, rate)
    disturbed, disturbed_half = change_pct(pairs, rate_per_cpu)
    cores = len(os.sched_getaffinity(0))
    return {
        "pairs": len(pairs),
        "supervisor_cpu_pct_of_a_core": round(share_pct(samples=True), 3),
        "supervisor_cpu_pct_without": round(share_pct(samples=False), 3),
        "sampling_cpu_pct_of_all_cores": round(
            (share_pct(samples=True) - share_pct(samples=False)) / cores, 3
        ),
        "throughput_loss_pct": round(lost, 2),
        "throughput_loss_half_width_pct": round(half, 2),
        "loss_per_cpu_s_pct": round(disturbed, 2),
        "loss_per_cpu_s_half_width_pct": round(disturbed_half, 2),
        "samples_per_s": round(RANKS * rate_over(done, steady_s, done[-2][0]), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of measuring")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = summary(run_trial(Path(name), options.seconds))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for what, value in found.items():
        print(f"{what:>32}: {value:g}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["supervise"]:
        setattr(supervisor, "Supervision", Alternating)  # noqa: B010
        supervisor.main(sys.argv[2])
    else:
        main()
