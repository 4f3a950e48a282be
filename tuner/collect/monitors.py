"""What monitoring tools write of GPUs: `nvidia-smi --query-gpu`, `dcgmi dmon`, dcgm-exporter.

A parser turns a line into readings of one or more GPUs, named as `tuner.tally` has them. Figures
that a tool does not know (`[N/A]`) are left out. Every GPU in a file counts for the gang.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tuner.collect.canonical import number
from tuner.tally import HELD_BACK

_MAX_COLUMNS = 200


class GpuReading(NamedTuple):
    """A figure of one GPU."""

    gpu: str
    name: str
    value: float


Parser = Callable[[str], list[GpuReading]]


class _Column(NamedTuple):
    name: str
    factor: float = 1.0


_THROTTLED = _Column("throttled")
_SMI = {
    "utilization.gpu": _Column("utilization_pct"),
    "memory.used": _Column("used_gib", 2.0**-10),
    "power.draw": _Column("power_w"),
    "power.draw.average": _Column("power_w"),
    "power.draw.instant": _Column("power_w"),
    "clocks.sm": _Column("clock_mhz"),
    "clocks.current.sm": _Column("clock_mhz"),
    "temperature.gpu": _Column("temperature_c"),
    "ecc.errors.uncorrected.volatile.total": _Column("ecc_errors"),
    "clocks_throttle_reasons.active": _THROTTLED,
    "clocks_event_reasons.active": _THROTTLED,
}
"""Without the unit in brackets that stands in the header; memory is in MiB, with or without."""
_SMI_IDENTITY = ("uuid", "gpu_uuid", "index", "pci.bus_id", "gpu_bus_id")
_UNIT = re.compile(r"\s*\[[^\]]*\]$")
_SMI_CELL = re.compile(r"(0x[0-9a-fA-F]+|[-+]?[\d.]+)\s*(?:%|MiB|MHz|W|C)?")


class NvidiaSmi:
    """`nvidia-smi --query-gpu=... --format=csv`, once or with `-l`. Without a header the columns
    must be given; without a column that names the GPU there can be only one."""

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self._columns = [_UNIT.sub("", column.strip()) for column in columns]

    def __call__(self, line: str) -> list[GpuReading]:
        cells = [cell.strip() for cell in line.split(",")]
        titles = [_UNIT.sub("", cell) for cell in cells[:_MAX_COLUMNS]]
        if any(title in _SMI for title in titles):
            self._columns = titles
            return []
        if not self._columns or len(cells) != len(self._columns):
            return []
        row = dict(zip(self._columns, cells, strict=True))
        gpu = next((row[title] for title in _SMI_IDENTITY if title in row), "")
        return [found for title, cell in row.items() if (found := _smi(gpu, title, cell))]


def _smi(gpu: str, title: str, cell: str) -> GpuReading | None:
    column = _SMI.get(title)
    match = _SMI_CELL.fullmatch(cell) if column is not None else None
    if column is None or match is None:
        return None
    if column is _THROTTLED:
        return GpuReading(gpu, column.name, _is_held_back(match[1]))
    value = number(match[1])
    return None if value is None else GpuReading(gpu, column.name, value * column.factor)


def _is_held_back(reasons: str) -> float:
    mask = int(reasons, 16) if reasons.startswith("0x") else int(number(reasons) or 0)
    return float(bool(mask & HELD_BACK))


_DCGM = {
    "GPU_UTIL": _Column("utilization_pct"),
    "FB_USED": _Column("used_gib", 2.0**-10),
    "POWER_USAGE": _Column("power_w"),
    "TOTAL_ENERGY_CONSUMPTION": _Column("energy_j", 1e-3),
    "SM_CLOCK": _Column("clock_mhz"),
    "GPU_TEMP": _Column("temperature_c"),
    "XID_ERRORS": _Column("xid"),
    "ECC_DBE_VOL_TOTAL": _Column("ecc_errors"),
    "CLOCK_THROTTLE_REASONS": _THROTTLED,
    "CLOCKS_EVENT_REASONS": _THROTTLED,
    "PCIE_TX_THROUGHPUT": _Column("pcie_tx_bytes_per_s", 1000.0),
    "PCIE_RX_THROUGHPUT": _Column("pcie_rx_bytes_per_s", 1000.0),
    "PCIE_TX_BYTES": _Column("pcie_tx_bytes_per_s"),
    "PCIE_RX_BYTES": _Column("pcie_rx_bytes_per_s"),
    "NVLINK_TX_BYTES": _Column("nvlink_tx_bytes_per_s"),
    "NVLINK_RX_BYTES": _Column("nvlink_rx_bytes_per_s"),
    "SM_ACTIVE": _Column("sm_active_pct", 100.0),
    "PIPE_TENSOR_ACTIVE": _Column("tensor_active_pct", 100.0),
    "DRAM_ACTIVE": _Column("dram_active_pct", 100.0),
}
"""Behind DCGM_FI_DEV_ or DCGM_FI_PROF_. The fields that are called bytes are bytes a second."""
_DMON: Mapping[str, str] = {
    "GPUTL": "GPU_UTIL",
    "FBUSD": "FB_USED",
    "POWER": "POWER_USAGE",
    "TOTEC": "TOTAL_ENERGY_CONSUMPTION",
    "SMCLK": "SM_CLOCK",
    "TMPTR": "GPU_TEMP",
    "XIDER": "XID_ERRORS",
    "EDVTL": "ECC_DBE_VOL_TOTAL",
    "DVCCTR": "CLOCK_THROTTLE_REASONS",
    "TXTPT": "PCIE_TX_THROUGHPUT",
    "RXTPT": "PCIE_RX_THROUGHPUT",
    "PCITX": "PCIE_TX_BYTES",
    "PCIRX": "PCIE_RX_BYTES",
    "NVLTX": "NVLINK_TX_BYTES",
    "NVLRX": "NVLINK_RX_BYTES",
    "SMACT": "SM_ACTIVE",
    "TENSO": "PIPE_TENSOR_ACTIVE",
    "DRAMA": "DRAM_ACTIVE",
}
"""Titles of `dcgmi dmon`."""
_DMON_ROW = re.compile(r"GPU (\d+)\s+(.*)")
_EXPORTED = re.compile(
    r'DCGM_FI_(?:DEV|PROF)_(\w+)\{(?:[^"}]*"(?:[^"\\]|\\.)*")*[^"}]*\}\s+(\S+)(?:\s+\d+)?'
)
_LABEL = re.compile(r'[{,]\s*(UUID|gpu|GPU_I_ID|Hostname)="([^"]*)"')


class Dcgm:
    """Tables of `dcgmi dmon` and the text that dcgm-exporter serves, one scrape after another."""

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self._titles = [column.strip() for column in columns]

    def __call__(self, line: str) -> list[GpuReading]:
        if line.startswith("DCGM_FI_"):
            return _exported(line)
        if line.startswith("#"):
            titles = line.lstrip("# ").split()
            if titles[:1] == ["Entity"]:
                self._titles = titles[1 : 1 + _MAX_COLUMNS]
            return []
        row = _DMON_ROW.match(line)
        cells = row[2].split() if row else []
        if row is None or len(cells) != len(self._titles):
            return []
        named = zip(self._titles, cells, strict=True)
        return [r for title, cell in named if (r := _dcgm(row[1], _DMON.get(title, ""), cell))]


def _exported(line: str) -> list[GpuReading]:
    match = _EXPORTED.fullmatch(line)
    if match is None:
        return []
    labels = dict(_LABEL.findall(line))
    gpu = labels.get("UUID") or f"{labels.get('Hostname', '')}/{labels.get('gpu', '')}"
    found = _dcgm(gpu + labels.get("GPU_I_ID", ""), match[1], match[2])
    return [found] if found else []


def _dcgm(gpu: str, field: str, cell: str) -> GpuReading | None:
    column, value = _DCGM.get(field), number(cell)
    # DCGM writes what it does not know as a blank, a number from 2**47 on.
    if column is None or value is None or not 0 <= value < 2**47:
        return None
    if column is _THROTTLED:
        return GpuReading(gpu, column.name, float(bool(int(value) & HELD_BACK)))
    return GpuReading(gpu, column.name, value * column.factor)
