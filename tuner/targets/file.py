"""A plan file: the next start of the job takes its exact launch command from it.

`trimtab start FILE` runs what it says. Written by temp file, fsync, rename and fsync of the folder,
with a checksum inside, so that a reader sees the old plan or the new one and never half of one.
Every plan that was ever there stays in `FILE.history/HASH.json`, from which it is put back.
"""

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tuner.application import Sighting
from tuner.errors import TargetError
from tuner.executors import files
from tuner.executors.files import GangFolder
from tuner.executors.local import LocalExecutor
from tuner.expression import Value
from tuner.interfaces import DAMAGED
from tuner.model import LaunchCommand, Placement, Plan, placement_of, plan_hash
from tuner.spec import JobSpec
from tuner.targets.run import RunFigures

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The latest start of the job from a plan file, as `trimtab start` notes it down."""

    token: str
    """Which placing of a plan it was a start of."""
    plan_hash: str
    folder: str
    launch_key: str
    """Where its gang writes, below that folder."""
    state: Literal["running", "ended", "failed"]
    message: str = ""


class PlanFile:
    """The target kind `file`."""

    def __init__(self, path: Path, spec: JobSpec | None = None) -> None:
        self.path = path
        self.history = path.with_name(path.name + ".history")
        self._spec = spec
        self._figures: dict[str, RunFigures] = {}

    def current(self) -> str | None:
        try:
            if not self.path.exists():
                return None
        except OSError as error:
            raise TargetError(f"{self.path} cannot be looked at: {error}") from error
        try:
            return read_plan_file(self.path).plan_hash
        except TargetError:
            return DAMAGED

    def apply(self, plan: Plan, canary_s: float | None) -> None:
        there = self._there()
        fallback = there.plan_hash if there is not None else None
        token = secrets.token_hex(8)
        if there is not None and there.plan_hash == plan.hash:
            if (there.fallback is None) == (canary_s is None):
                return
            fallback, token = there.fallback, there.token
        if canary_s is None:
            fallback = None
        try:
            self.history.mkdir(parents=True, exist_ok=True)
            publish(self.history / f"{plan.hash}.json", content(plan, token))
            publish(self.path, content(plan, token, fallback))
        except OSError as error:
            raise TargetError(f"the plan could not be written to {self.path}: {error}") from error

    def _there(self) -> "PlanOnFile | None":
        try:
            return read_plan_file(self.path)
        except TargetError:
            return None

    def observe(self) -> Sighting:
        there, start = self._there(), read_start(self.path)
        if there is None or start is None or start.token != there.token:
            return Sighting(state="waiting", message="takes effect at the next start")
        gang = files.read_gang(GangFolder(Path(start.folder) / start.launch_key))
        if self._spec is None or gang is None:  # started on another computer
            return Sighting(state=start.state, plan_hash=start.plan_hash, message=start.message)
        figures = self._figures.get(start.launch_key)
        if figures is None:
            figures = RunFigures.of(self._spec, there.params, gang)
            self._figures = {start.launch_key: figures}
        executor = LocalExecutor(Path(start.folder), warm_package=None)
        status = executor.poll(start.launch_key)
        if status.reason.startswith(("interrupted", "controller_lost")):
            return Sighting(state="waiting", message="the last start was ended early by somebody")
        return figures.look(executor, status)

    def restore(self, plan_hash: str | None) -> None:
        try:
            if plan_hash is None:
                self.path.unlink(missing_ok=True)
                sync_folder(self.path.parent)
                return
            put_back(self.path, plan_hash)
        except OSError as error:
            raise TargetError(f"{self.path} could not be restored: {error}") from error


def put_back(path: Path, plan_hash: str) -> None:
    """Puts a kept plan back into a plan file. Raises TargetError, OSError."""
    history = path.with_name(path.name + ".history")
    kept = history / f"{plan_hash}.json"
    if not kept.exists():
        raise TargetError(f"{history} keeps no plan {plan_hash[:12]}")
    if read_plan_file(kept).plan_hash != plan_hash:
        raise TargetError(f"{kept} holds another plan than its name says")
    publish(path, kept.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOnFile:
    """What a plan file says."""

    command: LaunchCommand
    placement: Placement
    plan_hash: str
    params: dict[str, Value]
    token: str
    fallback: str | None
    """The plan to go back to should the first start with this one fail; None: it has proven
    itself, or there is none."""


def to_start(path: Path) -> PlanOnFile:
    """What is to be started now. A plan in its canary whose first start failed goes back here to
    the plan before, whether a controller is there or not. Raises TargetError."""
    there, start = read_plan_file(path), read_start(path)
    failed = start is not None and start.token == there.token and start.state == "failed"
    if failed and there.fallback is not None:
        try:
            put_back(path, there.fallback)
        except OSError as error:
            raise TargetError(f"{path} could not be restored: {error}") from error
        return read_plan_file(path)
    return there


def write_start(path: Path, start: Start) -> None:
    """Notes a start beside its plan file, for the controller. Raises OSError."""
    publish(_start_path(path), json.dumps(asdict(start), indent=2) + "\n")


def read_start(path: Path) -> Start | None:
    try:
        return Start(**json.loads(_start_path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _start_path(path: Path) -> Path:
    return path.with_name(path.name + ".start.json")


def read_plan_file(path: Path) -> PlanOnFile:
    """What a plan file says. Raises TargetError if it is not whole."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stated = data.pop("checksum")
        if stated != _checksum(data) or data["schema"] != SCHEMA:
            raise TargetError(_broken(path, "its checksum or schema is wrong"))
        command = LaunchCommand(**{**data["command"], "argv": tuple(data["command"]["argv"])})
        placement = placement_of(data["placement"])
    except FileNotFoundError as error:
        raise TargetError(f"there is no plan file {path}; `trimtab apply` writes one") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetError(_broken(path, str(error))) from error
    found = plan_hash(command, placement)
    if found != data["hash"]:
        raise TargetError(_broken(path, "its hash does not fit its command"))
    return PlanOnFile(
        command=command,
        placement=placement,
        plan_hash=found,
        params=dict(data.get("params", {})),
        token=str(data.get("token", "")),
        fallback=data.get("fallback"),
    )


def _broken(path: Path, why: str) -> str:
    return f"{path} is not a whole plan file: {why}. Remedy: `trimtab rollback`, or apply again"


def content(plan: Plan, token: str = "", fallback: str | None = None) -> str:
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "token": token,
        "fallback": fallback,
        "plan_id": plan.id,
        "job_id": plan.job_id,
        "trial_number": plan.trial_number,
        "hash": plan.hash,
        "params": plan.params,
        "gain_pct": plan.gain_pct,
        "gain_low_pct": plan.gain_low_pct,
        "command": asdict(plan.command),
        "placement": asdict(plan.placement),
    }
    data = json.loads(json.dumps(data))
    return json.dumps({**data, "checksum": _checksum(data)}, indent=2) + "\n"


def _checksum(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def publish(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
