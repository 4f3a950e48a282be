"""Documents that lag the code fail here."""

import re
from pathlib import Path

import pytest

from tuner.cli.exits import MEANINGS
from tuner.collect.formats import FORMATS
from tuner.metrics import METRICS, Metric
from tuner.model import FailureKind
from tuner.service import Service
from web.app import create_app

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [p for package in ("tuner", "workloads", "web") for p in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_every_metric_has_its_row(metric: Metric) -> None:
    unit = metric.unit or "-"
    assert f"| `{metric.name}` | {unit} | {metric.better} | {metric.meaning} |" in REFERENCE


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_its_row(kind: FailureKind) -> None:
    assert f"| `{kind}` |" in REFERENCE


@pytest.mark.parametrize("code", MEANINGS)
def test_every_exit_code_has_its_row(code: int) -> None:
    assert f"| {code} | {MEANINGS[code]} |" in REFERENCE


@pytest.mark.parametrize("name", FORMATS)
def test_every_log_format_is_named(name: str) -> None:
    assert f"`{name}`" in REFERENCE


def test_every_endpoint_has_its_row(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        paths = create_app(service, allowed_hosts=["localhost"]).openapi()["paths"]
    operations = {
        f"| `{operation['operationId']}` | `{method.upper()} {path}` |"
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert [row for row in sorted(operations) if row not in REFERENCE] == []
    rows = re.findall(r"^\| `\w+` \| `(?:GET|POST|PUT|PATCH|DELETE) .*$", REFERENCE, re.MULTILINE)
    assert len(rows) == len(operations), "a row without an operation"


def test_every_environment_variable_is_documented() -> None:
    used = {
        name
        for path in SOURCES
        for name in re.findall(r"[\"'](TRIMTAB_[A-Z_]+)[\"']", path.read_text())
    }
    assert used
    assert [name for name in sorted(used) if f"`{name}`" not in REFERENCE] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_named_files_exist(document: Path) -> None:
    text = document.read_text()
    links = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    named = re.findall(
        r"`((?:tuner|workloads|storage|web|tests|docs|examples|benchmarks)/[^`*{ ]+)`", text
    )
    for target in links:
        assert (document.parent / target).exists(), target
    for target in named:
        assert (ROOT / target).exists(), target
