from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tuner.collect.diagnose import TAIL_LINES, diagnose
from tuner.collect.standing import Standings
from tuner.gang import RankExit, Record, RunState, RunStatus
from tuner.model import Failure, FailureKind

TRACE = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n'
PEER = f"{TRACE}RuntimeError: [gloo] Connection closed by peer [127.0.0.1]:4711\n"
KEY_ERROR = f"{TRACE}KeyError: 'user_id'\n"
CUDA_OOM = f"{TRACE}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
TORCHRUN = """torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-24_10:00:00
  host      : node
  rank      : 3 (local_rank: 3)
  exitcode  : -9 (pid: 4711)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 4711
============================================================
"""
USAGE = "usage: dlrm [-h] [--lr LR]\ndlrm: error: batch 3 cannot be divided among 2 ranks\n"


def failure_of(
    codes: tuple[int | None, ...],
    tails: Mapping[int, str] | None = None,
    first: int | None = None,
    *,
    reason: str = "rank_failed",
    num_records: int = 5,
    state: RunState = RunState.EXITED,
    **changes: Any,
) -> Failure | None:
    records = [Record(rank=0, t_s=float(t), steps=1) for t in range(num_records)]
    return failure_by(records, codes, tails, first, reason=reason, state=state, **changes)


def failure_by(
    records: Sequence[Record],
    codes: tuple[int | None, ...],
    tails: Mapping[int, str] | None = None,
    first: int | None = None,
    **changes: Any,
) -> Failure | None:
    standings = Standings()
    standings.note(records)
    content: dict[str, Any] = {
        "state": RunState.EXITED,
        "reason": "rank_failed",
        "ranks": tuple(RankExit(rank=r, exit_code=c) for r, c in enumerate(codes)),
        "first_failed_rank": first,
        "usage": {"peak_memory_gib": 3.5},
        **changes,
    }
    return diagnose(RunStatus(**content), tails or {}, standings)


OOM, HOST = FailureKind.OUT_OF_MEMORY, FailureKind.HOST_OUT_OF_MEMORY
INFRA, NAN, FAR = FailureKind.INFRASTRUCTURE, FailureKind.DIVERGED, FailureKind.INFEASIBLE

Row = tuple[str, tuple[int | None, ...], dict[int, str], int | None, FailureKind, int | None, str]

TABLE: list[Row] = [
    ("GPU memory", (1,), {0: CUDA_OOM}, 0, FailureKind.OUT_OF_MEMORY, 0, "CUDA out of memory"),
    (
        "GPU memory of the other rank",
        (1, 1),
        {0: PEER, 1: CUDA_OOM},
        0,
        FailureKind.OUT_OF_MEMORY,
        1,
        "CUDA out of memory",
    ),
    (
        "GPU memory, by cuBLAS",
        (1,),
        {0: f"{TRACE}RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x\n"},
        0,
        FailureKind.OUT_OF_MEMORY,
        0,
        "CUBLAS",
    ),
    (
        "host memory, by Python",
        (1,),
        {0: f"{TRACE}MemoryError\n"},
        0,
        FailureKind.HOST_OUT_OF_MEMORY,
        0,
        "MemoryError",
    ),
    (
        "host memory, by torch",
        (1,),
        {0: f"{TRACE}RuntimeError: DefaultCPUAllocator: can't allocate memory: 9 bytes\n"},
        0,
        FailureKind.HOST_OUT_OF_MEMORY,
        0,
        "DefaultCPUAllocator",
    ),
    (
        "host memory, by fork",
        (1,),
        {0: "OSError: [Errno 12] Cannot allocate memory\n"},
        0,
        FailureKind.HOST_OUT_OF_MEMORY,
        0,
        "Errno 12",
    ),
    (
        "shared memory",
        (1,),
        {0: "RuntimeError: DataLoader worker is killed by signal: Bus error. out of shm\n"},
        0,
        FailureKind.HOST_OUT_OF_MEMORY,
        0,
        "Bus error",
    ),
    *[
        (f"GPU memory, by {text[:24]}", (1,), {0: f"{TRACE}{text}\n"}, 0, OOM, 0, text[-20:])
        for text in (
            "RuntimeError: cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling x",
            "torch.distributed.DistBackendError: NCCL error: Cuda failure 2 'out of memory'",
            "RuntimeError: CUDA error: out of memory",
            "jaxlib.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate",
            "tensorflow.errors.ResourceExhaustedError: OOM when allocating tensor with shape[9,9]",
            "RuntimeError: HIP out of memory. Tried to allocate 2 GiB",
            "MemoryError: std::bad_alloc: out_of_memory: CUDA error at: cudaErrorMemoryAllocation",
        )
    ],
    *[
        (f"host memory, by {text[:24]}", (1,), {0: f"{TRACE}{text}\n"}, 0, HOST, 0, text[-20:])
        for text in (
            "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB for an array",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "RuntimeError: unable to mmap 1024 bytes from file </torch_1>: Cannot allocate memory",
        )
    ],
    *[
        (f"computer, by {text[:24]}", (1,), {0: f"{TRACE}{text}\n"}, 0, INFRA, 0, text[-20:])
        for text in (
            "OSError: [Errno 98] Address already in use",
            "OSError: [Errno 122] Disk quota exceeded",
            "RuntimeError: CUDA error: uncorrectable ECC error encountered",
            "pynvml.NVMLError_GpuIsLost: GPU is lost",
            "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        )
    ],
    *[
        (f"diverged, by {text[:24]}", (1,), {0: f"{TRACE}{text}\n"}, 0, NAN, 0, text[-20:])
        for text in (
            "RuntimeError: Function 'AddmmBackward0' returned nan values in its 0th output.",
            "ValueError: The loss returned in `training_step` is nan",
            "RuntimeError: loss: inf",
            "AssertionError: loss is not finite",
        )
    ],
    *[
        (f"broken, by {text[:24]}", (1,), {0: f"{TRACE}{text}\n"}, 0, FailureKind.CRASH, 0, text)
        for text in (
            "ModuleNotFoundError: No module named 'fbgemm_gpu'",
            "FileNotFoundError: [Errno 2] No such file or directory: 'day_0.npz'",
        )
    ],
    (
        "an earlier warning is not why",
        (1,),
        {0: f"W: Address already in use, port 6007 instead\n{KEY_ERROR}"},
        0,
        FailureKind.CRASH,
        0,
        "KeyError",
    ),
    ("a launcher hides exit 2", (1,), {0: f"{USAGE}{TORCHRUN}"}, 0, FAR, 0, "batch 3 cannot"),
    ("torchrun tells who was killed", (1,), {0: TORCHRUN}, 0, INFRA, 3, "rank 3 was killed"),
    ("bus error", (-7,), {0: "step\n"}, 0, FailureKind.CRASH, 0, "signal 7, SIGBUS"),
    ("log as large as allowed", (-25,), {0: "step\n"}, 0, FailureKind.CRASH, 0, "SIGXFSZ"),
    ("a bad combination", (2,), {0: USAGE}, 0, FailureKind.INFEASIBLE, 0, "batch 3 cannot"),
    ("exit 2 that says nothing", (2,), {0: "bye\n"}, 0, FailureKind.CRASH, 0, "ended with 2"),
    (
        "port taken",
        (1,),
        {0: "RuntimeError: The server socket has failed to listen: EADDRINUSE\n"},
        0,
        FailureKind.INFRASTRUCTURE,
        0,
        "EADDRINUSE",
    ),
    (
        "disk full",
        (1,),
        {0: "OSError: [Errno 28] No space left on device\n"},
        0,
        FailureKind.INFRASTRUCTURE,
        0,
        "No space left",
    ),
    ("killed", (-9,), {0: "step\n"}, 0, FailureKind.INFRASTRUCTURE, 0, "signal 9, SIGKILL"),
    ("told to end", (-15,), {0: "step\n"}, 0, FailureKind.INFRASTRUCTURE, 0, "signal 15, SIGTERM"),
    ("killed below a shell", (137,), {0: "step\n"}, 0, FailureKind.INFRASTRUCTURE, 0, "SIGKILL"),
    (
        "killed from outside, the other named first",
        (1, -9),
        {0: PEER, 1: "step 1\n"},
        0,
        FailureKind.INFRASTRUCTURE,
        1,
        "rank 1 was killed",
    ),
    ("segmentation fault", (-11,), {0: "step\n"}, 0, FailureKind.CRASH, 0, "signal 11"),
    (
        "the rank with a reason is to blame, not the one that lost it",
        (1, 1),
        {0: PEER, 1: KEY_ERROR},
        0,
        FailureKind.CRASH,
        1,
        "KeyError: 'user_id'",
    ),
    (
        "the first to fail is to blame",
        (-15, 1),
        {0: "step 1\n", 1: KEY_ERROR},
        1,
        FailureKind.CRASH,
        1,
        "KeyError",
    ),
    (
        "nobody knows who was first",
        (-15, 1),
        {0: "step 1\n", 1: "step 1\n"},
        None,
        FailureKind.CRASH,
        1,
        "ended with 1",
    ),
    (
        "all lost each other",
        (1, 1),
        {0: PEER, 1: PEER},
        0,
        FailureKind.INFRASTRUCTURE,
        0,
        "Connection closed",
    ),
    (
        "one ended early and the other missed it",
        (1, 0),
        {0: PEER, 1: ""},
        0,
        FailureKind.CRASH,
        0,
        "Connection closed",
    ),
    ("never started", (None,), {}, 0, FailureKind.CRASH, 0, "could not be started"),
    (
        "NaN",
        (1,),
        {0: f"{TRACE}FloatingPointError: loss is nan at step 3\n"},
        0,
        FailureKind.DIVERGED,
        0,
        "loss is nan",
    ),
    (
        "a launcher hides the exception",
        (1,),
        {0: f"[rank0]: {KEY_ERROR}torch.distributed.elastic.errors.ChildFailedError: \n"},
        0,
        FailureKind.CRASH,
        0,
        "KeyError",
    ),
]


@pytest.mark.parametrize(
    ("codes", "tails", "first", "kind", "rank", "cause"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_a_failure_has_kind_rank_cause_and_remedy(
    codes: tuple[int | None, ...],
    tails: dict[int, str],
    first: int | None,
    kind: FailureKind,
    rank: int | None,
    cause: str,
) -> None:
    failure = failure_of(codes, tails, first)
    assert failure is not None
    assert (failure.kind, failure.rank) == (kind, rank)
    assert cause in failure.cause
    assert failure.remedy
    assert "\n" not in failure.cause + failure.remedy


@pytest.mark.parametrize(
    ("reason", "kind", "cause"),
    [
        ("stalled", FailureKind.STALLED, "no step"),
        ("startup_timeout", FailureKind.TIMEOUT, "startup_s"),
        (
            "memory_limit",
            FailureKind.HOST_OUT_OF_MEMORY,
            "memory limit: out of host memory at 3.50",
        ),
        ("controller_lost", FailureKind.LOST, "no controller"),
    ],
)
def test_why_it_was_stopped_is_the_kind(reason: str, kind: FailureKind, cause: str) -> None:
    failure = failure_of((-15, -15), {0: "step 1\n"}, reason=reason)
    assert failure is not None
    assert failure.kind == kind
    assert cause in failure.cause


def test_a_gang_that_stalled_on_gpu_memory_is_out_of_memory() -> None:
    failure = failure_of((-15, 1), {0: "step 1\n", 1: CUDA_OOM}, 1, reason="stalled")
    assert failure is not None
    assert failure.kind is FailureKind.OUT_OF_MEMORY


def test_a_stall_tells_what_the_rank_said_last() -> None:
    failure = failure_of((-15,), {0: KEY_ERROR}, reason="stalled")
    assert failure is not None
    assert "KeyError: 'user_id'" in failure.cause


def test_a_kill_counted_by_the_kernel_is_memory() -> None:
    failure = failure_of((1, -9), {0: PEER, 1: "step\n"}, 0, oom_kills=1)
    assert failure is not None
    assert (failure.kind, failure.rank) == (FailureKind.HOST_OUT_OF_MEMORY, 1)


def test_a_kill_that_torchrun_tells_of_is_memory_too() -> None:
    failure = failure_of((1,), {0: TORCHRUN}, 0, oom_kills=1)
    assert failure is not None
    assert (failure.kind, failure.rank) == (FailureKind.HOST_OUT_OF_MEMORY, 3)
    assert failure.log_tail[-1].startswith("===")


@pytest.mark.parametrize("why", ["its supervisor died", "the computer was restarted"])
def test_a_lost_gang_is_lost(why: str) -> None:
    failure = failure_of((), {}, reason=why, state=RunState.LOST)
    assert failure is not None
    assert failure.kind is FailureKind.LOST
    assert failure.kind.is_infrastructure
    assert why in failure.cause


def stepping(*steps: int) -> list[Record]:
    """Each rank has made so many steps, one a second."""
    return [
        Record(rank=rank, t_s=100.0 + step, steps=1)
        for rank, count in enumerate(steps)
        for step in range(count)
    ]


@pytest.mark.parametrize(
    ("steps", "changes", "kind", "rank", "cause"),
    [
        ((5, 4, 6), {}, FailureKind.STALLED, 1, "rank 1 is behind (steps: rank 0 5, rank 1 4"),
        ((5, 5), {}, FailureKind.STALLED, 0, "all ranks are equally far"),
        ((5, 5), {"stopped_ranks": (1,)}, FailureKind.STALLED, 1, "held by a signal (SIGSTOP)"),
        ((9, 5), {"early_ranks": (1,)}, FailureKind.CRASH, 1, "ended with 0 after 5 steps"),
    ],
)
def test_a_stall_names_the_rank_that_the_others_wait_for(
    steps: tuple[int, ...],
    changes: dict[str, Any],
    kind: FailureKind,
    rank: int,
    cause: str,
) -> None:
    tails = {n: f"log of {n}\n" for n in range(len(steps))}
    codes = (-15,) * len(steps)
    failure = failure_by(stepping(*steps), codes, tails, reason="stalled", **changes)
    assert failure is not None
    assert (failure.kind, failure.rank) == (kind, rank)
    assert cause in failure.cause
    assert failure.log_tail == (f"log of {rank}",)


def test_a_rank_that_ended_early_is_to_blame_for_who_lost_it() -> None:
    failure = failure_by(stepping(9, 5), (1, 0), {0: PEER, 1: "bye\n"}, 0, early_ranks=(1,))
    assert failure is not None
    assert (failure.kind, failure.rank) == (FailureKind.CRASH, 1)
    assert "ended with 0 after 5 steps" in failure.cause
    assert "Connection closed" in failure.cause
    own = failure_by(stepping(9, 5), (1, 0), {0: KEY_ERROR, 1: "bye\n"}, 0, early_ranks=(1,))
    assert own is not None
    assert (own.rank, own.cause) == (0, "KeyError: 'user_id'")


@pytest.mark.parametrize("reason", ["diverged", "precise", "cap", "exited"])
def test_a_loss_that_is_no_number_is_a_failure_however_it_ended(reason: str) -> None:
    odd = [Record(rank=1, t_s=200.0 + i, steps=1, not_finite=("loss",)) for i in range(3)]
    code = 0 if reason == "exited" else -15
    failure = failure_by([*stepping(3, 3), *odd], (code, code), {}, reason=reason)
    assert failure is not None
    assert (failure.kind, failure.rank) == (FailureKind.DIVERGED, 1)
    assert "at step" in failure.cause
    assert failure_by([*stepping(3, 3), *odd], (-15, -15), {}, reason="cancelled") is None


def test_a_single_odd_loss_counts_only_where_the_job_itself_ended_on_it() -> None:
    odd = Record(rank=1, t_s=200.0, steps=1, not_finite=("loss",))
    for reason in ("precise", "beaten", "cap"):
        assert failure_by([*stepping(3, 3), odd], (-15, -15), {}, reason=reason) is None
    ended = failure_by([*stepping(3, 3), odd], (0, 0), {}, reason="exited")
    assert ended is not None
    assert ended.kind is FailureKind.DIVERGED


def test_an_error_of_the_gpu_is_the_computers() -> None:
    usage = {"gpu_xid_errors": 2.0, "gpu_first_xid": 79.0}
    failure = failure_of((1,), {0: KEY_ERROR}, 0, usage=usage)
    assert failure is not None
    assert failure.kind is FailureKind.INFRASTRUCTURE
    assert "Xid 79" in failure.cause
    of_program = failure_of((1,), {0: KEY_ERROR}, 0, usage={**usage, "gpu_first_xid": 31.0})
    assert of_program is not None
    assert of_program.kind is FailureKind.CRASH


def test_a_full_disk_is_named_where_nothing_else_could_be_written() -> None:
    silent = failure_of((1,), {0: "step 1\n"}, 0, disk_full=True)
    assert silent is not None
    assert silent.kind is FailureKind.INFRASTRUCTURE
    assert silent.cause.startswith("disk full")
    spoken = failure_of((1,), {0: KEY_ERROR}, 0, disk_full=True)
    assert spoken is not None
    assert spoken.kind is FailureKind.CRASH
    empty = failure_of((0,), {0: ""}, reason="exited", num_records=0, disk_full=True)
    assert empty is not None
    assert empty.kind is FailureKind.INFRASTRUCTURE


@pytest.mark.parametrize("reason", ["precise", "beaten", "cap", "cancelled", "exited"])
def test_a_good_end_is_no_failure(reason: str) -> None:
    code = 0 if reason == "exited" else -15
    assert failure_of((code,), {0: CUDA_OOM}, reason=reason, oom_kills=1) is None


@pytest.mark.parametrize(("reason", "code"), [("exited", 0), ("cap", -15)])
def test_a_gang_that_told_nothing_is_told_how_to(reason: str, code: int) -> None:
    failure = failure_of((code,), {0: "hello\n"}, reason=reason, num_records=0)
    assert failure is not None
    assert failure.kind is FailureKind.NO_METRICS
    assert "tuner.report" in failure.remedy
    assert "workload.log" in failure.remedy
    assert failure.log_tail == ("hello",)


def test_the_tail_is_short_and_clean() -> None:
    noise = "".join(f"\x1b[31mline {n}\x07\n" for n in range(40))
    frames = "frame #0: c10::Error::Error() + 0x57 (0x7f in libc10.so)\n" * 30
    failure = failure_of((1,), {0: noise + frames + KEY_ERROR}, 0)
    assert failure is not None
    assert len(failure.log_tail) == TAIL_LINES
    assert failure.log_tail[-1] == "KeyError: 'user_id'"
    assert "line 39" in failure.log_tail
    assert not any("\x1b" in line or "frame" in line for line in failure.log_tail)


def test_a_long_cause_is_cut() -> None:
    failure = failure_of((1,), {0: f"ValueError: {'x' * 5000}\n"}, 0)
    assert failure is not None
    assert len(failure.cause) < 350
