from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.unit.builders import spec
from tuner.description import Description, EmbeddingTables, Hardware
from tuner.estimate.configuration import Configuration
from tuner.estimate.memory import GIB, RankMemory, does_not_fit, rank_memory
from tuner.estimate.refusal import memory_refusal
from tuner.model import Placement
from tuner.spec import JobSpec

ROWS = 50_331_648
"""Of 64 values of 4 bytes: 12 GiB."""
BIG = Description(
    tables=(EmbeddingTables(rows=ROWS, dim=64),), optimizer_values_per_row=64, process_gib=0.5
)
RUN = Configuration(nodes=1, ranks_per_node=1, global_batch=1024)
CPU = Placement(cores=((0,),), gpus=((),))


def test_parameters_gradients_and_adam_take_four_times_the_weights() -> None:
    work = Description(dense_parameters=GIB // 4, optimizer_values_per_parameter=2)
    memory = rank_memory(work, RUN)
    assert (memory.parameters, memory.gradients, memory.optimizer) == (1.0, 1.0, 2.0)
    assert memory.total_gib == 4.0


def test_16_bits_halve_activations_and_only_a_converted_model_halves_weights() -> None:
    work = Description(dense_parameters=GIB // 4, activation_bytes_per_sample=GIB / 1024)
    full, autocast, half = (
        rank_memory(work, replace(RUN, precision=p)) for p in ("fp32", "bf16", "pure_bf16")
    )
    assert (full.activations, autocast.activations) == (1.0, 0.5)
    assert (full.parameters, autocast.parameters, half.parameters) == (1.0, 1.0, 0.5)


def test_spreading_divides_tables_and_data_parallel_adds_their_gradient() -> None:
    two = replace(RUN, nodes=2)
    rows = rank_memory(BIG, replace(two, strategy="row_wise"))
    everywhere = rank_memory(BIG, replace(two, strategy="data_parallel"))
    assert rows.tables == pytest.approx(6.0)
    assert rows.gradients < 0.01
    assert (everywhere.tables, round(everywhere.gradients, 3)) == (12.0, 12.0)


def test_what_does_not_fit_is_told_as_a_sum() -> None:
    memory = RankMemory(tables=12.0, optimizer=24.0)
    assert does_not_fit(memory, 40.0, 1) is None
    assert (
        does_not_fit(memory, 16.0, 1)
        == "tables 12.0 GiB + optimizer 24.0 GiB = 36.0 GiB > 16.0 GiB"
    )
    shared = does_not_fit(memory, 40.0, 2)
    assert shared == "2 x (tables 12.0 GiB + optimizer 24.0 GiB) = 72.0 GiB > 40.0 GiB"


def job(work: Description | None = BIG, **changes: object) -> JobSpec:
    return replace(spec(**changes), estimate=work)


def refusal(told: JobSpec, placement: Placement = CPU, host: Mapping[str, str] = {}) -> str | None:
    return memory_refusal(told, told.space.default(), placement, host)


def test_a_job_that_tells_nothing_is_never_refused() -> None:
    assert refusal(job(None), host={"memory_gib": "1"}) is None


def test_a_computer_of_unknown_memory_refuses_nothing() -> None:
    assert refusal(job()) is None


def test_the_least_of_computer_limit_and_job_file_counts() -> None:
    assert refusal(job(), host={"memory_gib": "64"}) is None
    too_large = refusal(job(), host={"memory_gib": "16"})
    assert too_large is not None
    assert "tables 12.0 GiB + optimizer 12.0 GiB" in too_large
    assert too_large.endswith("> 16.0 GiB")
    limited = job(resources={"memory_limit_gib": 8})
    assert str(refusal(limited, host={"memory_gib": "64"})).endswith("> 8.0 GiB")


def test_a_gpu_has_the_memory_of_its_data_sheet_or_of_the_job_file() -> None:
    p100 = Placement(cores=((0,),), gpus=((0,),), gpu_names={0: "Tesla P100-PCIE-16GB"})
    assert str(refusal(job(), p100)).endswith("> 16.0 GiB")
    assert refusal(job(replace(BIG, hardware=Hardware(gpu="P100", memory_gib=80))), p100) is None


def test_a_computer_holds_the_models_of_all_its_ranks_and_a_gpu_that_of_one() -> None:
    small = replace(BIG, tables=(EmbeddingTables(rows=ROWS // 12, dim=64),))
    told = job(small, workload={"command": ["train"], "nproc_per_node": 2})
    shared = refusal(told, host={"memory_gib": "6"})
    assert shared is not None
    assert shared.startswith("does not fit into memory: 2 x (process 0.5 GiB + tables 1.0 GiB")
    gpus = Placement(cores=((0,),), gpus=((0, 1),), gpu_names={0: "T4", 1: "T4"})
    assert refusal(told, gpus, host={"memory_gib": "6"}) is None
