"""Rules that no linter knows: sizes, names, and what must never appear."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tuner", "workloads", "storage", "web")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
MAX_LINES = 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_shell_no_pickle_no_kill_by_name(path: Path) -> None:
    forbidden = re.compile(
        r"shell=True|os\.system|os\.popen|\bpickle\b|\bpkill\b|\bkillall\b|yaml\.load\(|\beval\("
    )
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if forbidden.search(line) and not line.lstrip().startswith(("#", '"'))
    ]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_say_what_things_are(path: Path) -> None:
    vague = re.compile(r"(Manager|Helper|Util|Utils|Handler|Base|Impl)$")
    tree = ast.parse(path.read_text())
    named = [n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    assert [name for name in named if vague.search(name)] == []


WALL_CLOCK = re.compile(r"\btime\.time\(|\btime_ns\(|datetime\.(?:now|utcnow)\(|\blocaltime\(")
TIMED = [
    *(ROOT / "tuner" / "executors").glob("*.py"),
    *(ROOT / "tuner" / "collect").glob("*.py"),
    *(ROOT / "tuner" / f"{name}.py" for name in ("observe", "measure", "assess", "report")),
    ROOT / "tuner" / "controller.py",
]


@pytest.mark.parametrize("path", TIMED, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_duration_is_taken_from_the_clock_on_the_wall(path: Path) -> None:
    """It may be set back at any time; the controller asks the clock that it was given."""
    assert WALL_CLOCK.findall(path.read_text()) == []
