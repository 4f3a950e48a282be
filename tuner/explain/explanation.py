"""From the trials of a job to what they say together. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from threadpoolctl import threadpool_limits

from tuner import decide
from tuner.advice import advice
from tuner.explain.alternatives import Placed, alternatives
from tuner.explain.front import front
from tuner.explain.importance import METHOD, importance
from tuner.explain.nouns import Explanation
from tuner.explain.sensitivity import sensitivity
from tuner.explain.surrogate import MIN_TRIALS, Surrogate
from tuner.known import Known
from tuner.model import Job, Trial


def explain(job: Job, trials: Sequence[Trial], known: Known | None, placed: Placed) -> Explanation:
    """What the trials so far say; of few trials only what can be said."""
    spec = job.spec
    model = Surrogate(spec, trials, known)
    best = next(iter(decide.ranking(spec, trials)), None)
    found = Explanation(
        job_id=job.id,
        best=best.number if best is not None else None,
        learned_from=len(model.points),
        method=METHOD,
        front=tuple(front(spec, trials)),
        advice=advice(spec, trials, best),
    )
    if not model.is_known:
        note = f"importance and sensitivity need {MIN_TRIALS} different measured configurations"
        near = alternatives(spec, trials, best, None, placed) if best is not None else []
        return replace(found, note=note, alternatives=tuple(near))
    with threadpool_limits(1):  # on small matrices more threads only wait for each other
        shares, together_pct = importance(spec.space, model)
        found = replace(found, importance=tuple(shares), together_pct=together_pct)
        if best is None:
            return replace(found, note="no trial may win yet: nothing to compare with")
        return replace(
            found,
            sensitivity=tuple(sensitivity(spec, trials, best, model)),
            alternatives=tuple(alternatives(spec, trials, best, model, placed)),
        )
