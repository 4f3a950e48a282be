"""The supervisor of one gang: `python -m tuner.executors.supervisor FOLDER`.

It leaves its caller, starts the ranks of `request.json` once and never again, watches them, ends
them with every descendant, and says how it went in `exit.json`. When nobody touches the lease it
ends the gang by itself. Told to end by SIGTERM (the computer shuts down) it ends the gang and says
nothing: whoever asks then finds the gang lost. Standard library only.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NoReturn

from tuner.executors import files, processes, sampling
from tuner.executors.census import Census
from tuner.executors.claim import claim
from tuner.executors.emulation import Emulation
from tuner.executors.files import GangExit, GangFolder
from tuner.executors.guard import stand_guard
from tuner.executors.nvml import GpuMeter
from tuner.executors.processes import Process
from tuner.executors.ranks import free_ports, rank_environ, start_rank
from tuner.executors.signs import Reserve, held_ranks, is_full
from tuner.executors.spool import Spool
from tuner.executors.usage import UsageStream
from tuner.gang import Gang, RankExit

TURN_S = 0.05
SAMPLE_S = 0.5
SAMPLE_SHARE = 100
"""Looking at the gang takes at most one part in so many of a core."""
LIMITED_SAMPLE_S = 2.0
"""Where memory has a limit, the gang is looked at so often whatever that takes."""
SNAPSHOT_S = 1.0
FAILED_RANK_GRACE_S = 1.0
"""Others get so long after a rank failed, to say what they saw."""
TERM_GRACE_S = 5.0
LEFTOVER_GRACE_S = 1.0
"""Helpers of ranks that all ended well get so long to end by themselves."""
KILL_LIMIT_S = 10.0
GPU_LIMIT_S = 1.0
PUBLISH_LIMIT_S = 60.0


Start = Callable[[Gang, int, GangFolder, Mapping[str, str]], int]
"""Starts a rank with this environment and returns its pid."""


class Supervision:
    """One gang from its start to its end."""

    def __init__(self, folder: GangFolder, gang: Gang, start: Start) -> None:
        self._folder = folder
        self._gang = gang
        self._start_rank = start
        self._emulation = Emulation(gang)
        self._pids: dict[int, int] = {}
        self._exits: dict[int, int | None] = {}
        self._early_ranks: tuple[int, ...] = ()
        self._held_ranks: tuple[int, ...] = ()
        self._disk_full = False
        self._reserve = Reserve(folder.reserve)
        self._first_failed: int | None = None
        self._failed_s = 0.0
        self._reason = ""
        self._terminated = False
        self._lease = (0, time.monotonic())
        self._sample_due_s = 0.0
        self._snapshot_due_s = 0.0
        self._oom_kills = sampling.oom_kills()
        streams = chain.from_iterable(
            (Spool(folder.log(rank), dated=True), Spool(folder.metrics(rank), dated=False))
            for rank in range(gang.command.num_processes)
        )
        own = (Spool(folder.files / name, dated=True) for name in gang.files)
        self._spools = (*streams, *own)
        cores = set(chain.from_iterable(gang.placement.cores))
        self._samples = UsageStream(folder.usage_samples)
        self._census = Census(os.getpid())
        self._meter = sampling.GangMeter(cores or os.sched_getaffinity(0))
        self._started_s = time.monotonic()

    def run(self) -> None:
        """Returns when nothing of the gang is left, or nothing more can be done about it."""
        signal.signal(signal.SIGTERM, self._terminate)
        self._reason = self._stop_reason()
        if not self._reason:
            self._start()
        # Only now: the ranks would inherit the blocked signal, and the fork must know no thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        gpus = GpuMeter(sorted(set(chain.from_iterable(self._gang.placement.gpus))))
        while not self._reason:
            self._turn(gpus)
            self._reason = self._verdict()
        self._take_evidence()
        self._tear_down(gpus)
        self._emulation.end()
        gpus.close(GPU_LIMIT_S)
        if not self._terminated:
            self._publish(gpus)

    def _take_evidence(self) -> None:
        """What the end of the gang would cover up."""
        self._disk_full = self._disk_full or is_full(self._folder.path)
        if self._reason == "exited":
            return
        self._early_ranks = tuple(rank for rank, code in sorted(self._exits.items()) if code == 0)
        self._held_ranks = held_ranks(self._members(), self._pids)

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def _start(self) -> None:
        files.publish(self._folder.started, {"started_s": self._started_s})
        try:
            self._emulation.begin()
        except (OSError, subprocess.SubprocessError) as error:
            self._note_not_started(0, error)
            return
        ports = free_ports(1 + self._gang.command.num_processes)
        for rank in range(self._gang.command.num_processes):
            environ = rank_environ(self._gang, rank, self._folder, ports, os.environ)
            try:
                self._pids[rank] = self._start_rank(self._gang, rank, self._folder, environ)
                self._emulation.admit(rank, self._pids[rank])
            except (OSError, subprocess.SubprocessError) as error:
                self._note_not_started(rank, error)
                return

    def _note_not_started(self, rank: int, error: Exception) -> None:
        self._first_failed, self._reason = rank, "rank_failed"
        with suppress(OSError), open(self._folder.log(rank), "a", encoding="utf-8") as log:
            log.write(f"trimtab: rank {rank} cannot be started: {error}\n")

    def _turn(self, gpus: GpuMeter) -> None:
        """Waits a moment, less when a child ends, and looks at everything."""
        signal.sigtimedwait([signal.SIGCHLD], TURN_S)
        self._reap()
        now_s = time.monotonic()
        for spool in self._spools:
            spool.note(now_s)
        if now_s >= self._sample_due_s:
            self._sample(gpus)
        if now_s >= self._snapshot_due_s:
            self._snapshot_due_s = now_s + SNAPSHOT_S
            self._disk_full = self._disk_full or is_full(self._folder.path)
            with suppress(OSError):
                usage = self._meter.usage() | gpus.usage()
                snapshot = {"t_s": now_s, "usage": usage}
                files.publish(self._folder.usage, snapshot, durable=False)

    def _sample(self, gpus: GpuMeter) -> None:
        began_s = time.thread_time()
        self._meter.sample(self._census.members())
        now_s = time.monotonic()
        self._samples.append(now_s, self._meter.reading() | gpus.reading())
        spent_s = time.thread_time() - began_s
        self._sample_due_s = now_s + sample_gap_s(spent_s, self._gang.memory_limit_gib)

    def _members(self) -> list[Process]:
        return processes.descendants(os.getpid(), processes.everyone())

    def _reap(self) -> None:
        """Waits for whatever has ended: ranks, and orphans that came to this process."""
        exits = reap_ranks(self._pids, self._exits)
        self._exits |= exits
        first = first_cause(exits)
        if first is not None and self._first_failed is None and not self._reason:
            self._first_failed, self._failed_s = first, time.monotonic()

    def _verdict(self) -> str:
        """Why the gang ends now; empty while it goes on."""
        now_s = time.monotonic()
        if self._terminated:
            return "terminated"
        if self._first_failed is not None and (
            len(self._exits) == len(self._pids) or now_s - self._failed_s >= FAILED_RANK_GRACE_S
        ):
            return "rank_failed"
        if len(self._exits) == len(self._pids):
            return "exited"
        limit_gib = self._gang.memory_limit_gib
        if limit_gib is not None and self._meter.memory_gib > limit_gib:
            return "memory_limit"
        return self._stop_reason() or self._lease_reason(now_s)

    def _stop_reason(self) -> str:
        return files.read_first(self._folder.stop)

    def _lease_reason(self, now_s: float) -> str:
        # A change is what counts, so the clock on the wall may jump as it likes.
        try:
            touched = self._folder.lease.stat().st_mtime_ns
        except OSError:
            if not self._folder.path.exists():  # nobody can stop or adopt this gang any more
                return "controller_lost"
            touched = 0
        if touched != self._lease[0]:
            self._lease = (touched, now_s)
        return "controller_lost" if now_s - self._lease[1] > self._gang.lease_s else ""

    def _tear_down(self, gpus: GpuMeter) -> None:
        if self._reason == "exited":
            self._wait_until_gone(LEFTOVER_GRACE_S, gpus)
        elif self._reason != "memory_limit":
            self._send(signal.SIGTERM)
            self._wait_until_gone(TERM_GRACE_S, gpus)
        deadline_s = time.monotonic() + KILL_LIMIT_S
        while self._send(signal.SIGKILL) and time.monotonic() < deadline_s:
            self._turn(gpus)

    def _send(self, what: signal.Signals) -> int:
        """Signals every descendant, in its own session or not; how many there were."""
        members = self._members()
        for member in members:
            processes.send(member, what)
            if member.is_held and what is signal.SIGTERM:
                # It takes no signal but this one until it goes on.
                processes.send(member, signal.SIGCONT)
        return len(members)

    def _wait_until_gone(self, limit_s: float, gpus: GpuMeter) -> None:
        deadline_s = time.monotonic() + limit_s
        while self._members() and time.monotonic() < deadline_s:
            self._turn(gpus)

    def _publish(self, gpus: GpuMeter) -> None:
        elapsed_s = time.monotonic() - self._started_s
        self._meter.sample([])
        final = self._meter.reading() | gpus.reading()
        self._samples.append(time.monotonic(), final, last=True)
        for spool in self._spools:
            spool.note(time.monotonic(), last=True)
        ranks = range(self._gang.command.num_processes)
        ended = GangExit(
            reason=self._reason,
            elapsed_s=round(elapsed_s, 6),
            ranks=tuple(RankExit(rank=rank, exit_code=self._exits.get(rank)) for rank in ranks),
            first_failed_rank=self._first_failed,
            stopped_ranks=self._held_ranks,
            early_ranks=self._early_ranks,
            disk_full=self._disk_full,
            oom_kills=max(0, sampling.oom_kills() - self._oom_kills),
            usage=self._meter.usage() | gpus.usage(),
        )
        deadline_s = time.monotonic() + PUBLISH_LIMIT_S
        self._reserve.release()
        while not self._is_published(ended) and time.monotonic() < deadline_s:
            time.sleep(1)

    def _is_published(self, ended: GangExit) -> bool:
        try:
            files.write_exit(self._folder, ended)
        except OSError as error:
            print(f"trimtab: {error}", file=sys.stderr)  # noqa: T201
            return False
        return True


def sample_gap_s(spent_s: float, memory_limit_gib: float | None) -> float:
    """How long to wait after a look at the gang that took so much CPU time."""
    gap_s = max(SAMPLE_S, SAMPLE_SHARE * spent_s)
    return gap_s if memory_limit_gib is None else min(gap_s, LIMITED_SAMPLE_S)


def reap_ranks(pids: Mapping[int, int], known: Mapping[int, int | None]) -> dict[int, int]:
    """Waits for every child that has ended; rank -> exit code of those not known yet."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
            # An orphan may get the pid of a rank that was waited for.
            ended.setdefault(reaped[0], os.waitstatus_to_exitcode(reaped[1]))
    return {rank: ended[pid] for rank, pid in pids.items() if pid in ended and rank not in known}


def first_cause(exits: Mapping[int, int | None]) -> int | None:
    """Which of the ranks that ended at the same time was the cause; None where all ended well.

    One that a signal ended: the others tend to report that their peer has gone.
    """
    failed = {rank: code for rank, code in exits.items() if code}
    return min(failed, key=lambda rank: (failed[rank] > 0, rank), default=None)


def live(
    folder: GangFolder, gang: Gang, tell: Callable[[], None], start: Start = start_rank
) -> NoReturn:
    """Supervises a claimed gang to its end; `tell` is called once everybody can see who does."""
    stand_guard()
    processes.become_subreaper()
    processes.write_identity(folder.supervisor)
    tell()
    Supervision(folder, gang, start).run()
    # A thread may hang in a driver: do not wait for it.
    os._exit(0)


def main(path: str) -> None:
    """Returns, in the process that was started, once the supervisor has said who it is."""
    folder = GangFolder(Path(path).resolve())
    # The lock passes on to the child with the descriptor, without a gap.
    gang = claim(folder)
    if gang is None:
        return
    ready, told = os.pipe()
    if os.fork():
        os.close(told)
        os.read(ready, 1)
        return
    os.setsid()
    os.close(ready)
    live(folder, gang, partial(os.close, told))


if __name__ == "__main__":
    main(sys.argv[1])
