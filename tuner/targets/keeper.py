"""The process that keeps a training run going, apart from any controller.

It launches the run, and when another plan is wanted it asks the run for a checkpoint, waits for its
end, and launches the next generation from that checkpoint. Should nobody renew a canary in time,
or the run fail with its plan, it goes back to the plan before by itself.

In the folder of the run:
plans/HASH.json   every plan that was wanted, in the format of a plan file
wanted.json       which of them is wanted (written by the controller, or by this when it goes back)
status.json       which of them runs, as which launch (written before the launch)
runs/             the gangs, one folder a launch
checkpoints/      what the run has learnt
keeper.lock       held while this process lives

A killed keeper is started again by whoever asks for the run next, and finds the run as it is.
"""

import fcntl
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tuner.errors import ExecutorError, TargetError
from tuner.executors.local import LocalExecutor
from tuner.gang import Gang, RunState, RunStatus
from tuner.report import PLAN_VARIABLE
from tuner.targets.file import publish, read_plan_file

TURN_S = 0.1
MAX_RESTARTS = 3
"""How often a run that fails with a proven plan is started again from its last checkpoint."""
DIR_VARIABLE = "TRIMTAB_CHECKPOINT_DIR"
STOP_VARIABLE = "TRIMTAB_STOP_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the run shall be."""

    plan_hash: str | None
    """None: it shall end, after a checkpoint."""
    fallback: str | None = None
    """The plan to go back to while this one is in its canary."""
    canary_s: float | None = None
    renewals: int = 0
    """Counts up with each renewal of the canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the run is."""

    plan_hash: str
    generation: int
    state: Literal["running", "switching", "ended", "failed"] = "running"
    restarts: int = 0
    message: str = ""

    @property
    def launch_key(self) -> str:
        return f"run-{self.generation}-{self.plan_hash[:12]}"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def wanted(self) -> Path:
        return self.path / "wanted.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    def plan(self, plan_hash: str) -> Path:
        return self.path / "plans" / f"{plan_hash}.json"

    def stop_file(self, launch_key: str) -> Path:
        return self.path / "checkpoints" / f"stop-{launch_key}"

    def read_wanted(self) -> Wanted | None:
        found = _read(self.wanted)
        return None if found is None else Wanted(**found)

    def read_status(self) -> Status | None:
        found = _read(self.status)
        return None if found is None else Status(**found)

    def write(self, fact: Wanted | Status) -> None:
        path = self.wanted if isinstance(fact, Wanted) else self.status
        publish(path, json.dumps(asdict(fact), indent=2) + "\n")

    def gang(self, status: Status) -> Gang:
        """The launch of a generation. Raises TargetError where its plan is not whole."""
        plan = read_plan_file(self.plan(status.plan_hash))
        env = {
            **plan.command.env,
            PLAN_VARIABLE: status.plan_hash,
            DIR_VARIABLE: str(self.path / "checkpoints"),
            STOP_VARIABLE: str(self.stop_file(status.launch_key)),
        }
        return Gang(
            launch_key=status.launch_key,
            command=replace(plan.command, env=env),
            placement=plan.placement,
        )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class Keeper:
    """Brings what runs nearer to what is wanted, a turn at a time."""

    def __init__(self, folder: RunFolder, checkpoint_s: float) -> None:
        self._folder = folder
        self._checkpoint_s = checkpoint_s
        self._executor = LocalExecutor(folder.path / "runs", warm_package=None)
        self._renewed: tuple[int, float] | None = None
        self._asked_s: float | None = None

    def turn(self) -> bool:
        """Whether there is more to do."""
        wanted, status = self._folder.read_wanted(), self._folder.read_status()
        if wanted is None:
            return True
        wanted = self._unless_unrenewed(wanted)
        if status is None:
            if wanted.plan_hash is not None:
                self._launch(Status(plan_hash=wanted.plan_hash, generation=0))
            return wanted.plan_hash is not None
        if status.state in ("ended", "failed") and wanted.plan_hash in (status.plan_hash, None):
            return False
        # Launching is idempotent: a keeper killed between two writes is made good here.
        self._executor.launch(self._folder.gang(status))
        run = self._executor.poll(status.launch_key)
        if run.state in (RunState.EXITED, RunState.LOST):
            return self._went(wanted, status, run)
        if wanted.plan_hash != status.plan_hash:
            self._ask_for_checkpoint(wanted, status)
        elif status.state == "switching":  # it was taken back before the checkpoint came
            self._take_back(status)
        return True

    def _unless_unrenewed(self, wanted: Wanted) -> Wanted:
        """Goes back where nobody has renewed the canary in time, counted from when this looks."""
        if wanted.canary_s is None or wanted.fallback is None:
            self._renewed = None
            return wanted
        now_s = time.monotonic()
        if self._renewed is None or self._renewed[0] != wanted.renewals:
            self._renewed = (wanted.renewals, now_s)
        if now_s - self._renewed[1] <= wanted.canary_s:
            return wanted
        back = Wanted(plan_hash=wanted.fallback)
        self._folder.write(back)
        return back

    def _launch(self, status: Status) -> None:
        self._asked_s = None
        self._folder.write(status)
        with suppress(ExecutorError):  # the next turn asks again
            self._executor.launch(self._folder.gang(status))

    def _ask_for_checkpoint(self, wanted: Wanted, status: Status) -> None:
        stop = self._folder.stop_file(status.launch_key)
        if status.state != "switching":
            stop.parent.mkdir(parents=True, exist_ok=True)
            stop.touch()
            self._folder.write(replace(status, state="switching"))
        if self._asked_s is None:
            self._asked_s = time.monotonic()
        if time.monotonic() - self._asked_s > self._checkpoint_s:
            self._folder.write(Wanted(plan_hash=status.plan_hash))
            self._take_back(replace(status, message="no checkpoint came in time"))

    def _take_back(self, status: Status) -> None:
        self._asked_s = None
        self._folder.stop_file(status.launch_key).unlink(missing_ok=True)
        self._folder.write(replace(status, state="running"))

    def _went(self, wanted: Wanted, status: Status, run: RunStatus) -> bool:
        """The gang of a generation has ended: by request, by itself, or by a fault."""
        was_asked = self._folder.stop_file(status.launch_key).exists()
        ended_well = run.state is RunState.EXITED and run.reason == "exited"
        if ended_well and not was_asked:
            self._folder.write(replace(status, state="ended"))
            return False
        if wanted.plan_hash is None:
            self._folder.write(replace(status, state="ended", message="stopped as wanted"))
            return False
        if ended_well or wanted.plan_hash != status.plan_hash:
            self._next(status, wanted.plan_hash, message="")
            return True
        return self._failed(wanted, status, run)

    def _failed(self, wanted: Wanted, status: Status, run: RunStatus) -> bool:
        if wanted.canary_s is not None and wanted.fallback is not None:
            self._folder.write(Wanted(plan_hash=wanted.fallback))
            message = f"plan {status.plan_hash[:12]} failed: {run.reason}"
            self._next(status, wanted.fallback, message=message)
            return True
        if status.restarts < MAX_RESTARTS:
            again = replace(status, generation=status.generation + 1, restarts=status.restarts + 1)
            self._launch(replace(again, state="running", message=run.reason))
            return True
        self._folder.write(replace(status, state="failed", message=run.reason))
        return False

    def _next(self, status: Status, plan_hash: str, *, message: str) -> None:
        generation = status.generation + 1
        self._launch(Status(plan_hash=plan_hash, generation=generation, message=message))


def main(path: str, checkpoint_s: str) -> None:
    """Keeps the run of a folder until it has ended; at once where another does so already."""
    folder = RunFolder(Path(path))
    with open(folder.path / "keeper.lock", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        keeper = Keeper(folder, float(checkpoint_s))
        while True:
            try:
                if not keeper.turn():
                    return
            except (ExecutorError, TargetError, OSError) as error:
                print(f"{error}", file=sys.stderr, flush=True)  # noqa: T201
            time.sleep(TURN_S)


def is_kept(folder: RunFolder) -> bool:
    """Whether a keeper lives."""
    try:
        with open(folder.path / "keeper.lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
