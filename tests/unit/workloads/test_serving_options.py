"""Options of replicas and fleets: from a command line, from a plan, and back into words."""

import dataclasses

import pytest

from workloads.serving import load
from workloads.serving.__main__ import main
from workloads.serving.fleet import parse
from workloads.serving.options import (
    FleetOptions,
    Parser,
    ReplicaOptions,
    UsageError,
    add_replica_options,
    changed,
    replica_options,
)


def fleet(*words: str) -> FleetOptions:
    return parse(words)[0]


def again(options: ReplicaOptions) -> ReplicaOptions:
    parser = Parser(prog="replica")
    add_replica_options(parser)
    return replica_options(parser.parse_args(options.words()))


def test_a_replica_reads_what_the_fleet_writes() -> None:
    options = fleet(
        "--max-batch=8", "--max-wait-ms=1.5", "--precision=int8", "--plan-hash=abc"
    ).replica
    assert again(options) == options
    assert (options.max_batch, options.max_wait_ms, options.plan_hash) == (8, 1.5, "abc")


def test_a_plan_changes_what_it_names_and_nothing_else() -> None:
    before = fleet("--replicas=1", "--dim=16", "--max-batch=4", "--plan-hash=old")
    after = changed(before, {"replicas": 2, "routing": "power_of_two", "max_batch": 32}, "new")
    assert (after.replicas, after.routing) == (2, "power_of_two")
    assert after.replica == dataclasses.replace(before.replica, max_batch=32, plan_hash="new")


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ({"max_batch": 0}, "max-batch"),
        ({"max_batch": "many"}, "max-batch"),
        ({"max_wait_ms": -1}, "max-wait-ms"),
        ({"routing": "best"}, "routing"),
        ({"replica": 2}, "replica"),
        ({"precision": "int8", "graph": "compile"}, "int8 runs with graph eager"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(plan: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        changed(fleet(), plan, "new")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--max-batch=0"], "max-batch"),
        (["--replicas=none"], "replicas"),
        (["--slo-ms=0"], "slo-ms"),
        (["--shape=day"], "needs --rate"),
        (["--precision=fp8"], "precision"),
        (["--precision=int8", "--graph=export"], "int8"),
    ],
)
def test_a_trial_says_which_option_is_wrong(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert ": error: " in said
    assert named in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--url=nowhere"], "nowhere"),
        (["--url=http://127.0.0.1/", "--rate=-1"], "rate"),
        (["--url=http://127.0.0.1/", "--bodies=/does/not/exist"], "/does/not/exist"),
        ([], "--url"),
    ],
)
def test_a_load_says_which_option_is_wrong(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load.main(words) == 2
    said = capsys.readouterr().err
    assert "load: error: " in said
    assert named in said


def test_a_command_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--url=http://127.0.0.1:{port}/", "--start", "--", "/does/not/exist", "{port}"]
    assert load.main(words) == 1
    assert "'/does/not/exist' cannot be started" in capsys.readouterr().err
