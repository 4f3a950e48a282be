"""A commented job file to start from, with the options of a script as proposed parameters."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from tuner.cli.scripts.option import Option
from tuner.cli.scripts.reading import Script, read_script
from tuner.cli.scripts.signs import Signs
from tuner.expression import Value

# Words in the name of an option that tell what it is.
_FIXED_WORDS = {
    *("seed", "epoch", "epochs", "step", "steps", "iter", "iters", "iterations", "warmup"),
    *("interval", "every", "freq", "frequency", "log", "print", "save", "checkpoint"),
    *("eval", "test", "val", "valid", "validation", "predict", "batches"),
    *("port", "rank", "patience", "classes", "version"),
}
_ACCUMULATION_WORDS = {"accumulation", "accumulate", "accum"}
_BATCH_WORDS = {"batch", "batchsize", "bs", "mbs", "gbs", "microbatch"}
_LEARNING_WORDS = {
    *_BATCH_WORDS,
    *_ACCUMULATION_WORDS,
    *("precision", "dtype", "amp", "bf16", "fp16", "compression", "quantization"),
}
_FROM_ZERO_WORDS = {"worker", "workers", "prefetch"}
_GANG_WORDS = {"proc", "procs", "nproc", "processes", "devices", "gpus"}
_COUNT_WORDS = {*_FROM_ZERO_WORDS, *_GANG_WORDS, "thread", "threads"}
_SPEED_WORDS = {
    *("shard", "sharding", "strategy", "parallelism", "compile", "compiled", "fused", "overlap"),
    *("bucket", "pin", "pinned", "tf32", "activation", "recompute", "placement"),
}
_TUNABLE_WORDS = _LEARNING_WORDS | _COUNT_WORDS | _SPEED_WORDS
_CONFIG = '{"cluster": {"worker": ${workers}}, "task": {"type": "worker", "index": ${rank}}}'

_TEXT = Template("""\
# A job file of Trimtab. Check it, try it, then tune:
#   trimtab job create -f FILE --dry-run   what it means
#   trimtab job check -f FILE              a launch of some steps: are its figures read?
#   trimtab run -f FILE
# Every field with its meaning: trimtab job schema
name: $name

workload:
  # A list of words, read by no shell. $${name} is a parameter of the space, $${python} this Python.
  command:
$command
  env:
$env
  # `once` starts one process (which may be a launcher itself); `per_rank` starts a process per
  # rank with RANK, WORLD_SIZE and MASTER_ADDR set, as torchrun does.
  launch: $launch
  log:
$log

space:
  params:
$params
  # constraints:
  #   - nnodes * threads <= 8

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

_EXAMPLE = Script(
    options=(
        Option(flag="--batch-size", kind="int", default=256, help="samples of a step"),
        Option(flag="--num-workers", kind="int", default=0, help="processes that load data"),
    ),
    signs=Signs(launch="once", log_format="report"),
)


def job_file(path: Path | None, folder: Path) -> str:
    """The text of a job file in `folder`. Raises UserError where the script cannot be read."""
    script = read_script(path) if path is not None else _EXAMPLE
    word = os.path.relpath(path, folder) if path is not None else "train.py"
    proposed = [option for option in script.options if _is_proposed(option)]
    threads = next((o.name for o in proposed if _words(o) & {"thread", "threads"}), "threads")
    params = [line for option in proposed for line in _parameter(option)]
    if threads not in [option.name for option in proposed]:
        params += ["threads:   # of each process", *_choice([1, 2], 1)]
    if _has_ranks(script.signs) and "nproc_per_node" not in [o.name for o in proposed]:
        params += ["nproc_per_node:   # ranks; more where there are cores or GPUs"]
        params += _choice([1, 2], 1)
    params += [line for option in script.options for line in _left_out(option)]
    return _TEXT.substitute(
        name=_job_name(path),
        command=_indented(_command(word, script, proposed), 4),
        env=_indented(_env(script.signs, threads), 4),
        launch="per_rank" if script.signs.launch in ("per_rank", "tensorflow") else "once",
        log=_indented(_log(script.signs, proposed), 4),
        params=_indented(params, 4),
    )


def _job_name(path: Path | None) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem if path is not None else "my-job")
    return stem.strip("._-")[:64] or "my-job"


def _has_ranks(signs: Signs) -> bool:
    return signs.launch != "once"


def _words(option: Option) -> set[str]:
    return set(option.name.lower().split("_"))


def _is_proposed(option: Option) -> bool:
    words = _words(option)
    is_fixed = bool(words & _FIXED_WORDS) and not words & _ACCUMULATION_WORDS
    if is_fixed or not words & _TUNABLE_WORDS or not option.name.isidentifier():
        return False
    if option.kind == "bool":
        return bool(option.off_flag)
    return len(set(option.choices)) > 1 or option.kind == "int"


def _command(path: str, script: Script, proposed: Sequence[Option]) -> list[str]:
    lines = ["- ${python}", f"- {json.dumps(path)}"]
    if script.signs.launch == "horovod":
        lines = ["- horovodrun", "- --gloo", "- --num-proc=${nproc_per_node}", *lines]
    if script.command:
        lines.append(f"- {json.dumps(script.command)}   # which of its commands")
    lines += [f"- {_word(option)}" for option in proposed]
    needed = [option for option in script.options if option.is_required and option not in proposed]
    needed = [o for o in needed if not o.is_positional] + [o for o in needed if o.is_positional]
    return lines + [f"- {_to_fill_in(option)}   # {_help(option)}" for option in needed]


def _word(option: Option) -> str:
    """Of a switch the parameter is the word itself."""
    name = f"${{{option.name}}}"
    return name if option.kind == "bool" else f"{option.flag}={name}"


def _to_fill_in(option: Option) -> str:
    return "EDIT_ME" if option.is_positional else f"{option.flag}=EDIT_ME"


def _env(signs: Signs, threads: str) -> list[str]:
    lines = [f"OMP_NUM_THREADS: ${{{threads}}}"]
    if signs.launch == "tensorflow":
        lines += ["# How its workers find each other, filled in for each rank.", "TF_CONFIG:"]
        lines[-1] += f" '{_CONFIG}'"
    return lines


def _log(signs: Signs, proposed: Sequence[Option]) -> list[str]:
    """How its figures are read, and what one step is."""
    lines = [
        "# Where the throughput comes from. `report`: the script calls",
        "# `tuner.report.step(samples=n)` after every step; `auto`: a log format that Trimtab",
        "# knows; or a pattern of your own.",
        f"format: {signs.log_format}",
    ]
    counts_steps = bool(signs.pattern) or signs.log_format in ("lightning", "tqdm", "hf_trainer")
    counts_steps = counts_steps and "(?P<samples_per_s>" not in signs.pattern
    if signs.pattern:
        quoted = signs.pattern.replace("'", "''")
        lines += ["# By the line of progress that the script prints:", f"patterns: ['{quoted}']"]
    else:
        lines += [r"# patterns: ['step (?P<step>\d+) .* (?P<samples_per_s>[\d.]+) samples/s']"]
    counted = _samples_per_step(signs, proposed)
    if counts_steps and counted:
        return [*lines, f"samples_per_step: {counted}   # its log counts steps: is this one step?"]
    return [*lines, f"# samples_per_step: {counted or 'batch_size'}   # for logs of steps only"]


def _samples_per_step(signs: Signs, proposed: Sequence[Option]) -> str:
    """Samples of all ranks in a step, as far as names tell; empty where no batch is known."""
    batch = next((o.name for o in proposed if _words(o) & _BATCH_WORDS), "")
    if not batch or "global" in batch or "gbs" in batch:
        return batch
    accumulated = next((o.name for o in proposed if _words(o) & _ACCUMULATION_WORDS), "")
    factors = [batch]
    if accumulated and signs.log_format == "hf_trainer":
        factors.append(accumulated)
    if _has_ranks(signs):
        factors.append("nproc_per_node")
    return " * ".join(factors)


def _parameter(option: Option) -> Iterator[str]:
    """The lines of a proposed parameter."""
    yield f"{option.name}:   # {_help(option)}"
    if option.kind == "bool":
        default = option.flag if option.default is True else option.off_flag
        yield from _choice([option.off_flag, option.flag], default)
    elif option.choices:
        yield from _choice(list(dict.fromkeys(option.choices)), option.default)
    else:
        values = _scale(option)
        yield from _choice(values, option.default)
    if _words(option) & _LEARNING_WORDS:
        yield "  changes_learning: true   # a plan that changes it says so"


def _choice(values: Sequence[Value], default: Value | None) -> list[str]:
    chosen = default if default in values else values[0]
    return [f"  options: {json.dumps(list(values))}", f"  default: {json.dumps(chosen)}"]


def _scale(option: Option) -> list[Value]:
    """Whole numbers around the default: a few where it counts processes or is small, by factors of
    2 elsewhere."""
    unknown = 256 if _words(option) & _BATCH_WORDS else 1
    is_whole = isinstance(option.default, int) and not isinstance(option.default, bool)
    default = int(option.default) if is_whole and option.default is not None else unknown
    if _words(option) & _COUNT_WORDS:
        lowest = 0 if _words(option) & _FROM_ZERO_WORDS else 1
        return [*sorted({lowest, 1, 2, default, max(1, default) * 2})]
    if 0 < default < 4:
        return [1, 2, 4] if default != 3 else [1, 2, 3, 4]
    if default <= 0:
        return [*range(default, default + 4)]
    return [*sorted({default // 4, default // 2, default, default * 2, default * 4})]


def _left_out(option: Option) -> Iterator[str]:
    """A real number and a list of values are offered as comments: they rarely matter for speed, or
    change what is learned."""
    if _is_proposed(option) or not option.name.isidentifier():
        return
    if len(set(option.choices)) > 1:
        values = json.dumps(list(dict.fromkeys(option.choices)))
        yield f"# {option.name}: {{options: {values}, changes_learning: true}}"
    default = option.default
    if option.kind == "float" and isinstance(default, int | float) and default > 0:
        bounds = f"low: {default / 10:g}, high: {default * 10:g}, log: true, default: {default:g}"
        yield f"# {option.name}: {{kind: float, {bounds}, changes_learning: true}}"


def _help(option: Option) -> str:
    words = " ".join(option.help.split())
    return f"{option.flag}: {words}" if words else option.flag


def _indented(lines: Sequence[str], width: int) -> str:
    return "\n".join(" " * width + line for line in lines)
