"""Configurations drawn by chance."""

from collections.abc import Sequence

from tuner.model import Suggestion, Trial
from tuner.search.history import OneByOne
from tuner.search.unseen import Unseen
from tuner.spec import JobSpec


class RandomSearcher(OneByOne):
    """Untried members at random, until none is left."""

    def __init__(self, spec: JobSpec, trials: Sequence[Trial]) -> None:
        super().__init__(spec, trials)
        self._unseen = Unseen(spec.space, self._history.taken)

    def _next(self) -> Suggestion | None:
        params = self._unseen.any(self._history.rng())
        return None if params is None else Suggestion(params=params, reason="drawn at random")
