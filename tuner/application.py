"""An application: one try to put a plan on a target. As frozen data.

    proposed → verifying → verified → (awaiting_approval) → armed → applying → canary → live
    rejected · failed · expired · paused → rolling_back → rolled_back · frozen · superseded

What leads from one to the other stands in `tuner.rollout`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal


class ApplicationState(StrEnum):
    PROPOSED = "proposed"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    AWAITING_APPROVAL = "awaiting_approval"
    ARMED = "armed"
    APPLYING = "applying"
    CANARY = "canary"
    """On the target, and watched; a plan file: written, until a start of the job has shown it."""
    LIVE = "live"
    PAUSED = "paused"
    """The canary told nothing clear: a person may decide, else it is rolled back."""
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    FAILED = "failed"
    EXPIRED = "expired"
    FROZEN = "frozen"
    """The way back failed as well: only a person can help."""

    @property
    def is_finished(self) -> bool:
        return self in _FINISHED

    @property
    def is_on_target(self) -> bool:
        """Whether its plan is what the target holds, as far as all went well."""
        return self in (ApplicationState.CANARY, ApplicationState.LIVE, ApplicationState.PAUSED)


_FINISHED = frozenset(
    {
        ApplicationState.ROLLED_BACK,
        ApplicationState.SUPERSEDED,
        ApplicationState.REJECTED,
        ApplicationState.FAILED,
        ApplicationState.EXPIRED,
        ApplicationState.FROZEN,
    }
)


class ApplicationWish(StrEnum):
    """What a person wants of an application; the controller turns it into fact."""

    CARRY_ON = "carry_on"
    ROLL_BACK = "roll_back"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One try to put a plan on a target, and where it stands."""

    id: str
    plan_id: str
    job_id: str
    target_kind: str
    target_path: str
    """The target's place: a path, a URL. One application at a time is on its way to a place."""
    state: ApplicationState = ApplicationState.PROPOSED
    wish: ApplicationWish = ApplicationWish.CARRY_ON
    actor: str
    """Who asked: a person's name, or `policy`."""
    is_stale: bool = False
    """Asked for although the conditions have changed since the plan was measured."""
    plan_hash: str
    before_hash: str | None = None
    """What was on the target before; None where nothing was."""
    message: str = ""
    created_at: datetime
    updated_at: datetime
    """When it entered its state."""
    applied_at: datetime | None = None
    """When it began to change the target."""
    live_at: datetime | None = None
    """When its canary passed."""
    tries: int = 0
    """How often the present act has failed."""

    @property
    def is_resting(self) -> bool:
        """Whether nothing more happens by itself for now: it has ended, is live, waits for people,
        or for the next start of the job."""
        waits = self.state in (
            ApplicationState.LIVE,
            ApplicationState.AWAITING_APPROVAL,
            ApplicationState.PAUSED,
        )
        is_written = self.state is ApplicationState.CANARY and self.target_kind == "file"
        return waits or is_written or self.state.is_finished

    @property
    def is_settled(self) -> bool:
        """Whether it rests, and what a person wished of it has been done."""
        is_done = self.wish is ApplicationWish.CARRY_ON or self.state.is_finished
        return self.is_resting and is_done


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What the workload behind a target shows of itself."""

    state: Literal["waiting", "starting", "running", "ended", "failed"]
    """`waiting`: nothing has started since the plan was put there, and nothing will by itself;
    `ended`: it ran to its end."""
    plan_hash: str | None = None
    """The plan that the workload itself reports to run; None where it reports none."""
    steps: int = 0
    """Steps, or requests, that it has done with that plan."""
    elapsed_s: float | None = None
    """Since it took the plan up; None: since the plan was put there."""
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    message: str = ""
