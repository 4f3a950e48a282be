"""`trimtab start`: the job as its plan file says, with a note for the controller."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tuner.executors.foreground import run_in_foreground
from tuner.gang import Gang
from tuner.report import PLAN_VARIABLE
from tuner.targets.file import PlanOnFile, Start, read_plan_file, to_start, write_start

_ENDED_WELL = (0, 130, 143)
"""By itself, or because somebody at the terminal wanted it."""


def start_from(path: Path, folder: Path, narrate: Callable[[str], None]) -> int:
    """Runs to the end and returns the job's exit code. Raises TargetError."""
    path = path.resolve()
    wanted, found = read_plan_file(path), to_start(path)
    if found.plan_hash != wanted.plan_hash:
        narrate(
            f"the first start with plan {wanted.plan_hash[:12]} failed: back to the plan before"
        )
    key = f"start-{found.plan_hash[:12]}-{uuid.uuid4().hex[:8]}"
    narrate(f"plan {found.plan_hash[:12]}")
    env = {**found.command.env, PLAN_VARIABLE: found.plan_hash}
    # Should this process be killed, the job follows it soon.
    gang = Gang(
        launch_key=key,
        command=replace(found.command, env=env),
        placement=found.placement,
        lease_s=10.0,
    )
    start = Start(
        token=found.token,
        plan_hash=found.plan_hash,
        folder=str(folder / key),
        launch_key=key,
        state="running",
    )
    _note(path, found, start, narrate)
    code = run_in_foreground(gang, folder / key)
    state: Literal["failed", "ended"] = "ended" if code in _ENDED_WELL else "failed"
    ended = replace(start, state=state, message=f"exit code {code}")
    _note(path, found, ended, narrate)
    return code


def _note(path: Path, found: PlanOnFile, start: Start, narrate: Callable[[str], None]) -> None:
    """A start by somebody who may not write there is no trouble: nobody is told of it then."""
    try:
        if read_plan_file(path).token == found.token:
            write_start(path, start)
    except OSError as error:
        narrate(f"the start could not be noted beside the plan file: {error}")
