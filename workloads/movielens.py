"""MovieLens-100K as a click-through task: will this user rate this film 4 or better?

The files come with the installed package `recbole`, which is located but never imported. Rows are
in order of time, and everything about a user or a film "so far" counts only ratings of an earlier
second. Crosses of features are hashed batch by batch, as in production, where the crosses of all
rows would not fit anywhere.
"""

import csv
import importlib.util
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

COLUMNS = ("user", "item", "age", "gender", "occupation", "zip", "genre", "year", "hour", "weekday")
CROSSES = (
    ("user", "genre"),
    ("user", "year"),
    ("user", "hour"),
    ("user", "weekday"),
    ("item", "occupation"),
    ("item", "age"),
    ("item", "zip"),
    ("item", "gender"),
)
NUM_DENSE = 12
TEST_SHARE = 0.1
_COLUMN_ROWS = (944, 1683, 8, 2, 21, 128, 19, 16, 24, 7)
_NUM_GENRES = _COLUMN_ROWS[COLUMNS.index("genre")]
_CROSS_ROWS = 1 << 16
_AGE_BUCKETS = (18, 25, 35, 45, 50, 56, 65)
_FIRST_YEAR, _YEARS_PER_BUCKET = 1920, 5
_PRIOR_RATING, _PRIOR_COUNT = 3.5, 2.0
_MIX = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)


class DataMissingError(Exception):
    """MovieLens is not on this machine."""


class Batch(NamedTuple):
    """The rows of one rank, b of them."""

    dense: Tensor
    """[b, dense] float32, standardised."""
    ids: Tensor
    """[b, tables] int64, a row of each table."""
    label: Tensor
    """[b] float32, 1 for a click; of MovieLens a rating of 4 or 5."""


Span = tuple[int, int]
"""First position in the global sample stream, and the one after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieLens:
    """All rows in order of time; from `test_start` on they are the test set."""

    dense: Tensor
    columns: Tensor
    label: Tensor
    test_start: int


def table_rows(scale: float) -> list[int]:
    """Rows of every embedding table; `scale` grows those of the hashed crosses."""
    return [*_COLUMN_ROWS, *[max(1, int(_CROSS_ROWS * scale))] * len(CROSSES)]


@lru_cache(maxsize=1)
def load() -> MovieLens:
    """Reads and prepares the data. Raises DataMissingError where the package is not installed."""
    folder = _folder()
    ratings = _ratings(folder)
    users, items = _users(folder), _items(folder)
    dense = dense_features(ratings, users, items)
    test_start = int(len(ratings) * (1 - TEST_SHARE))
    spread, mean = torch.std_mean(dense[:test_start], dim=0)
    return MovieLens(
        dense=((dense - mean) / spread).float(),
        columns=column_ids(ratings, users, items),
        label=(ratings[:, 2] >= 4).float(),
        test_start=test_start,
    )


def _folder() -> Path:
    package = importlib.util.find_spec("recbole")
    places = package.submodule_search_locations if package else None
    folder = Path(next(iter(places or [""])), "dataset_example", "ml-100k")
    if not places or not folder.is_dir():
        raise DataMissingError(
            "MovieLens-100K is not installed. Remedy: pip install --no-deps recbole==1.2.1"
        )
    return folder


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        yield from rows


def read_ratings() -> Tensor:
    """[rows, 4]: user, item, rating, Unix second; in order of time. Raises DataMissingError."""
    return _ratings(_folder())


def _ratings(folder: Path) -> Tensor:
    """[rows, 4]: user, item, rating, Unix second; in order of time."""
    _, _, numbers = (folder / "ml-100k.inter").read_text(encoding="utf-8").partition("\n")
    ratings = torch.tensor([int(word) for word in numbers.split()]).view(-1, 4)
    return ratings[ratings[:, 3].argsort(stable=True)]


def _users(folder: Path) -> Tensor:
    """[944, 4] by user number: age, gender, occupation, zip prefix."""
    lines = list(_lines(folder / "ml-100k.user"))
    occupations = sorted({line[3] for line in lines})
    users = torch.zeros(_COLUMN_ROWS[0], 4, dtype=torch.int64)
    for number, age, gender, occupation, code in lines:
        prefix = zlib.crc32(code[:2].encode()) % _COLUMN_ROWS[COLUMNS.index("zip")]
        row = [int(age), int(gender == "F"), occupations.index(occupation), prefix]
        users[int(number)] = torch.tensor(row)
    return users


def _items(folder: Path) -> Tensor:
    """[1683, 2] by item number: year, first genre."""
    lines = list(_lines(folder / "ml-100k.item"))
    genres = sorted({line[3].split(" ")[0] for line in lines})
    items = torch.zeros(_COLUMN_ROWS[1], 2, dtype=torch.int64)
    for number, _title, year, genre in lines:
        first = genres.index(genre.split(" ")[0])
        known = int(year) if year.isdecimal() else _FIRST_YEAR
        items[int(number)] = torch.tensor([known, first])
    return items


def column_ids(ratings: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """[rows, len(COLUMNS)]: what each row is, as numbers from 0."""
    user, item, _, second = ratings.unbind(1)
    age, gender, occupation, prefix = users[user].unbind(1)
    year, genre = items[item].unbind(1)
    bucket = torch.bucketize(age.contiguous(), torch.tensor(_AGE_BUCKETS), right=True)
    period = ((year - _FIRST_YEAR) // _YEARS_PER_BUCKET).clamp(0)
    hour, weekday = second // 3600 % 24, second // 86_400 % 7
    return torch.stack(
        [user, item, bucket, gender, occupation, prefix, genre, period, hour, weekday], dim=1
    )


def dense_features(ratings: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """[rows, NUM_DENSE] float64 as they are; a row knows nothing of its second or a later one."""
    user, item, rating, second = ratings.unbind(1)
    age, gender, _, _ = users[user].unbind(1)
    year, genre = items[item].unbind(1)
    by_user = so_far(user, second, rating)
    by_item = so_far(item, second, rating)
    features = [age, year.clamp(_FIRST_YEAR), by_user.since_s.log1p()]
    for history in (
        by_user,
        by_item,
        so_far(user * _NUM_GENRES + genre, second, rating),
        so_far(item * 2 + gender, second, rating),
    ):
        features += [history.number.log1p(), history.mean]
    features.append(by_user.mean + by_item.mean)
    return torch.stack([feature.double() for feature in features], dim=1)


class History(NamedTuple):
    """For each row, what its user (or item) had done before."""

    number: Tensor
    mean: Tensor
    """Of the ratings, drawn towards a common one while there are few."""
    since_s: Tensor
    """Seconds since the one before; 0 where there was none."""


def so_far(key: Tensor, second: Tensor, rating: Tensor) -> History:
    """Counts the rows of an earlier second with the same key. Rows must be in order of time."""
    order = key.argsort(stable=True)
    key, second = key[order], second[order]
    moment = key * (1 << 32) + second
    first = torch.searchsorted(moment, moment)
    start = torch.searchsorted(key, key)
    total = torch.cat([torch.zeros(1), rating[order].cumsum(0)]).double()
    number = (first - start).double()
    mean = (total[first] - total[start] + _PRIOR_RATING * _PRIOR_COUNT) / (number + _PRIOR_COUNT)
    since_s = torch.where(number > 0, second - second[first - 1], 0)
    back = order.argsort()
    return History(number[back], mean[back], since_s[back])


@lru_cache(maxsize=2)
def _epoch_order(size: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def stream_rows(span: Span, size: int, seed: int) -> Tensor:
    """The rows at these positions of the endless stream, each epoch shuffled anew."""
    start, stop = span
    pieces = []
    while start < stop:
        epoch, offset = divmod(start, size)
        piece = _epoch_order(size, seed, epoch)[offset : offset + stop - start]
        pieces.append(piece)
        start += len(piece)
    return torch.cat(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieLensClicks:
    """The training rows as an endless stream, and the test set, with crosses hashed into tables."""

    data: MovieLens
    rows: list[int]
    """Rows of every table."""
    seed: int
    num_dense: int = NUM_DENSE

    @property
    def num_test(self) -> int:
        return len(self.data.label) - self.data.test_start

    def train(self, span: Span) -> Batch:
        """The samples at these positions of the stream."""
        rows = stream_rows(span, self.data.test_start, self.seed)
        return assemble(self.data, rows, self.rows)

    def test(self, places: Tensor) -> Batch:
        """These of the test set."""
        return assemble(self.data, places + self.data.test_start, self.rows)


def assemble(data: MovieLens, rows: Tensor, tables: list[int]) -> Batch:
    """Gathers these rows and hashes their crosses into tables of the given sizes."""
    columns = data.columns[rows]
    left = columns[:, [COLUMNS.index(a) for a, _ in CROSSES]]
    right = columns[:, [COLUMNS.index(b) for _, b in CROSSES]]
    mixed = (left * _MIX[0]) ^ (right * _MIX[1])
    mixed = (mixed ^ (mixed >> 15)) * _MIX[2]
    crosses = (mixed ^ (mixed >> 13)) % torch.tensor(tables[len(COLUMNS) :])
    return Batch(data.dense[rows], torch.cat([columns, crosses], dim=1), data.label[rows])
