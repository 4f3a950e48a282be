import sys
from pathlib import Path

import pytest

from workloads import preprocess


def test_buckets_are_put_together_until_there_are_enough_rows() -> None:
    rows = (90, 20, 10, 5, 60, 1)
    assert preprocess.partitions(rows, 1) == [range(n, n + 1) for n in range(6)]
    assert preprocess.partitions(rows, 40) == [range(1), range(1, 5), range(5, 6)]
    assert preprocess.partitions(rows, 1000) == [range(6)]


@pytest.mark.parametrize("least", [1, 7, 50, 10_000])
def test_every_bucket_is_in_one_partition(least: int) -> None:
    rows = tuple((7 * n) % 31 for n in range(128))
    found = [bucket for part in preprocess.partitions(rows, least) for bucket in part]
    assert found == list(range(128))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition-rows=0"], "partition-rows 0 is below 1"),
        (["--format=npy", "--compression=zstd"], "npy cannot be compressed with zstd; use none"),
        (["--format=csv", "--compression=snappy"], "use none or zstd"),
    ],
)
def test_what_is_impossible_ends_with_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        preprocess.parse(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_missing_library_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("workloads.feature")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SystemExit, match=r"pip install 'trimtab\[preprocess\]'"):
        preprocess.library("feature_files")


def test_features_that_are_not_kept_leave_nothing() -> None:
    with preprocess.folder_of(preprocess.parse([])) as folder:
        (folder / "part").write_text("x")
    assert not folder.exists()


def test_features_that_are_kept_stay(tmp_path: Path) -> None:
    with preprocess.folder_of(preprocess.parse([f"--out={tmp_path}/new"])) as folder:
        (folder / "part").write_text("x")
    assert (tmp_path / "new" / "part").exists()
