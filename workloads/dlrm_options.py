"""The command line of the DLRM, and what of it cannot run."""

import argparse
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from workloads import clicks, common, sharding, table_plan, table_rows

LR_BATCH = 1024
"""The global batch that the learning rate is given for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    global_batch_size: int
    data: str
    table_rows_scale: float
    max_table_rows: int
    zipf_exponent: float
    embedding_dim: int
    shard_strategy: str
    small_table_rows: int
    large_table_rows: int
    large_table_strategy: str
    table_plan: str | None
    embedding_optimizer: str
    dense_sync: str
    precision: str
    compile: str
    threads_per_rank: int | None
    pinning: str
    loader_workers: int
    prefetch: int | None
    pipeline: str
    lr: float
    seed: int
    eval_at_samples: int | None
    max_samples: int | None

    def learning_rate(self) -> float:
        """Grows with the square root of the global batch, so that large batches still learn."""
        return self.lr * math.sqrt(self.global_batch_size / LR_BATCH)

    def plan(self) -> list[str]:
        """How each table is spread. Raises ValueError where a written plan does not fit."""
        rows = clicks.table_rows(self)
        if self.shard_strategy != "mixed":
            return [self.shard_strategy] * len(rows)
        if self.table_plan is not None:
            return table_plan.written_out(self.table_plan, len(rows), [*sharding.STRATEGIES])
        rule = table_plan.SizeRule(
            small_rows=self.small_table_rows,
            large_rows=self.large_table_rows,
            large_strategy=self.large_table_strategy,
        )
        return rule.plan(rows)


def parse(words: list[str], world: common.World) -> Options:
    """Reads the command line; ends with exit code 2 where these ranks cannot run it."""
    parser = argparse.ArgumentParser(prog="dlrm", allow_abbrev=False)
    add, count = parser.add_argument, common.whole_number
    add("--global-batch-size", type=count(1), default=1024, help="samples per step of all ranks")
    clicks.add_options(parser)
    add("--embedding-dim", type=count(1), default=16)
    add_sharding_options(parser)
    add("--embedding-optimizer", choices=table_rows.OPTIMIZERS, default="auto")
    add("--dense-sync", choices=["flat", "ddp"], default="flat",
        help="gradients of the MLPs: one message after backward, or DDP during it")  # fmt: skip
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 is by autocast")
    add("--compile", choices=["none", "mlps"], default="none", help="by torch.compile")
    add("--threads-per-rank", type=count(1), help="default: the cores divided by the local ranks")
    add("--pinning", choices=["rank", "none"], default="rank", help="rank: to cores of its own")
    add("--pipeline", choices=["none", "ids"], default="none",
        help="ids: those of the next batch travel while this one is computed")  # fmt: skip
    add("--lr", type=float, default=0.005, help=f"for a global batch of {LR_BATCH}")
    add("--seed", type=count(0), default=0)
    add("--eval-at-samples", type=count(1), help="evaluates once, after so many samples")
    add("--max-samples", type=count(1), help="ends after so many; default: runs until stopped")
    options = Options(**vars(parser.parse_args(words)))
    problem = impossible(options, world)
    if problem:
        parser.error(problem)
    return options


def add_sharding_options(parser: argparse.ArgumentParser) -> None:
    add, count = parser.add_argument, common.whole_number
    add("--shard-strategy", choices=[*sharding.STRATEGIES, "mixed"], default="data_parallel")
    add("--small-table-rows", type=count(0), default=10_000,
        help="mixed: tables of fewer rows are data_parallel, others table_wise")  # fmt: skip
    add("--large-table-rows", type=count(1), default=1_000_000,
        help="mixed: tables of as many rows go the way of --large-table-strategy")  # fmt: skip
    add("--large-table-strategy", choices=["row_wise", "column_wise"], default="row_wise")
    add("--table-plan", help="mixed: in place of sizes, e.g. data_parallel*10,row_wise*8")


def impossible(options: Options, world: common.World) -> str | None:
    """Why so many ranks cannot run this, or None."""
    batch, world_size = options.global_batch_size, world.world_size
    if batch % world_size:
        return f"global batch size {batch} cannot be divided among {world_size} ranks"
    if options.loader_workers and options.prefetch == 0:
        return "prefetch 0: loader workers make at least 1 batch ahead"
    if options.compile != "none" and shutil.which("g++") is None:
        return f"compile {options.compile}: needs a C++ compiler. Remedy: apt-get install g++"
    for mark in (options.eval_at_samples, options.max_samples):
        if mark is not None and mark < world_size:
            return f"{mark} samples are none for some of {world_size} ranks"
    return _impossible_tables(options, world)


def _impossible_tables(options: Options, world: common.World) -> str | None:
    try:
        plan = options.plan()
    except ValueError as error:
        return str(error)
    dim = options.embedding_dim
    if "column_wise" in plan and dim % world.world_size:
        return f"column_wise: embedding dim {dim} cannot be divided among {world.world_size} ranks"
    rows = clicks.table_rows(options)
    held = table_plan.held_bytes(plan, rows, dim, world.world_size) * world.local_world_size
    free = _free_bytes()
    if held > free:
        return (
            f"the tables of {sum(rows):,} rows take {held / 2**30:.1f} GiB here, "
            f"{free / 2**30:.1f} GiB are free. Remedy: a lower --table-rows-scale, "
            "--max-table-rows or --embedding-dim, or a strategy that does not copy them"
        )
    return None


def _free_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    [line] = [line for line in lines if line.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024
