"""How a script is launched and what it prints, by what it imports and uses."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tuner.cli.scripts.option import literal
from tuner.cli.scripts.progress import pattern_of

_FORMATS = {
    "tuner.report": "report",
    "pytorch_lightning": "lightning",
    "lightning": "lightning",
    "deepspeed": "deepspeed",
    "megatron": "megatron",
    "torchtitan": "torchtitan",
    "tzrec": "torcheasyrec",
    "hugectr": "hugectr",
    "mlperf_logging": "mlperf",
    "dllogger": "dllogger",
}
"""Module -> the log format of what uses it."""

_OF_RANKS = frozenset(
    {
        *("init_process_group", "init_device_mesh", "DistributedDataParallel", "DDP"),
        *("fully_shard", "FullyShardedDataParallel", "FSDP", "DistributedModelParallel"),
        *("LOCAL_RANK", "WORLD_SIZE"),
    }
)
_OF_TENSORFLOW = frozenset({"MultiWorkerMirroredStrategy", "ParameterServerStrategy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """How a script is started and read."""

    launch: str
    """`once`, `per_rank` as torchrun does, `tensorflow` (per rank, by TF_CONFIG), `horovod`."""
    log_format: str
    pattern: str = ""
    """A regular expression for its line of progress, where it prints one itself."""
    uses: str = ""
    """By what this was told, in words; empty where nothing told."""


def signs_of(tree: ast.Module) -> Signs:
    modules, names = set(_modules(tree)), set(_names(tree))
    launch, why = _launch(modules, names)
    log_format = _log_format(modules, names)
    pattern = pattern_of(tree) if log_format in ("auto", "tqdm") else ""
    if pattern:
        log_format = "report"
    return Signs(launch=launch, log_format=log_format, pattern=pattern, uses=why)


def _modules(tree: ast.Module) -> Iterator[str]:
    """Everything that is imported, and what it is part of."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in found:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(text := literal(node), str):
            yield text


def _launch(modules: set[str], names: set[str]) -> tuple[str, str]:
    of_ranks = sorted(_OF_RANKS & names)
    if "horovod" in modules:
        return "horovod", "Horovod"
    if "tensorflow" in modules and names & _OF_TENSORFLOW:
        return "tensorflow", "a TensorFlow strategy of several workers"
    if modules & {"pytorch_lightning", "lightning"}:
        return "once", "Lightning, which starts its ranks itself"
    if "spawn" in names and "torch.multiprocessing" in modules:
        return "once", "torch.multiprocessing, which starts the ranks itself"
    if modules & {"accelerate", "deepspeed"}:
        return "per_rank", sorted(modules & {"accelerate", "deepspeed"})[0]
    if of_ranks:
        return "per_rank", of_ranks[0]
    return "once", ""


def _log_format(modules: set[str], names: set[str]) -> str:
    named = [name for module, name in _FORMATS.items() if module in modules]
    if named:
        return named[0]
    if "transformers" in modules and "Trainer" in names:
        return "hf_trainer"
    return "tqdm" if "tqdm" in modules else "auto"
