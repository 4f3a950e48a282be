"""How far each rank of a gang has come by its records, and whether it still gets on. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tuner.gang import Record, RunStatus
from tuner.spec import Measuring

_LOSSES = frozenset({"loss", "train_loss", "training_loss", "total_loss"})
_SHORT_S = 0.1
"""Steps within less are never slow."""
_ODD_LOSSES = 3
"""So many losses in a row that are no number end a trial; one may be a skipped step."""


class _Gap(NamedTuple):
    """The time between two records of a rank, and what a step took in it."""

    start_s: float
    end_s: float
    step_s: float


@dataclass(slots=True)
class Standing:
    """How far one rank has come."""

    rank: int
    last_s: float
    """Monotonic second of its latest record."""
    steps: int = 0
    is_pausing: bool = False
    odd_losses: int = 0
    """Losses in a row, the latest included, that were no number."""


class Standings:
    """The standing of every rank that told something, kept up record by record."""

    def __init__(self) -> None:
        self._ranks: dict[int, Standing] = {}
        self._gaps: list[_Gap] = []
        self._pauses: list[tuple[float, float]] = []
        self.num_records = 0

    def note(self, records: Iterable[Record]) -> None:
        for record in records:
            self.num_records += 1
            self._note(record)

    def _note(self, record: Record) -> None:
        standing = self._ranks.setdefault(record.rank, Standing(record.rank, record.t_s))
        if record.pause_s:
            self._pauses.append((record.t_s - record.pause_s, record.t_s))
        if record.steps and standing.steps:
            gap_s = record.t_s - standing.last_s - record.pause_s
            if gap_s > _SHORT_S:
                self._gaps.append(_Gap(standing.last_s, record.t_s, gap_s / record.steps))
        standing.last_s = max(standing.last_s, record.t_s)
        standing.steps += record.steps
        standing.is_pausing = record.is_pausing
        if not _LOSSES.isdisjoint(record.not_finite):
            standing.odd_losses += 1
        elif not _LOSSES.isdisjoint(record.values):
            standing.odd_losses = 0

    @property
    def ranks(self) -> list[Standing]:
        """Those that count: the ranks that step, or all where none does."""
        found = [self._ranks[rank] for rank in sorted(self._ranks)]
        return [standing for standing in found if standing.steps] or found

    def diverged(self, *, for_sure: bool) -> Standing | None:
        """A rank whose latest losses were no numbers: one, or `for_sure` more than the odd one
        that a skipped step may give."""
        least = _ODD_LOSSES if for_sure else 1
        return next((s for _, s in sorted(self._ranks.items()) if s.odd_losses >= least), None)

    @property
    def behind(self) -> Standing | None:
        """The rank that made fewer steps than others, the longest silent of them; None where all
        are equally far."""
        ranks = self.ranks
        steps = {standing.steps for standing in ranks}
        if len(steps) < 2:
            return None
        return min(ranks, key=lambda s: (s.steps, s.last_s))

    @property
    def slowest_step_s(self) -> float:
        """Of the steps that take time at all; what ranks wait for one that pauses is none."""
        found = (
            gap.step_s
            for gap in self._gaps
            if not any(start < gap.end_s and end > gap.start_s for start, end in self._pauses)
        )
        return max(found, default=0.0)

    def trouble(self, limits: Measuring, status: RunStatus, *, caught_up: bool = True) -> str:
        """Why a gang should end though it has not been measured; empty while it should go on.

        What has not been read yet must not pass for silence: `caught_up` says that all was.
        """
        if self.diverged(for_sure=True) is not None:
            return "diverged"
        if status.elapsed_s > limits.startup_s and not self._ranks and caught_up:
            return "startup_timeout"
        if caught_up and self._is_silent(limits, status):
            return "stalled"
        return "cap" if status.elapsed_s > limits.max_trial_s else ""

    def _is_silent(self, limits: Measuring, status: RunStatus) -> bool:
        ranks = self.ranks
        steps = any(standing.steps for standing in ranks)
        # A value before the first step does not end the time for starting.
        if not ranks or (not steps and status.elapsed_s <= limits.startup_s):
            return False
        latest = [standing.last_s for standing in ranks]
        last_s = min(latest) if steps else max(latest)
        limit_s = max(limits.stall_s, 10 * self.slowest_step_s)
        # The others wait for a rank that pauses.
        if any(standing.is_pausing for standing in self._ranks.values()):
            limit_s = max(limit_s, limits.pause_s)
        return status.now_s - last_s > limit_s
