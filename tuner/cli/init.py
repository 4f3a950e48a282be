"""A commented job file to start from, with the options of a script as proposed parameters."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from tuner.cli.script import Option, read_options
from tuner.expression import Value

# Words in the name of an option that tell what it is.
_FIXED_WORDS = {
    *("seed", "epoch", "epochs", "step", "steps", "iter", "iters", "iterations", "warmup"),
    *("interval", "every", "freq", "frequency", "log", "print", "save", "eval", "checkpoint"),
    *("port", "rank", "patience", "classes", "version"),
}
_LEARNING_WORDS = {
    *("batch", "batchsize", "bs", "lr", "learning", "optimizer", "optim"),
    *("precision", "dtype", "amp", "accumulation", "accum"),
}
_FROM_ZERO_WORDS = {"worker", "workers", "prefetch"}
_COUNT_WORDS = {*_FROM_ZERO_WORDS, "thread", "threads", "proc", "procs", "processes"}

_TEXT = Template("""\
# A job file of Trimtab. Check it, then tune:
#   trimtab job create -f FILE --dry-run
#   trimtab run -f FILE
# Every field with its meaning: trimtab job schema
name: $name

workload:
  # A list of words, read by no shell. $${name} is a parameter of the space, $${python} this Python.
  command:
$command
  env:
    OMP_NUM_THREADS: $${${threads}}
  # `once` starts one process (which may be a launcher itself); `per_rank` starts a process per
  # rank with RANK, WORLD_SIZE and MASTER_ADDR set, as torchrun does.
  launch: once
  log:
    # Where the throughput comes from. `report`: the script calls `tuner.report.step(samples=n)`
    # after every step; `auto`: a log format that Trimtab knows; or a pattern of your own.
    format: $log_format
    # patterns: ['step (?P<step>\\d+) .* (?P<samples_per_s>[\\d.]+) samples/s']
    # samples_per_step: batch_size      # for logs that count steps only

space:
  params:
$params
  # constraints:
  #   - ${threads} <= 2

objectives:
  - {metric: samples_per_s, direction: maximize}

# limits:
#   - {metric: peak_memory_gib, max: 8}

# quality: {metric: auc, direction: maximize, max_loss: 0.005}   # at equal samples

budget:
  trials: 20        # different configurations, the default one included
  minutes: 30

# prices:           # without them costs are unknown
#   as_of: "2026-01-31"
#   per_core_hour: {on_demand: 0.04}
#   per_gpu_hour: {any: {on_demand: 2.50}}

apply:
  mode: recommend   # `trimtab apply` puts the plan on the target; next_start does it by itself
  target: {path: plan.json}
""")


def job_file(script: Path | None, folder: Path) -> str:
    """The text of a job file in `folder`. Raises UserError where the script cannot be read."""
    options = read_options(script) if script is not None else _EXAMPLE_OPTIONS
    proposed = [option for option in options if _is_proposed(option)]
    threads = next((o.name for o in proposed if "thread" in o.name), "threads")
    params = [line for option in proposed for line in _parameter(option)]
    if threads not in [option.name for option in proposed]:
        params += ["threads:   # of each process", *_choice([1, 2], 1)]
    params += [line for option in options for line in _left_out(option)]
    word = os.path.relpath(script, folder) if script is not None else "train.py"
    return _TEXT.substitute(
        name=_job_name(script),
        command=_indented(_command(word, options, proposed), 4),
        threads=threads,
        log_format="report" if script is None or _reports(script) else "auto",
        params=_indented(params, 4),
    )


_EXAMPLE_OPTIONS = [
    Option(flag="--batch-size", kind="int", default=256, help="samples of a step"),
    Option(flag="--num-workers", kind="int", default=0, help="processes that load data"),
]


def _job_name(script: Path | None) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", script.stem if script is not None else "my-job")
    return stem.strip("._-")[:64] or "my-job"


def _reports(script: Path) -> bool:
    pattern = r"^\s*(from tuner import .*report|import tuner\.report)"
    return bool(re.search(pattern, script.read_text(encoding="utf-8"), re.MULTILINE))


def _words(option: Option) -> set[str]:
    return set(option.name.lower().split("_"))


def _is_proposed(option: Option) -> bool:
    if _words(option) & _FIXED_WORDS or not option.name.isidentifier():
        return False
    return len(set(option.choices)) > 1 or option.kind == "int"


def _command(script: str, options: Sequence[Option], proposed: Sequence[Option]) -> list[str]:
    lines = ["- ${python}", f"- {json.dumps(script)}"]
    lines += [f"- {option.flag}=${{{option.name}}}" for option in proposed]
    needed = [option for option in options if option.is_required and option not in proposed]
    return lines + [f"- {option.flag}=EDIT_ME   # {_help(option)}" for option in needed]


def _parameter(option: Option) -> Iterator[str]:
    """The lines of a proposed parameter."""
    yield f"{option.name}:   # {_help(option)}"
    if option.choices:
        yield from _choice(list(dict.fromkeys(option.choices)), option.default)
    else:
        values = _scale(option)
        default = option.default if option.default in values else values[0]
        yield from _choice(values, default)
    if _words(option) & _LEARNING_WORDS:
        yield "  changes_learning: true   # a plan that changes it says so"


def _choice(values: Sequence[Value], default: Value | None) -> list[str]:
    chosen = default if default in values else values[0]
    return [f"  options: {json.dumps(list(values))}", f"  default: {json.dumps(chosen)}"]


def _scale(option: Option) -> list[Value]:
    """Whole numbers around the default: a few where it counts processes or is small, by factors of
    2 elsewhere."""
    default = option.default if isinstance(option.default, int) else 1
    if _words(option) & _COUNT_WORDS:
        lowest = 0 if _words(option) & _FROM_ZERO_WORDS else 1
        return [*sorted({lowest, 1, 2, default, max(1, default) * 2})]
    if -4 < default < 4:
        return [*range(default, default + 4)]
    return [*sorted({default // 4, default // 2, default, default * 2, default * 4})]


def _left_out(option: Option) -> Iterator[str]:
    """A real number is offered as a comment: tuning it for speed rarely makes sense."""
    if option.kind != "float" or option.choices:
        return
    default = option.default if isinstance(option.default, int | float) else 0.0
    if default > 0:
        bounds = f"low: {default / 10:g}, high: {default * 10:g}, log: true, default: {default:g}"
        yield f"# {option.name}: {{kind: float, {bounds}, changes_learning: true}}"


def _help(option: Option) -> str:
    words = " ".join(option.help.split())
    return f"{option.flag}: {words}" if words else option.flag


def _indented(lines: Sequence[str], width: int) -> str:
    return "\n".join(" " * width + line for line in lines)
