"""Runs of search methods on surfaces, and what they add up to."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, geometric_mean, median

from threadpoolctl import threadpool_limits

from benchmarks.players import make_player
from benchmarks.surface import Surface, read_surfaces
from tuner.search.scale import identity

ASKS_PER_TRIAL = 3
"""Where a method mostly repeats itself, its run ends after so many questions for each trial."""
MARKS = (5, 10, 15, 20, 30, 40)
WITHIN_PCT = (10, 5, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One method on one surface with one seed, until within 1 % of the optimum."""

    regrets: tuple[float, ...]
    """Log of the best so far over the optimum, after each distinct trial."""
    spent: tuple[float, ...]
    """By then, in units of the surface's mean trial."""
    asks: int
    duplicates: int
    ask_s: float

    def trials_to(self, within_pct: float, trials: int) -> int:
        """Distinct trials until so near to the optimum; one more than allowed where never."""
        limit = math.log1p(within_pct / 100) + 1e-12
        return next((i + 1 for i, r in enumerate(self.regrets) if r <= limit), trials + 1)

    def spend_to(self, within_pct: float, trials: int) -> float:
        """What those trials cost, the ones beyond the end of the run at the mean."""
        took = self.trials_to(within_pct, trials)
        return self.spent[min(took, len(self.spent)) - 1] + max(0, took - len(self.spent))

    def regret_at(self, mark: int) -> float:
        return self.regrets[min(mark, len(self.regrets)) - 1]


Runs = Mapping[str, Sequence[Run]]
"""Surface -> a run per seed."""


def play(
    surface: Surface, method: str, seed: int, trials: int, family: Sequence[Surface] = ()
) -> Run:
    """Until nothing better is to be found, or so many distinct trials are used up."""
    player = make_player(surface, method, seed, trials, family)
    seen: set[str] = set()
    regrets: list[float] = []
    spent: list[float] = []
    asks, ask_s = 0, 0.0
    while len(seen) < trials and asks < ASKS_PER_TRIAL * trials and not _is_done(regrets):
        started_s = time.perf_counter()
        params = player.ask()
        ask_s += time.perf_counter() - started_s
        if params is None:
            break
        asks += 1
        name = identity(surface.space, params)
        player.tell(surface.cost[name])
        if name not in seen:
            seen.add(name)
            regret = math.log(surface.cost[name] / surface.optimum)
            regrets.append(min([regret, *regrets[-1:]]))
            spent.append(surface.spend[name] + sum(spent[-1:]))
    return Run(
        regrets=tuple(regrets),
        spent=tuple(spent),
        asks=asks,
        duplicates=asks - len(seen),
        ask_s=ask_s,
    )


def _is_done(regrets: Sequence[float]) -> bool:
    return bool(regrets) and regrets[-1] <= math.log1p(min(WITHIN_PCT) / 100)


def play_all(
    folder: Path, methods: Sequence[str], seeds: int, trials: int, processes: int
) -> Iterator[tuple[str, Runs]]:
    """Every method on every surface, in their order; the figures do not depend on `processes`,
    but for the seconds."""
    names = [surface.name for surface in read_surfaces(folder)]
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_read, initargs=(folder,)
    ) as pool:
        pending = {
            method: [pool.submit(_play_seeds, name, method, seeds, trials) for name in names]
            for method in methods
        }
        for method, runs in pending.items():
            yield method, {n: run.result() for n, run in zip(names, runs, strict=True)}


_surfaces: list[Surface] = []
"""Of a process that plays."""


def _read(folder: Path) -> None:
    _surfaces[:] = read_surfaces(folder)


def _play_seeds(name: str, method: str, seeds: int, trials: int) -> list[Run]:
    surface = next(s for s in _surfaces if s.name == name)
    family = [s for s in _surfaces if s.family == surface.family and s is not surface]
    # The peers get the one thread that Trimtab uses, which makes them many times faster.
    with threadpool_limits(1):
        return [play(surface, method, seed, trials, family) for seed in range(seeds)]


def summarize(runs: Runs, trials: int) -> dict[str, float]:
    """The figures of a method, every surface weighing the same."""
    every = [run for group in runs.values() for run in group]
    asks = sum(run.asks for run in every)
    figures = {
        f"geo_trials_to_{pct}pct": _typical(
            [[r.trials_to(pct, trials) for r in group] for group in runs.values()]
        )
        for pct in WITHIN_PCT
    }
    figures["geo_spend_to_5pct"] = _typical(
        [[r.spend_to(5, trials) for r in group] for group in runs.values()]
    )
    for mark in (m for m in MARKS if m <= trials):
        figures[f"hit5_at_{mark}"] = _mean(
            [[r.trials_to(5, trials) <= mark for r in group] for group in runs.values()]
        )
        figures[f"regret_at_{mark}"] = _mean(
            [[r.regret_at(mark) for r in group] for group in runs.values()]
        )
    figures["duplicates_share"] = sum(run.duplicates for run in every) / asks
    figures["seconds_per_ask"] = sum(run.ask_s for run in every) / asks
    return figures


def by_family(runs: Runs, families: Mapping[str, str]) -> dict[str, Runs]:
    """`families`: surface -> its family."""
    return {
        family: {name: group for name, group in runs.items() if families[name] == family}
        for family in sorted(set(families.values()))
    }


def _typical(groups: Iterable[Sequence[float]]) -> float:
    return geometric_mean(median(group) for group in groups)


def _mean(groups: Iterable[Sequence[float]]) -> float:
    return fmean(fmean(group) for group in groups)
