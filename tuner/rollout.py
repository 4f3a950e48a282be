"""The state machine of an application: which state comes next, and why. Pure.

    proposed ─> verifying ─> verified ─> (awaiting_approval) ─> armed ─> applying ─> canary ─> live
       │            │                            │                │         │          │        │
    rejected  failed, expired          rejected, expired   rejected,     failed      paused ────┤
                                                            expired         │          │        │
                                                                            └────> rolling_back <
                                                            frozen <──────────────────┤
                                                                                  rolled_back

Nothing is live that was not verified and whose canary did not pass. The state before each act is
committed first, and acts are idempotent, so that a crash at any point converges to exactly one
plan, the old or the new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tuner.application import Application, ApplicationState, ApplicationWish
from tuner.interfaces import DAMAGED

S = ApplicationState

MAX_TRIES = 3
"""How often a rollback that fails is tried before a person has to help."""

ALLOWED: Mapping[ApplicationState, frozenset[ApplicationState]] = {
    S.PROPOSED: frozenset({S.VERIFYING, S.REJECTED}),
    S.VERIFYING: frozenset({S.VERIFIED, S.FAILED, S.EXPIRED, S.REJECTED}),
    S.VERIFIED: frozenset({S.AWAITING_APPROVAL, S.ARMED, S.REJECTED}),
    S.AWAITING_APPROVAL: frozenset({S.ARMED, S.EXPIRED, S.REJECTED}),
    S.ARMED: frozenset({S.APPLYING, S.EXPIRED, S.REJECTED, S.FAILED}),
    S.APPLYING: frozenset({S.CANARY, S.FAILED, S.ROLLING_BACK}),
    S.CANARY: frozenset({S.LIVE, S.PAUSED, S.ROLLING_BACK, S.ROLLED_BACK, S.SUPERSEDED}),
    S.PAUSED: frozenset({S.LIVE, S.ROLLING_BACK, S.ROLLED_BACK, S.SUPERSEDED}),
    S.LIVE: frozenset({S.ROLLING_BACK, S.SUPERSEDED}),
    S.ROLLING_BACK: frozenset({S.ROLLED_BACK, S.FROZEN, S.FAILED}),
    # The plan that superseded it was rolled back: it is on the target again.
    S.SUPERSEDED: frozenset({S.CANARY, S.LIVE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a canary has shown by now."""

    verdict: Literal["wait", "pass", "fail", "inconclusive"]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is known beside the application; only what its state asks for is filled in."""

    is_halted: bool = False
    """The kill switch is on: nothing goes forward, only back."""
    refusal: str = ""
    """Why the policy does not allow it at all."""
    doubt: str = ""
    """Why the evidence is no proof."""
    expired: str = ""
    """Why the evidence does not hold any more."""
    approvals_missing: int = 0
    hold: str = ""
    """Why not now: a freeze window, a cooldown, the number of today, another on its way."""
    found: str | None = None
    """The plan that the target shows."""
    error: str = ""
    """Why the act of this state could not be done."""
    is_late: bool = False
    """The time for the act of this state has passed."""
    canary: Judgement | None = None
    """None where nothing is known of the canary: never a reason to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The next state, or the same one with something to tell."""

    state: ApplicationState
    message: str = ""


def next_move(application: Application, sight: Sight) -> Move | None:
    """Where an application goes from here; None where it stays as it is."""
    move = _wished(application, sight) or _MOVES[application.state](application, sight)
    if move is None or (move.state, move.message) == (application.state, application.message):
        return None
    return move


def _wished(application: Application, sight: Sight) -> Move | None:
    """What people want comes first, as far as it leads back."""
    state, wish = application.state, application.wish
    if wish is ApplicationWish.REJECT and S.REJECTED in ALLOWED.get(state, ()):
        return Move(state=S.REJECTED, message="rejected by a person")
    wants_back = wish is ApplicationWish.ROLL_BACK and S.ROLLING_BACK in ALLOWED.get(state, ())
    if not wants_back:
        return None
    if state is S.APPLYING and sight.found == application.before_hash:
        return Move(state=S.FAILED, message="taken back before anything was changed")
    return Move(state=S.ROLLING_BACK, message="a person asked for it")


def _proposed(application: Application, sight: Sight) -> Move | None:
    if sight.refusal:
        return Move(state=S.REJECTED, message=sight.refusal)
    return _halted(application, sight) or Move(state=S.VERIFYING)


def _verifying(application: Application, sight: Sight) -> Move | None:
    if sight.doubt:
        return Move(state=S.FAILED, message=sight.doubt)
    if sight.expired:
        return Move(state=S.EXPIRED, message=sight.expired)
    return _halted(application, sight) or Move(state=S.VERIFIED)


def _verified(application: Application, sight: Sight) -> Move | None:
    if sight.approvals_missing:
        return Move(state=S.AWAITING_APPROVAL, message=_asks(sight.approvals_missing))
    return _halted(application, sight) or Move(state=S.ARMED)


def _awaiting_approval(application: Application, sight: Sight) -> Move | None:
    if sight.expired:
        return Move(state=S.EXPIRED, message=sight.expired)
    if sight.approvals_missing:
        return Move(state=S.AWAITING_APPROVAL, message=_asks(sight.approvals_missing))
    return _halted(application, sight) or Move(state=S.ARMED, message="approved")


def _armed(application: Application, sight: Sight) -> Move | None:
    if sight.expired:
        return Move(state=S.EXPIRED, message=sight.expired)
    if sight.refusal:
        return Move(state=S.REJECTED, message=sight.refusal)
    if sight.error:
        return Move(state=S.FAILED, message=sight.error)
    if sight.hold:
        return Move(state=S.ARMED, message=f"waits: {sight.hold}")
    return _halted(application, sight) or Move(state=S.APPLYING)


def _applying(application: Application, sight: Sight) -> Move | None:
    if sight.error:
        if sight.found == application.before_hash:
            return Move(state=S.FAILED, message=sight.error)
        is_known = sight.found is not None
        state = S.ROLLING_BACK if is_known or sight.is_late else S.APPLYING
        return Move(state=state, message=sight.error)
    if sight.found == application.plan_hash:
        return Move(state=S.CANARY, message=_put(application))
    others = (application.before_hash, None, DAMAGED)
    if sight.found not in others:
        return Move(state=S.FAILED, message=_changed_meanwhile(application, sight.found))
    if sight.is_late:
        return Move(state=S.ROLLING_BACK, message="the target did not take it in time")
    return None


def _canary(application: Application, sight: Sight) -> Move | None:
    went = _went_by_itself(application, sight)
    if went is not None:
        return went
    judged = sight.canary
    if judged is None:
        return _no_data(sight)
    match judged.verdict:
        case "pass":
            return Move(state=S.LIVE, message=judged.why)
        case "fail":
            return Move(state=S.ROLLING_BACK, message=judged.why)
        case "inconclusive":
            return Move(state=S.PAUSED, message=judged.why)
    return Move(state=S.CANARY, message=judged.why)


def _no_data(sight: Sight) -> Move | None:
    if sight.is_late:
        return Move(state=S.ROLLING_BACK, message="no data came from its canary")
    return Move(state=S.CANARY, message=sight.error) if sight.error else None


def _went_by_itself(application: Application, sight: Sight) -> Move | None:
    """The target went back by itself, or someone changed it."""
    if sight.error or sight.found == application.plan_hash:
        return None
    if sight.found is None:  # a file was removed; anything else may be on its way
        gone = Move(state=S.SUPERSEDED, message=f"{application.target_path} was removed")
        return gone if application.target_kind == "file" else None
    if sight.found == application.before_hash:
        return Move(state=S.ROLLED_BACK, message="the target went back by itself")
    if sight.found == DAMAGED:
        return Move(state=S.ROLLING_BACK, message="what the target holds is damaged")
    return Move(state=S.SUPERSEDED, message=_changed_meanwhile(application, sight.found))


def _paused(application: Application, sight: Sight) -> Move | None:
    went = _went_by_itself(application, sight)
    if went is not None:
        return went
    judged = sight.canary
    if judged is not None and judged.verdict in ("pass", "fail"):
        state = S.LIVE if judged.verdict == "pass" else S.ROLLING_BACK
        return Move(state=state, message=judged.why)
    if sight.is_late:
        return Move(state=S.ROLLING_BACK, message="nobody decided in time")
    return None


def _live(application: Application, sight: Sight) -> Move | None:
    judged = sight.canary
    if judged is not None and judged.verdict == "fail":
        return Move(state=S.ROLLING_BACK, message=judged.why)
    return None


def _rolling_back(application: Application, sight: Sight) -> Move | None:
    if sight.error:
        if application.tries + 1 >= MAX_TRIES:
            return Move(state=S.FROZEN, message=f"the way back failed too: {sight.error}")
        return Move(state=S.ROLLING_BACK, message=f"try {application.tries + 1}: {sight.error}")
    if sight.found == application.before_hash:
        return Move(state=S.ROLLED_BACK, message=_back(application))
    if sight.found not in (application.plan_hash, None, DAMAGED):
        return Move(state=S.FAILED, message=_changed_meanwhile(application, sight.found))
    if sight.is_late:
        return Move(state=S.FROZEN, message="the target did not go back in time")
    return None


def _back(application: Application) -> str:
    """Keeps why it was rolled back beside what is true now."""
    why = application.message
    return f"the plan before is back: {why}" if why else "the plan before is back"


def _finished(application: Application, sight: Sight) -> Move | None:
    return None


def _halted(application: Application, sight: Sight) -> Move | None:
    if not sight.is_halted:
        return None
    return Move(state=application.state, message="halted: `trimtab halt --lift` lets it go on")


def _put(application: Application) -> str:
    if application.target_kind == "file":
        return "takes effect at the next start"
    return "on the target; not yet seen to run"


def _asks(missing: int) -> str:
    people = "one more person" if missing == 1 else f"{missing} more people"
    return f"waits for the approval of {people}: `trimtab approve`"


def _changed_meanwhile(application: Application, found: str | None) -> str:
    return (
        f"{application.target_path} changed meanwhile (now {str(found)[:12]}); it was left alone. "
        "Remedy: look at it and apply again"
    )


_MOVES = {
    S.PROPOSED: _proposed,
    S.VERIFYING: _verifying,
    S.VERIFIED: _verified,
    S.AWAITING_APPROVAL: _awaiting_approval,
    S.ARMED: _armed,
    S.APPLYING: _applying,
    S.CANARY: _canary,
    S.PAUSED: _paused,
    S.LIVE: _live,
    S.ROLLING_BACK: _rolling_back,
    **dict.fromkeys((state for state in S if state.is_finished), _finished),
}
