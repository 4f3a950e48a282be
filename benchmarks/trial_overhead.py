"""What a trial costs besides its steps: torchrun, a cold start and a warm start, in turn.

    python benchmarks/trial_overhead.py [--trials 6] [--soak 200] [--json]

The same DLRM on two ranks, every way in each round, so that what else the computer does meets all
of them. The overhead is the time from the launch to the end of the first step, and from the end of
the last step until the next trial may start. `--soak` then runs warm trials in a row and shows
what they have left behind.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import ParamSpec

from torch import Tensor

from tuner.executors import processes
from tuner.executors.local import LocalExecutor
from tuner.executors.sampling import resident
from tuner.gang import Gang, RunState
from tuner.model import LaunchCommand, Placement
from workloads import common, dlrm, dlrm_model
from workloads.progress import Progress

RANKS = 2
MODULE = ("-m", "benchmarks.trial_overhead", "rank")
OPTIONS = ("--global-batch-size=1024", "--threads-per-rank=1")
TRIAL, SHORT_TRIAL = "--max-samples=8192", "--max-samples=2048"
MARKS_VARIABLE = "TRIMTAB_MARKS"
CODE_ROOT = Path(__file__).resolve().parents[1]
PHASES = ("import", "data and process group", "build", "first step", "teardown")
TRIAL_LIMIT_S = 60.0
SETTLE_LIMIT_S = 5.0
POLL_S = 0.005

prepare = dlrm.prepare
"""As the DLRM's, before a warm start."""

P = ParamSpec("P")
Run = Callable[[Path], None]
"""Runs one trial to its end; its ranks leave their marks in the folder."""


def rank_main(words: list[str]) -> None:
    """The DLRM as it is, but for notes of the time between its parts."""
    marks = [time.monotonic()]
    steps: list[float] = []
    step = Progress.step

    def noted_step(progress: Progress, samples: int, loss: Tensor) -> None:
        step(progress, samples, loss)
        steps.append(time.monotonic())

    setattr(common, "start_process_group", noting(common.start_process_group, marks))  # noqa: B010
    setattr(dlrm_model.Dlrm, "__init__", noting(dlrm_model.Dlrm.__init__, marks))  # noqa: B010
    setattr(Progress, "step", noted_step)  # noqa: B010
    dlrm.main(words)
    path = Path(os.environ[MARKS_VARIABLE], os.environ["RANK"])
    path.write_text(json.dumps([*marks, steps[0], steps[-1]]), encoding="utf-8")


def noting(function: Callable[P, None], marks: list[float]) -> Callable[P, None]:
    def noted(*args: P.args, **kwargs: P.kwargs) -> None:
        function(*args, **kwargs)
        marks.append(time.monotonic())

    return noted


def run_by_torchrun(marks: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}")
    subprocess.run(
        [sys.executable, *launcher, *MODULE, *OPTIONS, TRIAL],
        cwd=CODE_ROOT,
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, MARKS_VARIABLE: str(marks)},
        check=True,
        capture_output=True,
        timeout=TRIAL_LIMIT_S,
    )


def run_by(executor: LocalExecutor, samples: str, marks: Path) -> None:
    command = LaunchCommand(
        argv=(sys.executable, *MODULE, *OPTIONS, samples),
        env={MARKS_VARIABLE: str(marks)},
        working_dir=str(CODE_ROOT),
        nnodes=1,
        nproc_per_node=RANKS,
        per_rank=True,
    )
    nowhere = Placement(cores=((),), gpus=((),))
    handle = executor.launch(Gang(launch_key=marks.name, command=command, placement=nowhere))
    deadline_s = time.monotonic() + TRIAL_LIMIT_S
    while (status := executor.poll(handle)).state is not RunState.EXITED:
        if time.monotonic() > deadline_s or status.state is RunState.LOST:
            sys.exit(f"{handle} is {status.state}: {status.reason}")
        time.sleep(POLL_S)
    if status.reason != "exited":
        sys.exit(f"{handle}: {status.reason}\n{executor.tail(handle, 0, 2000)}")


def timed(run: Run, marks: Path) -> list[float]:
    """Seconds of each phase: a phase ends when the slower rank has ended it."""
    marks.mkdir()
    launched_s = time.monotonic()
    run(marks)
    ready_s = time.monotonic()
    ranks = [json.loads((marks / str(rank)).read_text(encoding="utf-8")) for rank in range(RANKS)]
    *ends, last_step_s = map(max, zip(*ranks, strict=True))
    starts = [launched_s, *ends]
    return [*(end - start for start, end in zip(starts, ends, strict=False)), ready_s - last_step_s]


def wait_for_template(root: Path) -> Path:
    deadline_s = time.monotonic() + TRIAL_LIMIT_S
    while time.monotonic() < deadline_s:
        for socket in (root / ".templates").glob("*/socket"):
            return socket.parent
        time.sleep(POLL_S)
    sys.exit("the template did not start")


def compare(folder: Path, warm: LocalExecutor, trials: int) -> dict[str, list[list[float]]]:
    """Way -> phases of each of its trials."""
    ways: dict[str, Run] = {
        "torchrun": run_by_torchrun,
        "cold": partial(run_by, LocalExecutor(folder / "cold", warm_package=None), TRIAL),
        "warm": partial(run_by, warm, TRIAL),
    }
    found: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number in range(trials):
        for way, run in ways.items():
            found[way].append(timed(run, folder / f"{way}-{number}"))
    return found


def soak(folder: Path, warm: LocalExecutor, trials: int) -> dict[str, tuple[int, int]]:
    """What there is before and after so many warm trials."""
    template = settled(folder)[0]
    before = state(template, folder)
    for number in range(trials):
        timed(partial(run_by, warm, SHORT_TRIAL), folder / f"soak-{number}")
    if template not in family(folder):
        sys.exit("the code was changed meanwhile, so the template is another one: run it again")
    after = state(template, folder)
    return {name: (before[name], after[name]) for name in before}


def state(template: int, folder: Path) -> dict[str, int]:
    processes_left = len(settled(folder))
    process = processes.look(template)
    memory = resident(process) if process else None
    return {
        "processes": processes_left,
        "open files here": len(list(Path("/proc/self/fd").iterdir())),
        "open files of the template": len(list(Path(f"/proc/{template}/fd").iterdir())),
        "MiB of the template": memory.anonymous >> 20 if memory else 0,
        "files in /dev/shm": len(list(Path("/dev/shm").iterdir())),
    }


def settled(folder: Path) -> list[int]:
    """The template and its forks, once supervisors have had a moment to leave."""
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while len(found := family(folder)) > 1 and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return found


def family(folder: Path) -> list[int]:
    """Pids of the template and all its forks, which have its command line; zombies have none."""
    found = []
    for process in processes.everyone():
        with suppress(OSError):
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            if b"tuner.executors.template\0" in words and os.fsencode(folder) in words:
                found.append(process.pid)
    return found


def summary(found: dict[str, list[list[float]]]) -> dict[str, object]:
    totals = {way: [sum(phases) for phases in trials] for way, trials in found.items()}
    pairs = zip(totals["warm"], totals["torchrun"], strict=True)
    return {
        "warm_over_torchrun": median(totals["warm"]) / median(totals["torchrun"]),
        "cold_over_torchrun": median(totals["cold"]) / median(totals["torchrun"]),
        "median_of_paired_ratios": median(warm / plain for warm, plain in pairs),
        "trials": len(totals["warm"]),
        "overhead_s": {way: spread(values) for way, values in totals.items()},
        "phases_s": {
            way: {phase: spread([*values]) for phase, *values in zip(PHASES, *trials, strict=True)}
            for way, trials in found.items()
        },
    }


def spread(values: list[float]) -> tuple[float, float]:
    """Median, and the distance between the quartiles."""
    low, _, high = quantiles(values, method="inclusive")
    return round(median(values), 4), round(high - low, 4)


def table(found: dict[str, list[list[float]]]) -> str:
    lines = ["".join(f"{word:>26}" for word in ("seconds, median (IQR)", *found))]
    rows = [(phase, lambda phases, n=number: phases[n]) for number, phase in enumerate(PHASES)]
    for name, value in [*rows, ("overhead", sum)]:
        cells = [spread([value(phases) for phases in trials]) for trials in found.values()]
        lines.append(f"{name:>26}" + "".join(f"{m:>18.3f} ({iqr:.3f})" for m, iqr in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=6, help="of each way; at least 2")
    parser.add_argument("--soak", type=int, default=0, help="warm trials in a row afterwards")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm = LocalExecutor(folder / "warm", warm_package="benchmarks")
        try:
            timed(partial(run_by, warm, SHORT_TRIAL), folder / "first")
            wait_for_template(folder / "warm")
            found = compare(folder, warm, options.trials)
            left = soak(folder, warm, options.soak) if options.soak else {}
        finally:
            warm.close()
    result = summary(found)
    if options.json:
        print(json.dumps(result | ({"soak": left} if left else {}), indent=2))
        return
    print(table(found))
    print(f"warm over torchrun: {result['warm_over_torchrun']:.3f}")
    for what, (before, after) in left.items():
        print(f"{what}: {before} before {options.soak} warm trials, {after} after")


if __name__ == "__main__":
    rank_main(sys.argv[2:]) if sys.argv[1:2] == ["rank"] else main()
