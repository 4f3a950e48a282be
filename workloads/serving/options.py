"""The options of replicas and fleets: one list, read from command lines and from plans."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn

from tuner.report import PLAN_VARIABLE
from workloads.serving.policy import POLICIES

PRECISIONS = ("fp32", "int8", "bf16")
TABLE_PRECISIONS = ("fp32", "fp16")
GRAPHS = ("eager", "compile", "export")


class UsageError(ValueError):
    """Options that cannot be; says so as argparse does."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError in place of ending the process: options come over HTTP as well."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: error: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaOptions:
    """What one replica is told."""

    threads_per_replica: int
    max_batch: int
    max_wait_ms: float
    precision: str
    table_precision: str
    graph: str
    cache_users: int
    users: int
    items: int
    tables: int
    table_rows: int
    dim: int
    history: int
    seed: int
    weights: str | None
    plan_hash: str | None

    def words(self) -> list[str]:
        """The command line that says the same."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return words_of({name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What a fleet is told."""

    replicas: int
    routing: str
    replica: ReplicaOptions


def words_of(options: Mapping[str, object]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def count(low: int) -> Callable[[str], int]:
    """The type of an option: a whole number from `low` upwards."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} upwards")
        return int(text)

    return read


def number(low: float, *, above: bool = False) -> Callable[[str], float]:
    """The type of an option: a number from `low` upwards, or above it."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not (value > low or (value == low and not above)) or value == float("inf"):
            bound = "above" if above else "of at least"
            raise argparse.ArgumentTypeError(f"{text!r} is no number {bound} {low:g}")
        return value

    return read


def add_replica_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--threads-per-replica", type=count(1), default=1)
    add("--max-batch", type=count(1), default=1, help="requests computed together at most")
    add("--max-wait-ms", type=number(0), default=0.0, help="how long a request waits for others")
    add("--precision", choices=PRECISIONS, default="fp32", help="of the dense layers")
    add("--table-precision", choices=TABLE_PRECISIONS, default="fp32", help="of embedding tables")
    add("--graph", choices=GRAPHS, default="eager", help="how the dense layers are run")
    add("--cache-users", type=count(0), default=0, help="user embeddings that a replica keeps")
    add("--users", type=count(1), default=20_000)
    add("--items", type=count(1), default=20_000)
    add("--tables", type=count(1), default=8, help="embedding tables of items' features")
    add("--table-rows", type=count(1), default=50_000)
    add("--dim", type=count(1), default=32, help="of every embedding")
    add("--history", type=count(1), default=200, help="items of a user that are looked at")
    add("--seed", type=count(0), default=0, help="of weights that are not read from a file")
    add("--weights", help="a state dict saved by torch.save; random weights where not given")
    add("--plan-hash", default=os.environ.get(PLAN_VARIABLE), help="what it reports to run")


def add_fleet_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replicas", type=count(1), default=1)
    parser.add_argument("--routing", choices=[*POLICIES], default="round_robin")
    add_replica_options(parser)


def replica_options(found: argparse.Namespace) -> ReplicaOptions:
    """Raises UsageError where they do not go together."""
    options = ReplicaOptions(**{f.name: getattr(found, f.name) for f in fields(ReplicaOptions)})
    if options.precision == "int8" and options.graph != "eager":
        told = f"precision int8 runs with graph eager, not {options.graph}"
        raise UsageError(f"serving: error: {told}")
    return options


def fleet_options(found: argparse.Namespace) -> FleetOptions:
    return FleetOptions(
        replicas=found.replicas, routing=found.routing, replica=replica_options(found)
    )


def changed(before: FleetOptions, plan: Mapping[str, object], plan_hash: str) -> FleetOptions:
    """A fleet's options with those of a plan in place of its own. Raises UsageError."""
    parser = Parser(prog="plan", allow_abbrev=False)
    add_fleet_options(parser)
    words = [*_words(before), *words_of(plan), f"--plan-hash={plan_hash}"]
    return fleet_options(parser.parse_args(words))


def _words(options: FleetOptions) -> Sequence[str]:
    fleet = words_of({"replicas": options.replicas, "routing": options.routing})
    return [*fleet, *options.replica.words()]
