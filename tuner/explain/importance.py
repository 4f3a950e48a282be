"""Which parameters matter: shares of variance of the predicted log gain."""

from collections.abc import Sequence

import numpy as np

from tuner.explain.nouns import Importance
from tuner.explain.surrogate import Surrogate
from tuner.search.encode import Array
from tuner.search.scale import filled
from tuner.space import Space

METHOD = (
    "first-order share of variance of the model's mean over the space, Var(E[f|x]) / Var(f) "
    "(Sobol 1993; for configurations Hutter, Hoos and Leyton-Brown 2014)"
)
_FLAT = 1e-9
"""Below this standard deviation nothing differs."""
BINS = 8
"""Groups of a parameter with more values than that, as many configurations in each."""


def importance(space: Space, model: Surrogate) -> tuple[list[Importance], float | None]:
    """The share of every parameter, the largest first, and what only several together explain.

    Where constraints or conditions tie parameters together their shares overlap; together they
    then explain less than the sum, and the rest is told as 0 at least.
    """
    points = model.candidates()
    mean, _ = model.predict(points)
    rows = [filled(space, params) for params in points]
    shares = {
        name: _share(mean, [row[name] for row in rows])
        for name in space.params
        if model.is_varied(name)
    }
    order = sorted(shares, key=lambda name: -shares[name])
    found = [Importance(name=name, share_pct=100 * shares[name]) for name in order]
    fixed = [Importance(name=n, share_pct=None) for n in space.params if n not in shares]
    rest = max(0.0, 100 * (1 - sum(shares.values()))) if float(mean.std()) > _FLAT else None
    return [*found, *fixed], rest


def _share(mean: Array, values: Sequence[object]) -> float:
    """Variance between groups of equal (or near) values over the whole variance."""
    whole = float(mean.var())
    if whole <= _FLAT**2:
        return 0.0
    groups = _groups(values)
    between = sum(
        float((groups == group).sum()) * (float(mean[groups == group].mean()) - mean.mean()) ** 2
        for group in np.unique(groups)
    )
    return float(between / len(mean) / whole)


def _groups(values: Sequence[object]) -> Array:
    """A group number for each value: its rank among few, the eighth it lies in among many."""
    different = list(dict.fromkeys(values))
    if len(different) <= BINS:
        return np.array([float(different.index(value)) for value in values])
    numbers = np.array([float(str(value)) for value in values])
    edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.asarray(np.searchsorted(edges, numbers, side="right"), dtype=np.float64)
