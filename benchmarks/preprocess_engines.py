"""Which library should prepare features? The same sort, sessions and join by each that is there.

    python -m benchmarks.preprocess_engines [--events 1000000]

pandas comes with Trimtab, pyarrow with its extra `preprocess`; polars is asked if it is installed.
Best of three runs on one thread where the library lets itself be told.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

GAP_S = 1_800
RUNS = 3


def by_pyarrow(files: list[Path], items: Path) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from workloads import features

    pa.set_cpu_count(1)
    events = pa.concat_tables([pq.read_table(path, use_threads=False) for path in files])
    order = pc.sort_indices(events, sort_keys=[("user_id", "ascending"), ("second", "ascending")])
    events = events.combine_chunks().take(order)
    user, second = events["user_id"].combine_chunks(), events["second"].combine_chunks()
    sessions = features.sessions(user, second)
    table = pq.read_table(items, use_threads=False)
    place = pc.index_in(events["item_id"], value_set=table["item_id"].combine_chunks())
    price = table["price"].combine_chunks().take(place.combine_chunks())
    return int(pc.sum(sessions["in_session"]).as_py() + len(price))


def by_pandas(files: list[Path], items: Path) -> int:
    import pandas as pd

    events = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
    events = events.sort_values(["user_id", "second"], kind="stable", ignore_index=True)
    is_new = events["user_id"] != events["user_id"].shift()
    opens = is_new | (events["second"].diff() > GAP_S)
    in_session = events.groupby(opens.cumsum(), sort=False).cumcount()
    joined = events.merge(pd.read_parquet(items), on="item_id", how="left", sort=False)
    return int(in_session.sum() + len(joined["price"]))


def by_polars(files: list[Path], items: Path) -> int:
    import polars as pl

    events = pl.concat([pl.read_parquet(path) for path in files])
    events = events.sort(["user_id", "second"], maintain_order=True)
    is_new = pl.col("user_id") != pl.col("user_id").shift()
    opens = (is_new | (pl.col("second").diff() > GAP_S)).fill_null(True)
    events = events.with_columns(opens.cum_sum().alias("session"))
    events = events.with_columns(pl.int_range(pl.len()).over("session").alias("in_session"))
    joined = events.join(pl.read_parquet(items), on="item_id", how="left")
    return int(events["in_session"].sum() + len(joined["price"]))


def best_s(prepare: Callable[[], int]) -> tuple[float, int]:
    taken, found = [], 0
    for _ in range(RUNS):
        began_s = time.monotonic()
        found = prepare()
        taken.append(time.monotonic() - began_s)
    return min(taken), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events: int = parser.parse_args().events
    from workloads import behaviour

    log = behaviour.open_log(behaviour.default_root(), events, 0)
    files = [log.bucket(number) for number in range(behaviour.NUM_BUCKETS)]
    engines = {"pyarrow": by_pyarrow, "pandas": by_pandas, "polars": by_polars}
    answers = set()
    for name, prepare in engines.items():
        if find_spec(name) is None:
            print(json.dumps({"library": name, "note": "not installed"}))
            continue
        took_s, found = best_s(lambda prepare=prepare: prepare(files, log.items))  # type: ignore[misc]
        answers.add(found)
        print(
            json.dumps({"library": name, "seconds": took_s, "rows_per_s": round(events / took_s)})
        )
    assert len(answers) == 1, "they do not agree"


if __name__ == "__main__":
    main()
