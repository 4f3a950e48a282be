"""The pieces of the sequential script that need no second process."""

import pytest
import torch

from workloads import sequential, sequential_data
from workloads.common import World

CPU = torch.device("cpu")
TWO = World(rank=0, world_size=2, local_world_size=2)
TINY = (
    "--dim=8",
    "--heads=2",
    "--blocks=2",
    "--max-length=12",
    "--global-batch-size=12",
    "--lr=0.03",
)


def options(*words: str) -> sequential.Options:
    return sequential.parse(list(words), World())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--global-batch-size=63"], "global batch size 63 cannot be divided among 2 ranks"),
        (["--dim=9"], "dim 9 cannot be divided among 2 heads"),
        (["--micro-batch-size=33"], "micro batch size 33 is more than a rank's share, 32"),
        (["--strategy=tensor_parallel", "--micro-batch-size=65"], "more than a rank's share, 64"),
        (["--strategy=tensor_parallel", "--heads=1"], "1 heads cannot be divided among 2 ranks"),
        (["--strategy=hsdp"], "hsdp needs several nodes of several ranks: of 2 ranks 2 are on"),
        (["--max-samples=1"], "1 samples are none for some of 2 ranks"),
        (["--strategy=diagonal"], "invalid choice"),
        (["--length-bucketing=yes"], "invalid choice"),
        (["--micro-batch-size=0"], "'0' is no whole number from 1 upwards"),
    ],
)
def test_impossible_options_end_with_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        sequential.parse(words, TWO)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("ranks", "local"), [(1, 1), (4, 2)])
def test_hsdp_runs_on_several_nodes_of_several_ranks_and_alone(ranks: int, local: int) -> None:
    world = World(rank=0, world_size=ranks, local_world_size=local)
    assert sequential.parse(["--strategy=hsdp"], world).strategy == "hsdp"


def test_the_learning_rate_grows_with_the_root_of_the_batch() -> None:
    small, large = (sequential.spec_of(options(f"--global-batch-size={b}")).lr for b in (64, 256))
    assert large == pytest.approx(2 * small)


def losses(*words: str) -> list[float]:
    """Of three steps of one rank."""
    given = options(*TINY, *words)
    data = sequential_data.load()
    trainer = sequential.Trainer(given, World(), CPU, data)
    spans = [(0, 12), (12, 24), (24, 30)]
    return [trainer.train(sequential_data.users_of(data, span, 0)).item() for span in spans]


@pytest.fixture(scope="module")
def plain() -> list[float]:
    return losses()


@pytest.mark.parametrize(
    "words",
    [
        ("--micro-batch-size=5",),
        ("--length-bucketing=true",),
        ("--micro-batch-size=3", "--length-bucketing=true"),
        ("--activation-checkpointing=alternate",),
        ("--activation-checkpointing=all", "--micro-batch-size=4"),
    ],
)
def test_what_saves_time_or_memory_changes_nothing_learned(
    plain: list[float], words: tuple[str, ...]
) -> None:
    assert losses(*words) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize(("kept", "wrapped"), [("none", 0), ("alternate", 2), ("all", 3)])
def test_activation_checkpointing_wraps_so_many_blocks(kept: str, wrapped: int) -> None:
    given = options(*TINY, "--blocks=3", f"--activation-checkpointing={kept}")
    trainer = sequential.Trainer(given, World(), CPU, sequential_data.load())
    names = [name for name, _ in trainer.spread.module.named_parameters()]
    assert sum("uvqk" in name and "checkpoint" in name for name in names) == wrapped


def test_the_films_are_ranked_for_every_user() -> None:
    given = options(*TINY)
    trainer = sequential.Trainer(given, World(), CPU, sequential_data.load())
    quality = trainer.evaluate()
    assert 0 < quality["ndcg_at_10"] < quality["hr_at_10"] < 0.1
