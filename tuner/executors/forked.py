"""A rank that is a fork of its supervisor, which has the rank's module imported already.

The fork becomes what a new `python -m MODULE ...` would be: its session, cores, files, folder,
environment, signals, words and chance; then it runs the module as `__main__` and ends as Python
does. Only for a supervisor with one thread.
"""

import atexit
import ctypes
import os
import random
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from tuner.executors.files import GangFolder
from tuner.executors.ranks import KEY_VARIABLE, cores_of, open_log, require, settle
from tuner.gang import Gang
from tuner.report import FILE_VARIABLE

_ROOM_VARIABLE = "TRIMTAB_ROOM"
ROOM = {_ROOM_VARIABLE: "." * 6000}
"""For the environment of a process that shall be forked: /proc shows the environment that a
process was started with, and what takes this room is how a rank without supervisor is found."""


def fork_rank(gang: Gang, rank: int, folder: GangFolder, environ: Mapping[str, str]) -> int:
    """Starts a rank in a session of its own and returns its pid. Raises OSError."""
    cores = cores_of(gang, rank)
    require(cores)
    working_dir = os.open(gang.command.working_dir, os.O_PATH | os.O_DIRECTORY)
    log = open_log(folder, rank)
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            _take_files(log, working_dir)
            _become_rank(partial(settle, cores, parent), environ, gang.command.argv[2:])
        return pid
    finally:
        os.close(working_dir)
        os.close(log)


def _take_files(log: int, working_dir: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((null, log, log)):
        os.dup2(descriptor, number)
    os.fchdir(working_dir)
    close_others(frozenset())


def _become_rank(
    settled: Callable[[], None], environ: Mapping[str, str], words: tuple[str, ...]
) -> NoReturn:
    try:
        os.setsid()
        settled()
        take_environ(environ)
        stamp({name: environ[name] for name in (KEY_VARIABLE, FILE_VARIABLE)})
        run_as_main(words[0], words[1:])
    except BaseException:
        traceback.print_exc()
    finally:
        # Nothing of the supervisor may run on in here.
        os._exit(1)


def close_others(kept: Set[int]) -> None:
    """Closes what was inherited, but for the standard three: a lock is held by whoever has it."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and int(name) not in kept:
            # One of them has listed the others, and is closed already.
            with suppress(OSError):
                os.close(int(name))


def take_environ(environ: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)


def stamp(variables: Mapping[str, str]) -> None:
    """Makes /proc show these variables, as if this process had been started with them.

    It takes the ROOM that its template was started with. Raises OSError where that is not enough.
    """
    text = b"".join(os.fsencode(f"{name}={value}\0") for name, value in variables.items())
    environ = Path("/proc/self/environ").read_bytes()
    start = environ.find(f"{_ROOM_VARIABLE}=".encode())
    size = environ.find(b"\0", start) - start
    if start < 0 or len(text) > size:
        raise OSError("no room for its environment")
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    ctypes.memmove(int(fields[47]) + start, text.ljust(size, b"\0"), size)


def run_as_main(module: str, words: tuple[str, ...]) -> NoReturn:
    """Does what `python -m` does after the start of Python, and ends the process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    sys.argv = [module, *words]
    sys.path[0] = str(Path.cwd())
    random.seed()
    # It runs anew, as `__main__`, so that it is not there twice.
    sys.modules.pop(module, None)
    code = 1
    try:
        code = _run(module)
        # As at the end of Python, but nothing is freed piece by piece.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


def _run(module: str) -> int:
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201
        return 1
    except BaseException as error:
        shown = _from_module_on(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(shown), shown)
        return 1
    return 0


def _from_module_on(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames that led into the module."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    return trace
