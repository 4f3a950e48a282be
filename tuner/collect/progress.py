"""From the readings of log lines to records: what was done since the line before."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tuner.gang import Record

_COUNTERS = frozenset({"step", "steps", "samples", "total", "pause", "pause_s"})
_NEVER_NEGATIVE = frozenset(
    {*_COUNTERS, "samples_per_s", "steps_per_s", "step_time_s", "p99_latency_ms"}
)


class _Position(NamedTuple):
    """How far a line says that the job is."""

    step: float | None
    samples: float | None

    @property
    def counter(self) -> float:
        return (self.step if self.step is not None else self.samples) or 0.0


@dataclass(slots=True)
class Progress:
    """How far one rank is, by its log lines.

    The first line only marks where the clock starts, for how long its steps took is not known.
    Where the counter starts anew (an epoch), or evaluation was in between, the time since the line
    before is a pause: nobody can tell how much of it was training.
    """

    rank: int
    samples_per_step: float | None
    bad_lines: int = 0
    """Lines with a number that cannot be, or that step back in time or count."""
    _t_s: float = 0.0
    _at: _Position | None = None
    _at_s: float = 0.0
    _paused_s: float = 0.0
    """Pauses told since the last position."""
    _delta: float = 0.0
    _longest: float = 0.0
    _gap: bool = False
    _pause_s: float = 0.0
    _values: dict[str, float] = field(default_factory=dict)
    """Not told yet: of lines without a time, they wait for one that has a time."""
    _not_finite: tuple[str, ...] = ()
    """Values that were no number, not told yet."""

    def record(self, found: Mapping[str, float], t_s: float | None, source: str) -> Record | None:
        """The record of a line; None where it says nothing yet, or nothing sound."""
        if t_s is not None and t_s < self._t_s:
            self.bad_lines += 1
            return None
        sound = {name: value for name, value in found.items() if _is_sound(name, value)}
        self.bad_lines += len(sound) < len(found)
        self._values |= {name: v for name, v in sound.items() if name not in _COUNTERS}
        odd = (name for name, value in found.items() if not math.isfinite(value))
        self._not_finite = (*self._not_finite, *odd)
        self._pause_s += sound.get("pause_s", 0.0)
        self._gap = self._gap or self._is_evaluation(sound)
        position = None if self._is_evaluation(sound) else self._position(sound)
        if t_s is None:
            return None
        steps, samples = (0, 0.0) if position is None else self._advance(position, t_s)
        return self._told(t_s, source, steps, samples)

    def _is_evaluation(self, found: Mapping[str, float]) -> bool:
        # Of progress bars without a label the longest is the training.
        total = found.get("total", self._longest)
        self._longest = max(self._longest, total)
        return "pause" in found or total < self._longest

    def _position(self, found: Mapping[str, float]) -> _Position | None:
        step, samples = found.get("step"), found.get("samples")
        if step is None and "steps" in found:
            before = self._at.step if self._at else None
            step = (before or 0.0) + found["steps"]
        return None if step is None and samples is None else _Position(step, samples)

    def _advance(self, position: _Position, t_s: float) -> tuple[int, float]:
        """Moves to a position, and returns the steps and samples since the last one."""
        before = self._at
        if before is not None and position.counter < before.counter:
            if position.counter > max(self._delta, 1.0):  # a straggling line, not a new epoch
                self.bad_lines += 1
                return 0, 0.0
            self._gap = True
        if before is None:
            done = (1 if position.counter > 0 else 0), 0.0
        elif self._gap:
            self._pause_s = max(self._pause_s, t_s - self._at_s - self._paused_s)
            done = 0, 0.0
        else:
            done = self._difference(before, position)
        self._delta = max(0.0, position.counter - (before.counter if before else 0.0))
        self._at, self._at_s, self._paused_s, self._gap = position, t_s, 0.0, False
        return done

    def _difference(self, before: _Position, now: _Position) -> tuple[int, float]:
        samples = 0.0
        if now.samples is not None and before.samples is not None:
            samples = max(0.0, now.samples - before.samples)
        if now.step is None or before.step is None:
            return self._steps_of(samples), samples
        steps = int(now.step - before.step)
        if now.samples is None and self.samples_per_step is not None:
            samples = steps * self.samples_per_step
        return steps, samples

    def _steps_of(self, samples: float) -> int:
        """Steps where only samples are counted: by the batch, or one for each line."""
        if samples <= 0:
            return 0
        return max(1, round(samples / self.samples_per_step)) if self.samples_per_step else 1

    def _told(self, t_s: float, source: str, steps: int, samples: float) -> Record | None:
        self._t_s = t_s
        if not (steps or samples or self._values or self._not_finite or self._pause_s):
            return None
        pause_s, values, not_finite = self._pause_s, self._values, self._not_finite
        self._paused_s += pause_s if self._at_s < t_s else 0.0
        self._pause_s, self._values, self._not_finite = 0.0, {}, ()
        return Record(
            rank=self.rank,
            t_s=t_s,
            steps=steps,
            samples=samples,
            pause_s=pause_s,
            values=values,
            not_finite=not_finite,
            source=source,
        )


def _is_sound(name: str, value: float) -> bool:
    return math.isfinite(value) and (value >= 0 or name not in _NEVER_NEGATIVE)
