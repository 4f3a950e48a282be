"""Why a gang that has ended gave no measurement: its kind, the rank to blame, cause and remedy.

An exit code of -9 has many causes: only with a kill counted by the kernel, or the supervisor's own
limit, is it memory; else somebody killed the process from outside, which is nobody's configuration.
"""

import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from tuner.collect.evidence import (
    SECONDARY,
    Verdict,
    evidence_in,
    exception_in,
    has_reason,
    is_secondary,
    lines_of,
    usage_in,
    verdict_in,
)
from tuner.collect.standing import Standing, Standings
from tuner.gang import RunState, RunStatus
from tuner.model import Failure, FailureKind

TAIL_LINES = 15
_MAX_CAUSE_CHARS = 300
_ENDED_ON_PURPOSE = frozenset({"precise", "beaten", "cap", "budget"})
_CRASH_SIGNALS = frozenset({-4, -6, -7, -8, -9, -11})
_FROM_OUTSIDE = frozenset({-1, -2, -9, -15})
_XIDS_OF_PROGRAMS = frozenset({13, 31, 43, 45})
"""Errors of GPUs (Xid) that a program causes: bad memory access, and the cleaning up after it."""
_AGAIN = "nothing to change in the job: it is tried again"


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is known of a gang that has ended."""

    status: RunStatus
    logs: Mapping[int, list[str]]
    standings: Standings

    def lines(self, rank: int | None) -> list[str]:
        """A rank's log; of a gang with one log, that."""
        alone = next(iter(self.logs.values())) if len(self.logs) == 1 else []
        return alone if rank is None else self.logs.get(rank, alone)

    @property
    def codes(self) -> dict[int, int | None]:
        return {ended.rank: ended.exit_code for ended in self.status.ranks}

    @property
    def failed(self) -> list[int]:
        return [rank for rank, code in self.codes.items() if code != 0]

    @property
    def suspects(self) -> list[int]:
        """Ranks with a log, the first to fail in front, those that did not fail at the end."""
        first = self.status.first_failed_rank
        return sorted(self.logs, key=lambda rank: (rank != first, rank not in self.failed, rank))

    def failure(self, kind: FailureKind, cause: str, remedy: str, rank: int | None) -> Failure:
        shown = self.lines(rank) or self.logs.get(min(self.logs, default=0), [])
        if len(cause) > _MAX_CAUSE_CHARS:
            cause = f"{cause[:_MAX_CAUSE_CHARS]}..."
        tail = tuple(shown[-TAIL_LINES:])
        return Failure(kind=kind, cause=cause, remedy=remedy, rank=rank, log_tail=tail)


def diagnose(status: RunStatus, tails: Mapping[int, str], standings: Standings) -> Failure | None:
    """The failure of a gang that has ended; None where it ended well or was ended on purpose.

    `tails` holds the end of each rank's log, `standings` what its records tell.
    """
    case = _Case(status, {rank: lines_of(tail) for rank, tail in tails.items()}, standings)
    if status.state is RunState.LOST or status.reason == "controller_lost":
        return _lost(case)
    if status.reason == "cancelled":
        return None
    on_purpose = status.reason in _ENDED_ON_PURPOSE
    diverged = standings.diverged(for_sure=on_purpose)
    if diverged is not None:
        return _diverged(case, diverged)
    if on_purpose:
        return _no_metrics(case, "its time was over")
    if not case.failed and status.reason in ("", "exited"):
        return _no_metrics(case, "every rank ended well")
    return _of_memory(case) or _of_computer(case) or _stopped(case) or _of_rank(case)


def _lost(case: _Case) -> Failure:
    gone = case.status.state is RunState.LOST
    cause = f"the gang is gone: {case.status.reason or 'nobody knows how it ended'}"
    cause = cause if gone else "no controller was there for longer than resources.lease_s"
    return case.failure(FailureKind.LOST, cause, _AGAIN, None)


def _diverged(case: _Case, standing: Standing) -> Failure:
    cause = f"the loss of rank {standing.rank} is no number (NaN or infinite)"
    at = f" at step {standing.steps}" if standing.steps else ""
    remedy = "lower the learning rate, or use fp32"
    return case.failure(FailureKind.DIVERGED, cause + at, remedy, standing.rank)


def _no_metrics(case: _Case, how: str) -> Failure | None:
    if case.standings.num_records:
        return None
    if case.status.disk_full:
        return _disk_full(case, f"{how}, and nothing could be written")
    return case.failure(
        FailureKind.NO_METRICS,
        f"{how}, but nothing that was printed told of a step or a metric",
        "call tuner.report.step(samples=...) in the script, or say in workload.log which format "
        "or pattern its log has",
        min(case.logs, default=None),
    )


def _of_memory(case: _Case) -> Failure | None:
    """Out of memory, by whatever rank it shows: the others fail only after it."""
    status = case.status
    killed = [rank for rank, code in case.codes.items() if _signal_of(code) == -9]
    told = [verdict for log in case.logs.values() if (verdict := verdict_in(log))]
    killed += [verdict.rank for verdict in told if verdict.exit_code == -9]
    worker = any("killed by signal: Killed" in line for log in case.logs.values() for line in log)
    is_kernel = status.oom_kills > 0 and (bool(killed) or worker)
    if status.reason == "memory_limit" or is_kernel:
        peak = status.usage.get("peak_memory_gib")
        by = "the kernel ended a process" if is_kernel else "the gang passed its memory limit"
        cause = f"{by}: out of host memory" + (f" at {peak:.2f} GiB" if peak else "")
        remedy = "use a smaller batch or fewer loader workers, or raise resources.memory_limit_gib"
        rank = killed[0] if killed else status.first_failed_rank
        return case.failure(FailureKind.HOST_OUT_OF_MEMORY, cause, remedy, rank)
    for rank in case.suspects:
        said = evidence_in(case.logs[rank])
        if said is not None and "memory" in said[0].kind:
            return case.failure(said[0].kind, said[1], said[0].remedy, rank)
    return None


def _of_computer(case: _Case) -> Failure | None:
    """A GPU or a disk that failed, where no rank has a reason of its own."""
    xid = int(case.status.usage.get("gpu_first_xid", 0))
    rank = _guilty(case)
    if xid and xid not in _XIDS_OF_PROGRAMS:
        count = int(case.status.usage.get("gpu_xid_errors", 1))
        cause = f"the driver told of {count} errors of a GPU, the first with Xid {xid}"
        remedy = "nothing to change in the job: look after the GPU (`nvidia-smi -q`); tried again"
        return case.failure(FailureKind.INFRASTRUCTURE, cause, remedy, rank)
    if case.status.disk_full and not has_reason(case.lines(rank)):
        code = case.codes.get(rank) if rank is not None else None
        return _disk_full(case, _ending(case.status, rank, code))
    return None


def _disk_full(case: _Case, how: str) -> Failure:
    remedy = "nothing to change in the job: make room on the disk; it is tried again"
    cause = f"disk full: {how}"
    return case.failure(FailureKind.INFRASTRUCTURE, cause, remedy, _guilty(case))


def _stopped(case: _Case) -> Failure | None:
    """What the controller ended, because it did not get on."""
    match case.status.reason:
        case "stalled":
            return _stalled(case)
        case "startup_timeout":
            cause = "no step within measuring.startup_s"
            remedy = "raise measuring.startup_s, or make the start shorter (caches, less data)"
            said = exception_in(case.lines(_guilty(case)))
            cause = f"{cause}; {said}" if said else cause
            return case.failure(FailureKind.TIMEOUT, cause, remedy, _guilty(case))
    return None


def _stalled(case: _Case) -> Failure:
    """Guilty is who cannot go on: held by a signal, ended, or fewest steps; the others wait."""
    status, standings = case.status, case.standings
    behind = standings.behind
    if status.stopped_ranks:
        rank: int | None = status.stopped_ranks[0]
        why = f"rank {rank} was held by a signal (SIGSTOP)"
    elif status.early_ranks:
        return _partial_exit(case, "the others waited for it until measuring.stall_s was over")
    elif behind is not None:
        rank = behind.rank
        why = f"rank {rank} is behind"
    else:
        rank = _guilty(case)
        why = exception_in(case.lines(rank)) or "all ranks are equally far"
    steps = ", ".join(f"rank {s.rank} {s.steps}" for s in standings.ranks[:8])
    cause = f"no step for longer than measuring.stall_s: {why}"
    cause += f" (steps: {steps})" if steps else ""
    remedy = "look for what the rank waits for; raise measuring.stall_s for slow steps, or wrap "
    remedy += "evaluation in report.pause()"
    return case.failure(FailureKind.STALLED, cause, remedy, rank)


def _partial_exit(case: _Case, then: str) -> Failure:
    rank = case.status.early_ranks[0]
    steps = {standing.rank: standing.steps for standing in case.standings.ranks}
    after = f" after {steps[rank]} steps" if rank in steps else ""
    cause = f"rank {rank} ended with 0{after} while others went on; {then}"
    remedy = "give every rank the same number of steps (drop_last, equal shards of the data)"
    return case.failure(FailureKind.CRASH, cause, remedy, rank)


def _of_rank(case: _Case) -> Failure:
    rank = _guilty(case)
    lines = case.lines(rank)
    if case.status.early_ranks and is_secondary(lines):
        return _partial_exit(case, f"rank {rank} says: {exception_in(lines) or lines[-1]}")
    said = evidence_in(lines)
    if said is not None:
        return case.failure(said[0].kind, said[1], said[0].remedy, rank)
    code = case.codes.get(rank) if rank is not None else None
    usage = usage_in(lines, code)
    if usage is not None:
        remedy = "exclude the combination by a constraint in space.constraints"
        return case.failure(FailureKind.INFEASIBLE, usage, remedy, rank)
    own = exception_in(lines)
    verdict = verdict_in(lines)
    if verdict is not None and (own is None or SECONDARY.search(own)):
        return _by_launcher(case, verdict)
    return _by_exit(case, rank, code)


def _by_launcher(case: _Case, verdict: Verdict) -> Failure:
    """A rank of a launcher's, of which the launcher's log says how it ended."""
    status = replace(case.status, first_failed_rank=verdict.rank)
    told = _Case(status, case.logs, case.standings)
    return _by_exit(told, verdict.rank, verdict.exit_code, own=None)


def _by_exit(case: _Case, rank: int | None, code: int | None, own: str | None = "") -> Failure:
    """By exit code alone, and the exception in the log if there is one."""
    lines = case.lines(rank)
    line = exception_in(lines) if own == "" else own
    is_first = rank == case.status.first_failed_rank
    number = _signal_of(code)
    if number == -9 or (is_first and line is None and number in _FROM_OUTSIDE):
        cause = f"rank {rank} was killed from outside ({_named(number)})"
        remedy = "nothing to change in the job, unless the computer ran out of memory: try again"
        return case.failure(FailureKind.INFRASTRUCTURE, cause, remedy, rank)
    if line is not None and SECONDARY.search(line) and len(case.failed) == len(case.codes):
        remedy = "nothing to change in the job: the connection between ranks broke; try again"
        return case.failure(FailureKind.INFRASTRUCTURE, line, remedy, rank)
    cause = line or _with_last_line(_ending(case.status, rank, code), lines)
    remedy = f"read the log of rank {rank or 0}; run the trial's command by hand to see it again"
    return case.failure(FailureKind.CRASH, cause, remedy, rank)


def _with_last_line(ending: str, lines: list[str]) -> str:
    said = [line.strip() for line in lines if line.strip()]
    return f"{ending}: {said[-1][:200]}" if said else ending


def _ending(status: RunStatus, rank: int | None, code: int | None) -> str:
    if rank is None:
        return f"the gang ended: {status.reason or 'no reason given'}"
    if code is None:
        return f"rank {rank} could not be started"
    number = _signal_of(code)
    return f"rank {rank} ended by {_named(number)}" if number else f"rank {rank} ended with {code}"


def _signal_of(code: int | None) -> int:
    """Minus the signal that ended a process, or one below a shell or launcher; 0 where none did."""
    if code is None or 0 <= code <= 128:
        return 0
    with suppress(ValueError):
        return -signal.Signals(-code if code < 0 else code - 128)
    return min(code, 0)


def _named(number: int) -> str:
    with suppress(ValueError):
        return f"signal {-number}, {signal.Signals(-number).name}"
    return f"signal {-number}"


def _guilty(case: _Case) -> int | None:
    """The first to fail, unless it only lost its connection to one with a reason of its own."""
    codes, first = case.codes, case.status.first_failed_rank
    failed = [rank for rank in case.suspects if codes.get(rank, 0) != 0]
    if first is not None and not is_secondary(case.logs.get(first, [])):
        return first
    with_reason = [rank for rank in failed if has_reason(case.logs[rank])]
    by_signal = [rank for rank in sorted(codes) if codes[rank] in _CRASH_SIGNALS]
    others = [rank for rank in failed if codes[rank] != -signal.SIGTERM]
    ranked = [*with_reason, *by_signal, *others, *sorted(case.failed)]
    return ranked[0] if ranked else first
