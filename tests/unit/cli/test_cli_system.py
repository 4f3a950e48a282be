"""`doctor`, `version`, `demo` and how a service is opened."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke
from tests.unit.cli.fake_service import LEASE, FakeService, make_plan, make_spec
from tuner import doctor
from tuner.cli import exits, init, jobs, session, system
from tuner.doctor import Check
from tuner.errors import NotFound, StoreError
from tuner.model import JobState, Lease
from tuner.spec import JobSpec


def test_version(invoke: Invoke) -> None:
    assert invoke("version").stdout.count(".") == 2


def test_load_reads_files_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = init.job_file(None, tmp_path)
    (tmp_path / "job.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stdin").write_text(text)
    with open(tmp_path / "stdin") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert jobs.load("-") == jobs.load("job.yaml")


def test_demo_puts_its_plan_file_into_the_home() -> None:
    spec = system.demo_spec(make_spec(), Path("/home/x"), 3)
    assert spec.apply.target is not None
    assert spec.apply.target.place == "/home/x/demo/plan.json"
    assert spec.budget.trials == 3


def test_demo_runs_the_example_to_its_report(
    invoke: Invoke, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(file: str) -> JobSpec:
        assert file.endswith("dlrm.yaml")
        return make_spec("demo")

    def on_run(fake: FakeService, stop: object) -> None:
        fake.all_plans = [make_plan("job_new1")]
        fake.set_state("job_new1", JobState.SUCCEEDED)

    monkeypatch.setattr(jobs, "load", load)
    monkeypatch.setattr(system, "example", lambda name: Path("/examples") / name)
    service.on_run = on_run
    result = invoke("demo", "--trials", "3")
    assert result.exit_code == exits.OK
    assert "Trial 1 is better" in result.stdout
    assert "trimtab serve" in result.stdout
    assert service.all_jobs["job_new1"].spec.budget.trials == 3


def test_an_example_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"none\.yaml"):
        system.example("none.yaml")


def test_serve_passes_the_service_on(
    invoke: Invoke, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr("web.server.serve", lambda *args: called.append(args))
    assert invoke("serve", "--port", "0").exit_code == exits.OK
    assert called[0][:3] == (service, "127.0.0.1", 0)


def test_nobody_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise OSError("no such user")

    monkeypatch.setattr("getpass.getuser", fail)
    assert session.actor() == "unknown"


def _checks(*checks: Check) -> object:
    return lambda home, controller: list(checks)


def test_doctor_ends_1_on_a_fail_and_tells_remedies(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = Check(name="cores", state="ok", detail="2")
    bad = Check(name="torch", state="fail", detail="missing", remedy="pip install torch")
    monkeypatch.setattr(doctor, "examine", _checks(fine))
    assert invoke("doctor").exit_code == exits.OK
    monkeypatch.setattr(doctor, "examine", _checks(fine, bad))
    result = invoke("doctor")
    assert result.exit_code == exits.UNEXPECTED
    assert "remedy: pip install torch" in result.stdout
    checks = json.loads(invoke("doctor", "-o", "json").stdout)
    assert [check["state"] for check in checks] == ["ok", "fail"]


def test_checks_of_versions() -> None:
    assert doctor.python((3, 12, 1)).state == "ok"
    assert doctor.python((3, 10, 1)).state == "fail"
    assert doctor.sqlite((3, 51, 3)).state == "ok"
    assert doctor.sqlite((3, 51, 2)).state == "warn"
    assert doctor.sqlite(sqlite3.sqlite_version_info).detail


def test_check_of_the_store(tmp_path: Path) -> None:
    def locked() -> Lease | None:
        raise StoreError("locked")

    assert "no job" in doctor.store(tmp_path / "none", locked).detail
    assert doctor.store(tmp_path, locked).state == "fail"
    assert LEASE.holder in doctor.store(tmp_path, lambda: LEASE).detail
    assert "no controller" in doctor.store(tmp_path, lambda: None).detail


def test_check_of_the_home(tmp_path: Path) -> None:
    assert doctor.home_folder(tmp_path / "not" / "yet").state == "ok"
    (tmp_path / "file").write_text("")
    assert doctor.home_folder(tmp_path / "file").state == "fail"
    assert not (tmp_path / "not").exists()


def test_check_of_cgroups(tmp_path: Path) -> None:
    assert doctor.cgroups(tmp_path).state == "warn"
    (tmp_path / "memory").mkdir()
    assert doctor.cgroups(tmp_path).detail.startswith("version 1")
    (tmp_path / "cgroup.controllers").write_text("memory")
    assert doctor.cgroups(tmp_path).detail == "version 2"


def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_nvml_names", lambda: ["H100", "H100"])
    monkeypatch.setattr(doctor, "_torch_sees_gpus", lambda: False)
    found = doctor.gpus()
    assert (found.state, found.detail) == ("warn", "2: H100, not usable by torch")
    monkeypatch.setattr(doctor, "_torch_sees_gpus", lambda: True)
    assert doctor.gpus().state == "ok"
