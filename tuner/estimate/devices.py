"""Data sheets of GPUs, and rough defaults where nothing is known.

Sources: NVIDIA's data sheets of K80, P100 PCIe, V100 SXM2, T4, A10, L4, L40S, A100, H100 SXM, H200
and B200; AMD's of MI300X. Dense figures, without sparsity; links one way.
"""

from dataclasses import dataclass

from tuner.description import Hardware

HALF = frozenset({"bf16", "fp16", "pure_bf16"})
"""Precisions that compute in 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a rank computes on, complete."""

    name: str
    peak_gflops: float
    half_gflops: float
    memory_gb_per_s: float
    memory_gib: float | None
    link_gb_per_s: float = 1.25
    """10 Gbit/s Ethernet."""
    node_link_gb_per_s: float = 10.0
    link_latency_us: float = 30.0
    is_core: bool = False
    """Whether it is one core, of which a rank may have several."""
    defaults: tuple[str, ...] = ()
    """Fields that are rough defaults: neither in the job file nor in a data sheet."""

    def gflops(self, precision: str) -> float:
        """Peak at a precision, 10^9 operations per second."""
        return self.half_gflops if precision in HALF else self.peak_gflops


def _gpu(
    name: str, tflops: tuple[float, float], memory: tuple[float, float], node_link: float
) -> Device:
    """Peaks in fp32 and in 16 bits, memory in GB/s and GiB."""
    return Device(
        name=name,
        peak_gflops=tflops[0] * 1000,
        half_gflops=tflops[1] * 1000,
        memory_gb_per_s=memory[0],
        memory_gib=memory[1],
        node_link_gb_per_s=node_link,
    )


GPUS: tuple[Device, ...] = (
    _gpu("K80", (4.37, 4.37), (240, 12), 12),
    _gpu("P100", (9.3, 18.7), (732, 16), 12),
    _gpu("V100", (15.7, 125), (900, 16), 150),
    _gpu("T4", (8.1, 65), (320, 16), 12),
    _gpu("A10", (31.2, 125), (600, 24), 25),
    _gpu("L4", (30.3, 121), (300, 24), 25),
    _gpu("L40S", (91.6, 362), (864, 48), 25),
    _gpu("A100", (19.5, 312), (1555, 40), 300),
    _gpu("A100 80GB", (19.5, 312), (2039, 80), 300),
    _gpu("H100", (67, 989), (3350, 80), 450),
    _gpu("H200", (67, 989), (4800, 141), 450),
    _gpu("B200", (75, 2250), (8000, 180), 900),
    _gpu("MI300X", (163.4, 1307), (5300, 192), 64),
)
CORE = Device(
    name="core",
    peak_gflops=90.0,
    half_gflops=90.0,
    memory_gb_per_s=5.0,
    memory_gib=None,
    node_link_gb_per_s=2.0,
    is_core=True,
)
"""A core of a server: about 2.8 GHz, two units of 8 fused operations in fp32; ranks talk over
loopback."""

_LINK = ("link_gb_per_s", "link_latency_us")
_ALL = ("peak_gflops", "memory_gb_per_s", "node_link_gb_per_s", *_LINK)


def data_sheet(name: str) -> Device | None:
    """The GPU whose name, word by word, is part of another; the longest such name wins."""
    words = set(name.upper().replace("-", " ").split())
    found = [gpu for gpu in GPUS if set(gpu.name.upper().split()) <= words]
    return max(found, key=lambda gpu: len(gpu.name), default=None)


def device_of(hardware: Hardware) -> Device:
    """What the job file says, completed by the data sheet or by defaults."""
    sheet = data_sheet(hardware.gpu) if hardware.gpu else None
    known = sheet or CORE
    named = {name: getattr(hardware, name) for name in (*_ALL, "memory_gib")}
    given = {name: value for name, value in named.items() if value is not None}
    values = {name: given.get(name, getattr(known, name)) for name in named}
    guessed = _LINK if sheet else _ALL
    return Device(
        name=hardware.gpu or known.name,
        is_core=hardware.gpu is None,
        half_gflops=given.get("peak_gflops", known.half_gflops),
        defaults=tuple(name for name in guessed if name not in given),
        **values,
    )
