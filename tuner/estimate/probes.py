"""Which runs calibrate best: the few that tell most of the factors.

Greedy D-optimal design with the priors of the factors: each run is the one whose prediction is the
least certain given those before it. Source: Pukelsheim, "Optimal Design of Experiments", 2006.
"""

from typing import TYPE_CHECKING

from tuner.estimate.calibrate import NOISE_SD, Predict
from tuner.estimate.factors import NAMES, PRIOR_SD, Factors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STEP = 0.05
"""Of a prior standard deviation, for slopes by differences."""


def most_telling(predict: Predict, count: int) -> list[int]:
    """The positions, in the order of `predict`, of the runs worth measuring first."""
    import numpy as np

    slopes = _slopes(predict)
    known = np.eye(len(NAMES))
    chosen: list[int] = []
    for _ in range(min(count, len(slopes))):
        unsure = np.einsum("ri,ri->r", slopes, np.linalg.solve(known, slopes.T).T)
        unsure[chosen] = -1
        chosen.append(int(np.argmax(unsure)))
        known += np.outer(slopes[chosen[-1]], slopes[chosen[-1]])
    return chosen


def _slopes(predict: Predict) -> "NDArray[np.float64]":
    """Run by factor: change of the log time, in deviations of noise, for one of the prior's."""
    import numpy as np

    start = Factors()
    before = np.log(predict(start))
    moved = [start.scaled({name: _STEP * PRIOR_SD[name]}, frozenset()) for name in NAMES]
    changes = [np.log(predict(factors)) - before for factors in moved]
    return np.stack(changes, axis=1) / (_STEP * NOISE_SD)
