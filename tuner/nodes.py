"""Types of nodes as a parameter: which types a configuration takes, and what each stands for.

A parameter `node_type` names types of the price book. Its value is one type for all nodes, or
several joined by `+`, one for each node: `fast+slow`. On this computer a type is a share of a
core's time and a speed of links, told to the executor in the environment, where ranks read it too.
"""

from collections.abc import Iterator, Mapping, Sequence

from tuner.prices import NodeType
from tuner.space import Choice, Params
from tuner.spec import JobSpec

PARAMETER = "node_type"
TYPES_VARIABLE = "TRIMTAB_NODE_TYPES"
"""The type of each node in their order, by commas."""
SHARES_VARIABLE = "TRIMTAB_CPU_SHARES"
"""The share of the time of its cores that each node gets, by commas."""
LINK_VARIABLE = "TRIMTAB_LINK_MBIT_PER_S"
"""The speed of the slowest of the nodes' links."""

Fault = tuple[tuple[str | int, ...], str, str]


def is_typed(spec: JobSpec) -> bool:
    """Whether the type of node is a parameter of a job, and so its price one of the placement."""
    return PARAMETER in spec.space.params


def types_of(spec: JobSpec, params: Params) -> tuple[str, ...]:
    """The type of each node of a configuration; empty where that is no parameter.

    Raises ValueError where there are not as many types as nodes."""
    value = params.get(PARAMETER)
    if value is None:
        return ()
    names = tuple(str(value).split("+"))
    nnodes = params.get("nnodes", len(names))
    if len(names) == 1 and isinstance(nnodes, int):
        return names * nnodes
    if len(names) != nnodes:
        raise ValueError(
            f"{PARAMETER} {value!r} is {len(names)} nodes, not {nnodes}; name one type, keep them "
            "alike by a constraint, or leave nnodes out of the space"
        )
    return names


def environ(spec: JobSpec, types: Sequence[str]) -> dict[str, str]:
    """What an executor has to keep to so that this computer stands for such nodes."""
    if not types:
        return {}
    kinds = [_book(spec)[name] for name in types]
    told = {TYPES_VARIABLE: ",".join(types)}
    if any(kind.cpu_share < 1 for kind in kinds):
        told[SHARES_VARIABLE] = ",".join(f"{kind.cpu_share:g}" for kind in kinds)
    links = [kind.link_mbit_per_s for kind in kinds if kind.link_mbit_per_s is not None]
    if links and len(kinds) > 1:
        told |= {LINK_VARIABLE: f"{min(links):g}", "GLOO_SOCKET_IFNAME": "lo"}
    return told


def told_types(env: Mapping[str, str]) -> tuple[str, ...]:
    """The types of nodes that the environment of a command names."""
    text = env.get(TYPES_VARIABLE, "")
    return tuple(text.split(",")) if text else ()


def cores_of(spec: JobSpec, types: Sequence[str]) -> list[int]:
    """The cores of each node: of its type, else as the job says, else one."""
    return [_book(spec)[name].cores or spec.resources.cores_per_node or 1 for name in types]


def _book(spec: JobSpec) -> Mapping[str, NodeType]:
    return spec.prices.node_types if spec.prices is not None else {}


def faults(spec: JobSpec) -> Iterator[Fault]:
    """What is wrong with a parameter `node_type`."""
    parameter = spec.space.params.get(PARAMETER)
    if parameter is None:
        return
    place = ("space", "params", PARAMETER)
    if spec.resources.node_type is not None:
        yield place, "`resources.node_type` says it already", "keep one of the two"
    if not isinstance(parameter, Choice) or parameter.when is not None:
        yield place, "is a choice without `when`", f"write `{PARAMETER}: {{options: [...]}}`"
        return
    known = _book(spec)
    for index, option in enumerate(parameter.options):
        for name in str(option).split("+"):
            if name not in known:
                remedy = f"use {', '.join(known) or 'types that you add to prices.node_types'}"
                yield (*place, "options", index), f"`{name}` is not in the price book", remedy
    nnodes = spec.space.default().get("nnodes")
    several = str(spec.space.default()[PARAMETER]).count("+") + 1
    if nnodes is not None and several not in (1, nnodes):
        yield place, f"its default is {several} nodes, not {nnodes}", "choose defaults that agree"
