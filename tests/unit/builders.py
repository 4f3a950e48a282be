"""Small nouns for tests; every builder takes what matters and fills in the rest."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from tuner.expression import Value
from tuner.model import (
    Attempt,
    AttemptState,
    Failure,
    FailureKind,
    Job,
    Measurement,
    Placement,
    Trial,
    TrialState,
)
from tuner.spec import JobSpec

_JOB_SPEC = TypeAdapter(JobSpec)
"""Made once: it takes a tenth of a second."""
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def spec(**changes: Any) -> JobSpec:
    """A job over batch (learning) and workers, 4 x 3 configurations, run by any command."""
    content: dict[str, Any] = {
        "name": "toy",
        "workload": {
            "command": ["train", "--batch=${global_batch_size}", "--workers=${loader_workers}"],
            "launch": "per_rank",
        },
        "space": {
            "params": {
                "loader_workers": {"kind": "int", "low": 0, "high": 2},
                "global_batch_size": {"kind": "choice", "options": [256, 512, 1024, 2048]},
            }
        },
        "budget": {"trials": 6},
        **changes,
    }
    return _JOB_SPEC.validate_python(content)


def job(**changes: Any) -> Job:
    return Job(id="job_1", spec=spec(**changes), created_at=NOON)


def measurement(
    samples_per_s: float = 1000.0, *, half_width_pct: float = 1.0, **changes: Any
) -> Measurement:
    half = samples_per_s * half_width_pct / 100
    content: dict[str, Any] = {
        "metrics": {"samples_per_s": samples_per_s, **changes.pop("metrics", {})},
        "intervals": {"samples_per_s": (samples_per_s - half, samples_per_s + half)},
        "window_s": 5.0,
        "warmup_s": 0.5,
        "steps": 500,
        "samples": 5 * samples_per_s,
        "stopped": "precise",
        **changes,
    }
    return Measurement(**content)


def trial(
    number: int, params: Mapping[str, Value] | None = None, outcome: Measurement | None = None
) -> Trial:
    """Complete where an outcome is given, waiting where none is."""
    return Trial(
        job_id="job_1",
        number=number,
        params=dict(params or {"global_batch_size": 256, "loader_workers": 0}),
        state=TrialState.WAITING if outcome is None else TrialState.COMPLETE,
        reason="test",
        measurement=outcome,
        created_at=NOON,
    )


def attempt(trial_number: int, number: int = 0, **changes: Any) -> Attempt:
    content: dict[str, Any] = {
        "job_id": "job_1",
        "trial_number": trial_number,
        "number": number,
        "state": AttemptState.COMPLETE,
        "placement": Placement(cores=((0,),), gpus=((),)),
        "created_at": NOON,
        **changes,
    }
    return Attempt(**content)


def failure(kind: FailureKind) -> Failure:
    return Failure(kind=kind, cause="test", remedy="none")
