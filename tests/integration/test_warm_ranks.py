"""A rank that was forked is what a rank that was started is."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gangs import end_everything, make_gang, program, wait_for_end, warm_executor
from tuner.executors.local import LocalExecutor
from tuner.gang import Gang, RankExit
from tuner.model import Placement

pytestmark = pytest.mark.slow

TELL = """
import json, os, random, resource, signal, sys, threading, warnings
name = lambda one: getattr(one, "__name__", str(one))
print(json.dumps({
    "env": dict(os.environ), "cores": sorted(os.sched_getaffinity(0)), "cwd": os.getcwd(),
    "leads": (os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()),
    "signals": {int(s): name(signal.getsignal(s)) for s in signal.valid_signals()},
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "files": [os.readlink(f"/proc/self/fd/{n}").split("/")[-1] for n in (0, 1, 2)],
    "others": sorted(set(os.listdir("/proc/self/fd")) - {"0", "1", "2", "3"}),
    "oom": open("/proc/self/oom_score_adj").read(), "nice": os.nice(0), "umask": os.umask(0o22),
    "argv": sys.argv[1:], "name": __name__, "spec": sys.modules["__main__"].__spec__.name,
    "path": sys.path[0], "threads": threading.active_count(), "chance": random.random(),
    "buffered": (sys.stdout.write_through, sys.stderr.write_through),
    "filters": len(warnings.filters),
    "limits": [resource.getrlimit(n) for n in range(10)], "stamp": sorted(v for v in
        open("/proc/self/environ").read().split(chr(0)) if v.startswith("TRIMTAB_"))}))
"""
CORES = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def warm(folder: Path) -> Iterator[LocalExecutor]:
    with warm_executor(folder / "warm") as executor:
        yield executor


@pytest.fixture(scope="module")
def cold(folder: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(folder / "cold", None)
    yield executor
    end_everything(executor, folder / "cold")


def run(executor: LocalExecutor, gang: Gang) -> tuple[tuple[RankExit, ...], list[str]]:
    """How the ranks ended, and what each of them wrote, but for how it came to be run."""
    executor.launch(gang)
    ended = wait_for_end(executor, gang.launch_key)
    texts = [executor.tail(gang.launch_key, rank, 65536) for rank in range(len(ended.ranks))]
    return ended.ranks, ["".join(_without_runpy(text)) for text in texts]


def _without_runpy(text: str) -> list[str]:
    return [line for line in text.splitlines(keepends=True) if "<frozen runpy>" not in line]


def both(cold: LocalExecutor, warm: LocalExecutor, gang: Gang) -> list[str]:
    """What warm ranks wrote, which is what cold ones did."""
    expected, found = run(cold, gang), run(warm, gang)
    assert found == expected
    return found[1]


def test_everything_about_a_rank_is_as_in_a_cold_one(
    cold: LocalExecutor, warm: LocalExecutor
) -> None:
    nodes = ((CORES[0],), (CORES[-1],))
    gang = make_gang(
        "place",
        (*program(TELL)[:-1], "--option", TELL),
        nnodes=2,
        nproc_per_node=2,
        placement=Placement(cores=nodes, gpus=((0, 1), (4, 5))),
        env={"TRIMTAB_MINE": "yes", "OMP_WAIT_POLICY": "PASSIVE"},
    )
    seen = [[json.loads(text) for text in run(executor, gang)[1]] for executor in (cold, warm)]
    for rank, (expected, found) in enumerate(zip(*seen, strict=True)):
        assert found["env"]["RANK"] == str(rank)
        assert found["cores"] == list(nodes[rank // 2])
        assert found["leads"] == [True, True]
        for one in (expected, found):
            assert one["env"].pop("TRIMTAB_METRICS_FILE") in str(one["stamp"])
            # Any library may set variables that Python does not know of; readline sets two.
            for name in ("MASTER_PORT", "COLUMNS", "LINES"):
                one["env"].pop(name, None)
            one["stamp"] = [v for v in one["stamp"] if v.startswith("TRIMTAB_LAUNCH_KEY=")]
            one.pop("chance")
        assert found == expected
    assert len({rank["chance"] for rank in _again(warm, gang)}) == 4


def _again(executor: LocalExecutor, gang: Gang) -> list[dict[str, float]]:
    texts = [executor.tail(gang.launch_key, rank, 65536) for rank in range(4)]
    return [json.loads(text) for text in texts]


ENDS = {
    "well": "print('done')",
    "code": "import sys; print('x', end=''); sys.exit(3)",
    "large code": "raise SystemExit(258)",
    "none": "raise SystemExit",
    "text": "import sys; sys.exit('the trouble')",
    "error": "def f():\n  1 / 0\n"
    "try:\n  f()\nexcept ArithmeticError as e:\n  raise ValueError('b') from e",
    "assertion": "assert False, 'no'",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "at exit": "import atexit; atexit.register(print, 'late'); print('early'); 1 / 0",
    "thread": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()\nprint('early')",
    "pool": "from concurrent.futures import ThreadPoolExecutor\n"
    "ThreadPoolExecutor(1).submit(print, 'pooled')",
    "children": "import multiprocessing as m\n"
    "c = m.get_context('fork').Process(target=print, args=('c',))\n"
    "c.start(); c.join(); print(c.exitcode, m.parent_process(), m.current_process().name)",
    "exit now": "import os; print('x'); os._exit(7)",
}


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_as_a_cold_one(cold: LocalExecutor, warm: LocalExecutor, how: str) -> None:
    both(cold, warm, make_gang(how.replace(" ", "-"), program(ENDS[how])))


def test_a_traceback_begins_in_the_module(warm: LocalExecutor) -> None:
    gang = make_gang("traceback", program("raise ValueError('here')"))
    _, [text] = run(warm, gang)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith('  File "<program>", line 1, in <module>\nValueError: here\n')
    assert "forked.py" not in text


def test_what_cannot_be_started_says_the_same(cold: LocalExecutor, warm: LocalExecutor) -> None:
    missing = make_gang("cores", program(""), placement=Placement(cores=((4095,),), gpus=((),)))
    [text] = both(cold, warm, missing)
    assert "cores [4095] cannot be used here" in text


def test_a_command_of_one_process_knows_no_ranks(cold: LocalExecutor, warm: LocalExecutor) -> None:
    code = "import os; print('RANK' in os.environ, 'MASTER_PORT' in os.environ)"
    assert both(cold, warm, make_gang("once", program(code), per_rank=False)) == ["False False\n"]


def test_what_is_imported_stays_what_it_is(warm: LocalExecutor) -> None:
    """A rank has the template's modules, and its own module once, as `__main__`."""
    code = "import sys; print('tests.programs.words' in sys.modules, 'tuner.report' in sys.modules)"
    _, [text] = run(warm, make_gang("modules", program(code)))
    assert text == "False True\n"


def test_ranks_were_forked(warm: LocalExecutor) -> None:
    code = "print(open('/proc/self/cmdline').read())"
    _, [text] = run(warm, make_gang("forked", program(code)))
    assert "tuner.executors.template" in text
    assert sys.executable in text
