"""Exit codes and error lines."""

import subprocess
import sys

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import FakeService
from tuner import errors
from tuner.cli import exits, main
from tuner.errors import InvalidJob, Problem, TrimtabError


def _tree(kind: type[TrimtabError]) -> list[type[TrimtabError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _tree(child))]


@pytest.mark.parametrize("kind", _tree(TrimtabError)[1:])
def test_every_error_has_the_exit_code_that_its_tree_states(kind: type[TrimtabError]) -> None:
    error = kind([]) if issubclass(kind, InvalidJob) else kind("text")
    assert errors.__doc__ is not None
    lines = [line.split() for line in errors.__doc__.splitlines()]
    (stated,) = [line for line in lines if line[:1] == [kind.__name__]]
    assert exits.code_of(error) == int(stated[stated.index("exit") + 1].rstrip(","))


def test_every_code_is_explained() -> None:
    assert set(exits.OF_ERROR.values()) <= set(exits.MEANINGS)


def test_help_topic_lists_the_codes(invoke: Invoke) -> None:
    result = invoke("help", "exit-codes")
    assert result.exit_code == 0
    for code in (0, 1, 2, 3, 5, 6, 7, 10, 11, 12, 14, 130):
        assert any(line.split()[0] == str(code) for line in result.stdout.splitlines())


def test_unknown_topic_is_not_found(invoke: Invoke) -> None:
    result = invoke("help", "nonsense")
    assert result.exit_code == exits.NOT_FOUND
    assert "exit-codes" in result.stderr


def test_not_found_is_one_line_on_stderr(invoke: Invoke) -> None:
    result = invoke("job", "get", "nothing")
    assert result.exit_code == exits.NOT_FOUND
    assert result.stdout == ""
    assert result.stderr == "trimtab: there is no job 'nothing'\n"


def test_debugging_raises(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_DEBUG", "1")
    assert isinstance(invoke("job", "get", "nothing").exception, errors.NotFound)


def test_every_fault_of_a_job_file_is_listed(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [
        Problem(field="name", message="is missing", remedy="add it", line=1),
        Problem(field="budget.trials", message="is no number", remedy="use 8", line=7),
    ]

    def refuse(file: str) -> object:
        raise InvalidJob(problems, file)

    monkeypatch.setattr("tuner.cli.jobs.load", refuse)
    result = invoke("job", "create", "-f", "bad.yaml")
    assert result.exit_code == exits.USAGE
    assert "bad.yaml:1: name: is missing. Remedy: add it" in result.stderr
    assert "bad.yaml:7: budget.trials: is no number. Remedy: use 8" in result.stderr


def test_wrong_usage_is_2(invoke: Invoke) -> None:
    assert invoke("job", "list", "--nonsense").exit_code == exits.USAGE


def test_unexpected_error_is_one_line(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(service, "jobs", break_down)
    monkeypatch.setattr(sys, "argv", ["trimtab", "job", "list"])
    with pytest.raises(SystemExit) as exit_info:
        main.main()
    assert exit_info.value.code == exits.UNEXPECTED
    assert capsys.readouterr().err == (
        "trimtab: unexpected RuntimeError: boom (TRIMTAB_DEBUG=1 shows the traceback)\n"
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "optuna", "sqlalchemy", "fastapi", "pandas", "pydantic", "numpy", "yaml")
    script = (
        "import sys\n"
        "from tuner.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert "doctor" in done.stdout
    assert done.stderr.strip() == "[]"
