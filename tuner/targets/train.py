"""A training run that is changed while it lives: the client of its keeper (`keeper.py`)."""

import subprocess
import sys
from pathlib import Path

from tuner.application import Sighting
from tuner.errors import TargetError
from tuner.executors.local import LocalExecutor
from tuner.gang import RunState
from tuner.model import Plan
from tuner.spec import JobSpec
from tuner.spec_apply import TrainTarget
from tuner.targets.file import content, publish, read_plan_file
from tuner.targets.keeper import RunFolder, Status, Wanted, is_kept
from tuner.targets.run import RunFigures

_START_LIMIT_S = 10.0
_CODE_ROOT = Path(__file__).resolve().parents[2]


class TrainingRun:
    """The target kind `train`."""

    def __init__(self, target: TrainTarget, spec: JobSpec) -> None:
        self._target = target
        self._spec = spec
        self._folder = RunFolder(Path(target.path))
        self._executor = LocalExecutor(self._folder.path / "runs", warm_package=None)
        self._figures: dict[str, RunFigures] = {}

    def current(self) -> str | None:
        """The plan that runs; while it is exchanged, still the one before."""
        status = self._folder.read_status()
        if status is None:
            return None
        self._keep(status)
        return status.plan_hash

    def apply(self, plan: Plan, canary_s: float | None) -> None:
        kept = self._folder.plan(plan.hash)
        try:
            if not kept.exists():
                publish(kept, content(plan))
            self._want(plan.hash, canary_s)
        except OSError as error:
            raise TargetError(f"{kept} could not be written: {error}") from error

    def restore(self, plan_hash: str | None) -> None:
        if plan_hash is not None and not self._folder.plan(plan_hash).exists():
            raise TargetError(f"{self._folder.path} keeps no plan {plan_hash[:12]}")
        try:
            self._want(plan_hash, None)
        except OSError as error:
            raise TargetError(f"{self._folder.wanted} could not be written: {error}") from error

    def _want(self, plan_hash: str | None, canary_s: float | None) -> None:
        before = self._folder.read_wanted()
        status = self._folder.read_status()
        is_same = before is not None and before.plan_hash == plan_hash
        if before is not None and is_same and before.canary_s is None and canary_s is None:
            self._keep(status)
            return
        fallback = before.fallback if before is not None and is_same else None
        if canary_s is not None and not is_same and status is not None:
            fallback = status.plan_hash
        wanted = Wanted(
            plan_hash=plan_hash,
            fallback=fallback if canary_s is not None else None,
            canary_s=canary_s,
            renewals=before.renewals + 1 if before is not None else 0,
        )
        self._folder.write(wanted)
        self._keep(status)

    def _keep(self, status: Status | None) -> None:
        """Sees to it that a keeper lives while there is something to keep."""
        wanted = self._folder.read_wanted()
        is_over = status is not None and status.state in ("ended", "failed")
        if wanted is None or (is_over and status and wanted.plan_hash in (status.plan_hash, None)):
            return
        if is_kept(self._folder):
            return
        with open(self._folder.path / "keeper.log", "ab") as log:
            subprocess.run(  # it leaves the keeper behind and ends
                [
                    sys.executable,
                    *("-m", "tuner.targets.keeping"),
                    *(str(self._folder.path), str(self._target.checkpoint_s)),
                ],
                cwd=_CODE_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=True,
                timeout=_START_LIMIT_S,
            )

    def observe(self) -> Sighting:
        status = self._folder.read_status()
        if status is None:
            return Sighting(state="starting")
        self._keep(status)
        if status.state == "failed":
            return Sighting(state="failed", plan_hash=status.plan_hash, message=status.message)
        figures = self._figures.get(status.launch_key)
        if figures is None:
            params = read_plan_file(self._folder.plan(status.plan_hash)).params
            figures = RunFigures.of(self._spec, params, self._folder.gang(status))
            self._figures = {status.launch_key: figures}
        run = self._executor.poll(status.launch_key)
        is_over = run.state in (RunState.EXITED, RunState.LOST)
        if is_over and status.state != "ended":
            return Sighting(state="starting")  # the keeper sees to it: again, or the plan before
        return figures.look(self._executor, run)
