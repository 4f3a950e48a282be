"""One rank that trains the DLRM of TorchRec briefly in many ways, and tells what it has learned.

python -m tests.programs.torchrec_ways FILE WORDS WORDS ...
"""

import json
import sys
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist

from workloads import clicks, common
from workloads.common import World
from workloads.progress import spans
from workloads.torchrec_dlrm import parse, spread

STEPS = 4


def learned(words: str, world: World) -> dict[str, object]:
    """Losses over all ranks, of the test set at the end, and what the planner said."""
    options = parse(words.split(), world)
    data = clicks.open_clicks(options)
    share = clicks.Share(data, world)
    model = spread(options, world, torch.device("cpu"), data)
    taken = list(islice(spans(options.global_batch_size, world.world_size, None, None), STEPS))
    probed_s = model.embedding_s(share[taken[0]])
    total = torch.stack([model.train(share[span]) for span in taken])
    dist.all_reduce(total)
    quality = clicks.evaluate(model.predict, data, world)
    return {
        "losses": [*(total / world.world_size).tolist(), quality["loss_test"]],
        "embedding_s": probed_s,
        "tables": model.planned.tables,
        "by_type_s": model.planned.by_type_s,
        "total_s": model.planned.total_s,
    }


def main(file: str, *lines: str) -> None:
    world = common.world_from_environment()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = {}
    for words in lines:
        print(words, flush=True)
        found[words] = learned(words, world)
    if world.leads:
        Path(file).write_text(json.dumps(found), encoding="utf-8")
    common.end_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
