"""Warm starts: gangs forked from a template, a process that has imported their workload already.

Importing torch takes seconds, forking a process that has it takes milliseconds. A template is kept
for each workload and is never anything but a short cut: it is asked only where a cold start would
do just the same, and when there is none, or it does not answer, the start is cold.
"""

import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tuner.executors.files import GangFolder
from tuner.executors.forked import ROOM
from tuner.executors.ranks import base_environ
from tuner.model import LaunchCommand

ANSWER_LIMIT_S = 10.0
_LATE_PREFIXES = ("NCCL_", "GLOO_", "TRIMTAB_")
"""Read when a process group is made, or by this project: later than any import."""
SHELL_NAMES = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})
"""Different in every shell, and read by nothing that is imported."""
_CODE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class TemplateFolder:
    """The folder of one template."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the template while it lives."""
        return self.path / "lock"

    @property
    def socket(self) -> Path:
        """There once the template can fork."""
        return self.path / "socket"

    @property
    def lease(self) -> Path:
        """Touched while somebody wants the template; it ends when this is old, or gone."""
        return self.path / "lease"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def refused(self) -> Path:
        """Why a process could not become the template."""
        return self.path / "refused"

    def take_lock(self) -> int | None:
        """A descriptor that holds the folder; None where another process does."""
        while True:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            # Whoever held it before may have removed the folder meanwhile.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), self.lock.stat()):
                    return descriptor
            os.close(descriptor)

    @contextmanager
    def short_path(self) -> Iterator[str]:
        """A way into the folder, however long its own: names of sockets have 107 bytes at most."""
        descriptor = os.open(self.path, os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)


class Template:
    """The template of one workload, as an executor sees it."""

    def __init__(self, folder: TemplateFolder, module: str) -> None:
        self.folder = folder
        self._module = module

    def connect(self) -> socket.socket | None:
        """A connection to the template; None where there is none, or not yet."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_LIMIT_S)
        try:
            with self.folder.short_path() as path:
                connection.connect(f"{path}/{self.folder.socket.name}")
        except OSError:
            connection.close()
            return None
        return connection

    def start(self, lease_s: float) -> None:
        """Starts the template unless there is one, without waiting for it. Raises OSError.

        It ends by itself when its lease has not been renewed for so long.
        """
        self.folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.refused.exists():
            return
        self.folder.lease.touch()
        words = [sys.executable, "-m", "tuner.executors.template"]
        words += [str(self.folder.path), self._module, str(lease_s)]
        # The starter leaves the template behind and ends at once.
        threading.Thread(target=_run_starter, args=(words, self.folder.log)).start()

    def renew(self) -> None:
        with suppress(OSError):
            os.utime(self.folder.lease)

    def release(self) -> None:
        """The template ends within a moment; what it has started goes on."""
        with suppress(OSError):
            self.folder.lease.unlink(missing_ok=True)


class Templates:
    """The templates that one executor uses, for modules of one package."""

    def __init__(self, root: Path, package: str | None) -> None:
        self._root = root
        self._package = package
        self._used: dict[str, Template] = {}

    def find(self, command: LaunchCommand) -> Template | None:
        """The template for a command; None where only a cold start is safe."""
        module = self._module(command)
        if module is None:
            return None
        folder = TemplateFolder(self._root / _key(module))
        known = self._used.get(module)
        if known is not None and known.folder == folder:
            return known
        if known is not None:
            known.release()
        # What stood in the way of an earlier executor may have gone.
        folder.refused.unlink(missing_ok=True)
        self._used[module] = Template(folder, module)
        return self._used[module]

    def renew(self) -> None:
        for template in self._used.values():
            template.renew()

    def close(self) -> None:
        for template in self._used.values():
            template.release()
        self._used.clear()

    def _module(self, command: LaunchCommand) -> str | None:
        if self._package is None or command.argv[:2] != (sys.executable, "-m"):
            return None
        module = "".join(command.argv[2:3])
        if not module.startswith(f"{self._package}.") or not _is_late(command):
            return None
        # A cold start would take the package from its working folder, if it is there.
        folder = Path(command.working_dir)
        here = (folder / self._package.split(".")[0]).exists()
        return None if here and folder.resolve() != _CODE_ROOT else module


def ask(connection: socket.socket, folder: GangFolder) -> None:
    """Asks for a supervisor of a gang. Whether there is one, its folder tells, not the answer."""
    request = {"folder": str(folder.path), "environ": dict(os.environ)}
    with suppress(OSError):
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def template_environ() -> dict[str, str]:
    """What a template starts with: what ranks get, and no threads for numpy's library of matrices,
    which would start them when imported, and which no workload uses."""
    return base_environ(os.environ) | {"OPENBLAS_NUM_THREADS": "1"} | ROOM


def _is_late(command: LaunchCommand) -> bool:
    """Whether it is early enough to set the command's variables after the imports.

    Nobody knows which variables a library reads while it is loaded (OMP_, MKL_, CUDA_, LD_,
    PYTHON...), so only those known to be read later may differ from what the template has.
    """
    base = base_environ(os.environ)
    return all(
        name.startswith(_LATE_PREFIXES) or base.get(name) == value
        for name, value in command.env.items()
    )


def _key(module: str) -> str:
    """Names everything that a fork takes over from the template: same name, same start."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_LATE_PREFIXES) and name not in SHELL_NAMES
    }
    facts = [
        module,
        sys.executable,
        environ,
        sorted(os.sched_getaffinity(0)),
        os.getpriority(os.PRIO_PROCESS, 0),
        Path("/proc/self/cgroup").read_text(encoding="utf-8"),
        list(_sources(module.partition(".")[0])),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _sources(package: str) -> Iterator[tuple[str, int, int]]:
    """Path, time and size of the code of the workloads and of supervisors."""
    patterns = ("tuner/*.py", "tuner/executors/*.py", f"{package}/**/*.py")
    for path in sorted(chain.from_iterable(map(_CODE_ROOT.glob, patterns))):
        with suppress(FileNotFoundError):
            state = path.stat()
            yield str(path), state.st_mtime_ns, state.st_size


def _run_starter(words: list[str], log: Path) -> None:
    with suppress(OSError), open(log, "ab") as file:
        subprocess.run(
            words,
            cwd=_CODE_ROOT,
            env=template_environ(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            check=False,
        )
