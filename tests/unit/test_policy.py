"""What the policy lets through, and when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.builders import NOON, job, spec
from tests.unit.plans import a_plan
from tuner import policy
from tuner.application import Application, ApplicationState, ApplicationWish
from tuner.model import AuditEvent, Job, Plan
from tuner.policy import request_by_policy

AUTO = {"mode": "next_start", "target": {"path": "/tmp/unused.json"}}
S = ApplicationState


def by_policy(plan: Plan, **apply: object) -> tuple[Application | None, str | None]:
    owner: Job = job(apply={**AUTO, **apply})
    return request_by_policy(owner, plan, NOON)


def test_policy_applies_a_better_plan_only() -> None:
    application, why = by_policy(a_plan())
    assert application is not None
    assert (application.actor, why) == ("policy", None)
    assert by_policy(replace(a_plan(), verdict="within_noise")) == (None, None)
    assert by_policy(a_plan(), mode="recommend") == (None, None)


def test_policy_guards_the_learning() -> None:
    changed = replace(a_plan(), learning_changes=("global_batch_size",), quality_ok=True)
    application, why = by_policy(changed)
    assert application is None
    assert why is not None
    assert "global_batch_size" in why
    assert by_policy(changed, learning_changes="allow")[0] is not None
    unknown = replace(changed, quality_ok=None)
    assert by_policy(unknown, learning_changes="allow")[0] is None
    worse = replace(a_plan(), quality_ok=False)
    assert by_policy(worse, learning_changes="allow")[0] is None


def test_policy_minds_memory_only_where_it_is_not_bounded() -> None:
    space = {
        "params": {"micro_batch_size": {"options": [1, 2]}, "global_batch_size": {"options": [2]}}
    }
    plan = replace(
        a_plan(), params={"micro_batch_size": 2}, baseline_params={"micro_batch_size": 1}
    )
    command = {"command": ["train"]}
    free = job(workload=command, space=space, apply=AUTO)
    application, why = request_by_policy(free, plan, NOON)
    assert application is None
    assert "memory_limit_gib" in str(why)
    bounded = job(workload=command, space=space, apply=AUTO, resources={"memory_limit_gib": 8})
    assert request_by_policy(bounded, plan, NOON)[0] is not None


def an_application(number: int = 0, **changes: Any) -> Application:
    made = Application(
        id=f"app_{number}",
        plan_id="plan_1024",
        job_id="job_1",
        target_kind="file",
        target_path="/p",
        actor="policy",
        plan_hash=a_plan().hash,
        created_at=NOON + timedelta(seconds=number),
        updated_at=NOON,
    )
    return replace(made, **changes)


def held(*others: Application, now: datetime = NOON, actor: str = "policy", **apply: Any) -> str:
    policy_of_job = spec(apply={**AUTO, **apply}).apply
    return policy.hold(policy_of_job, an_application(9, actor=actor), others, now)


def test_one_at_a_time_and_the_earlier_first() -> None:
    assert "app_1" in held(an_application(1, state=S.APPLYING))
    assert held(an_application(10, state=S.ARMED)) == ""
    assert held(an_application(1, state=S.LIVE)) == ""
    assert held(an_application(1, state=S.APPLYING, target_path="/q")) == ""


def test_at_most_so_many_a_day_for_the_policy() -> None:
    done = [
        an_application(n, state=S.SUPERSEDED, live_at=NOON, applied_at=NOON - timedelta(hours=n))
        for n in range(3)
    ]
    assert "max_per_day" in held(*done)
    assert held(*done, max_per_day=4) == ""
    assert held(*done, actor="ann") == "", "people know what they do"
    assert held(*done, now=NOON + timedelta(hours=23)) == ""


def test_the_cooldown_doubles_with_each_rollback_in_a_row() -> None:
    first = an_application(1, state=S.ROLLED_BACK, updated_at=NOON)
    assert "60 min of cooldown" in held(first)
    assert held(first, now=NOON + timedelta(minutes=61)) == ""
    second = an_application(2, state=S.ROLLED_BACK, updated_at=NOON)
    assert "cooldown" in held(first, second, now=NOON + timedelta(minutes=119))
    by_hand = replace(first, wish=ApplicationWish.ROLL_BACK)
    assert held(by_hand) == ""


def test_after_a_frozen_one_a_person_has_to_look() -> None:
    frozen = an_application(1, state=S.FROZEN)
    assert "frozen" in held(frozen)
    assert held(frozen, actor="ann") == ""


@pytest.mark.parametrize(
    ("window", "is_within"),
    [
        ("tue 11:00 to tue 13:00", True),
        ("tue 12:01 to tue 13:00", False),
        ("mon 00:00 to tue 12:00", False),
        ("fri 16:00 to wed 08:00", True),
        ("fri 16:00 to mon 08:00", False),
    ],
)
def test_freeze_windows(window: str, is_within: bool) -> None:
    assert datetime(2026, 11, 24, 12, 0, tzinfo=UTC) == NOON, "a Tuesday"
    assert bool(held(freeze=[window], actor="ann")) is is_within


def refused(plan: Plan, *others: Application, actor: str = "policy", **apply: Any) -> str:
    return policy.refusal(
        job(apply={**AUTO, **apply}), plan, an_application(9, actor=actor), others
    )


def test_what_was_rolled_back_does_not_come_again_by_itself() -> None:
    back = an_application(1, state=S.ROLLED_BACK)
    assert "rolled back from there before" in refused(a_plan(), back)
    assert refused(a_plan(), back, actor="ann") == ""
    assert refused(a_plan(), replace(back, plan_hash="other")) == ""


def test_steps_beyond_the_factor_are_refused() -> None:
    assert "factor of 4" in refused(a_plan(), max_factor=2)
    assert refused(a_plan(), max_factor=4) == ""


def test_only_proof_is_proof() -> None:
    assert policy.doubt(a_plan(), "policy") == ""
    for verdict in ("within_noise", "not_better", "limit_broken"):
        assert policy.doubt(replace(a_plan(), verdict=verdict), "ann")
    unproven = replace(a_plan(), verdict="unproven")
    assert policy.doubt(unproven, "policy")
    assert policy.doubt(unproven, "ann") == ""


def test_evidence_expires_with_time_and_with_conditions() -> None:
    owner: Job = job(apply=AUTO)
    late = NOON + timedelta(hours=25)
    fresh = policy.expired(owner.spec, a_plan(), an_application(), (), NOON)
    assert fresh == ""
    assert "25 hours" in policy.expired(owner.spec, a_plan(), an_application(), (), late)
    assert "torch" in policy.expired(owner.spec, a_plan(), an_application(), ("torch",), NOON)
    stale = an_application(is_stale=True)
    assert policy.expired(owner.spec, a_plan(), stale, ("torch",), late) == ""


def approval(actor: str, **changes: Any) -> AuditEvent:
    event = AuditEvent(
        at=NOON, actor=actor, action=policy.APPROVE, subject="app_0", after_hash=a_plan().hash
    )
    return replace(event, **changes)


def test_approvals_are_of_others_each_once_for_this_plan() -> None:
    two = spec(apply={**AUTO, "approvals": 2}).apply
    mine = an_application(actor="ann")

    def missing(*events: AuditEvent) -> int:
        return policy.approvals_missing(two, mine, events)

    assert missing() == 2
    assert missing(approval("ann")) == 2
    assert missing(approval("ben"), approval("ben")) == 1
    assert missing(approval("ben"), approval("cleo")) == 0
    assert missing(approval("ben"), approval("cleo", after_hash="another")) == 1
    assert missing(approval("ben"), approval("cleo", subject="app_7")) == 1
