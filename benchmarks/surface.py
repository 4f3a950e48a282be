"""Recorded surfaces: tables of measured configurations, of which trying one is a look-up."""

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from tuner.expression import Value
from tuner.known import Known
from tuner.search.scale import identity
from tuner.space import Choice, Params, Space

Row = Mapping[str, str]

IN_PROPORTION = re.compile(r"\$|USD|maxpower")
"""What is minimised is in proportion to the price of an hour (or to the maximum power) where the
words of its objective say so; a price beside another objective would be no knowledge of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """A measured space; figures of its members are by key."""

    name: str
    family: str
    space: Space
    members: tuple[dict[str, Value], ...]
    cost: dict[str, float]
    """What is minimised, above 0."""
    spend: dict[str, float]
    """What trying it costs, in units of the mean over the surface."""
    price: dict[str, float]
    """Known before it is tried; empty where the objective is not in proportion to it."""

    @property
    def choices(self) -> dict[str, Choice]:
        return {n: p for n, p in self.space.params.items() if isinstance(p, Choice)}

    @property
    def optimum(self) -> float:
        return min(self.cost.values())

    def known(self) -> Known | None:
        """What a user's price book would tell of the log gain."""
        if not self.price:
            return None

        def gain(params: Params) -> float:
            return -math.log(self.price[identity(self.space, params)])

        return gain


def read_surfaces(folder: Path) -> list[Surface]:
    """Every task of `tasks.json` whose rows are in one of the tables beside it."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    rows: dict[str, list[Row]] = defaultdict(list)
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                rows[row["task"]].append(row)
    return [_surface(name, task, rows[name]) for name, task in tasks.items() if rows[name]]


def _surface(name: str, task: Mapping[str, object], rows: Sequence[Row]) -> Surface:
    knobs = task["knobs"]
    assert isinstance(knobs, list)
    params = {str(knob["name"]): _choice(knob) for knob in knobs}
    points = [{n: _option(p, row[n]) for n, p in params.items()} for row in rows]
    space = Space(params=dict(params), constraints=_constraints(params, points))
    keys = [identity(space, point) for point in points]
    spend = [float(row.get("spend") or 1) for row in rows]
    prices = _prices(str(task.get("objective", "")), rows)
    return Surface(
        name=name,
        family=str(task.get("family", name)),
        space=space,
        members=tuple(points),
        cost={key: float(row["y"]) for key, row in zip(keys, rows, strict=True)},
        spend={key: each / fmean(spend) for key, each in zip(keys, spend, strict=True)},
        price=dict(zip(keys, prices, strict=True)) if prices else {},
    )


def _prices(objective: str, rows: Sequence[Row]) -> list[float]:
    prices = [float(row.get("price_h") or 0) for row in rows]
    return prices if min(prices) > 0 and IN_PROPORTION.search(objective) else []


def _choice(knob: Mapping[str, object]) -> Choice:
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
