"""One rank that trains the DLRM briefly in many ways, and tells what each has learned.

    python -m tests.programs.dlrm_ways FILE WORDS WORDS ...

Each of WORDS is a command line of the workload; rank 0 writes the losses to FILE.
"""

import json
import sys
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist

from workloads import clicks, common
from workloads.common import World
from workloads.dlrm import sent_ahead
from workloads.dlrm_model import Dlrm
from workloads.dlrm_options import parse
from workloads.progress import spans

STEPS = 4


def learned(words: str, world: World) -> list[float]:
    """The loss of each step over all ranks, and that of the test set at the end."""
    options = parse(words.split(), world)
    data = clicks.open_clicks(options)
    places = spans(options.global_batch_size, world.world_size, None, None)
    taken = list(islice(places, STEPS))
    share = clicks.Share(data, world)
    batches = clicks.load_batches(share, taken, 0, options.prefetch, False)
    model = Dlrm(options, world, torch.device("cpu"), data)
    if options.compile != "none":
        assert model.warm_up()["compile_s"] > 0
    sent = sent_ahead(model, batches) if options.pipeline == "ids" else map(model.send, batches)
    losses = [
        model.train(batch, stop - start) for (start, stop), batch in zip(taken, sent, strict=True)
    ]
    total = torch.stack(losses)
    if world.world_size > 1:
        dist.all_reduce(total)
    quality = clicks.evaluate(model.predict, data, world)
    return [*(total / world.world_size).tolist(), quality["loss_test"], quality["auc"]]


def main(file: str, *lines: str) -> None:
    world = common.world_from_environment()
    torch.set_num_threads(1)
    common.start_process_group(world, torch.device("cpu"))
    found = {words: learned(words, world) for words in lines}
    if world.leads:
        Path(file).write_text(json.dumps(found), encoding="utf-8")
    common.end_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
