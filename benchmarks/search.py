"""How many trials each search method needs, replayed on recorded surfaces.

A surface is a table of measured configurations; trying one is a look-up. Every method begins with
the same random configuration as its baseline, and only distinct trials count. Plain Optuna runs
beside Trimtab's methods, with its defaults; all are told the logarithm of the objective.
"""

import argparse
import csv
import json
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, geometric_mean, median
from typing import TYPE_CHECKING, Protocol

from threadpoolctl import threadpool_limits

from tuner.expression import Value
from tuner.model import Measurement, Trial, TrialState
from tuner.search import SEARCHERS, make_searcher
from tuner.search.scale import identity, position
from tuner.space import Choice, Params, Space
from tuner.spec import Budget, JobSpec, Objective, Search, Workload

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

HERE = Path(__file__).parent
PEERS = ("optuna-random", "optuna-tpe", "optuna-nsga2", "optuna-gp")
GOAL = 1.05
"""Found: at most 5 % above the optimum of the table."""
ASKS_PER_TRIAL = 3
"""Where a method mostly repeats itself, its run ends after so many questions for each trial."""
MARKS = (5, 10, 20, 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A measured space, and what is minimised (above 0) for each of its members, by key."""

    name: str
    space: Space
    members: tuple[dict[str, Value], ...]
    cost: dict[str, float]

    @property
    def choices(self) -> dict[str, Choice]:
        return {n: p for n, p in self.space.params.items() if isinstance(p, Choice)}

    @property
    def goal(self) -> float:
        return GOAL * min(self.cost.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One method on one surface with one seed."""

    found: int | None
    """Distinct trials to the goal."""
    asks: int
    duplicates: int
    ask_s: float


# Reading


def read_surfaces(folder: Path) -> list[Surface]:
    """Every task of `tasks.json` whose rows are in one of the tables beside it."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                rows[row["task"]].append(row)
    return [_surface(name, task["knobs"], rows[name]) for name, task in tasks.items() if rows[name]]


def _surface(name: str, knobs: list[dict[str, object]], rows: list[dict[str, str]]) -> Surface:
    params = {str(knob["name"]): _choice(knob) for knob in knobs}
    points = [{n: _option(p, row[n]) for n, p in params.items()} for row in rows]
    space = Space(params=dict(params), constraints=_constraints(params, points))
    costs = (float(row["y"]) for row in rows)
    cost = {identity(space, point): y for point, y in zip(points, costs, strict=True)}
    return Surface(name=name, space=space, members=tuple(points), cost=cost)


def _choice(knob: dict[str, object]) -> Choice:
    values = knob["values"]
    assert isinstance(values, list)
    return Choice(options=tuple(values if knob["kind"] == "num" else map(str, values)))


def _option(parameter: Choice, text: str) -> Value:
    if not parameter.is_numeric:
        return text
    return next(option for option in parameter.options if float(option) == float(text))


def _constraints(params: dict[str, Choice], points: list[dict[str, Value]]) -> tuple[str, ...]:
    """What makes exactly the measured points members, where the table has gaps."""
    if len(points) == math.prod(len(p.options) for p in params.values()):
        return ()
    longest = max(params, key=lambda name: len(params[name].options))
    lines: dict[str, list[Value]] = defaultdict(list)
    for point in points:
        others = [f"{n} == {v!r}" for n, v in point.items() if n != longest]
        lines[" and ".join(others)].append(point[longest])
    return (" or ".join(f"({line} and {longest} in {values})" for line, values in lines.items()),)


# Playing


class Player(Protocol):
    """A search method on one surface."""

    def ask(self) -> Params | None: ...

    def tell(self, cost: float) -> None:
        """The cost of what was asked last."""
        ...


class TrimtabPlayer:
    """One of Trimtab's methods, by way of the searcher that jobs get."""

    def __init__(self, surface: Surface, method: str, seed: int, trials: int) -> None:
        spec = _spec(surface, method, seed, trials)
        self._searcher = make_searcher(spec, ())
        self._params = spec.space.default()
        self._told = 0

    def ask(self) -> Params | None:
        if self._told:
            suggestions = self._searcher.ask(1)
            if not suggestions:
                return None
            self._params = suggestions[0].params
        return self._params

    def tell(self, cost: float) -> None:
        self._searcher.tell(_trial(self._told, self._params, cost))
        self._told += 1


class OptunaPlayer:
    """A sampler of Optuna with its defaults, numbers given by their rank in the list.

    Where it wants what was never measured it gets the nearest row: told as failed, gaps would teach
    it nothing, and it would ask for them again.
    """

    def __init__(self, surface: Surface, method: str, seed: int) -> None:
        import optuna

        samplers: dict[str, Callable[[], BaseSampler]] = {
            "optuna-random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "optuna-tpe": lambda: optuna.samplers.TPESampler(seed=seed),
            "optuna-nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed),
            "optuna-gp": lambda: optuna.samplers.GPSampler(seed=seed),
        }
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = surface.space
        self._rows = [(position(surface.space, params), params) for params in surface.members]
        self._choices = surface.choices
        self._study = optuna.create_study(sampler=samplers[method]())
        first = _baseline(surface, seed)
        ranks = {n: p.options.index(first[n]) for n, p in self._choices.items() if p.is_numeric}
        self._study.enqueue_trial({**first, **ranks})

    def ask(self) -> Params | None:
        self._trial = self._study.ask()
        wanted = {name: self._suggested(name, choice) for name, choice in self._choices.items()}
        place = position(self._space, wanted)
        return min(self._rows, key=lambda row: math.dist(row[0], place))[1]

    def _suggested(self, name: str, choice: Choice) -> Value:
        if choice.is_numeric:
            return choice.options[self._trial.suggest_int(name, 0, len(choice.options) - 1)]
        value: Value = self._trial.suggest_categorical(name, choice.options)  # type: ignore[assignment]
        return value

    def tell(self, cost: float) -> None:
        self._study.tell(self._trial, math.log(cost))


def _spec(surface: Surface, method: str, seed: int, trials: int) -> JobSpec:
    baseline = _baseline(surface, seed)
    params = {n: replace(p, default=baseline[n]) for n, p in surface.choices.items()}
    return JobSpec(
        name="replay",
        workload=Workload(command=("replay",)),
        space=replace(surface.space, params=dict(params)),
        objectives=(Objective(metric="cost", direction="minimize"),),
        budget=Budget(trials=trials),
        search=Search(method=method, seed=seed),  # type: ignore[arg-type]
    )


def _baseline(surface: Surface, seed: int) -> dict[str, Value]:
    return random.Random(f"{surface.name}-{seed}").choice(surface.members)


def _trial(number: int, params: Params, cost: float) -> Trial:
    return Trial(
        job_id="replay",
        number=number,
        params=dict(params),
        state=TrialState.COMPLETE,
        reason="replayed",
        created_at=datetime.now(UTC),
        measurement=Measurement(metrics={"cost": cost}, window_s=1, warmup_s=0, steps=1, samples=1),
    )


def play(surface: Surface, method: str, seed: int, trials: int) -> Run:
    """Until the goal is found, or so many distinct trials are used up."""
    player: Player
    if method in PEERS:
        player = OptunaPlayer(surface, method, seed)
    else:
        player = TrimtabPlayer(surface, method, seed, trials)
    seen: dict[str, float] = {}
    asks = duplicates = 0
    ask_s, found = 0.0, None
    while len(seen) < trials and asks < ASKS_PER_TRIAL * trials and found is None:
        started_s = time.perf_counter()
        params = player.ask()
        ask_s += time.perf_counter() - started_s
        if params is None:
            break
        asks += 1
        name = identity(surface.space, params)
        cost = surface.cost[name]
        player.tell(cost)
        duplicates += name in seen
        seen[name] = cost
        found = len(seen) if cost <= surface.goal else None
    return Run(found=found, asks=asks, duplicates=duplicates, ask_s=ask_s)


# Summing up


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a method did over all surfaces, each weighing the same."""

    share_within_5pct: dict[int, float]
    """After so many distinct trials."""
    trials_to_5pct: float
    """Geometric mean over the surfaces of the median; one more than allowed where never found."""
    duplicates_pct: float
    ask_s: float


def summarize(runs: dict[str, list[Run]], trials: int) -> Row:
    """`runs`: surface -> a run per seed."""
    every = [run for group in runs.values() for run in group]
    asks = sum(run.asks for run in every)
    return Row(
        share_within_5pct={
            mark: fmean(fmean(_took(r, trials) <= mark for r in group) for group in runs.values())
            for mark in MARKS
            if mark <= trials
        },
        trials_to_5pct=geometric_mean(
            median(_took(run, trials) for run in group) for group in runs.values()
        ),
        duplicates_pct=100 * sum(run.duplicates for run in every) / asks,
        ask_s=sum(run.ask_s for run in every) / asks,
    )


def _took(run: Run, trials: int) -> int:
    return trials + 1 if run.found is None else run.found


def print_table(rows: dict[str, Row]) -> None:
    marks = next(iter(rows.values())).share_within_5pct
    shares = "".join(f"{f'hit@{mark}':>8}" for mark in marks)
    print(f"{'method':<14}{'to 5 %':>8}{shares}{'duplicates':>12}{'s/ask':>9}")
    for method, row in rows.items():
        shares = "".join(f"{100 * share:>6.0f} %" for share in row.share_within_5pct.values())
        print(
            f"{method:<14}{row.trials_to_5pct:>8.1f}{shares}"
            f"{row.duplicates_pct:>10.1f} %{row.ask_s:>9.4f}"
        )


def parse_args() -> argparse.Namespace:
    everything = [*SEARCHERS, *PEERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--surfaces", type=Path, default=HERE / "surfaces", help="folder of *.csv and tasks.json"
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each method on each surface")
    parser.add_argument("--trials", type=int, default=40, help="distinct trials allowed")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=everything,
        default=everything,
        metavar="METHOD",
        help="for many seeds leave out auto, bayesian and optuna-gp, which take seconds a run;"
        f" all: {' '.join(everything)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if not (args.surfaces / "tasks.json").is_file():
        print(
            f"No surface in {args.surfaces}: it holds no tasks.json. "
            "Remedy: --surfaces FOLDER, with tasks.json and its *.csv tables",
            file=sys.stderr,
        )
        return 2
    surfaces = read_surfaces(args.surfaces)
    rows: dict[str, Row] = {}
    for method in args.methods:
        print(f"{method}: {len(surfaces)} surfaces, {args.seeds} seeds", file=sys.stderr)
        # Plain Optuna gets the one thread that Trimtab uses, which makes it many times faster.
        with threadpool_limits(1):
            runs = {
                s.name: [play(s, method, seed, args.trials) for seed in range(args.seeds)]
                for s in surfaces
            }
        rows[method] = summarize(runs, args.trials)
    settings = {"surfaces": len(surfaces), "seeds": args.seeds, "trials": args.trials}
    if args.json:
        print(json.dumps({**settings, "methods": {m: asdict(row) for m, row in rows.items()}}))
    else:
        print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
