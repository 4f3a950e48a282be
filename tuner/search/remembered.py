"""The searcher of a job with what is expected beforehand: by earlier jobs of its store, or else by
the analytic model of its work."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.interfaces import Searcher, Store
from tuner.known import Known
from tuner.model import Job, Trial
from tuner.search import is_bayesian, make_searcher
from tuner.spec import JobSpec

if TYPE_CHECKING:
    from tuner.search.transfer import Expectation, Prior

MAX_JOBS = 8
"""The latest so many jobs are remembered: a model of each is fitted."""


class Remembering:
    """Makes searchers; what a store remembers is read once per job, as it began."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._priors: dict[str, Prior | None] = {}

    def __call__(self, spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
        return make_searcher(spec, trials, known, self._prior(spec, trials))

    def _prior(self, spec: JobSpec, trials: Sequence[Trial]) -> "Expectation | None":
        if not trials or not is_bayesian(spec):
            return None
        job_id = trials[0].job_id
        if spec.search.use_history and job_id not in self._priors:
            self._priors[job_id] = self._remembered(spec, job_id)
        return self._priors.get(job_id) or _expected(spec, trials)

    def _remembered(self, spec: JobSpec, job_id: str) -> "Prior | None":
        from tuner.search.transfer import history_of, is_related

        began = self._store.job(job_id).created_at
        earlier = [job for job in self._store.jobs() if _is_over(job) and job.created_at < began]
        related = [job for job in earlier if is_related(job.spec, spec)][-MAX_JOBS:]
        return history_of(related, {job.id: self._store.trials(job.id) for job in related}, spec)


def _expected(spec: JobSpec, trials: Sequence[Trial]) -> "Expectation | None":
    from tuner.search.analytic import AnalyticPrior, can_expect

    return AnalyticPrior(spec, trials) if can_expect(spec) else None


def _is_over(job: Job) -> bool:
    return job.state.is_finished
