"""What is read of a script without running it."""

import ast
from pathlib import Path

import pytest

from tuner.cli.scripts.option import Option
from tuner.cli.scripts.progress import pattern_of
from tuner.cli.scripts.reading import Script, read_script

TYPER = """
from enum import Enum
from typing import Annotated, Literal, Optional
import typer
class Precision(str, Enum):
    fp32 = "fp32"
    bf16 = "bf16"
def main(
    ctx: typer.Context,
    data: str,
    out: Annotated[str, typer.Argument()] = "out",
    batch_size: Annotated[int, typer.Option(help="samples")] = 512,
    precision: Precision = Precision.bf16,
    backend: Literal["gloo", "nccl"] = "gloo",
    workers: int = typer.Option(4, "--num-workers", "-w"),
    threads: Optional[int] = None,
    micro: int | None = 8,
    fused: bool = False,
    *,
    token: str = typer.Option(...),
): ...
if __name__ == "__main__":
    typer.run(main)
"""
CLICK = """
import click
@click.command()
@click.argument("data")
@click.option("--batch-size", "-b", type=int, default=32, show_default=True, help="samples")
@click.option("--workers", type=click.IntRange(0), required=True)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
@click.option("--pin/--no-pin", default=True)
@click.option("--verbose", is_flag=True)
def main(**options): ...
"""
ABSL = """
from absl import flags
flags.DEFINE_integer("batch_size", 64, "samples")
flags.DEFINE_enum("dtype", "fp32", ["fp32", "bf16"], "numbers")
flags.DEFINE_bool("fused", False, help="one kernel")
flags.DEFINE_float("lr", default=0.1, help="rate")
"""


def read(tmp_path: Path, text: str) -> Script:
    path = tmp_path / "train.py"
    path.write_text(text)
    return read_script(path)


def options(script: Script) -> dict[str, Option]:
    return {option.flag: option for option in script.options}


def test_a_function_of_typer(tmp_path: Path) -> None:
    script = read(tmp_path, TYPER)
    found = options(script)
    assert script.command == ""
    assert list(found)[:3] == ["data", "out", "--batch-size"]
    assert found["data"].is_required
    assert not found["out"].is_required
    batch = Option(flag="--batch-size", kind="int", default=512, help="samples")
    assert found["--batch-size"] == batch
    assert found["--precision"].choices == ("fp32", "bf16")
    assert found["--precision"].default == "bf16"
    assert found["--backend"].choices == ("gloo", "nccl")
    assert (found["--num-workers"].kind, found["--num-workers"].default) == ("int", 4)
    assert (found["--threads"].kind, found["--threads"].is_required) == ("int", False)
    assert (found["--micro"].kind, found["--micro"].default) == ("int", 8)
    assert (found["--fused"].kind, found["--fused"].off_flag) == ("bool", "--no-fused")
    assert found["--token"].is_required


def test_a_command_of_click(tmp_path: Path) -> None:
    found = options(read(tmp_path, CLICK))
    assert found["data"].is_required
    assert found["--batch-size"] == Option(
        flag="--batch-size", kind="int", default=32, help="samples"
    )
    assert (found["--workers"].kind, found["--workers"].is_required) == ("int", True)
    assert found["--precision"].choices == ("fp32", "bf16")
    assert (found["--pin"].kind, found["--pin"].off_flag) == ("bool", "--no-pin")
    assert (found["--verbose"].kind, found["--verbose"].off_flag) == ("bool", "")


def test_flags_of_absl(tmp_path: Path) -> None:
    found = options(read(tmp_path, ABSL))
    assert found["--batch_size"] == Option(
        flag="--batch_size", kind="int", default=64, help="samples"
    )
    assert found["--dtype"].choices == ("fp32", "bf16")
    assert found["--fused"].off_flag == "--nofused"
    assert found["--lr"].default == 0.1


def test_arguments_of_argparse_by_another_name(tmp_path: Path) -> None:
    text = """
import argparse
parser = argparse.ArgumentParser()
add, count = parser.add_argument, whole_number
add("data", nargs="?")
add("--batch", type=count(1), default=1024)
add("--rows", type=float, default=os.cpu_count())
add("--device", choices=[*DEVICES])
"""
    found = options(read(tmp_path, text))
    assert not found["data"].is_required
    assert (found["--batch"].kind, found["--batch"].default) == ("int", 1024)
    assert found["--rows"].default is None
    assert found["--device"].choices == ()


def test_options_that_transformers_brings(tmp_path: Path) -> None:
    text = """
from transformers import HfArgumentParser, Trainer, TrainingArguments
parser = HfArgumentParser(TrainingArguments)
"""
    script = read(tmp_path, text)
    assert options(script)["--per_device_train_batch_size"].default == 8
    assert options(script)["--output_dir"].is_required
    assert script.signs.log_format == "hf_trainer"


@pytest.mark.parametrize(
    ("text", "launch", "log_format"),
    [
        ("from tuner import report", "once", "report"),
        ("import lightning as L\nimport torch.distributed", "once", "lightning"),
        ("from torch.nn.parallel import DistributedDataParallel as DDP", "per_rank", "auto"),
        ("import os\nrank = int(os.environ['LOCAL_RANK'])", "per_rank", "auto"),
        ("import torch.multiprocessing as mp\nmp.spawn(f)\ninit_process_group()", "once", "auto"),
        ("import deepspeed", "per_rank", "deepspeed"),
        ("import horovod.tensorflow as hvd\nimport tensorflow", "horovod", "auto"),
        ("import tensorflow as tf\ntf.distribute.MirroredStrategy()", "once", "auto"),
        ("from tzrec.main import train", "once", "torcheasyrec"),
        ("from tqdm import tqdm", "once", "tqdm"),
        ("x = 1", "once", "auto"),
    ],
)
def test_how_it_is_started_and_read(
    tmp_path: Path, text: str, launch: str, log_format: str
) -> None:
    signs = read(tmp_path, text).signs
    assert (signs.launch, signs.log_format) == (launch, log_format)


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        (
            "f'step {step} of {n}, {step_ms:.2f} ms, loss {loss:.4f}'",
            r"step (?P<step>[\d,]+) of .*?,  *(?P<step_time_ms>\S+) ms, loss  *(?P<loss>\S+)",
        ),
        ("f'[{epoch}/{i:5d}] loss: {running / 100:.3f}'", ""),
        (
            "f'Iter {i}: {n / t:.0f} samples/s'",
            r"Iter (?P<step>[\d,]+):  *(?P<samples_per_s>\S+) samples/s",
        ),
        ("f'{global_step} {throughput}'", r"(?P<step>[\d,]+) (?P<samples_per_s>\S+)"),
        ("f'saved to {path}'", ""),
    ],
)
def test_a_line_of_progress_becomes_a_pattern(line: str, pattern: str) -> None:
    assert pattern_of(ast.parse(f"print({line})")) == pattern


def test_the_line_that_tells_most_is_taken_and_errors_are_none() -> None:
    text = """
print(f"step {step}")
if x:
    raise ValueError(f"step {step}, loss {loss}, {qps} qps")
print(f"step {step}, loss {loss}")
"""
    assert pattern_of(ast.parse(text)) == r"step (?P<step>[\d,]+), loss (?P<loss>\S+)"
