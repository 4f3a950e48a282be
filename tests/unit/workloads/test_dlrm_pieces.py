"""The pieces of the DLRM script that need no second process."""

import math
from itertools import islice

import pytest
import torch

from workloads import common, dlrm
from workloads.common import World

TWO = World(rank=0, world_size=2)


def options(*words: str) -> dlrm.Options:
    return dlrm.parse(list(words), World())


def slow_auc(score: list[float], label: list[int]) -> float:
    """By its definition: how often a positive is above a negative, a tie counting half."""
    positive = [s for s, y in zip(score, label, strict=True) if y]
    negative = [s for s, y in zip(score, label, strict=True) if not y]
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


@pytest.mark.parametrize("levels", [3, 10, 100_000])
def test_auc_is_exact_with_ties(levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    score = torch.randint(0, levels, (200,), generator=generator).float()
    label = torch.randint(0, 2, (200,), generator=generator).float()
    expected = slow_auc(score.tolist(), [int(y) for y in label.tolist()])
    assert dlrm.auc(score, label) == pytest.approx(expected, abs=1e-12)


def test_auc_of_perfect_reversed_and_constant_scores() -> None:
    label = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert dlrm.auc(torch.tensor([1.0, 2.0, 3.0, 4.0]), label) == 1.0
    assert dlrm.auc(torch.tensor([4.0, 3.0, 2.0, 1.0]), label) == 0.0
    assert dlrm.auc(torch.zeros(4), label) == 0.5


def test_auc_of_one_class_is_no_number() -> None:
    assert math.isnan(dlrm.auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])))


def test_spans_stop_where_an_evaluation_and_the_end_are_due() -> None:
    words = ["--global-batch-size=100", "--eval-at-samples=250", "--max-samples=420"]
    found = list(dlrm.spans(options(*words), 1))
    assert found == [(0, 100), (100, 200), (200, 250), (250, 350), (350, 420)]


def test_spans_never_end_without_a_limit() -> None:
    found = list(islice(dlrm.spans(options("--global-batch-size=8"), 1), 1000))
    assert found[-1] == (7992, 8000)


def test_spans_can_always_be_divided_among_the_ranks() -> None:
    words = ["--global-batch-size=100", "--eval-at-samples=249", "--max-samples=301"]
    found = list(dlrm.spans(options(*words), 2))
    assert found == [(0, 100), (100, 200), (200, 248), (248, 300)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--global-batch-size=1023"], "global batch size 1023 cannot be divided among 2 ranks"),
        (["--shard-strategy=column_wise", "--embedding-dim=7"], "embedding dim 7"),
        (["--max-samples=1"], "1 samples are none for some of 2 ranks"),
        (["--global-batch-size=0"], "'0' is no whole number from 1 upwards"),
        (["--loader-workers=-1"], "'-1' is no whole number from 0 upwards"),
        (["--shard-strategy=diagonal"], "invalid choice"),
        (["--max-sample=5"], "unrecognized arguments"),
    ],
)
def test_impossible_options_end_with_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        dlrm.parse(words, TWO)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_flat_adagrad_is_adagrad() -> None:
    torch.manual_seed(0)
    ours = dlrm.mlp(3, 4, 1)
    theirs = dlrm.mlp(3, 4, 1)
    theirs.load_state_dict(ours.state_dict())
    flat = dlrm.FlatAdagrad(ours, lr=0.1)
    squares = [torch.zeros_like(p) for p in theirs.parameters()]
    x = torch.randn(5, 3)
    for _ in range(3):
        torch.autograd.backward(ours(x).square().sum())
        flat.step()
        gradients = torch.autograd.grad(theirs(x).square().sum(), list(theirs.parameters()))
        with torch.no_grad():
            for p, square, grad in zip(theirs.parameters(), squares, gradients, strict=True):
                square += grad * grad
                p.sub_(0.1 * grad / (square.sqrt() + 1e-8))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_the_model_multiplies_every_pair_of_vectors() -> None:
    model = dlrm.Mlps(num_dense=3, num_tables=4, dim=8)
    vectors = torch.randn(2, 5, 8)
    dots = (vectors @ vectors.mT).flatten(1).index_select(1, model.pairs)
    expected = [vectors[0, i] @ vectors[0, j] for i in range(5) for j in range(i)]
    assert torch.allclose(dots[0], torch.stack(expected), atol=1e-5)
    assert model(torch.randn(2, 3), vectors[:, 1:]).shape == (2,)


def test_the_learning_rate_grows_with_the_root_of_the_batch() -> None:
    small, large = (dlrm.learning_rate(options(f"--global-batch-size={b}")) for b in (1024, 16384))
    assert large == pytest.approx(4 * small)


def test_cores_are_dealt_out_to_local_ranks() -> None:
    shares = [
        common.share_of_cores([2, 3, 5, 7, 9], World(local_rank=rank, local_world_size=2))
        for rank in range(2)
    ]
    assert shares == [[2, 3], [5, 7, 9]]
    assert common.share_of_cores([4], World(local_rank=0, local_world_size=2)) == []


def test_the_world_is_one_rank_where_no_launcher_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert common.world_from_environment() == World()
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    expected = World(rank=3, world_size=4, local_rank=1, local_world_size=2)
    assert common.world_from_environment() == expected
