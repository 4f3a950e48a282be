"""Price books of their own, their faults, and jobs that name them."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tuner import pricefile
from tuner.errors import InvalidJob
from tuner.jobfile import job_schema, load_job, load_job_file
from tuner.prices import Exchange, PriceBook

JOB = """name: toy
workload: {command: [train, "${batch}"]}
space: {params: {batch: {options: [1, 2]}}}
"""
BOOK = """as_of: 2026-11-01
per_core_hour: {on_demand: 0.123456789}
"""


def problem(text: str) -> str:
    with pytest.raises(InvalidJob) as caught:
        load_job(JOB + text)
    return str(caught.value)


def test_a_job_takes_the_book_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(BOOK, encoding="utf-8")
    file = tmp_path / "job.yaml"
    file.write_text(JOB + "prices: {file: prices.yaml}\nbudget: {usd: 0.1}\n", encoding="utf-8")
    spec = load_job_file(file)
    assert spec.prices is not None
    assert spec.prices.per_core_hour.on_demand == Decimal("0.123456789")
    assert spec.budget.usd == Decimal("0.1"), "exact, not the nearest binary fraction"


def test_faults_of_a_book_are_told_by_its_own_lines(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    for text, words in (
        ("as_of: 2026-11-01\nper_cpu_hour: {}\n", "`per_cpu_hour` is not a field of a price book"),
        ("as_of: 2026-11-01\nper_core_hour: {on_demand: x}\n", "per_core_hour.on_demand"),
        ("as_of: 2026-11-01\nper_kwh: -1\n", "per_kwh cannot be -1"),
        ("as_of: 2026-11-01\npue: 0.9\n", "pue must be at least 1"),
        ("as_of: 2026-11-01\ncurrency: euro\n", "ISO 4217"),
        ("as_of: 2026-11-01\ncurrency: EUR\n", "needs `exchange`"),
        ("as_of: 2026-11-01\nexchange: {usd_per_unit: 1, as_of: 2026-11-01}\n", "`exchange`"),
        ("as_of: 2026-11-01\nnode_types: {n: {cores: 0}}\n", "cores must be at least 1"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidJob, match=r"(?s)prices\.yaml") as caught:
            pricefile.load_prices(file)
        assert words in str(caught.value)
    with pytest.raises(InvalidJob, match="trimtab prices import"):
        pricefile.load_prices(tmp_path / "missing.yaml")


def test_files_are_read_for_job_files_only(tmp_path: Path) -> None:
    assert "cannot be read from here" in problem("prices: {file: /etc/prices.yaml}\n")
    assert "stands alone" in problem("prices: {file: a.yaml, as_of: 2026-11-01}\n")
    assert "stands alone" in problem("prices: {file: 3}\n")


def test_editors_know_both_forms() -> None:
    forms = job_schema()["properties"]["prices"]["anyOf"]  # type: ignore[index]
    assert any("file" in form.get("properties", {}) for form in forms)


def test_money_needs_the_prices_that_it_will_need() -> None:
    usd = "budget: {usd: 1}\n"
    assert "needs `prices`" in problem(usd)
    assert "prices.per_core_hour.on_demand" in problem(usd + "prices: {as_of: 2026-11-01}\n")
    core = "prices: {as_of: 2026-11-01, per_core_hour: {on_demand: 1}}\n"
    assert "per_core_hour.spot" in problem(usd + core + "resources: {purchase: spot}\n")
    assert "per_gpu_hour.any" in problem(usd + core + "resources: {gpus_per_node: 1}\n")
    assert "not in the price book" in problem(core + "resources: {node_type: n}\n")
    node = "prices: {as_of: 2026-11-01, node_types: {n: {cores: 2, per_hour: {spot: 1}}}}\n"
    assert "node_types.n.per_hour.on_demand" in problem(usd + node + "resources: {node_type: n}\n")
    limit = "limits: [{metric: usd_per_hour, max: 3}]\n"
    assert "needs `prices`" in problem(limit)
    load_job(JOB + usd + node + "resources: {node_type: n, purchase: spot}\n")


def test_age_counts_from_the_oldest_figure() -> None:
    exchange = Exchange(usd_per_unit=Decimal("1.1"), as_of="2026-08-01")
    book = PriceBook(as_of="2026-11-01", currency="EUR", exchange=exchange)
    assert book.age_days(date(2026, 11, 11)) == 102
    assert "older than 90" in pricefile.age(book, date(2026, 11, 11))
    assert pricefile.age(PriceBook(as_of="2026-11-01"), date(2026, 11, 11)) == "10 days old"
