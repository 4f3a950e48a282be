"""The benchmark of the search on a table small enough to count by hand."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import players, replay
from benchmarks.replay import Run, play, play_all, summarize
from benchmarks.search import report
from benchmarks.surface import Surface, read_surfaces
from tuner.space import Params

ROOT = Path(__file__).parents[3]
KNOBS = [
    {"name": "k_kind", "kind": "cat", "values": ["a", "b"]},
    {"name": "k_size", "kind": "num", "values": [1, 2, 4]},
]


def write(folder: Path, objective: str = "$ per job") -> Path:
    """Two tasks of one family, 5 rows each; the optimum is (b, 4)."""
    tasks = {
        name: {"family": "toy", "knobs": KNOBS, "objective": objective} for name in ("one", "two")
    }
    (folder / "tasks.json").write_text(json.dumps(tasks))
    with (folder / "toy.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["task", "k_kind", "k_size", "price_h", "y", "spend"])
        for name, factor in (("one", 1.0), ("two", 3.0)):
            for kind, size in (("a", 1), ("a", 2), ("a", 4), ("b", 2), ("b", 4)):
                cost = factor * (8.0 / size if kind == "b" else 20.0 / size)
                writer.writerow([name, kind, f"{size}.0", size * 0.5, cost, size])
    return folder


@pytest.fixture
def surfaces(tmp_path: Path) -> list[Surface]:
    return read_surfaces(write(tmp_path))


class Scripted:
    """Asks for rows by their place."""

    def __init__(self, surface: Surface, places: list[int]) -> None:
        self._rows = [surface.members[place] for place in places]
        self.told: list[float] = []

    def ask(self) -> Params | None:
        return self._rows.pop(0) if self._rows else None

    def tell(self, cost: float) -> None:
        self.told.append(cost)


def scripted(monkeypatch: pytest.MonkeyPatch, surface: Surface, places: list[int]) -> Run:
    monkeypatch.setattr(replay, "make_player", lambda *_: Scripted(surface, places))
    return play(surface, "auto", 0, 40)


def test_a_surface_is_read_with_its_gaps(surfaces: list[Surface]) -> None:
    one = surfaces[0]
    assert (one.name, one.family, one.optimum) == ("one", "toy", 2.0)
    assert len(list(one.space.members())) == 5
    assert sum(one.spend.values()) == pytest.approx(5)


def test_prices_are_known_only_where_the_objective_is_in_proportion(tmp_path: Path) -> None:
    known = read_surfaces(write(tmp_path))[0].known()
    assert known is not None
    assert known({"k_kind": "b", "k_size": 4}) == pytest.approx(-math.log(2.0))
    assert read_surfaces(write(tmp_path, "milliseconds"))[0].known() is None


def test_only_distinct_trials_count(
    surfaces: list[Surface], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scripted(monkeypatch, surfaces[0], [0, 0, 3, 0, 4, 1])
    assert (run.asks, run.duplicates) == (5, 2)
    assert run.regrets == pytest.approx((math.log(10), math.log(2), 0.0))
    assert run.trials_to(5, 40) == 3
    # Sizes 1, 2 and 4 at a mean of 13 / 5.
    assert run.spend_to(5, 40) == pytest.approx(7 / 2.6)


def test_what_is_never_found_counts_as_one_more_than_allowed(
    surfaces: list[Surface], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scripted(monkeypatch, surfaces[0], [0, 1])
    assert run.trials_to(5, 40) == 41
    assert run.spend_to(5, 40) == pytest.approx(3 / 2.6 + 39)
    assert run.regret_at(40) == pytest.approx(math.log(5))


def run_of(*regrets: float, asks: int = 10) -> Run:
    spent = tuple(float(i + 1) for i in range(len(regrets)))
    return Run(regrets=regrets, spent=spent, asks=asks, duplicates=1, ask_s=2.0)


def test_every_surface_weighs_the_same() -> None:
    soon, late = run_of(1.0, 0.0), run_of(*[1.0] * 7, 0.0)
    figures = summarize({"one": [soon, soon, soon], "two": [late]}, 40)
    assert figures["geo_trials_to_5pct"] == pytest.approx(4)
    assert figures["geo_spend_to_5pct"] == pytest.approx(4)
    assert (figures["hit5_at_5"], figures["hit5_at_10"]) == (0.5, 1.0)
    assert figures["regret_at_5"] == 0.5
    assert (figures["duplicates_share"], figures["seconds_per_ask"]) == (0.1, 0.2)


def test_the_best_peer_is_the_measure() -> None:
    took = {"auto": 5.0, "transfer": 3.0, "optuna-gp": 10.0, "optuna-tpe": 12.0}
    figures = {method: {"geo_trials_to_5pct": trials} for method, trials in took.items()}
    facts = report(figures, {method: {"toy": row} for method, row in figures.items()})
    assert facts["best_peer"] == "optuna-gp"
    assert facts["auto_over_best_peer"] == 0.5
    assert facts["transfer_over_best_peer"] == pytest.approx(0.3)


@pytest.mark.parametrize("method", [*players.OWN, *players.PEERS])
def test_every_method_finds_the_best_of_five(method: str, surfaces: list[Surface]) -> None:
    one, two = surfaces
    runs = [play(one, method, seed, 5, [two]) for seed in range(2)]
    assert all(run.trials_to(5, 5) <= 5 for run in runs if method in players.OWN)
    # Small CMA-ES populations mostly repeat themselves on five rows.
    assert all(1 <= len(run.regrets) <= 5 for run in runs)


def test_a_history_is_followed_at_once(surfaces: list[Surface]) -> None:
    one, two = surfaces
    runs = [play(one, "transfer", seed, 5, [two]) for seed in range(6)]
    assert max(run.trials_to(5, 5) for run in runs) == 2


@pytest.mark.slow
def test_the_command_prints_its_keys(tmp_path: Path) -> None:
    write(tmp_path)
    command = [sys.executable, str(ROOT / "benchmarks" / "search.py"), "--surfaces", str(tmp_path)]
    methods = ["--methods", "auto", "transfer", "random", "optuna-random"]
    options = ["--seeds", "2", "--trials", "10", "--json", *methods]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["best_peer"] == "optuna-random"
    assert facts["transfer_over_best_peer"] <= facts["auto_over_best_peer"]
    row = facts["methods"]["auto"]
    wanted = {"geo_trials_to_5pct", "hit5_at_5", "hit5_at_10", "duplicates_share"}
    for figures in (row, row["families"]["toy"]):
        assert wanted | {"seconds_per_ask"} <= figures.keys()


def test_figures_do_not_depend_on_how_many_run_side_by_side(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (_, runs) = next(play_all(folder, ["random"], 2, 5, 2))
    one = read_surfaces(folder)[0]
    again = [play(one, "random", seed, 5) for seed in range(2)]
    assert [run.regrets for run in runs["one"]] == [run.regrets for run in again]
