from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.builders import NOON, attempt
from tuner.fingerprint import broken_off, difference, of_job

HERE = {"machine": "a1", "torch": "2.13.0", "workload": "aaaa", "git": "1111"}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (HERE, ()),
        ({**HERE, "torch": "2.14.0"}, ("torch 2.13.0 → 2.14.0",)),
        (
            {**HERE, "workload": "bbbb", "machine": "b2"},
            ("machine a1 → b2", "code of the job aaaa → bbbb"),
        ),
        ({**HERE, "data": "0123456789abcdef (contents of 3 files)"}, ()),
        ({k: v for k, v in HERE.items() if k != "torch"}, ()),
        ({**HERE, "git": "2222"}, ()),
        ({}, ()),
    ],
)
def test_difference(after: dict[str, str], words: tuple[str, ...]) -> None:
    assert difference(HERE, after) == words


def test_data_that_was_not_there_is_no_change_of_data() -> None:
    before = {**HERE, "data": "0123456789abcdef (contents of 3 files)"}
    other = {**HERE, "data": "fedcba9876543210 (contents of 3 files)"}
    missing = {**HERE, "data": "missing: a.csv"}
    assert difference(before, other) == ("data of the job 01234567 → fedcba98",)
    assert difference(before, missing) == difference(missing, other) == ()


def test_nothing_is_said_of_what_was_never_taken() -> None:
    assert difference({}, HERE) == ()


def test_a_job_has_the_fingerprint_of_its_first_launch() -> None:
    assert of_job([]) == {}
    first = attempt(1, fingerprint={"torch": "2.13.0"})
    later = [attempt(1, 1, fingerprint=HERE), attempt(2, fingerprint=HERE)]
    assert of_job([*later, attempt(0), first]) == {"torch": "2.13.0"}
    set_back = [replace(a, created_at=NOON - timedelta(hours=1)) for a in later]
    assert of_job([*set_back, first]) == {"torch": "2.13.0"}, "whatever the clock said then"


def test_the_end_of_a_job_names_every_change_and_the_remedy() -> None:
    text = broken_off(("torch 1 → 2", "machine a → b"))
    assert "torch 1 → 2; machine a → b" in text
    assert "Remedy: create the job again" in text
