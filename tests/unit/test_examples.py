import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tuner import description, spec_apply
from tuner import spec as spec_module
from tuner.jobfile import load_job_file
from tuner.launch import launch_command
from tuner.space import Choice, Float, Int, Space
from tuner.spec import JobSpec
from tuner.yaml_lines import read

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def used_fields(raw: object, typed: object) -> Iterator[tuple[str, str]]:
    """(dataclass, field) for every key that a file writes out."""
    if isinstance(raw, list) and isinstance(typed, tuple):
        for item, value in zip(raw, typed, strict=True):
            yield from used_fields(item, value)
    elif isinstance(raw, dict) and isinstance(typed, Mapping):
        for key, item in raw.items():
            yield from used_fields(item, typed[key])
    elif isinstance(raw, dict):
        for key, item in raw.items():
            yield type(typed).__name__, key
            yield from used_fields(item, getattr(typed, key))


def all_fields() -> set[tuple[str, str]]:
    owners = [
        value
        for module in (spec_module, spec_apply, description)
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return {
        (owner.__name__, field.name)
        for owner in (*owners, Int, Float, Choice, Space)
        for field in dataclasses.fields(owner)
    }


def test_there_are_examples() -> None:
    names = {file.stem for file in EXAMPLES}
    assert {"dlrm", "own-command", "own-report", "multi-objective", "gpu", "lightning"} <= names


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.stem))
def test_an_example_loads_and_its_baseline_can_be_launched(file: Path) -> None:
    spec = load_job_file(file)
    command = launch_command(spec, spec.space.default())
    assert command.argv
    assert not any("$" in word for word in command.argv)
    for word in command.argv:
        if word.endswith(".py"):
            assert (Path(command.working_dir) / word).is_file()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.stem))
def test_an_example_is_commented_and_says_how_to_run_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"trimtab run -f examples/{file.name}" in text
    assert len(re.findall(r"[^\s#].* # ", text)) >= 3


def test_every_field_of_a_job_file_is_shown_in_an_example() -> None:
    shown: set[tuple[str, str]] = set()
    for file in EXAMPLES:
        raw = read(file.read_text(encoding="utf-8"), str(file)).data
        shown |= set(used_fields(raw, load_job_file(file)))
    assert sorted(all_fields() - shown) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.stem))
def test_prices_in_examples_are_marked_as_such(file: Path) -> None:
    if load_job_file(file).prices is not None:
        assert "EXAMPLE FIGURES" in file.read_text(encoding="utf-8")


def test_the_pattern_of_the_own_command_reads_what_its_script_prints() -> None:
    folder = EXAMPLES[0].parent
    (pattern,) = example("own-command").workload.log.patterns
    printed = re.search(r'line = f"(.*?)"', (folder / "plain_train.py").read_text(encoding="utf-8"))
    assert printed is not None
    line = re.sub(r"\{[^}]*\}", "12", printed[1])
    match = re.search(pattern, line)
    assert match is not None
    assert match.groupdict() == {"step": "12", "step_time_ms": "12", "loss": "12"}


def example(name: str) -> JobSpec:
    return load_job_file(next(file for file in EXAMPLES if file.stem == name))
