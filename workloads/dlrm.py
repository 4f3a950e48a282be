"""DLRM on click data: embedding tables, two MLPs and dot products, on 1 to N ranks.

    python -m workloads.dlrm --global-batch-size=1024
    torchrun --nproc-per-node=2 -m workloads.dlrm --data=synthetic --shard-strategy=mixed

Embedding tables are spread as `--shard-strategy` says (`workloads.sharding`), the MLPs are on
every rank. Data is MovieLens-100K or a synthetic stream like Criteo's.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

import torch

from tuner import report
from workloads import clicks, common, movielens
from workloads.dlrm_model import Dlrm, Sent, set_compile_cache
from workloads.dlrm_options import Options, parse
from workloads.movielens import Batch
from workloads.progress import Progress, evaluate_at, walk


def sent_ahead(model: Dlrm, batches: Iterable[Batch]) -> Iterator[Sent]:
    """The batches, the ids of each being sent before the one before it is worked on."""
    before: Sent | None = None
    for batch in batches:
        sent = model.send(batch)
        if before is not None:
            yield before
        before = sent
    if before is not None:
        yield before


def prepare() -> None:
    """What any trial does first; a warm start has it done once, before it forks their ranks."""
    torch.set_num_threads(1)  # other threads would be missing in a fork
    with suppress(movielens.DataMissingError):
        movielens.load()


def main(words: list[str]) -> None:
    world = common.world_from_environment()
    options = parse(words, world)
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
    # Loader workers are forked by now, before the threads of a process group run.
    common.start_process_group(world, device)
    learn(options, world, device, data, report.loading(batches))
    common.end_process_group()


def learn(
    options: Options,
    world: common.World,
    device: torch.device,
    data: clicks.Clicks,
    batches: Iterator[Batch],
) -> None:
    """Everything that must be gone before the process group ends: with DDP alive that hangs."""
    set_compile_cache()
    model = Dlrm(options, world, device, data)
    if options.compile != "none":
        report.value(**model.warm_up())
    progress = Progress(device, world)
    sent = sent_ahead(model, batches) if options.pipeline == "ids" else map(model.send, batches)
    evaluated_at = evaluate_at(options, world)
    for (start, stop), batch in zip(walk(options, world), sent, strict=True):
        loss = model.train(batch, stop - start)
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
