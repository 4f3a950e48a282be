"""DLRM on click data by TorchRec's DistributedModelParallel, its planner driven and measured.

    python -m workloads.torchrec_dlrm --sharding=planner
    torchrun --nproc-per-node=2 -m workloads.torchrec_dlrm --data=synthetic --sharding=row_wise

`planner` is what TorchRec chooses by itself, `planner_any` what it chooses among all ways that
run, and the others leave it one way for each table. It needs the extra: `make torchrec`.
"""

import argparse
import importlib.util
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from tuner import report
from workloads import clicks, common, movielens, table_plan
from workloads.dlrm_model import EMBEDDING_LR_SHARE
from workloads.dlrm_options import LR_BATCH
from workloads.movielens import Batch
from workloads.progress import Progress, evaluate_at, walk
from workloads.table_rows import TableSpec
from workloads.torchrec_calibration import SHARDING_TYPES, read_factors

if TYPE_CHECKING:
    from workloads.torchrec_model import SpreadDlrm

PLANNERS = ("planner", "planner_any")
OPTIMIZERS = ("rowwise_adagrad", "adagrad", "sgd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    global_batch_size: int
    data: str
    table_rows_scale: float
    max_table_rows: int
    zipf_exponent: float
    embedding_dim: int
    sharding: str
    small_table_rows: int
    large_table_rows: int
    large_table_strategy: str
    table_plan: str | None
    calibration: Path | None
    ddr_gb_per_s: float | None
    intra_host_gb_per_s: float | None
    inter_host_gb_per_s: float | None
    optimizer: str
    comm_precision: str
    threads_per_rank: int | None
    pinning: str
    loader_workers: int
    prefetch: int | None
    lr: float
    seed: int
    eval_at_samples: int | None
    max_samples: int | None

    def types(self) -> list[list[str]] | None:
        """Ways from which the planner may choose for each table; None: what it has by itself.

        Raises ValueError where a written plan does not fit."""
        rows = clicks.table_rows(self)
        if self.sharding == "planner":
            return None
        if self.sharding == "planner_any":
            return [[*SHARDING_TYPES]] * len(rows)
        if self.sharding != "mixed":
            return [[self.sharding]] * len(rows)
        if self.table_plan is not None:
            plan = table_plan.written_out(self.table_plan, len(rows), SHARDING_TYPES)
        else:
            rule = table_plan.SizeRule(
                small_rows=self.small_table_rows,
                large_rows=self.large_table_rows,
                large_strategy=self.large_table_strategy,
            )
            plan = rule.plan(rows)
        return [[way] for way in plan]

    def factors(self) -> Mapping[str, float]:
        """Raises ValueError where the file holds none."""
        return {} if self.calibration is None else read_factors(self.calibration)

    def embedding_lr(self) -> float:
        return self.lr * EMBEDDING_LR_SHARE * math.sqrt(self.global_batch_size / LR_BATCH)


def parse(words: list[str], world: common.World) -> Options:
    """Reads the command line; ends with exit code 2 where these ranks cannot run it."""
    parser = argparse.ArgumentParser(prog="torchrec_dlrm", allow_abbrev=False)
    add, count = parser.add_argument, common.whole_number
    add("--global-batch-size", type=count(1), default=1024, help="samples per step of all ranks")
    clicks.add_options(parser)
    add("--embedding-dim", type=count(1), default=16, help="a multiple of 4")
    add_plan_options(parser)
    add("--optimizer", choices=OPTIMIZERS, default="rowwise_adagrad", help="of the tables, fused")
    add("--comm-precision", choices=["fp32", "fp16", "bf16"], default="fp32",
        help="of the vectors that travel and their gradients")  # fmt: skip
    add("--threads-per-rank", type=count(1), help="default: the cores divided by the local ranks")
    add("--pinning", choices=["rank", "none"], default="rank", help="rank: to cores of its own")
    add("--lr", type=float, default=0.005, help=f"for a global batch of {LR_BATCH}")
    add("--seed", type=count(0), default=0)
    add("--eval-at-samples", type=count(1), help="evaluates once, after so many samples")
    add("--max-samples", type=count(1), help="ends after so many; default: runs until stopped")
    options = Options(**vars(parser.parse_args(words)))
    problem = impossible(options, world.world_size)
    if problem:
        parser.error(problem)
    return options


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    add, count = parser.add_argument, common.whole_number
    add("--sharding", choices=[*PLANNERS, *SHARDING_TYPES, "mixed"], default="planner")
    add("--small-table-rows", type=count(0), default=10_000,
        help="mixed: tables of fewer rows are data_parallel, others table_wise")  # fmt: skip
    add("--large-table-rows", type=count(1), default=1_000_000,
        help="mixed: tables of as many rows go the way of --large-table-strategy")  # fmt: skip
    add("--large-table-strategy", choices=SHARDING_TYPES, default="row_wise")
    add("--table-plan", help="mixed: in place of sizes, e.g. data_parallel*10,row_wise*8")
    add("--calibration", type=Path, help="factors by workloads.torchrec_calibration")
    add("--ddr-gb-per-s", type=float, help="bandwidths of the topology; default: TorchRec's")
    add("--intra-host-gb-per-s", type=float)
    add("--inter-host-gb-per-s", type=float)


def impossible(options: Options, world_size: int) -> str | None:
    """Why so many ranks cannot run this, or None."""
    batch = options.global_batch_size
    if batch % world_size:
        return f"global batch size {batch} cannot be divided among {world_size} ranks"
    if options.embedding_dim % 4:
        return f"embedding dim {options.embedding_dim}: FBGEMM takes multiples of 4"
    if options.loader_workers and options.prefetch == 0:
        return "prefetch 0: loader workers make at least 1 batch ahead"
    for mark in (options.eval_at_samples, options.max_samples):
        if mark is not None and mark < world_size:
            return f"{mark} samples are none for some of {world_size} ranks"
    try:
        options.types()
        options.factors()
    except ValueError as error:
        return str(error)
    return None


def is_installed() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torchrec", "fbgemm_gpu"))


def prepare() -> None:
    """What any trial does first; a warm start has it done once, before it forks their ranks."""
    torch.set_num_threads(1)  # other threads would be missing in a fork
    with suppress(movielens.DataMissingError):
        movielens.load()
    from workloads import torchrec_model as _  # noqa: F401


def main(words: list[str]) -> None:
    world = common.world_from_environment()
    options = parse(words, world)
    if not is_installed():
        sys.exit("TorchRec is not installed. Remedy: make torchrec")
    common.end_on_sigterm()
    common.set_threads(world, options.threads_per_rank, pins=options.pinning == "rank")
    data = clicks.open_clicks(options)
    device = common.pick_device(world)
    batches = clicks.load_batches(
        clicks.Share(data, world),
        walk(options, world),
        options.loader_workers,
        options.prefetch,
        pin_memory=device.type == "cuda",
    )
    if world.world_size == 1:  # TorchRec wants a group even so
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    else:
        common.start_process_group(world, device)
    learn(options, world, device, data, report.loading(batches))
    common.end_process_group()


def spread(
    options: Options, world: common.World, device: torch.device, data: clicks.Clicks
) -> "SpreadDlrm":
    from workloads import torchrec_model, torchrec_plan

    lr = options.embedding_lr()
    spec = TableSpec(
        rows=data.rows, dim=options.embedding_dim, lr=lr, seed=options.seed, device=device
    )
    types = options.types()
    sharder = torchrec_model.make_sharder(
        options.optimizer, lr, options.comm_precision, any_type=types is not None
    )
    wish = torchrec_plan.Wish(
        types=types,
        batch_per_rank=options.global_batch_size // world.world_size,
        dim=options.embedding_dim,
        device=device.type,
        ddr_gb_per_s=options.ddr_gb_per_s,
        intra_host_gb_per_s=options.intra_host_gb_per_s,
        inter_host_gb_per_s=options.inter_host_gb_per_s,
        factors=options.factors(),
    )
    return torchrec_model.SpreadDlrm(spec, data.num_dense, options.optimizer, sharder, wish, world)


def tell_plan(model: "SpreadDlrm", batch: Batch, progress: Progress) -> None:
    """The planner's prediction beside what the tables really take."""
    measured_s, planned = model.embedding_s(batch), model.planned
    report.value(embedding_s=measured_s, planner_s=model.planner_s)
    if not planned.tables:
        return
    by_type = {f"planned_{name}_s": cost for name, cost in planned.by_type_s.items()}
    report.value(planned_embedding_s=planned.total_s, **by_type)
    ways = ", ".join(f"{count} {name}" for name, count in planned.tables.items())
    progress.print(
        f"tables: {ways}; a step of theirs: predicted {planned.total_s * 1000:.3f} ms, "
        f"measured {measured_s * 1000:.3f} ms"
    )


def learn(
    options: Options,
    world: common.World,
    device: torch.device,
    data: clicks.Clicks,
    batches: Iterator[Batch],
) -> None:
    """Everything that must be gone before the process group ends: with DDP alive that hangs."""
    model = spread(options, world, device, data)
    progress = Progress(device, world)
    evaluated_at = evaluate_at(options, world)
    tell_plan(model, clicks.Share(data, world)[next(walk(options, world))], progress)
    for (_, stop), batch in zip(walk(options, world), batches, strict=True):
        loss = model.train(batch)
        progress.step(len(batch.label), loss)
        if stop == evaluated_at:
            progress.tell_quality(
                stop, loss, lambda: clicks.evaluate(model.predict, data, world), "the test set"
            )
    progress.tell(loss)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except movielens.DataMissingError as error:
        sys.exit(str(error))
