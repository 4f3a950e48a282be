"""From a configuration to the exact command that runs it, and to the cores and GPUs it gets."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from string import Template

from tuner import nodes
from tuner.expression import Value
from tuner.gang import RANK_NAMES
from tuner.model import LaunchCommand, Placement
from tuner.space import Params
from tuner.spec import JobSpec, Resources, Workload

_OF_GANG = frozenset({"nnodes", "nproc_per_node", nodes.PARAMETER})
"""Parameters that say where and how often a command runs; it is not told them."""


def launch_command(spec: JobSpec, params: Params) -> LaunchCommand:
    """The command of a configuration. Raises ValueError where it counts no whole nodes or ranks."""
    workload = spec.workload
    types = nodes.types_of(spec, params)
    nnodes = _count("nnodes", params.get("nnodes", len(types) or 1))
    nproc = _count("nproc_per_node", params.get("nproc_per_node", workload.nproc_per_node))
    names = {name: _text(value) for name, value in params.items()}
    names |= {"nnodes": str(nnodes), "nproc_per_node": str(nproc), "python": sys.executable}
    of_ranks = {name: f"${{{name}}}" for name in names_of_ranks(spec)}
    return LaunchCommand(
        argv=tuple(_argv(workload, params, names)),
        env=_hidden_gpus(spec.resources)
        | nodes.environ(spec, types)
        | dict(_env(workload, of_ranks | names)),
        working_dir=workload.working_dir or str(Path.cwd()),
        nnodes=nnodes,
        nproc_per_node=nproc,
        per_rank=_is_per_rank(workload),
    )


def names_of_ranks(spec: JobSpec) -> tuple[str, ...]:
    """What variables of the job may name and each rank has its own of; a parameter goes first."""
    names = RANK_NAMES if _is_per_rank(spec.workload) else ()
    return tuple(name for name in names if name not in spec.space.params)


def _is_per_rank(workload: Workload) -> bool:
    default = "per_rank" if workload.command is None else "once"
    return (workload.launch or default) == "per_rank"


def place(
    spec: JobSpec,
    command: LaunchCommand,
    free_cores: Collection[int],
    all_cores: Collection[int],
    free_gpus: Collection[int],
    all_gpus: Collection[int],
) -> Placement | None:
    """The cores and GPUs of each node; None where too few are free now.

    Raises ValueError where the computer can never hold the gang.
    """
    types = nodes.told_types(command.env) if nodes.is_typed(spec) else ()
    if types:
        cores = _cores_of_types(nodes.cores_of(spec, types), free_cores, all_cores)
    else:
        cores = _cores(spec.resources, command.nnodes, free_cores, all_cores)
    gpus = _gpus(spec.resources, command, free_gpus, all_gpus)
    if cores is None or gpus is None:
        return None
    return Placement(cores=cores, gpus=gpus, node_types=types)


def held(names: Mapping[int, str], placement: Placement) -> dict[int, str]:
    """The names of the GPUs of a placement, of those of the computer."""
    gpus = sorted({gpu for node in placement.gpus for gpu in node})
    return {gpu: names[gpu] for gpu in gpus if gpu in names}


def _argv(workload: Workload, params: Params, names: Mapping[str, str]) -> Iterator[str]:
    if workload.command is not None:
        yield from (t for word in workload.command if (t := _filled(word, names)) is not None)
        return
    yield from (sys.executable, "-m", f"workloads.{workload.name}")
    options = {name: value for name, value in params.items() if name not in _OF_GANG}
    for name, value in {**options, **workload.args}.items():
        yield f"--{name.replace('_', '-')}={_text(value)}"


def _env(workload: Workload, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in workload.env.items():
        filled = _filled(text, names)
        if filled is not None:
            yield name, filled


def _hidden_gpus(resources: Resources) -> dict[str, str]:
    """Without this a job that shall train on the CPU would find the computer's GPUs."""
    return {"CUDA_VISIBLE_DEVICES": ""} if resources.gpus_per_node == 0 else {}


def _filled(text: str, names: Mapping[str, str]) -> str | None:
    """A text with its parameters; None where one of them does not apply to this configuration."""
    template = Template(text)
    if not set(template.get_identifiers()) <= set(names):
        return None
    return template.substitute(names)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count(name: str, value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 upwards, not {value!r}")
    return value


def _cores(
    resources: Resources, nnodes: int, free: Collection[int], everything: Collection[int]
) -> tuple[tuple[int, ...], ...] | None:
    total = len(everything)
    wanted = resources.cores_per_node
    if wanted is not None and wanted * nnodes > total:
        raise ValueError(
            f"{nnodes} nodes of {wanted} cores need {wanted * nnodes} cores, this computer gives "
            f"{total}; lower resources.cores_per_node or keep nnodes at most {total // wanted}"
        )
    if nnodes > total:
        # Only without a wish for cores: nodes share them in turn.
        order = sorted(everything)
        shared = tuple((order[node % total],) for node in range(nnodes))
        return shared if set(order) <= set(free) else None
    return _dealt(sorted(free), nnodes, wanted or total // nnodes)


def _cores_of_types(
    wanted: Sequence[int], free: Collection[int], everything: Collection[int]
) -> tuple[tuple[int, ...], ...] | None:
    if sum(wanted) > len(everything):
        raise ValueError(
            f"nodes of {' + '.join(map(str, wanted))} cores need {sum(wanted)}, this computer "
            f"gives {len(everything)}; take the type out of the space, or lower its `cores`"
        )
    if sum(wanted) > len(free):
        return None
    left = iter(sorted(free))
    return tuple(tuple(islice(left, count)) for count in wanted)


def _gpus(
    resources: Resources, command: LaunchCommand, free: Collection[int], everything: Collection[int]
) -> tuple[tuple[int, ...], ...] | None:
    wanted = resources.gpus_per_node
    if wanted is None:
        wanted = command.nproc_per_node if everything else 0
    needed, total = wanted * command.nnodes, len(everything)
    if needed > total:
        raise ValueError(
            f"{command.nnodes} nodes of {wanted} GPUs need {needed} GPUs, this computer has "
            f"{total}; set resources.gpus_per_node (0 trains on the CPU), or keep nnodes * "
            f"nproc_per_node at most {total} by a constraint"
        )
    return _dealt(sorted(free), command.nnodes, wanted)


def _dealt(free: list[int], nodes: int, each: int) -> tuple[tuple[int, ...], ...] | None:
    """The first `each` numbers to the first node, and so on; None where there are too few."""
    if nodes * each > len(free):
        return None
    return tuple(tuple(free[node * each : (node + 1) * each]) for node in range(nodes))
