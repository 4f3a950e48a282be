"""What an executor is asked to run, and what a gang of processes shows while it runs."""

from dataclasses import dataclass, field
from enum import StrEnum

from tuner.model import LaunchCommand, Placement

FILES = "files/"
"""What the names of streams begin with that are files of the gang's own."""

RANK_NAMES = ("rank", "local_rank", "world_size", "workers")
"""What an environment variable of a job that is launched per rank may name, `${rank}`: it is filled
in where each rank is started. `workers` is a JSON list of an address for every rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """What an executor is asked to run."""

    launch_key: str
    command: LaunchCommand
    placement: Placement
    lease_s: float = 300.0
    memory_limit_gib: float | None = None
    files: tuple[str, ...] = ()
    """Names of files to read that it writes itself, in the folder `$TRIMTAB_OUTPUT_DIR`."""


class RunState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankExit:
    """How a rank ended: `exit_code` is negative for a signal, None where it never started."""

    rank: int
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How a gang is doing."""

    state: RunState
    elapsed_s: float = 0.0
    """Since the gang was started, until it ended; by the monotonic clock."""
    now_s: float = 0.0
    """The host's monotonic clock, comparable with the `t_s` of its records."""
    reason: str = ""
    """Why it ended: `exited`, `rank_failed`, `memory_limit`, `controller_lost`, or what `stop`
    was told."""
    ranks: tuple[RankExit, ...] = ()
    first_failed_rank: int | None = None
    stopped_ranks: tuple[int, ...] = ()
    """Ranks that a signal held still (SIGSTOP) when the gang was ended."""
    early_ranks: tuple[int, ...] = ()
    """Ranks that had ended well when the gang was ended for another reason."""
    disk_full: bool = False
    """Whether the disk of its logs had no room left at some time."""
    oom_kills: int = 0
    """Kills by the kernel's out-of-memory killer in the gang's cgroup while it ran."""
    usage: dict[str, float] = field(default_factory=dict)
    """Metric -> value over the run: peak_memory_gib, cpu_s, other_cpu_pct, energy_j, gpu_..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a file that a gang writes. `stream` is its name, e.g. `rank-0.log`."""

    stream: str
    offset: int
    data: bytes
    marks: tuple[tuple[int, float], ...] = ()
    """(byte offset, monotonic second): by that second the file had grown to that offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One reading from a rank: a step, or values; `t_s` is the host's monotonic clock then."""

    rank: int
    t_s: float
    steps: int = 0
    """Steps since the rank's last record."""
    samples: float = 0.0
    """Samples of this rank since its last record."""
    pause_s: float = 0.0
    """Time since the last record that was no training: evaluation, a checkpoint."""
    is_pausing: bool = False
    """Such a time has begun and goes on."""
    values: dict[str, float] = field(default_factory=dict)
    not_finite: tuple[str, ...] = ()
    """Values that were told and are no number: NaN, or infinite."""
    source: str = ""
    """File and byte offset, so that every figure can be traced to its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """What a gang used by a moment, on the clock of its records; unknown is absent, never 0.

    Names that end in `_s`, `_j` or `_bytes` are sums since the gang began (cpu_s, other_cpu_s,
    cpu_throttled_s, gpu_throttled_s, energy_j, io_read_bytes, ...): take differences. All others
    are levels at that moment (memory_gib, gpu_clock_mhz, gpu_temperature_c, ...).
    """

    t_s: float
    values: dict[str, float]
