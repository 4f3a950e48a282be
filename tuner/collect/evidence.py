"""What the words of a log tell of a failure: kinds, remedies, and whose words they are."""

import re
from dataclasses import dataclass

from tuner.collect.lines import clean, split_rank
from tuner.model import FailureKind

_IS_TRIED_AGAIN = "it is tried again"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Words in a log that tell a kind of failure."""

    kind: FailureKind
    words: re.Pattern[str]
    remedy: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a launcher says of the rank that failed first."""

    rank: int
    exit_code: int


def _words(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), re.IGNORECASE)


_MEMORY = (
    Evidence(
        FailureKind.OUT_OF_MEMORY,
        _words(
            r"CUDA out of memory",
            r"torch\.(?:cuda\.)?OutOfMemoryError",
            r"CU[A-Z]+_STATUS_ALLOC_FAILED",
            r"(?:CUDA|HIP|cuda) ?(?:error|failure)\W.*out of memory",
            r"cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory",
            r"HIP out of memory",
            r"RESOURCE_?EXHAUSTED(?!.*message)",
            r"OOM when allocating tensor",
        ),
        "use a smaller batch, lower precision or more ranks, or shard the embedding tables",
    ),
    Evidence(
        FailureKind.HOST_OUT_OF_MEMORY,
        _words(
            r"^(?:\S*\.)?\w*MemoryError\b",
            r"can't allocate memory",
            r"Cannot allocate memory",
            r"std::bad_alloc",
            r"insufficient shared memory",
            r"unable to (?:mmap|allocate shared memory)",
            r"killed by signal: Bus error",
        ),
        "use a smaller batch or fewer loader workers, or allow more host memory",
    ),
)
"""They count wherever they stand: what is raised after them often says something else."""
_OTHERS = (
    Evidence(
        FailureKind.INFRASTRUCTURE,
        _words(r"EADDRINUSE", r"Address already in use"),
        f"nothing to change: another process took the port; {_IS_TRIED_AGAIN} with another port",
    ),
    Evidence(
        FailureKind.INFRASTRUCTURE,
        _words(r"No space left on device", r"Disk quota exceeded", r"Read-only file system"),
        f"nothing to change in the job: make room on the disk; {_IS_TRIED_AGAIN}",
    ),
    Evidence(
        FailureKind.INFRASTRUCTURE,
        _words(
            r"uncorrectable ECC",
            r"fallen off the bus",
            r"GPU is lost",
            r"\bXid\b",
            r"uncorrectable NVLink error",
            r"device(?:s|\(s\))? (?:is/are|is|are) busy or unavailable",
        ),
        f"nothing to change in the job: look after the GPU (`nvidia-smi -q`); {_IS_TRIED_AGAIN}",
    ),
    Evidence(
        FailureKind.DIVERGED,
        _words(
            r"\bloss\b\W*(?:(?:is|was|became|returned .*? is) )?(?:nan|inf)\b",
            r"\b(?:nan|inf) loss\b",
            r"\bloss is not (?:finite|a number)\b",
            r"returned nan values in its",
        ),
        "lower the learning rate, or use fp32: the loss is no number any more",
    ),
    Evidence(
        FailureKind.CRASH,
        _words(
            r"ModuleNotFoundError|No module named",
            r"FileNotFoundError|No such file or directory",
            r"cannot be started: |command not found",
        ),
        "no configuration can mend this: install what is missing, or correct the path",
    ),
)
SECONDARY = _words(
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
_USAGE_BEGINS = re.compile(r"^usage: ", re.IGNORECASE)
_CPP_FRAME = re.compile(r"^frame #\d+|^Exception raised from ")
_ROOT_CAUSE = re.compile(r"^(?:rank\s*: (?P<rank>\d+)|exitcode\s*: (?P<code>-?\d+))")


def lines_of(tail: str) -> list[str]:
    """The lines of a log without what hides them: colours, launchers' prefixes, C++ frames."""
    lines = (split_rank(clean(line))[1] for line in re.split(r"[\r\n]+", tail))
    return [line for line in lines if line and not _CPP_FRAME.match(line)]


def evidence_in(lines: list[str]) -> tuple[Evidence, str] | None:
    """The evidence in a log and its line; beside memory only the last traceback is evidence."""
    last = max((n for n, line in enumerate(lines) if line.startswith("Traceback ")), default=0)
    return _first_of(_MEMORY, lines) or _first_of(_OTHERS, lines[last:])


def _first_of(table: tuple[Evidence, ...], lines: list[str]) -> tuple[Evidence, str] | None:
    for evidence in table:
        for line in reversed(lines):
            if evidence.words.search(line):
                return evidence, line
    return None


def has_reason(lines: list[str]) -> bool:
    """Whether a log tells of something else than the loss of another rank."""
    if evidence_in(lines) is not None:
        return True
    return any(_EXCEPTION.match(line) and not SECONDARY.search(line) for line in lines)


def is_secondary(lines: list[str]) -> bool:
    """Whether a log tells of the loss of another rank, and of nothing else."""
    return any(SECONDARY.search(line) for line in lines) and not has_reason(lines)


def exception_in(lines: list[str]) -> str | None:
    """The last line that names an exception, one of the rank's own first."""
    found = [line for line in lines if _EXCEPTION.match(line)]
    own = [line for line in found if not SECONDARY.search(line)]
    return next(reversed(own or found), None)


def usage_in(lines: list[str], exit_code: int | None) -> str | None:
    """What a program says that does not take its options; a launcher hides its exit code of 2."""
    found = [line for line in lines if _USAGE.search(line)]
    is_sure = exit_code == 2 or any(_USAGE_BEGINS.search(line) for line in found[:-1])
    return found[-1] if found and is_sure else None


def verdict_in(lines: list[str]) -> Verdict | None:
    """Which rank failed first, as torchrun tells at its end."""
    begins = [n for n, line in enumerate(lines) if line.startswith("Root Cause ")]
    if not begins:
        return None
    found: dict[str, int] = {}
    for line in lines[begins[-1] :]:
        match = _ROOT_CAUSE.match(line)
        if match is not None:
            found |= {name: int(text) for name, text in match.groupdict().items() if text}
    if set(found) != {"rank", "code"}:
        return None
    return Verdict(found["rank"], found["code"])
