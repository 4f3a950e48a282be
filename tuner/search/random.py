"""Configurations drawn by chance."""

from collections.abc import Sequence

from tuner.model import Suggestion, Trial
from tuner.search.history import History
from tuner.search.unseen import Unseen
from tuner.spec import JobSpec


class RandomSearcher:
    """Untried members at random, until none is left."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        self._history = History(spec, trials)
        self._unseen = Unseen(spec.space, self._history.taken)

    def ask(self, n: int) -> list[Suggestion]:
        return self._history.ask(n, self._next)

    def tell(self, trial: Trial) -> None:
        self._history.add(trial)

    def _next(self) -> Suggestion | None:
        params = self._unseen.any(self._history.rng())
        return None if params is None else Suggestion(params=params, reason="drawn at random")
