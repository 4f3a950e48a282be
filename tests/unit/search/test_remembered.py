"""A job begins where earlier jobs of the same workload ended."""

from dataclasses import replace
from datetime import timedelta

from storage.memory import MemoryStore
from tests.unit.builders import NOON
from tests.unit.search.search_cases import ended, job
from tuner.model import Job, JobState, Suggestion
from tuner.search.remembered import Remembering
from tuner.space import Int, Space
from tuner.spec import JobSpec, Workload

SPACE = Space(params={"x": Int(low=0, high=40)})


def rate(x: int) -> float:
    return 100.0 - abs(x - 33)


def remembered(spec: JobSpec, *, state: JobState = JobState.SUCCEEDED) -> MemoryStore:
    """A store with an earlier job whose best was near 33, and the present one."""
    store = MemoryStore()
    store.save(Job(id="earlier", spec=job(SPACE), state=state, created_at=NOON))
    for number, x in enumerate((0, 10, 20, 30, 34, 40)):
        trial = ended(number, {"x": x}, samples_per_s=rate(x))
        store.save(replace(trial, job_id="earlier"))
    store.save(Job(id="job", spec=spec, created_at=NOON + timedelta(hours=1)))
    return store


def first(spec: JobSpec, store: MemoryStore) -> Suggestion:
    trials = [ended(0, {"x": 0}, samples_per_s=3.0)]
    return Remembering(store)(spec, trials, None).ask(1)[0]


def test_the_first_suggestion_is_what_earlier_jobs_found_best() -> None:
    spec = job(SPACE, method="auto")
    asked = first(spec, remembered(spec))
    assert abs(int(asked.params["x"]) - 33) <= 3
    assert asked.reason == "expected to be the best by 1 earlier job"


def test_only_finished_jobs_of_the_same_program_are_remembered_and_only_if_wanted() -> None:
    spec = job(SPACE, method="auto")
    running = remembered(spec, state=JobState.SEARCHING)
    assert first(spec, running).reason.startswith("space-filling")
    other = replace(spec, workload=Workload(command=("another",)))
    assert first(other, remembered(other)).reason.startswith("space-filling")
    alone = replace(spec, search=replace(spec.search, use_history=False))
    assert first(alone, remembered(alone)).reason.startswith("space-filling")
    by_chance = job(SPACE, method="random")
    assert "earlier" not in first(by_chance, remembered(by_chance)).reason
