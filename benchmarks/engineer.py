"""What an engineer would write in an afternoon: Optuna's TPE, torchrun, and a fixed window.

Every configuration is started by torchrun and watched for so many seconds from its first line of
progress on; the best and the default are then run again in turn.
"""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import optuna

from tuner.expression import Value
from tuner.space import Choice, Params, Space
from tuner.spec import JobSpec

WINDOW_S = 30.0
TRIALS = 12
CONFIRMING_RUNS = 2
"""More runs of the best and of the default, so that there are three of each."""
START_LIMIT_S = 90.0
END_LIMIT_S = 15.0
CODE_ROOT = Path(__file__).resolve().parents[1]

_PROGRESS = re.compile(r"^([\d,]+) samples, loss ")
_OF_GANG = ("nnodes", "nproc_per_node")

Run = Callable[[Params], float]
"""Samples per second of a configuration; 0 where it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What somebody who tunes has in hand at a time, counted from the start."""

    at_s: float
    core_s: float
    """Cores held by trials until then, times seconds."""
    best: dict[str, Value]


@dataclass(slots=True, kw_only=True)
class Search:
    """What the engineer saw."""

    moments: list[Moment] = field(default_factory=list)
    confirmed_s: float = 0.0
    confirmed_core_s: float = 0.0
    rates: dict[str, list[float]] = field(default_factory=dict)
    """`best` and `default` -> samples per second of each run that confirms."""


def tune(
    space: Space,
    run: Run,
    good: Callable[[Params], bool],
    *,
    num_cores: int,
    seed: int,
    trials: int,
) -> Search:
    """Searches until the best is good, which somebody who knows says, and confirms that."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(space.default())
    started_s, held_s, found = time.monotonic(), 0.0, Search()

    def timed(params: Params) -> float:
        nonlocal held_s
        began_s = time.monotonic()
        rate = run(params)
        held_s += time.monotonic() - began_s
        return rate

    for _ in range(trials):
        trial = study.ask()
        study.tell(trial, timed(suggested(trial, space)))
        best = dict(study.best_params)
        at_s = time.monotonic() - started_s
        found.moments.append(Moment(at_s=at_s, core_s=num_cores * held_s, best=best))
        if good(best):
            break
    for _ in range(CONFIRMING_RUNS):
        for name, params in (("best", found.moments[-1].best), ("default", space.default())):
            found.rates.setdefault(name, []).append(timed(params))
    found.confirmed_s = time.monotonic() - started_s
    found.confirmed_core_s = num_cores * held_s
    return found


def suggested(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """The conditions of the space as one would write them by `if`."""
    chosen: dict[str, Value] = {}
    for name, parameter in space.params.items():
        if name not in space.active({**chosen, name: space_value(parameter)}):
            continue
        if isinstance(parameter, Choice):
            option = trial.suggest_categorical(name, list(parameter.options))
            assert option is not None
            chosen[name] = option
        else:
            chosen[name] = trial.suggest_int(name, int(parameter.low), int(parameter.high))
    return chosen


def space_value(parameter: object) -> Value:
    """Any of its values."""
    return parameter.options[0] if isinstance(parameter, Choice) else 1


def words_of(spec: JobSpec, params: Params) -> list[str]:
    """The command: a node of Trimtab is a rank here."""
    ranks = int(params.get("nnodes", 1)) * int(params.get("nproc_per_node", 1))
    options = {**{n: v for n, v in params.items() if n not in _OF_GANG}, **spec.workload.args}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    job = ["-m", f"workloads.{spec.workload.name}"]
    return [
        *(sys.executable, *launcher, *job),
        *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
    ]


def run_once(words: list[str], environ: Mapping[str, str], window_s: float) -> float:
    """Samples per second from the first line of progress on; 0 where it failed."""
    with started(words, environ) as output:
        return rate_of(dated(output), window_s)


@contextmanager
def started(words: list[str], environ: Mapping[str, str]) -> Iterator[IO[str]]:
    """Its output; it is ended at the end, and by force where it hangs."""
    process = subprocess.Popen(
        words,
        cwd=CODE_ROOT,
        env=dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    guard = threading.Timer(START_LIMIT_S + 2 * WINDOW_S, process.kill)
    guard.start()
    try:
        yield process.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=END_LIMIT_S)
        guard.cancel()
        process.kill()
        process.wait()


def dated(output: IO[str]) -> Iterator[tuple[float, str]]:
    for line in output:
        yield time.monotonic(), line


def rate_of(lines: Iterator[tuple[float, str]], window_s: float) -> float:
    """Samples per second over the window that the first line of progress begins."""
    first: tuple[float, int] | None = None
    for at_s, line in lines:
        told = _PROGRESS.match(line)
        if told is None:
            continue
        samples = int(told[1].replace(",", ""))
        if first is None:
            first = at_s, samples
        elif at_s - first[0] >= window_s:
            return (samples - first[1]) / (at_s - first[0])
    return 0.0
