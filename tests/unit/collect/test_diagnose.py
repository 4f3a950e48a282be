from collections.abc import Mapping

import pytest

from tuner.collect.diagnose import TAIL_LINES, diagnose
from tuner.gang import RankExit, RunState, RunStatus
from tuner.model import Failure, FailureKind

TRACE = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n'
PEER = f"{TRACE}RuntimeError: [gloo] Connection closed by peer [127.0.0.1]:4711\n"
KEY_ERROR = f"{TRACE}KeyError: 'user_id'\n"
CUDA_OOM = f"{TRACE}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
USAGE = "usage: dlrm [-h] [--lr LR]\ndlrm: error: batch 3 cannot be divided among 2 ranks\n"


def failure_of(
    codes: tuple[int | None, ...],
    tails: Mapping[int, str] | None = None,
    first: int | None = None,
    *,
    reason: str = "rank_failed",
    oom_kills: int = 0,
    num_records: int = 5,
    state: RunState = RunState.EXITED,
) -> Failure | None:
    status = RunStatus(
        state=state,
        reason=reason,
        ranks=tuple(RankExit(rank=r, exit_code=c) for r, c in enumerate(codes)),
        first_failed_rank=first,
        oom_kills=oom_kills,
        usage={"peak_memory_gib": 3.5},
    )
    return diagnose(status, tails or {}, num_records=num_records)


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
    ("a bad combination", (2,), {0: USAGE}, 0, FailureKind.INFEASIBLE, 0, "batch 3 cannot"),
    ("exit 2 that says nothing", (2,), {0: "bye\n"}, 0, FailureKind.CRASH, 0, "ended with 2"),
    (
        "port taken",
        (1,),
        {0: "RuntimeError: The server socket has failed to listen: EADDRINUSE\n"},
        0,
        FailureKind.LOST,
        0,
        "EADDRINUSE",
    ),
    (
        "disk full",
        (1,),
        {0: "OSError: [Errno 28] No space left on device\n"},
        0,
        FailureKind.LOST,
        0,
        "No space left",
    ),
    ("killed from outside", (-9,), {0: "step 1\n"}, 0, FailureKind.LOST, 0, "signal 9"),
    (
        "killed from outside, the other named first",
        (1, -9),
        {0: PEER, 1: "step 1\n"},
        0,
        FailureKind.LOST,
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
        FailureKind.LOST,
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
        FailureKind.CRASH,
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
    assert failure.cause.endswith("KeyError: 'user_id'")


def test_a_kill_counted_by_the_kernel_is_memory() -> None:
    failure = failure_of((1, -9), {0: PEER, 1: "step\n"}, 0, oom_kills=1)
    assert failure is not None
    assert (failure.kind, failure.rank) == (FailureKind.HOST_OUT_OF_MEMORY, 1)


def test_a_lost_gang_is_lost() -> None:
    failure = failure_of((), {}, reason="", state=RunState.LOST)
    assert failure is not None
    assert failure.kind is FailureKind.LOST
    assert failure.kind.is_infrastructure


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
