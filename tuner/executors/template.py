"""The template of one workload: `python -m tuner.executors.template FOLDER MODULE LEASE_S`.

It imports the workload and lets it prepare what all its ranks need. Whoever connects gets a
supervisor, forked from it, which forks its ranks likewise. The template has one thread and never
used a GPU, as neither lives through a fork; a workload that breaks this is refused and always
starts cold. It ends when its lease is old or gone; what it has started does not need it.
"""

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tuner.executors import supervisor
from tuner.executors.claim import claim
from tuner.executors.files import GangFolder
from tuner.executors.forked import close_others, fork_rank, take_environ
from tuner.executors.warm import ANSWER_LIMIT_S, TemplateFolder

TURN_S = 0.25


class UnsafeError(Exception):
    """A fork of this process could not do what a new process can."""


def preload(module: str) -> None:
    """Imports a workload and calls its `prepare()`, if it has one: what its ranks have in common.

    Raises UnsafeError, and whatever the workload raises.
    """
    prepare = getattr(importlib.import_module(module), "prepare", None)
    if prepare is not None:
        prepare()
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads != 1:
        raise UnsafeError(f"{module} has started {threads - 1} threads")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise UnsafeError(f"{module} has initialised CUDA")
    # What is there stays: no collection shall touch, and so copy, its pages in the forks.
    gc.collect()
    gc.freeze()


def listen(folder: TemplateFolder) -> socket.socket:
    """A socket that appears when it can be connected to, for this user only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = folder.socket.with_name(".socket")
    new.unlink(missing_ok=True)
    earlier = os.umask(0o177)
    with folder.short_path() as path:
        listener.bind(f"{path}/{new.name}")
    os.umask(earlier)
    listener.listen(64)
    new.replace(folder.socket)
    return listener


def serve(folder: TemplateFolder, listener: socket.socket, lease_s: float) -> None:
    """Forks a supervisor for whoever connects, until the lease has run out."""
    # Nobody waits for supervisors: they say in files how it went.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    touched, seen_s = 0, time.monotonic()
    while True:
        try:
            latest = folder.lease.stat().st_mtime_ns
        except OSError:
            return
        if latest != touched:
            touched, seen_s = latest, time.monotonic()
        if time.monotonic() - seen_s > lease_s:
            return
        if select.select([listener], [], [], TURN_S)[0]:
            connection, _ = listener.accept()
            if is_own(connection) and os.fork() == 0:
                become_supervisor(connection)
            connection.close()


def is_own(connection: socket.socket) -> bool:
    """Whether the other end is a process of the same user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())


def become_supervisor(connection: socket.socket) -> NoReturn:
    """What a fork of the template does: takes the request and stays with the gang to its end."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        close_others({connection.fileno()})
        connection.settimeout(ANSWER_LIMIT_S)
        with connection.makefile("rb") as file:
            request = json.load(file)
        folder = GangFolder(Path(request["folder"]))
        log = os.open(folder.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        take_environ(request["environ"])
        gang = claim(folder)
        if gang is not None:
            supervisor.live(folder, gang, lambda: _answer(connection), fork_rank)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _answer(connection: socket.socket) -> None:
    # Whoever asked may have gone; whoever comes next finds the gang by its key.
    with suppress(OSError), connection:
        connection.sendall(b"1")


def main(path: str, module: str, lease_s: float) -> None:
    """Returns, in the process that was started, once the template lives apart from it."""
    folder = TemplateFolder(Path(path))
    # The lock passes on to the child with the descriptor, without a gap.
    if folder.take_lock() is None or os.fork():
        return
    try:
        preload(module)
    except Exception as error:
        folder.refused.write_text(f"{type(error).__name__}: {error}\n", encoding="utf-8")
        raise
    try:
        serve(folder, listen(folder), lease_s)
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
