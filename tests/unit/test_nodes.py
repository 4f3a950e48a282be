"""Types of nodes as a parameter: what is launched, where, and what it costs."""

from decimal import Decimal
from typing import Any

import pytest

from tests.unit.builders import spec
from tuner import cost, nodes
from tuner.expression import Value
from tuner.launch import launch_command, place
from tuner.spec import JobSpec

TYPES: dict[str, Any] = {
    "fast": {"cores": 1, "per_hour": {"on_demand": 0.04}},
    "slow": {"cores": 1, "cpu_share": 0.5, "per_hour": {"on_demand": 0.015}},
    "wide": {"cores": 3, "link_mbit_per_s": 200, "per_hour": {"on_demand": 0.1}},
    "far": {"cores": 1, "link_mbit_per_s": 50, "per_hour": {"on_demand": 0.02}},
}


def typed(*options: str, types: dict[str, Any] | None = None, **params: Any) -> JobSpec:
    chosen = {"node_type": {"kind": "choice", "options": list(options)}, **params}
    prices = {"as_of": "2026-11-01", "node_types": TYPES if types is None else types}
    return spec(space={"params": chosen}, prices=prices, workload={"name": "dlrm"})


def held(job: JobSpec, params: dict[str, Value], cores: int = 8) -> Any:
    command = launch_command(job, params)
    every = range(cores)
    return command, place(job, command, every, every, (), ())


def test_a_type_gives_nodes_their_cores_and_their_price() -> None:
    job = typed("fast", "wide", "fast+wide")
    command, placement = held(job, {"node_type": "fast+wide"})
    assert command.nnodes == 2
    assert placement.cores == ((0,), (1, 2, 3))
    assert placement.node_types == ("fast", "wide")
    assert cost.usd_per_hour(job, placement) == Decimal("0.14")
    _, alone = held(job, {"node_type": "wide"})
    assert alone.cores == ((0, 1, 2),)
    assert cost.usd_per_hour(job, alone) == Decimal("0.1")


def test_one_type_holds_for_every_node() -> None:
    job = typed("fast", "slow", nnodes={"kind": "int", "low": 1, "high": 3})
    command, placement = held(job, {"node_type": "slow", "nnodes": 3})
    assert placement.node_types == ("slow",) * 3
    assert cost.usd_per_hour(job, placement) == Decimal("0.045")
    assert command.env[nodes.SHARES_VARIABLE] == "0.5,0.5,0.5"


def test_what_runs_is_not_told_as_an_option() -> None:
    command, _ = held(typed("fast", "slow"), {"node_type": "slow"})
    assert not any("node" in word for word in command.argv)
    assert command.env[nodes.TYPES_VARIABLE] == "slow"


def test_a_whole_core_needs_no_quota_and_one_node_no_link() -> None:
    env = nodes.environ(typed("fast", "far"), ("fast",))
    assert env == {nodes.TYPES_VARIABLE: "fast"}
    assert nodes.LINK_VARIABLE not in nodes.environ(typed("far", "fast"), ("far",))


def test_the_slowest_link_counts() -> None:
    env = nodes.environ(typed("wide", "far"), ("wide", "far", "fast"))
    assert env[nodes.LINK_VARIABLE] == "50"


def test_a_type_without_a_price_makes_the_whole_unknown() -> None:
    types = {"fast": TYPES["fast"], "free": {"cores": 1}}
    job = typed("fast+free", "fast", types=types)
    _, placement = held(job, {"node_type": "fast+free"})
    assert cost.usd_per_hour(job, placement) is None


def test_more_cores_than_there_are_can_never_be_had() -> None:
    job = typed("wide+wide", "fast")
    with pytest.raises(ValueError, match=r"3 \+ 3 cores need 6, this computer gives 4"):
        held(job, {"node_type": "wide+wide"}, cores=4)
    command = launch_command(job, {"node_type": "wide+wide"})
    assert place(job, command, range(5), range(8), (), ()) is None, "others hold them now"


def test_types_and_nodes_have_to_agree() -> None:
    job = typed("fast+slow", "fast", nnodes={"kind": "int", "low": 2, "high": 3})
    with pytest.raises(ValueError, match="is 2 nodes, not 3"):
        launch_command(job, {"node_type": "fast+slow", "nnodes": 3})


def test_a_job_without_the_parameter_is_as_it_was() -> None:
    job = spec()
    command = launch_command(job, job.space.default())
    assert nodes.TYPES_VARIABLE not in command.env
    placement = place(job, command, range(2), range(2), (), ())
    assert placement is not None
    assert placement.node_types == ()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (typed("fast", "fats"), "`fats` is not in the price book"),
        (typed("fast+slwo", "fast"), "`slwo` is not in the price book"),
        (spec(space={"params": {"node_type": {"kind": "int", "low": 1, "high": 2}}}), "choice"),
        (
            typed("fast+slow", "fast", nnodes={"kind": "int", "low": 1, "high": 3}),
            "its default is 2 nodes, not 1",
        ),
    ],
)
def test_faults_are_told(job: JobSpec, said: str) -> None:
    assert said in " ".join(message for _, message, _ in nodes.faults(job))


def test_a_sound_parameter_has_no_fault() -> None:
    assert list(nodes.faults(typed("fast", "slow", "fast+slow"))) == []


@pytest.mark.parametrize("field", [{"cpu_share": 0}, {"cpu_share": 1.5}, {"link_mbit_per_s": 0}])
def test_no_node_is_slower_than_nothing(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"cpu_share|link_mbit_per_s"):
        typed("odd", types={"odd": {"cores": 1, **field}})
