"""`prices ...` and `job cost`."""

import csv
import errno
import io
import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.test_focus import imported
from tuner.cli import exits


def test_import_writes_a_book_that_show_prints(invoke: Invoke, tmp_path: Path) -> None:
    imported(tmp_path, {}, {"PricingCategory": "Other"})
    book = tmp_path / "prices.yaml"
    words = ("prices", "import", str(tmp_path / "export.csv"), "--file", str(book))
    made = invoke(*words)
    assert made.exit_code == 0
    assert made.stdout.strip() == str(book)
    assert "1 charges used, 1 rows or sums left out" in made.stderr
    assert "1: PricingCategory is not Standard" in made.stderr
    again = invoke(*words)
    assert again.exit_code == exits.USAGE
    assert "--force" in again.stderr
    assert invoke(*words, "--force").exit_code == 0
    shown = invoke("prices", "show", str(book)).stdout
    assert "2026-10-31" in shown
    assert "days old" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("n8")]
    assert line.split() == ["n8", "8", "0", "0.4", "unknown", "unknown"]
    data = json.loads(invoke("prices", "show", str(book), "-o", "json").stdout)
    assert data["node_types"]["n8"]["per_hour"] == {
        "on_demand": 0.4,
        "spot": None,
        "reserved": None,
    }


def test_an_exchange_rate_is_whole_or_refused(invoke: Invoke, tmp_path: Path) -> None:
    imported(tmp_path, {})
    words = ("prices", "import", str(tmp_path / "export.csv"), "-f", str(tmp_path / "p.yaml"))
    for more in (("--usd-per-unit", "1.1"), ("--usd-per-unit", "x", "--rate-as-of", "2026-11-01")):
        answer = invoke(*words, *more)
        assert answer.exit_code == exits.USAGE
        assert "rate" in answer.stderr


def test_a_book_that_cannot_be_written_is_named_and_leaves_nothing(
    invoke: Invoke, tmp_path: Path
) -> None:
    imported(tmp_path, {})
    (tmp_path / "folder").mkdir()
    for name in ("missing/p.yaml", "folder", "."):
        answer = invoke(
            *("prices", "import", str(tmp_path / "export.csv")),
            *("--force", "--file", str(tmp_path / name)),
        )
        assert answer.exit_code == exits.USAGE
        assert "cannot be written" in answer.stderr
        assert "Remedy" in answer.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.csv", "folder"]


def test_a_book_is_replaced_as_a_whole(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(tmp_path, {})
    book = tmp_path / "p.yaml"
    book.write_text("mine\n", encoding="utf-8")

    def full(path: Path, text: str, encoding: str) -> int:
        path.write_bytes(text.encode(encoding)[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    words = ("prices", "import", str(tmp_path / "export.csv"), "--force", "--file", str(book))
    assert "No space left" in invoke(*words).stderr
    assert book.read_text(encoding="utf-8") == "mine\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.csv", "p.yaml"]


def test_job_cost_shows_sums_launches_and_what_is_unknown(invoke: Invoke) -> None:
    shown = invoke("job", "cost").stdout
    assert "Spent" in shown
    assert "measuring" in shown
    assert "Unknown: energy of all launches" in shown
    data = json.loads(invoke("job", "cost", "-o", "json").stdout)
    assert data["spend"]["usd"] == sum(line["spend"]["usd"] for line in data["lines"])
    rows = list(csv.DictReader(io.StringIO(invoke("job", "cost", "-o", "csv").stdout)))
    assert len(rows) == len(data["lines"])
    assert float(rows[0]["spend.usd"]) == data["lines"][0]["spend"]["usd"]
