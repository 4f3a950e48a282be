from dataclasses import replace

import pytest

from tuner.description import Description, EmbeddingTables, Hardware
from tuner.estimate.configuration import Configuration
from tuner.estimate.devices import data_sheet, device_of
from tuner.estimate.factors import Factors
from tuner.estimate.step import step_of

IDEAL = Factors(compute=1, memory=1, transfer=1, node_transfer=1, overhead_s=0.001)
WORK = Description(flops_per_sample=1e9, dense_parameters=1_000_000, loader_s_per_sample=1e-4)
DEVICE = device_of(
    Hardware(
        gpu="V100", peak_gflops=10_000, link_gb_per_s=1, node_link_gb_per_s=10, link_latency_us=10
    )
)
RUN = Configuration(nodes=1, ranks_per_node=1, global_batch=100, loader_workers=1)


def test_a_step_of_one_rank_is_worked_out_by_hand() -> None:
    """100 GFLOP at 10 TFLOP/s, 1 ms of overhead; 10 ms of loading are hidden behind that."""
    step = step_of(WORK, DEVICE, RUN, IDEAL)
    assert step.device_s == pytest.approx(0.01)
    assert (step.transfer_s, step.loader_s) == (0, 0)
    assert step.total_s == pytest.approx(0.011)
    assert step.bound_by == "computing"
    assert step.samples_per_s == pytest.approx(100 / 0.011)


def test_four_ranks_compute_less_each_and_send_their_gradients() -> None:
    """A ring moves 1.5 times 4 MB, at 10 GB/s within the node and at 1 GB/s between nodes."""
    inside = step_of(WORK, DEVICE, replace(RUN, ranks_per_node=4), IDEAL)
    between = step_of(WORK, DEVICE, replace(RUN, nodes=4), IDEAL)
    assert inside.device_s == between.device_s == pytest.approx(0.0025)
    assert (inside.transfer_s, between.transfer_s) == pytest.approx((0.0006, 0.006))
    assert between.latency_s == pytest.approx(60e-6)
    slow = replace(IDEAL, node_transfer=2, transfer=3)
    inside_s, between_s = (
        step_of(WORK, DEVICE, replace(RUN, nodes=n, ranks_per_node=4 // n), slow).transfer_s
        for n in (1, 4)
    )
    assert (inside_s, between_s) == pytest.approx((0.0012, 0.018))
    assert (inside.bound_by, between.bound_by) == ("computing", "bandwidth")


def test_what_of_the_loader_is_not_hidden_is_added() -> None:
    slow = replace(WORK, loader_s_per_sample=2e-4)
    runs = [replace(RUN, loader_workers=workers) for workers in (0, 1, 2)]
    waits_s = [step_of(slow, DEVICE, run, IDEAL).loader_s for run in runs]
    assert waits_s == pytest.approx([0.02, 0.009, 0])


def test_the_link_decides_how_tables_are_best_spread() -> None:
    """Many rows, small batches: vectors are less than the gradient of every row."""
    tables = (EmbeddingTables(rows=100_000, dim=16, count=8),)
    work = Description(tables=tables)
    runs = [replace(RUN, nodes=2, strategy=s) for s in ("data_parallel", "table_wise")]
    everywhere, spread = (step_of(work, DEVICE, run, IDEAL).total_s for run in runs)
    assert everywhere > 10 * spread
    alone = step_of(work, DEVICE, replace(RUN, global_batch=1e6), IDEAL)
    assert alone.bound_by == "memory"
    large = [replace(run, global_batch=400_000) for run in runs]
    everywhere, spread = (step_of(work, DEVICE, run, IDEAL).total_s for run in large)
    assert everywhere < spread


def test_cores_of_a_rank_add_up_and_gpus_do_not_count_threads() -> None:
    core = device_of(Hardware(peak_gflops=100))
    one, two = (step_of(WORK, core, replace(RUN, threads=n), IDEAL).device_s for n in (1, 2))
    assert one == pytest.approx(2 * two)
    assert step_of(WORK, DEVICE, replace(RUN, threads=2), IDEAL).device_s == pytest.approx(0.01)


def test_a_driver_s_name_finds_its_data_sheet() -> None:
    names = {
        "NVIDIA H100 80GB HBM3": "H100",
        "NVIDIA A100-SXM4-80GB": "A100 80GB",
        "NVIDIA A100-PCIE-40GB": "A100",
        "Tesla V100-SXM2-16GB": "V100",
        "v100": "V100",
    }
    found = {name: sheet.name for name in names if (sheet := data_sheet(name))}
    assert found == names
    assert data_sheet("GeForce GTX 1080") is None


def test_what_is_neither_given_nor_in_a_data_sheet_is_a_default() -> None:
    assert device_of(Hardware(gpu="H100")).defaults == ("link_gb_per_s", "link_latency_us")
    known = Hardware(gpu="H100", link_gb_per_s=25, link_latency_us=5)
    assert device_of(known).defaults == ()
    assert "peak_gflops" in device_of(Hardware()).defaults
    assert device_of(Hardware(gpu="H100")).gflops("bf16") == 989_000
