import json
from dataclasses import replace
from pathlib import Path

from tests.gangs import make_gang
from tuner.executors.files import GangFolder
from tuner.executors.ranks import base_environ, cores_of, free_ports, rank_environ
from tuner.model import Placement

FOLDER = GangFolder(Path("/gangs/job-0-0"))
PLACEMENT = Placement(cores=((0, 1), (2,)), gpus=((4,), ()))
PORTS = [1, 2, 3, 4, 5]


def test_a_rank_runs_on_its_nodes_cores() -> None:
    gang = make_gang("k", ("x",), nnodes=2, nproc_per_node=2, placement=PLACEMENT)
    assert [cores_of(gang, rank) for rank in range(4)] == [(0, 1), (0, 1), (2,), (2,)]


def test_a_single_process_runs_on_all() -> None:
    gang = make_gang("k", ("x",), nnodes=2, per_rank=False, placement=PLACEMENT)
    assert cores_of(gang, 0) == (0, 1, 2)
    assert rank_environ(gang, 0, FOLDER, PORTS, {})["CUDA_VISIBLE_DEVICES"] == "4"


def test_what_the_job_says_wins_over_what_is_inherited() -> None:
    gang = make_gang("k", ("x",), env={"A": "job", "TRIMTAB_LAUNCH_KEY": "forged"})
    inherited = {"A": "shell", "B": "shell", "OMP_WAIT_POLICY": "ACTIVE"}
    environ = rank_environ(gang, 0, FOLDER, PORTS, inherited)
    assert (environ["A"], environ["B"]) == ("job", "shell")
    assert environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert environ["TRIMTAB_LAUNCH_KEY"] == "k"


def test_the_folder_for_own_files_is_named_where_some_are_read() -> None:
    gang = make_gang("k", ("x",))
    assert "TRIMTAB_OUTPUT_DIR" not in rank_environ(gang, 0, FOLDER, PORTS, {})
    environ = rank_environ(replace(gang, files=("gpu.csv",)), 0, FOLDER, PORTS, {})
    assert environ["TRIMTAB_OUTPUT_DIR"] == "/gangs/job-0-0/files"


def test_without_gpus_the_choice_is_not_touched() -> None:
    gang = make_gang("k", ("x",), nnodes=2, placement=PLACEMENT)
    assert "CUDA_VISIBLE_DEVICES" in rank_environ(gang, 0, FOLDER, PORTS, {})
    assert "CUDA_VISIBLE_DEVICES" not in rank_environ(gang, 1, FOLDER, PORTS, {})


def test_ports_are_different_and_out_of_the_way_of_connections() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(15_000 <= port < 32_000 for port in ports)


def test_a_variable_may_say_what_is_of_each_rank() -> None:
    config = '{"cluster": {"worker": ${workers}}, "task": {"type": "worker", "index": ${rank}}}'
    env = {"TF_CONFIG": config, "PLACE": "${local_rank} of ${world_size}", "OTHER": "${HOME} $rank"}
    gang = make_gang("k", ("x",), nnodes=2, nproc_per_node=2, env=env)
    environ = rank_environ(gang, 3, FOLDER, [1, 20, 21, 22, 23], {})
    told = json.loads(environ["TF_CONFIG"])
    assert told["cluster"]["worker"] == [f"127.0.0.1:{port}" for port in (20, 21, 22, 23)]
    assert told["task"]["index"] == 3
    assert environ["PLACE"] == "1 of 4"
    assert environ["OTHER"] == "${HOME} $rank"
    assert environ["MASTER_PORT"] == "1"


def test_a_single_process_has_no_rank() -> None:
    gang = make_gang("k", ("x",), per_rank=False, env={"A": "${rank}"})
    assert rank_environ(gang, 0, FOLDER, [1, 2], {})["A"] == "${rank}"


def test_trials_of_a_tuner_that_is_a_rank_itself_are_none_of_its_gang() -> None:
    inherited = {"RANK": "3", "WORLD_SIZE": "8", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x"}
    environ = base_environ({**inherited, "HOME": "/home/me"})
    assert not set(inherited) & set(environ)
    assert environ["HOME"] == "/home/me"
