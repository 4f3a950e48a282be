import pytest

from tuner.collect import canonical
from tuner.collect.formats import FORMATS, Readings

LINES: list[tuple[str, str, Readings | None]] = [
    (
        "deepspeed",
        "[2024-05-02 10:11:12,345] [INFO] [timer.py:258:stop] epoch=0/micro_step=40/"
        "global_step=20, RunningAvgSamplesPerSec=310.5, CurrSamplesPerSec=402.25, "
        "MemAllocated=0.5GB, MaxMemAllocated=2.25GB",
        {"step": 20, "samples_per_s": 402.25, "gpu_peak_memory_gib": 2.25},
    ),
    (
        "deepspeed",
        "[2022-05-02 10:11:12,345] [INFO] [timer.py:198:stop] 0/30, RunningAvgSamplesPerSec=99.5, "
        "CurrSamplesPerSec=101.5, MemAllocated=0.5GB, MaxMemAllocated=2.25GB",
        {"step": 30, "samples_per_s": 101.5, "gpu_peak_memory_gib": 2.25},
    ),
    (
        "deepspeed",
        "epoch=0/micro_step=1/global_step=1, RunningAvgSamplesPerSec=-inf, CurrSamplesPerSec=-inf",
        {"step": 1},
    ),
    (
        "deepspeed",
        "|E2E latency=1.5s |CurSamplesPerSec=24.5 |AvgSamplesPerSec=23",
        {"samples_per_s": 24.5},
    ),
    ("deepspeed", "[Rank 0] step=10, skipped=1, lr=[0.0001]", None),
    (
        "megatron",
        " [2025-01-02 03:04:05] iteration       20/   1000 | consumed samples:        10240 | "
        "elapsed time per iteration (ms): 250.0 | throughput per GPU (TFLOP/s/GPU): 301.5 | "
        "learning rate: 1.500000E-07 | global batch size:   512 | lm loss: 3.250000E+00 | "
        "loss scale: 1.0 | grad norm: 2.5 | number of nan iterations:   0 |",
        {
            "step": 20,
            "samples": 10240,
            "step_time_s": 0.25,
            "samples_per_s": 2048,
            "loss": 3.25,
            "tflops_per_gpu": 301.5,
            "grad_norm": 2.5,
        },
    ),
    ("megatron", "iteration 3 of training begins", None),
    (
        "megatron",
        " iteration      9/   500 | consumed samples:       6912 | elapsed time per iteration "
        "(ms): 2000.0 | global batch size:   768 | lm loss: nan | samples per second: 383.9 |",
        {
            "step": 9,
            "samples": 6912,
            "step_time_s": 2,
            "samples_per_s": 383.9,
            "loss": float("nan"),
        },
    ),
    ("megatron", " validation loss at iteration 100 | lm loss value: 2.5E+00 | ", {"pause": 1}),
    ("megatron", "Evaluating on 1024 samples", {"pause": 1}),
    (
        "torchtitan",
        "[titan] 2025-01-01 00:00:00,000 - root - INFO - step: 30  loss:  4.50000  grad_norm:  0.9"
        "  memory: 12.25GiB(15.10%)  tps: 7,012  tflops: 40.5  mfu: 12.5%",
        {
            "step": 30,
            "loss": 4.5,
            "gpu_peak_memory_gib": 12.25,
            "tokens_per_s_per_rank": 7012,
            "tflops_per_gpu": 40.5,
            "mfu_pct": 12.5,
        },
    ),
    (
        "torchtitan",
        "step:  1  loss:  8.0  grad_norm:  1.0  memory:  1.00GiB(1.00%)  tps: 12  tflops: 1.0  "
        "mfu: N/A",
        {
            "step": 1,
            "loss": 8.0,
            "gpu_peak_memory_gib": 1.0,
            "tokens_per_s_per_rank": 12,
            "tflops_per_gpu": 1.0,
        },
    ),
    (
        "torchtitan",
        "validate step: 30  loss:  4.50000  memory: 12.25GiB(15.10%)  tps: 9,012",
        {"pause": 1, "val_loss": 4.5},
    ),
    (
        "hf_trainer",
        "{'train_runtime': 60.5, 'train_samples_per_second': 81.25, 'train_steps_per_second': 2.5, "
        "'train_loss': 0.5, 'epoch': 1.0}",
        {
            "train_runtime": 60.5,
            "samples_per_s": 81.25,
            "steps_per_s": 2.5,
            "loss": 0.5,
            "epoch": 1.0,
        },
    ),
    (
        "hf_trainer",
        "{'loss': '0.625', 'grad_norm': '1.5', 'learning_rate': '1e-05', 'epoch': '0.5'}",
        {"loss": 0.625, "grad_norm": 1.5, "learning_rate": 1e-05, "epoch": 0.5},
    ),
    (
        "hf_trainer",
        "{'eval_loss': 0.5, 'eval_runtime': 2.5, 'eval_auc': 0.75}",
        {"eval_loss": 0.5, "pause_s": 2.5, "auc": 0.75},
    ),
    (
        "hf_trainer",
        "{'loss': nan, 'grad_norm': np.float64(1.5), 'name': 'x', 'epoch': 0.5}",
        {"loss": float("nan"), "grad_norm": 1.5, "epoch": 0.5},
    ),
    ("hf_trainer", " 25%|██▌  | 50/200 [00:05<00:15, 10.0it/s]", {"step": 50, "total": 200}),
    ("hf_trainer", "{'loss': open('x')}", None),
    (
        "dlrm",
        "Finished training it 2048/4096 of epoch 1, 12.50 ms/it, loss 0.500000",
        {"step": 6144, "step_time_s": 0.0125, "loss": 0.5},
    ),
    (
        "dlrm",
        "Finished training it 2048/4096 of epoch 0, -1.00 ms/it, loss 0.500000 (13:05)",
        {"step": 2048, "loss": 0.5},
    ),
    (
        "dlrm",
        "Testing at - 100/200 of epoch 0, auc 0.7500, best auc 0.76",
        {"pause": 1, "auc": 0.75},
    ),
    (
        "dlrm",
        "Finished inference it 20/40 of epoch 0, 2.50 ms/it, loss 0.500000",
        {"step": 20, "step_time_s": 0.0025, "loss": 0.5},
    ),
    ("dlrm", "training it", None),
    (
        "hugectr",
        "[HCTR][10:00:00.000][INFO][RK0][main]: Iter: 200 Time(100 iters): 2.5s Loss: 0.25 lr:0.1",
        {"step": 200, "steps": 100, "step_time_s": 0.025, "loss": 0.25},
    ),
    ("hugectr", "[HCTR][INFO]: Evaluation, AUC: 0.75", {"auc": 0.75}),
    ("hugectr", "[HCTR][INFO]: Eval Time for 30 iters: 0.5s", {"pause_s": 0.5}),
    (
        "torcheasyrec",
        "Training Epoch 0: 300it [35.5it/s] lr_g0:0.001 binary_cross_entropy:0.25 total_loss: 0.25",
        {
            "step": 300,
            "steps_per_s": 35.5,
            "lr_g0": 0.001,
            "binary_cross_entropy": 0.25,
            "loss": 0.25,
        },
    ),
    ("torcheasyrec", "Evaluating: 40it [12.0it/s]", {"pause": 1}),
    (
        "torcheasyrec",
        "[2025-01-01 10:00:00,000][INFO] Evaluating model-300: 40it [12.00it/s] ",
        {"pause": 1},
    ),
    (
        "torcheasyrec",
        "[2025-01-01 10:00:00,000][INFO] Eval Result model-300: auc:0.750000 gauc:0.625000",
        {"pause": 1, "auc": 0.75, "gauc": 0.625},
    ),
    (
        "torchrec",
        "throughput {'throughput-throughput|total_examples': tensor(6400), "
        "'throughput-throughput|attempt_examples': tensor(6400), "
        "'throughput-throughput|window_throughput': tensor(1250.5, dtype=torch.float64), "
        "'throughput-throughput|lifetime_throughput': 900.0, "
        "'throughput-throughput|attempt_throughput': 901.0}",
        {"samples": 6400, "samples_per_s": 1250.5, "lifetime_throughput": 900},
    ),
    (
        "torchrec",
        "{'ne-click|lifetime_ne': tensor([0.875]), 'ne-click|window_ne': tensor([0.75]), "
        "'auc-click|window_auc': tensor([0.625])}",
        {"lifetime_ne": 0.875, "window_ne": 0.75, "auc": 0.625},
    ),
    (
        "torchrec",
        "Epoch 0:  10%|█         | 40/400 [00:02<00:18, 19.5it/s]",
        {"step": 40, "total": 400},
    ),
    ("torchrec", "Evaluating val set:  50%|█ | 5/10 [00:01<00:01, 5.0it/s]", {"pause": 1}),
    ("torchrec", "AUROC over val set: 0.7625.", {"pause": 1, "auc": 0.7625}),
    ("torchrec", "Number of val samples: 89137", None),
    ("torchrec", "step 1000", {"step": 1000}),
    (
        "tqdm",
        "Epoch 0:  10%|█         | 10/100 [00:01<00:10,  9.5it/s, v_num=0, train_loss=0.5]",
        {"step": 10, "total": 100, "loss": 0.5},
    ),
    ("tqdm", "100%|████| 12051/12051 [7:32:52<00:00,  2.25s/it]", {"step": 12051, "total": 12051}),
    ("tqdm", "  0%|    | 0/100 [00:00<?, ?it/s]", {"step": 0, "total": 100}),
    ("tqdm", "1.2k/s 12%|█ | 1.2k/10.0k [00:05<00:40, 240it/s]", {"step": 1200, "total": 10000}),
    ("tqdm", "500it [00:10, 50.0it/s, loss=0.5]", {"step": 500, "loss": 0.5}),
    (
        "tqdm",
        "train: 10%|█ | 640/6400 [00:01<00:10, 64.0sample/s]",
        {"samples": 640, "total": 6400},
    ),
    ("tqdm", "Validation DataLoader 0:  50%|█ | 5/10 [00:01<00:01, 5.0it/s]", {"pause": 1}),
    ("tqdm", "Downloading: 50%|█ | 5.0M/10.0M [00:01<00:01, 5.0MB/s]", None),
    ("lightning", "Epoch 3: 100%|█| 8/8 [00:01<00:00, 8.0it/s, v_num=1]", {"step": 8, "total": 8}),
    (
        "dllogger",
        'DLLL {"timestamp": "1", "type": "LOG", "step": [0, 200], '
        '"data": {"loss": 0.5, "step_time": 0.0115, "average_train_throughput": 1.2e6}}',
        {"step": 200, "loss": 0.5, "step_time_s": 0.0115, "samples_per_s": 1.2e6},
    ),
    ("dllogger", 'DLLL {"type": "LOG", "step": "PARAMETER", "data": {"batch_size": 64}}', None),
    ("dllogger", 'DLLL {"type": "LOG", "step": [0', None),
    (
        "dllogger",
        'DLLL {"type": "LOG", "step": 16, "data": {"reduced_train_loss": 10.5, '
        '"global_step": 16, "consumed_samples": 3072, "train_step_timing in s": 2.5}}',
        {"step": 16, "loss": 10.5, "samples": 3072, "step_time_s": 2.5},
    ),
    (
        "dllogger",
        "DLL 2025-01-01 10:00:00.123456 - (0, 200) loss : 0.5  train_throughput : 1250.5 samples/s",
        {"step": 200, "loss": 0.5, "samples_per_s": 1250.5},
    ),
    (
        "dllogger",
        "DLL 2025-01-01 10:00:00.123456 - Epoch: 1 Iteration: 30  auc : 0.75 ",
        {"step": 30, "auc": 0.75},
    ),
    ("dllogger", "DLL 2025-01-01 10:00:00.123456 - () auc : 0.75 ", {"auc": 0.75}),
    ("dllogger", "DLL 2025-01-01 10:00:00.123456 - PARAMETER batch_size : 64 ", None),
    (
        "dllogger",
        "Epoch:[1/2] [200/1000]  eta: 0:12:10  loss: 0.25  step_time: 0.0125  lr: 24.0",
        {"step": 1200, "loss": 0.25, "step_time_s": 0.0125, "lr": 24},
    ),
    (
        "mlperf",
        ':::MLLOG {"key": "tracked_stats", "value": {"throughput": 123.5}, '
        '"metadata": {"step": 10}}',
        {"samples_per_s": 123.5, "step": 10},
    ),
    ("mlperf", ':::MLLOG {"key": "eval_start", "value": null, "metadata": {}}', {"pause": 1}),
    (
        "mlperf",
        ':::MLLOG {"key": "eval_accuracy", "value": 0.75, "metadata": {"samples_count": 64}}',
        {"eval_accuracy": 0.75, "samples": 64},
    ),
    ("mlperf", ":::MLLOG {}", None),
    (
        "perf_analyzer",
        "Concurrency: 4, throughput: 1500.5 infer/sec, latency 2500 usec",
        {"samples_per_s": 1500.5, "latency_ms": 2.5},
    ),
    ("perf_analyzer", "    Throughput: 1500.5 infer/sec", {"samples_per_s": 1500.5}),
    ("perf_analyzer", "    p99 latency: 4500 usec", {"p99_latency_ms": 4.5}),
    (
        "key_value",
        "epoch=1 throughput=1234.5 loss = .98 train|device|samples_per_sec=12e3",
        {"epoch": 1, "samples_per_s": 1234.5, "loss": 0.98},
    ),
    ("key_value", "time=10ms name=x a==3", None),
    ("key_value", "loss=nan", {"loss": float("nan")}),
]


@pytest.mark.parametrize(("name", "line", "expected"), LINES)
def test_a_line_gives_its_readings(name: str, line: str, expected: Readings | None) -> None:
    found = FORMATS[name]()(line)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_recorded_lines(name: str) -> None:
    assert any(known == name and expected for known, _, expected in LINES)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "line",
    [
        "",
        "x" * 16000,
        "9" * 16000,
        " " * 16000,
        "{'" * 8000,
        "a=" * 8000,
        "100%|" * 3000,
        "[" * 9000,
    ],
)
@pytest.mark.timeout(5)
def test_hostile_lines_are_no_progress_and_cost_little(name: str, line: str) -> None:
    assert not FORMATS[name]()(line)


def test_a_report_of_perf_analyzer_is_read_by_its_header() -> None:
    read = FORMATS["perf_analyzer"]()
    assert read("1,69.5,225,2148,18795,21018") is None
    header = (
        "Concurrency,Inferences/Second,Client Send,Client Recv,p50 latency,p99 latency,Avg latency"
    )
    assert read(header) is None
    expected = {"samples_per_s": 69.5, "p50_latency_ms": 18.795, "p99_latency_ms": 21.018}
    found = read("1,69.5,225,2148,18795,21018,14000")
    assert found == pytest.approx({**expected, "latency_ms": 14.0})
    assert read("Service at 10, 20") is None
    assert FORMATS["perf_analyzer"]()("1,69.5,225,2148,18795,21018,14000") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234.5", 1234.5),
        (".98", 0.98),
        ("1e-3", 0.001),
        ("12.5k", 12500.0),
        ("40 %", 40.0),
        ("-3", -3.0),
        ("-inf", float("-inf")),
        ("x", None),
        ("1.2.3", None),
        ("", None),
    ],
)
def test_numbers_as_people_print_them(text: str, expected: float | None) -> None:
    assert canonical.number(text) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("step_time_ms", 12, ("step_time_s", 0.012)),
        ("step_time", 2, ("step_time_s", 2)),
        ("p99_latency_us", 1500, ("p99_latency_ms", 1.5)),
        ("peak_memory_mib", 512, ("peak_memory_gib", 0.5)),
        ("gpu_peak_memory_gb", 2**30 / 1e9, ("gpu_peak_memory_gib", 1.0)),
        ("samples_per_second", 5, ("samples_per_s", 5)),
        ("Iteration", 5, ("step", 5)),
        ("my_figure_ms", 5, ("my_figure_ms", 5)),
    ],
)
def test_names_and_units_become_those_of_trimtab(
    name: str, value: float, expected: tuple[str, float]
) -> None:
    assert canonical.canonical(name, value) == pytest.approx(expected)


def test_true_and_false_are_no_numbers() -> None:
    assert canonical.readings([("a", True), ("b", 1)]) == {"b": 1.0}
