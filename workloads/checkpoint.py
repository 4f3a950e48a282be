"""Going on elsewhere: what a run knows, saved at a step and loaded by any number of ranks.

`torch.distributed.checkpoint` does the saving. A tensor of which each rank holds some rows is given
as a DTensor, so that it may be loaded by more or by fewer ranks than saved it. Trimtab names the
folder by TRIMTAB_CHECKPOINT_DIR, and asks for a checkpoint, and for the end of the run after it, by
a file named by TRIMTAB_STOP_FILE.
"""

import os
import shutil
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from workloads.common import World

DIR_VARIABLE = "TRIMTAB_CHECKPOINT_DIR"
STOP_VARIABLE = "TRIMTAB_STOP_FILE"
EVERY = 20
"""Steps between two looks for the file: the ranks have to agree on it."""
_KEPT = 2


class Checkpoints:
    """The checkpoints of one run; none where the environment names no folder."""

    def __init__(self, world: World) -> None:
        folder, stop = os.environ.get(DIR_VARIABLE), os.environ.get(STOP_VARIABLE)
        self._world = world
        self._folder = Path(folder) if folder else None
        self._stop = Path(stop) if stop else None

    def is_due(self, step: int) -> bool:
        """Whether this step is the last one: all ranks hear the same."""
        if self._folder is None or self._stop is None or step % EVERY:
            return False
        asked = torch.tensor([int(self._world.leads and self._stop.exists())])
        if self._world.world_size > 1:
            dist.broadcast(asked, 0)
        return bool(asked)

    def save(self, state: dict[str, Tensor], samples: int) -> None:
        """Whole or not at all: it gets its name when every rank has written its part."""
        assert self._folder is not None
        from torch.distributed.checkpoint.state_dict_saver import save

        half = self._folder / f"half-{samples:015d}"
        if self._world.leads:
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
        self._meet()
        content = {**state, "samples": torch.tensor(samples)}
        save(content, checkpoint_id=half, no_dist=self._world.world_size == 1)
        self._meet()
        if self._world.leads:
            whole = self._folder / f"at-{samples:015d}"
            shutil.rmtree(whole, ignore_errors=True)
            half.rename(whole)
            for old in sorted(self._folder.glob("at-*"))[:-_KEPT]:
                shutil.rmtree(old, ignore_errors=True)

    def load(self, state: dict[str, Tensor]) -> int:
        """Fills the tensors from the latest checkpoint; the samples trained by then, 0 without."""
        found = sorted(self._folder.glob("at-*")) if self._folder is not None else []
        if not found:
            return 0
        from torch.distributed.checkpoint.state_dict_loader import load

        content = {**state, "samples": torch.tensor(0)}
        load(content, checkpoint_id=found[-1], no_dist=self._world.world_size == 1)
        return int(content["samples"])

    def _meet(self) -> None:
        if self._world.world_size > 1:
            dist.barrier()


def rows_of(num_rows: int, world: World) -> tuple[int, int]:
    """First row, and the one after the last, of this rank: equal blocks, the last shorter."""
    block = -(-num_rows // world.world_size)
    start = min(world.rank * block, num_rows)
    return start, min(start + block, num_rows)


def sharded(local: Tensor, num_rows: int, world: World) -> Tensor:
    """A rank's block of rows as a part of the whole, for a checkpoint; memory is shared."""
    if world.world_size == 1:
        return local
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    mesh = init_device_mesh(local.device.type, (world.world_size,))
    shape = torch.Size((num_rows, *local.shape[1:]))
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(local, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)
