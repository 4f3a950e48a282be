"""A click stream like Criteo's: 13 counts, 26 columns of ids by Zipf's law, a label to be learned.

All figures of a sample are hashes of the seed and of its position in the stream. So the stream is
the same wherever it is cut and whichever process makes it, never ends, and takes no memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from workloads.movielens import Batch, Span

NUM_DENSE = 13
NUM_TEST = 32_768
CRITEO_ROWS = (
    *(1460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5683, 8_351_593, 3194),
    *(27, 14_992, 5_461_306, 10, 5652, 2173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572),
)
"""Distinct values of the columns of Criteo's Display Advertising Challenge, as Meta's DLRM counts
them: 33.8 million in all."""
_NUM_TABLES = len(CRITEO_ROWS)
_COLUMNS = NUM_DENSE + _NUM_TABLES + 1
_STRIDE = 64
"""Hashed numbers of one position, of which the columns use the first."""
_TEST_START = 1 << 40
_MIX = (0x9E3779B97F4A7C15 - (1 << 64), 0xBF58476D1CE4E5B9 - (1 << 64))
_SCATTER = 2_654_435_761
"""A prime larger than any table: multiplied by it, popular ids lie anywhere in their table."""
_CLICKS_LOGIT = -1.3
_EFFECT = 0.5


def table_rows(scale: float, most: int) -> list[int]:
    """Rows of every table: Criteo's by a factor, and none of more than `most`."""
    return [min(most, max(1, int(size * scale))) for size in CRITEO_ROWS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """The stream, and a test set from far beyond its beginning."""

    rows: list[int]
    zipf_exponent: float
    """Of ids by their popularity; 0 makes all of a table equally popular."""
    seed: int
    num_dense: int = NUM_DENSE
    num_test: int = NUM_TEST

    def train(self, span: Span) -> Batch:
        """The samples at these positions of the stream."""
        return self._samples(torch.arange(*span))

    def test(self, places: Tensor) -> Batch:
        """These of the test set."""
        return self._samples(places + _TEST_START)

    def _samples(self, positions: Tensor) -> Batch:
        keys = positions[:, None] * _STRIDE + torch.arange(_COLUMNS)
        unit = uniform(keys, self.seed)
        dense = -(unit[:, :NUM_DENSE] + 2**-54).log() - 1
        ids = zipf(unit[:, NUM_DENSE:-1], torch.tensor(self.rows), self.zipf_exponent)
        logit = dense.mean(1) + self._effects(ids).sum(1) * _EFFECT + _CLICKS_LOGIT
        label = unit[:, -1] < logit.sigmoid()
        return Batch(dense.float(), ids, label.float())

    def _effects(self, ids: Tensor) -> Tensor:
        """[b, tables] from -1 to 1, what each id does to the odds of a click."""
        return uniform(ids * _STRIDE + torch.arange(_NUM_TABLES), self.seed + 1) * 2 - 1


def uniform(keys: Tensor, seed: int) -> Tensor:
    """int64 -> float64 from 0 up to 1: two rounds of multiplying and folding, as in SplitMix64
    (Steele, Lea, Flood, OOPSLA 2014)."""
    x = (keys ^ (seed * 0x5851F42D4C957F2D & (1 << 62) - 1)) * _MIX[0]
    x = (x ^ (x >> 30 & (1 << 34) - 1)) * _MIX[1]
    x = x ^ (x >> 27 & (1 << 37) - 1)
    return (x >> 11 & (1 << 53) - 1).double() * 2.0**-53


def zipf(unit: Tensor, rows: Tensor, exponent: float) -> Tensor:
    """[b, tables] from 0 up to 1 -> ids; the n-th popular one has probability about n ** -exponent.

    By the inverse of the continuous distribution on [1, rows + 1)."""
    bend = (1 - exponent) or 1e-9
    reach = torch.expm1(bend * torch.log1p(rows.double()))
    popularity = (torch.log1p(unit * reach) / bend).exp().long() - 1
    return torch.minimum(popularity, rows - 1).clamp_(0) * _SCATTER % rows
