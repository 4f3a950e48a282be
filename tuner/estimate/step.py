"""The time of one training step, put together from its parts.

    step = max(compute, memory) + overhead + communication + what of the loader is not hidden

Communication is not assumed to overlap with computing: that it does is left to calibration.
"""

from dataclasses import dataclass

from tuner.description import Description
from tuner.estimate import pipeline, tables
from tuner.estimate.collectives import Cost, Link, collective
from tuner.estimate.configuration import Configuration
from tuner.estimate.devices import Device
from tuner.estimate.factors import Factors
from tuner.estimate.roofline import ridge_flops_per_byte, roofline_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Seconds of a step of the whole gang, apart by cause."""

    samples: float
    device_s: float
    """Computing or moving memory, whichever takes longer."""
    overhead_s: float
    latency_s: float
    transfer_s: float
    loader_s: float
    """What of the loader is not hidden."""
    by_memory: bool
    """Whether the device is busy moving memory rather than computing."""
    waits_varying: float
    """Share of time waiting for data, if loader and trainer vary as much as they can."""

    @property
    def total_s(self) -> float:
        return self.device_s + self.overhead_s + self.latency_s + self.transfer_s + self.loader_s

    @property
    def samples_per_s(self) -> float:
        return self.samples / self.total_s

    @property
    def bound_by(self) -> str:
        """What takes the most of a step."""
        parts = {
            "memory" if self.by_memory else "computing": self.device_s,
            "overhead": self.overhead_s,
            "latency": self.latency_s,
            "bandwidth": self.transfer_s,
            "loader": self.loader_s,
        }
        return max(parts, key=lambda name: parts[name])

    @property
    def waits(self) -> float:
        """Share of time waiting for data, at least."""
        return self.loader_s / self.total_s


def step_of(work: Description, device: Device, run: Configuration, factors: Factors) -> Step:
    """Predicts a step of a configuration on a device."""
    device_s, by_memory = _device(work, device, run, factors)
    sent = _communication(work, device, run)
    slower = factors.node_transfer if run.nodes == 1 else factors.transfer
    latency_s, transfer_s = factors.latency * sent.latency_s, slower * sent.transfer_s
    trainer_s = device_s + factors.overhead_s + latency_s + transfer_s
    batch_s = factors.loader * work.loader_s_per_sample * run.batch_per_rank
    workers = run.loader_workers
    return Step(
        samples=run.global_batch,
        device_s=device_s,
        overhead_s=factors.overhead_s,
        latency_s=latency_s,
        transfer_s=transfer_s,
        loader_s=pipeline.exposed_loader_s(batch_s, trainer_s, workers=workers),
        by_memory=by_memory,
        waits_varying=pipeline.loader_bound_share_varying(batch_s, trainer_s, workers=workers),
    )


def _device(
    work: Description, device: Device, run: Configuration, factors: Factors
) -> tuple[float, bool]:
    """Seconds, and whether memory takes them rather than computing."""
    cores = run.threads if device.is_core else 1
    moved = tables.moved_bytes(work.tables, run.strategy, run.ranks, run.batch_per_rank)
    # Parameters are read forward and backward; gradient, state and value are read and written.
    moved += work.dense_parameters * 4 * 6
    moved += 2 * work.activation_bytes_per_sample * run.batch_per_rank
    flops = work.flops_per_sample * run.batch_per_rank
    peak = cores * device.gflops(run.precision) / factors.compute
    bandwidth = cores * device.memory_gb_per_s / factors.memory
    ridge = ridge_flops_per_byte(peak_gflops=peak, memory_gb_per_s=bandwidth)
    seconds = roofline_s(flops, moved, peak_gflops=peak, memory_gb_per_s=bandwidth)
    return seconds, flops < ridge * moved


def _communication(work: Description, device: Device, run: Configuration) -> Cost:
    """All messages of a step over the slowest link that they cross, without factors."""
    link = link_of(device, run)
    dense = tables.Message(kind="all_reduce", num_bytes=4.0 * work.dense_parameters)
    sent = tables.messages(work.tables, run.strategy, run.ranks, run.batch_per_rank)
    total = Cost()
    for message in (dense, *sent):
        total += collective(message.kind, run.ranks, message.num_bytes, link)
    return total


def link_of(device: Device, run: Configuration) -> Link:
    """The link of a node, which a ring uses once each way, or that between nodes."""
    inside = run.nodes == 1
    gb_per_s = device.node_link_gb_per_s if inside else device.link_gb_per_s
    return Link(latency_s=device.link_latency_us * 1e-6, bytes_per_s=gb_per_s * 1e9)
