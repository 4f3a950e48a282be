"""The pieces of the DLRM script that need no second process."""

from itertools import islice

import pytest
import torch

from workloads import common, dlrm_model, dlrm_options
from workloads.common import World
from workloads.dlrm_options import Options
from workloads.progress import spans

TWO = World(rank=0, world_size=2)


def options(*words: str) -> Options:
    return dlrm_options.parse(list(words), World())


def test_spans_stop_where_an_evaluation_and_the_end_are_due() -> None:
    found = list(spans(100, 1, 250, 420))
    assert found == [(0, 100), (100, 200), (200, 250), (250, 350), (350, 420)]


def test_spans_never_end_without_a_limit() -> None:
    found = list(islice(spans(8, 1, None, None), 1000))
    assert found[-1] == (7992, 8000)


def test_spans_can_always_be_divided_among_the_ranks() -> None:
    found = list(spans(100, 2, 249, 301))
    assert found == [(0, 100), (100, 200), (200, 248), (248, 300)]


def test_the_mix_goes_by_rows_or_as_written() -> None:
    by_size = options("--shard-strategy=mixed", "--small-table-rows=100").plan()
    assert by_size == [
        *["table_wise"] * 2, *["data_parallel"] * 3, "table_wise", *["data_parallel"] * 4,
        *["table_wise"] * 8,
    ]  # fmt: skip
    written = options("--shard-strategy=mixed", "--table-plan=row_wise*17,table_wise").plan()
    assert written == [*["row_wise"] * 17, "table_wise"]
    assert options("--shard-strategy=row_wise", "--data=synthetic").plan() == ["row_wise"] * 26


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
        (["--loader-workers=1", "--prefetch=0"], "loader workers make at least 1 batch ahead"),
        (["--shard-strategy=mixed", "--table-plan=row_wise"], "it names 1 tables, the model"),
        (
            ["--shard-strategy=mixed", "--table-plan=column_wise*18", "--embedding-dim=7"],
            "embedding dim 7 cannot be divided among 2 ranks",
        ),
        (["--data=synthetic", "--embedding-dim=9000"], "GiB are free. Remedy: a lower"),
    ],
)
def test_impossible_options_end_with_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        dlrm_options.parse(words, TWO)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_flat_adagrad_is_adagrad() -> None:
    torch.manual_seed(0)
    ours = dlrm_model.mlp(3, 4, 1)
    theirs = dlrm_model.mlp(3, 4, 1)
    theirs.load_state_dict(ours.state_dict())
    flat = dlrm_model.FlatAdagrad(ours, lr=0.1)
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
    model = dlrm_model.Mlps(num_dense=3, num_tables=4, dim=8)
    vectors = torch.randn(2, 5, 8)
    dots = (vectors @ vectors.mT).flatten(1).index_select(1, model.pairs)
    expected = [vectors[0, i] @ vectors[0, j] for i in range(5) for j in range(i)]
    assert torch.allclose(dots[0], torch.stack(expected), atol=1e-5)
    assert model(torch.randn(2, 3), vectors[:, 1:]).shape == (2,)


def test_the_learning_rate_grows_with_the_root_of_the_batch() -> None:
    small, large = (options(f"--global-batch-size={b}").learning_rate() for b in (1024, 16384))
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
