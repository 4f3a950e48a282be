"""How a rank is started: its words, environment, cores and log."""

import json
import os
import random
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from tuner.executors.files import GangFolder
from tuner.executors.processes import die_with_parent
from tuner.gang import RANK_NAMES, Gang
from tuner.report import FILE_VARIABLE

KEY_VARIABLE = "TRIMTAB_LAUNCH_KEY"
OUTPUT_VARIABLE = "TRIMTAB_OUTPUT_DIR"
"""Where a gang writes the files of its own that shall be read."""

_OTHER_GANG = frozenset(
    {
        *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME"),
        *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
        *("MASTER_ADDR", "MASTER_PORT"),
    }
)
_PORTS = range(15_000, 32_000)
"""Below those that the kernel hands to outgoing connections, so that none of them takes it."""
_HOST = "127.0.0.1"
_RANK_NAME = re.compile(rf"\$\{{({'|'.join(RANK_NAMES)})\}}")


def start_rank(gang: Gang, rank: int, folder: GangFolder, environ: Mapping[str, str]) -> int:
    """Starts a rank in a session of its own and returns its pid. Raises OSError, SubprocessError.

    Only for a process without threads: the child runs Python before it becomes the rank.
    """
    cores = cores_of(gang, rank)
    require(cores)
    log = open_log(folder, rank)
    try:
        process = subprocess.Popen(
            gang.command.argv,
            cwd=gang.command.working_dir,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(settle, cores, os.getpid()),
        )
    finally:
        os.close(log)
    # The supervisor waits for it by its pid.
    process.returncode = 0
    return process.pid


def require(cores: tuple[int, ...]) -> None:
    """Raises OSError where a core cannot be used."""
    missing = sorted(set(cores) - os.sched_getaffinity(0))
    if missing:
        raise OSError(f"cores {missing} cannot be used here")


def open_log(folder: GangFolder, rank: int) -> int:
    return os.open(folder.log(rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def settle(cores: tuple[int, ...], parent: int) -> None:
    """What a new rank does first, as a process of its own."""
    if cores:
        os.sched_setaffinity(0, cores)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        # When memory runs out the trial shall go, not the controller.
        file.write("500")
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)


def cores_of(gang: Gang, rank: int) -> tuple[int, ...]:
    """A rank runs on the cores of its node, a single process on all; empty is no pinning."""
    return _held(gang, gang.placement.cores, rank)


def gpus_of(gang: Gang, rank: int) -> tuple[int, ...]:
    return _held(gang, gang.placement.gpus, rank)


def _held(gang: Gang, by_node: tuple[tuple[int, ...], ...], rank: int) -> tuple[int, ...]:
    if not gang.command.per_rank:
        return tuple(chain.from_iterable(by_node))
    node = rank // gang.command.nproc_per_node
    return by_node[node] if node < len(by_node) else ()


def base_environ(inherited: Mapping[str, str]) -> dict[str, str]:
    """What the environments of all ranks have in common. Where Trimtab itself was started as a rank
    of something, its trials are none of that."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _OTHER_GANG and not name.startswith("TORCHELASTIC_")
    }
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, "PYTHONUNBUFFERED": "1"}


def rank_environ(
    gang: Gang, rank: int, folder: GangFolder, ports: Sequence[int], inherited: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a rank; `ports` are one for the gang, and then one of each rank."""
    environ = base_environ(inherited)
    gpus = gpus_of(gang, rank)
    if gpus:
        # NVML counts GPUs by bus, CUDA by speed unless told otherwise.
        environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    if gang.command.per_rank:
        environ |= _rendezvous(gang, rank, ports[0])
    environ |= _own_environ(gang, rank, ports[1:])
    environ[KEY_VARIABLE] = gang.launch_key
    environ[FILE_VARIABLE] = str(folder.metrics(rank))
    if gang.files:
        environ[OUTPUT_VARIABLE] = str(folder.files)
    return environ


def _rendezvous(gang: Gang, rank: int, port: int) -> dict[str, str]:
    node, local_rank = divmod(rank, gang.command.nproc_per_node)
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(gang.command.num_processes),
        "LOCAL_WORLD_SIZE": str(gang.command.nproc_per_node),
        "GROUP_RANK": str(node),
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
    }


def _own_environ(gang: Gang, rank: int, ports: Sequence[int]) -> dict[str, str]:
    """What the job says itself, with what is this rank's own filled in."""
    if not gang.command.per_rank:
        return gang.command.env
    own = {
        "rank": str(rank),
        "local_rank": str(rank % gang.command.nproc_per_node),
        "world_size": str(gang.command.num_processes),
        "workers": json.dumps([f"{_HOST}:{port}" for port in ports]),
    }
    env = gang.command.env.items()
    return {name: _RANK_NAME.sub(lambda found: own[found[1]], text) for name, text in env}


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on. Raises OSError."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, min(100 + 2 * count, len(_PORTS))):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((_HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports from {_PORTS.start} to {_PORTS.stop - 1}")
