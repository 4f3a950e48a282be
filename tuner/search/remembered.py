"""The searcher of a job that has the earlier jobs of its store to learn from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.interfaces import Searcher, Store
from tuner.known import Known
from tuner.model import Job, Trial
from tuner.search import make_searcher, makes_use_of_history
from tuner.spec import JobSpec

if TYPE_CHECKING:
    from tuner.search.transfer import Prior

MAX_JOBS = 8
"""The latest so many jobs are remembered: a model of each is fitted."""


class Remembering:
    """Makes searchers; what a store remembers is read once per job, as it began."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._priors: dict[str, Prior | None] = {}

    def __call__(self, spec: JobSpec, trials: Sequence[Trial], known: Known | None) -> Searcher:
        return make_searcher(spec, trials, known, self._prior(spec, trials))

    def _prior(self, spec: JobSpec, trials: Sequence[Trial]) -> "Prior | None":
        if not trials or not makes_use_of_history(spec):
            return None
        job_id = trials[0].job_id
        if job_id not in self._priors:
            self._priors[job_id] = self._remembered(spec, job_id)
        return self._priors[job_id]

    def _remembered(self, spec: JobSpec, job_id: str) -> "Prior | None":
        from tuner.search.transfer import history_of, is_related

        began = self._store.job(job_id).created_at
        earlier = [job for job in self._store.jobs() if _is_over(job) and job.created_at < began]
        related = [job for job in earlier if is_related(job.spec, spec)][-MAX_JOBS:]
        return history_of(related, {job.id: self._store.trials(job.id) for job in related}, spec)


def _is_over(job: Job) -> bool:
    return job.state.is_finished
