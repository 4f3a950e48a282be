"""Why a gang that has ended gave no measurement: its kind, the rank to blame, cause and remedy.

An exit code of -9 has many causes: only with a kill counted by the kernel, or the supervisor's own
limit, is it memory; else somebody killed the process from outside, which is nobody's configuration.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tuner.collect.lines import clean, split_rank
from tuner.gang import RunState, RunStatus
from tuner.model import Failure, FailureKind

TAIL_LINES = 15
_MAX_CAUSE_CHARS = 300
_ENDED_ON_PURPOSE = frozenset({"precise", "beaten", "cap", "cancelled"})
_TORN_DOWN = frozenset({-15})
_CRASH_SIGNALS = frozenset({-4, -6, -7, -8, -9, -11})


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Words in a log that tell a kind of failure."""

    kind: FailureKind
    words: re.Pattern[str]
    remedy: str


def _words(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), re.IGNORECASE)


_EVIDENCE = (
    _Evidence(
        FailureKind.OUT_OF_MEMORY,
        _words(
            r"CUDA out of memory",
            r"torch\.(?:cuda\.)?OutOfMemoryError",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"CUDNN_STATUS_ALLOC_FAILED",
            r"CUDA error: out of memory",
            r"cudaErrorMemoryAllocation",
            r"HIP out of memory",
            r"RESOURCE_EXHAUSTED",
        ),
        "use a smaller batch, lower precision or more ranks, or shard the embedding tables",
    ),
    _Evidence(
        FailureKind.HOST_OUT_OF_MEMORY,
        _words(
            r"^(?:\S*\.)?MemoryError\b",
            r"can't allocate memory",
            r"Cannot allocate memory",
            r"std::bad_alloc",
            r"insufficient shared memory",
            r"killed by signal: Bus error",
        ),
        "use a smaller batch or fewer loader workers, or allow more host memory",
    ),
    _Evidence(
        FailureKind.LOST,
        _words(
            r"EADDRINUSE",
            r"Address already in use",
            r"No space left on device",
            r"uncorrectable ECC",
            r"fallen off the bus",
            r"devices? (?:is/are|is|are) busy or unavailable",
        ),
        "nothing to change in the job: free the port, disk or device; it is tried again",
    ),
    _Evidence(
        FailureKind.CRASH,
        _words(r"\bloss (?:is|was|became|=) ?(?:nan|inf)\b", r"\bnan loss\b", r"\bloss: nan\b"),
        "lower the learning rate, or use fp32: the loss is no longer a number",
    ),
)
_SECONDARY = _words(
    r"Connection closed by peer",
    r"Connection reset by peer",
    r"Connection refused",
    r"Broken pipe",
    r"remote process exited",
    r"ncclRemoteError",
    r"NCCL communicator was aborted",
    r"Socket Timeout",
    r"Watchdog caught collective operation timeout",
    r"recvValue failed|sendBytes failed|failed to recv",
    r"ChildFailedError",
    r"Timed out waiting .* (?:recv|send)",
)
"""What a rank, or a launcher, says when another one is gone."""

_EXCEPTION = re.compile(
    r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Iteration|Warning)\b(?::.*)?$"
)
_USAGE = re.compile(r"^usage: |: error: |^error: ", re.IGNORECASE)
_CPP_FRAME = re.compile(r"^frame #\d+|^Exception raised from ")
_BY_REASON = {
    "stalled": (
        FailureKind.STALLED,
        "no step for longer than measuring.stall_s",
        "look for a rank that waits for another one; raise measuring.stall_s for slow steps",
    ),
    "startup_timeout": (
        FailureKind.TIMEOUT,
        "no step within measuring.startup_s",
        "raise measuring.startup_s, or make the start shorter (caches, less data)",
    ),
}


def diagnose(status: RunStatus, tails: Mapping[int, str], *, num_records: int) -> Failure | None:
    """The failure of a gang that has ended; None where it ended well or was ended on purpose.

    `tails` holds the end of each rank's log.
    """
    if status.state is RunState.LOST or status.reason == "controller_lost":
        return _lost(status, tails)
    if status.reason == "cancelled":
        return None
    if status.reason in _ENDED_ON_PURPOSE:
        return None if num_records else _no_metrics(tails, "its time was over")
    if not _failed_ranks(status) and status.reason in ("", "exited"):
        return None if num_records else _no_metrics(tails, "every rank ended well")
    logs = {rank: _lines(tail) for rank, tail in tails.items()}
    return _of_memory(status, logs) or _of_gang(status, logs)


def _of_gang(status: RunStatus, logs: Mapping[int, list[str]]) -> Failure:
    rank = _guilty(status, logs)
    lines = logs.get(rank, []) if rank is not None else []
    said = _evidence_in(lines)
    if status.reason in _BY_REASON:
        kind, cause, remedy = _BY_REASON[status.reason]
        line = said[1] if said else _exception_in(lines)
        return _failure(kind, f"{cause}; {line}" if line else cause, remedy, rank, logs)
    if said is not None:
        evidence, line = said
        return _failure(evidence.kind, line, evidence.remedy, rank, logs)
    return _by_exit(status, rank, logs)


def _lost(status: RunStatus, tails: Mapping[int, str]) -> Failure:
    gone = status.state is RunState.LOST
    cause = "the executor knows nothing of the gang any more" if gone else "no controller was there"
    logs = {rank: _lines(tail) for rank, tail in tails.items()}
    remedy = "nothing to change in the job: it is tried again"
    return _failure(FailureKind.LOST, cause, remedy, None, logs)


def _no_metrics(tails: Mapping[int, str], how: str) -> Failure:
    logs = {rank: _lines(tail) for rank, tail in tails.items()}
    return _failure(
        FailureKind.NO_METRICS,
        f"{how}, but nothing that was printed told of a step or a metric",
        "call tuner.report.step(samples=...) in the script, or say in workload.log which format "
        "or pattern its log has",
        min(logs, default=None),
        logs,
    )


def _of_memory(status: RunStatus, logs: Mapping[int, list[str]]) -> Failure | None:
    """Out of memory, by whatever rank it shows: the others fail only after it."""
    killed = [exit_.rank for exit_ in status.ranks if exit_.exit_code == -9]
    worker_killed = any("killed by signal: Killed" in line for log in logs.values() for line in log)
    is_kernel = status.oom_kills > 0 and (bool(killed) or worker_killed)
    if status.reason == "memory_limit" or is_kernel:
        peak = status.usage.get("peak_memory_gib")
        by = "the kernel ended a process" if is_kernel else "the gang passed its memory limit"
        cause = f"{by}: out of host memory" + (f" at {peak:.2f} GiB" if peak else "")
        remedy = "use a smaller batch or fewer loader workers, or raise resources.memory_limit_gib"
        rank = killed[0] if killed else status.first_failed_rank
        return _failure(FailureKind.HOST_OUT_OF_MEMORY, cause, remedy, rank, logs)
    for rank in _suspects(status, logs):
        said = _evidence_in(logs[rank])
        if said is not None and "memory" in said[0].kind:
            return _failure(said[0].kind, said[1], said[0].remedy, rank, logs)
    return None


def _by_exit(status: RunStatus, rank: int | None, logs: Mapping[int, list[str]]) -> Failure:
    """By exit code alone, and the exception in the log if there is one."""
    code = next((e.exit_code for e in status.ranks if e.rank == rank), None)
    lines = logs.get(rank, []) if rank is not None else []
    if code == 2 and (usage := [line for line in lines if _USAGE.search(line)]):
        remedy = "exclude the combination by a constraint in space.constraints"
        return _failure(FailureKind.INFEASIBLE, usage[-1], remedy, rank, logs)
    if code == -9:
        cause = f"rank {rank} was killed from outside (signal 9)"
        remedy = "nothing to change in the job, unless the computer ran out of memory: try again"
        return _failure(FailureKind.LOST, cause, remedy, rank, logs)
    line = _exception_in(lines)
    if line is not None and _SECONDARY.search(line) and _all_failed(status):
        remedy = "nothing to change in the job: the connection between ranks broke; try again"
        return _failure(FailureKind.LOST, line, remedy, rank, logs)
    cause = line or _with_last_line(_ending(status, rank, code), rank, logs)
    remedy = f"read the log of rank {rank or 0}; run the trial's command by hand to see it again"
    return _failure(FailureKind.CRASH, cause, remedy, rank, logs)


def _with_last_line(ending: str, rank: int | None, logs: Mapping[int, list[str]]) -> str:
    said = [line.strip() for line in logs.get(rank or 0, []) if line.strip()]
    return f"{ending}: {said[-1][:200]}" if said else ending


def _ending(status: RunStatus, rank: int | None, code: int | None) -> str:
    if rank is None:
        return f"the gang ended: {status.reason or 'no reason given'}"
    if code is None:
        return f"rank {rank} could not be started"
    return f"rank {rank} ended by signal {-code}" if code < 0 else f"rank {rank} ended with {code}"


def _failed_ranks(status: RunStatus) -> list[int]:
    return [e.rank for e in status.ranks if e.exit_code != 0]


def _all_failed(status: RunStatus) -> bool:
    return len(_failed_ranks(status)) == len(status.ranks)


def _suspects(status: RunStatus, logs: Mapping[int, list[str]]) -> list[int]:
    """Ranks with a log, the first to fail in front, those that did not fail at the end."""
    failed = set(_failed_ranks(status))
    first = status.first_failed_rank
    return sorted(logs, key=lambda rank: (rank != first, rank not in failed, rank))


def _guilty(status: RunStatus, logs: Mapping[int, list[str]]) -> int | None:
    """The first to fail, unless it only lost its connection to one with a reason of its own."""
    codes = {e.rank: e.exit_code for e in status.ranks}
    failed = [rank for rank in _suspects(status, logs) if codes.get(rank, 0) != 0]
    first = status.first_failed_rank
    if first is not None and not _is_secondary(logs.get(first, [])):
        return first
    with_reason = [rank for rank in failed if _has_reason(logs[rank])]
    by_signal = [rank for rank in sorted(codes) if codes[rank] in _CRASH_SIGNALS]
    torn_down = [rank for rank in failed if codes[rank] in _TORN_DOWN]
    others = [rank for rank in failed if rank not in torn_down]
    everybody = sorted(rank for rank, code in codes.items() if code != 0)
    ranked = [*with_reason, *by_signal, *others, *everybody]
    return ranked[0] if ranked else first


def _is_secondary(lines: list[str]) -> bool:
    return any(_SECONDARY.search(line) for line in lines) and not _has_reason(lines)


def _has_reason(lines: list[str]) -> bool:
    """Whether a log tells of something else than the loss of another rank."""
    if _evidence_in(lines) is not None:
        return True
    return any(_EXCEPTION.match(line) and not _SECONDARY.search(line) for line in lines)


def _evidence_in(lines: list[str]) -> tuple[_Evidence, str] | None:
    for evidence in _EVIDENCE:
        for line in reversed(lines):
            if evidence.words.search(line):
                return evidence, line
    return None


def _exception_in(lines: list[str]) -> str | None:
    """The last line that names an exception, one of the rank's own first."""
    found = [line for line in lines if _EXCEPTION.match(line)]
    own = [line for line in found if not _SECONDARY.search(line)]
    return next(reversed(own or found), None)


def _lines(tail: str) -> list[str]:
    """The lines of a log without what hides them: colours, launchers' prefixes, C++ frames."""
    lines = (split_rank(clean(line))[1] for line in re.split(r"[\r\n]+", tail))
    return [line for line in lines if line and not _CPP_FRAME.match(line)]


def _failure(
    kind: FailureKind, cause: str, remedy: str, rank: int | None, logs: Mapping[int, list[str]]
) -> Failure:
    shown = logs.get(rank if rank is not None else min(logs, default=0), [])
    if len(cause) > _MAX_CAUSE_CHARS:
        cause = f"{cause[:_MAX_CAUSE_CHARS]}..."
    return Failure(
        kind=kind, cause=cause, remedy=remedy, rank=rank, log_tail=tuple(shown[-TAIL_LINES:])
    )
