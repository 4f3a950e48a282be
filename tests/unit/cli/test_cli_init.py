"""`trimtab init`: from a script to a job file."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tuner import jobfile
from tuner.cli import exits, init
from tuner.space import Choice
from tuner.spec import JobSpec

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("path", help="where it writes")
parser.add_argument("--data", required=True, help="where # it is")
parser.add_argument("-b", "--batch-size", type=int, default=512, help="samples of a step")
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
parser.add_argument("--num-workers", type=int, default=2)
parser.add_argument("--grad-accum-steps", type=positive, default=1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--eval-batch-size", type=int, default=64)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--pin-memory", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--width", type=int, default=256)
"""
DDP = f"""
import torch.distributed as dist
{SCRIPT}
dist.init_process_group("gloo")
print(f"step {{step}} loss {{loss.item():.4f}}")
"""


def proposal(tmp_path: Path, text: str) -> JobSpec:
    path = tmp_path / "train.py"
    path.write_text(text)
    return jobfile.load_job(init.job_file(path, tmp_path), "trimtab.yaml", tmp_path)


def test_what_looks_tunable_becomes_a_parameter(tmp_path: Path) -> None:
    spec = proposal(tmp_path, SCRIPT)
    assert spec.name == "train"
    assert spec.workload.command == (
        "${python}",
        "train.py",
        "--batch-size=${batch_size}",
        "--precision=${precision}",
        "--num-workers=${num_workers}",
        "--grad-accum-steps=${grad_accum_steps}",
        "${pin_memory}",
        "--data=EDIT_ME",
        "EDIT_ME",
    )
    params = spec.space.params
    assert params["batch_size"] == Choice(
        options=(128, 256, 512, 1024, 2048), default=512, changes_learning=True
    )
    assert params["num_workers"] == Choice(options=(0, 1, 2, 4), default=2)
    assert params["grad_accum_steps"] == Choice(options=(1, 2, 4), default=1, changes_learning=True)
    assert params["pin_memory"] == Choice(
        options=("--no-pin-memory", "--pin-memory"), default="--pin-memory"
    )


def test_what_the_model_or_the_learning_is_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    text = init.job_file(path, tmp_path)
    params = jobfile.load_job(text, "trimtab.yaml").space.params
    assert not {"lr", "width", "seed", "eval_batch_size", "optimizer", "amp"} & set(params)
    assert "# lr: {kind: float, low: 0.001, high: 0.1" in text
    assert '# optimizer: {options: ["sgd", "adam"]' in text


def test_a_script_of_ranks_is_started_per_rank_and_read_by_its_own_line(tmp_path: Path) -> None:
    spec = proposal(tmp_path, DDP)
    assert spec.workload.launch == "per_rank"
    assert spec.space.params["nproc_per_node"] == Choice(options=(1, 2), default=1)
    assert spec.workload.log.patterns == (r"step (?P<step>[\d,]+) loss  *(?P<loss>\S+)",)
    assert spec.workload.log.samples_per_step == "batch_size * nproc_per_node"


def test_a_step_of_lightning_is_a_batch(tmp_path: Path) -> None:
    spec = proposal(tmp_path, f"import pytorch_lightning as pl\n{SCRIPT}")
    assert (spec.workload.launch, spec.workload.log.format) == ("once", "lightning")
    assert spec.workload.log.samples_per_step == "batch_size"


def test_workers_of_tensorflow_are_told_where_the_others_are(tmp_path: Path) -> None:
    script = f"import tensorflow as tf\n{SCRIPT}\ntf.distribute.MultiWorkerMirroredStrategy()\n"
    spec = proposal(tmp_path, script)
    assert spec.workload.launch == "per_rank"
    assert "${workers}" in spec.workload.env["TF_CONFIG"]


def test_horovod_starts_its_own_ranks(tmp_path: Path) -> None:
    spec = proposal(tmp_path, f"import horovod.torch as hvd\n{SCRIPT}")
    assert spec.workload.launch == "once"
    assert spec.workload.command is not None
    assert spec.workload.command[:3] == ("horovodrun", "--gloo", "--num-proc=${nproc_per_node}")
    assert spec.space.params["nproc_per_node"] == Choice(options=(1, 2), default=1)


def test_a_command_of_several_is_named(tmp_path: Path) -> None:
    script = """
import click
@click.group()
def cli(): ...
@cli.command()
def evaluate(): ...
@cli.command()
@click.option("--batch-size", default=32)
def train(batch_size): ...
"""
    spec = proposal(tmp_path, script)
    assert spec.workload.command is not None
    assert spec.workload.command[2:] == ("train", "--batch-size=${batch_size}")


@pytest.mark.parametrize("example", ["plain_train", "report_train", "lightning_train"])
def test_the_scripts_of_the_examples_are_understood(tmp_path: Path, example: str) -> None:
    script = Path(__file__).parents[3] / "examples" / f"{example}.py"
    spec = jobfile.load_job(init.job_file(script, script.parent), "trimtab.yaml")
    expected = {"plain_train": "step", "report_train": "report", "lightning_train": "lightning"}
    read = spec.workload.log.format + "".join(spec.workload.log.patterns)
    assert expected[example] in read
    assert "batch_size" in spec.space.params


def test_without_a_script_it_is_valid_too() -> None:
    spec = jobfile.load_job(init.job_file(None, Path()), "trimtab.yaml")
    assert spec.workload.command is not None
    assert "threads" in spec.space.params


def test_a_script_without_options_has_threads(tmp_path: Path) -> None:
    assert list(proposal(tmp_path, "print('hello')").space.params) == ["threads"]


def test_it_never_overwrites_unless_forced(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("init").stdout == "trimtab.yaml\n"
    (tmp_path / "trimtab.yaml").write_text("mine")
    assert invoke("init").exit_code == exits.CONFLICT
    assert (tmp_path / "trimtab.yaml").read_text() == "mine"
    assert invoke("init", "--force").exit_code == exits.OK
    assert (tmp_path / "trimtab.yaml").read_text() != "mine"


def test_it_says_what_it_proposes_and_what_is_to_be_filled_in(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    result = invoke("init", "train.py", "--file", "job.yaml")
    assert "Proposed parameters: batch_size, precision" in result.stderr
    assert "EDIT_ME" in result.stderr
    assert jobfile.load_job_file(tmp_path / "job.yaml").name == "train"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.py", None, "cannot be read: No such file"),
        ("train.py", b"def (", r"train.py:1: not Python"),
        ("train.py", b"\xff\xfe", "not Python"),
        ("run.sh", b"torchrun train.py", "no Python script. Remedy: name the script"),
    ],
)
def test_what_cannot_be_read_is_told(
    invoke: Invoke, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = invoke("init", str(path), "--file", str(tmp_path / "job.yaml"))
    assert result.exit_code == exits.USAGE
    assert message in result.stderr.replace("\n", " ")
    assert not (tmp_path / "job.yaml").exists()


def test_a_file_that_cannot_be_written_is_told(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("init", "--file", str(tmp_path / "none" / "job.yaml"))
    assert result.exit_code == exits.USAGE
    assert "cannot be written" in result.stderr
