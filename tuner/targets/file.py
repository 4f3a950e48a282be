"""A plan file: the next start of the job takes its exact launch command from it.

`trimtab start FILE` runs what it says. Written by temp file, fsync, rename and fsync of the folder,
with a checksum inside, so that a reader sees the old plan or the new one and never half of one.
Every plan that was ever there stays in `FILE.history/HASH.json`, from which it is put back.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuner.errors import TargetError
from tuner.interfaces import DAMAGED
from tuner.model import LaunchCommand, Placement, Plan, plan_hash

SCHEMA = 1


class PlanFile:
    """The target kind `file`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = path.with_name(path.name + ".history")

    def current(self) -> str | None:
        try:
            if not self.path.exists():
                return None
        except OSError as error:
            raise TargetError(f"{self.path} cannot be looked at: {error}") from error
        try:
            return read_plan_file(self.path)[2]
        except TargetError:
            return DAMAGED

    def apply(self, plan: Plan) -> None:
        text = _content(plan)
        try:
            self.history.mkdir(parents=True, exist_ok=True)
            _publish(self.history / f"{plan.hash}.json", text)
            _publish(self.path, text)
        except OSError as error:
            raise TargetError(f"the plan could not be written to {self.path}: {error}") from error

    def restore(self, plan_hash: str | None) -> None:
        try:
            if plan_hash is None:
                self.path.unlink(missing_ok=True)
                _sync_folder(self.path.parent)
                return
            kept = self.history / f"{plan_hash}.json"
            if not kept.exists():
                raise TargetError(f"{self.history} keeps no plan {plan_hash[:12]}")
            if read_plan_file(kept)[2] != plan_hash:
                raise TargetError(f"{kept} holds another plan than its name says")
            _publish(self.path, kept.read_text(encoding="utf-8"))
        except OSError as error:
            raise TargetError(f"{self.path} could not be restored: {error}") from error


def read_plan_file(path: Path) -> tuple[LaunchCommand, Placement, str]:
    """Launch command, placement and hash of a plan file. Raises TargetError if it is not whole."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stated = data.pop("checksum")
        if stated != _checksum(data) or data["schema"] != SCHEMA:
            raise TargetError(_broken(path, "its checksum or schema is wrong"))
        command = LaunchCommand(**{**data["command"], "argv": tuple(data["command"]["argv"])})
        placement = Placement(
            cores=tuple(tuple(node) for node in data["placement"]["cores"]),
            gpus=tuple(tuple(node) for node in data["placement"]["gpus"]),
        )
    except FileNotFoundError as error:
        raise TargetError(f"there is no plan file {path}; `trimtab apply` writes one") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetError(_broken(path, str(error))) from error
    found = plan_hash(command, placement)
    if found != data["hash"]:
        raise TargetError(_broken(path, "its hash does not fit its command"))
    return command, placement, found


def _broken(path: Path, why: str) -> str:
    return f"{path} is not a whole plan file: {why}. Remedy: `trimtab rollback`, or apply again"


def _content(plan: Plan) -> str:
    data: dict[str, Any] = {
        "schema": SCHEMA,
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


def _publish(path: Path, text: str) -> None:
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
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
