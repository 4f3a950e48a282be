"""How many trials each search method needs, replayed on recorded surfaces.

    python benchmarks/search.py [--surfaces DIR] [--seeds 2] [--trials 40] [--json]

A surface is a table of measured configurations; trying one is a look-up. Every method begins with
the same random configuration as its baseline, and only distinct trials count. The peers run beside
Trimtab's methods, with their defaults or (-5) with 5 random trials first; all are told the
logarithm of the objective.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.players import AX, HAS_AX, OWN, PEERS, TRANSFERS
from benchmarks.replay import MARKS, WITHIN_PCT, by_family, play_all, summarize
from benchmarks.surface import read_surfaces

HERE = Path(__file__).parent
EVERYTHING = (*OWN, *PEERS, *((AX,) if HAS_AX else ()))
NOTE = """\
to N %: distinct trials to within N % of the optimum, geometric mean over surfaces of the median;
spend: to 5 %, in units of the surface's mean trial; hit@N: share of runs within 5 % after N
distinct trials; regret: log of the best of 10 trials over the optimum; dup: suggestions repeated.
Trimtab's model-based, genetic and swarm methods know prices where the objective is in proportion
to them, as a price book tells; auto-unpriced does not, nor do the peers, which have no use for it.
transfer has the whole tables of the family's other tasks before it, transfer-20 20 random trials
of each; the task itself is always left out."""

Figures = Mapping[str, float]


def main() -> int:
    args = parse_args()
    if not (args.surfaces / "tasks.json").is_file():
        print(
            f"No surface in {args.surfaces}: it holds no tasks.json. "
            "Remedy: --surfaces FOLDER, with tasks.json and its *.csv tables",
            file=sys.stderr,
        )
        return 2
    families = {surface.name: surface.family for surface in read_surfaces(args.surfaces)}
    if not HAS_AX:
        print("ax: absent. Remedy: pip install '.[bench]'", file=sys.stderr)
    figures: dict[str, Figures] = {}
    parts: dict[str, dict[str, Figures]] = {}
    played = play_all(args.surfaces, args.methods, args.seeds, args.trials, args.processes)
    for method, runs in played:
        figures[method] = summarize(runs, args.trials)
        groups = by_family(runs, families).items()
        parts[method] = {family: summarize(group, args.trials) for family, group in groups}
        print(f"{method}: {len(runs)} surfaces, {args.seeds} seeds", file=sys.stderr)
    if args.json:
        settings = {"surfaces": len(families), "seeds": args.seeds, "trials": args.trials}
        print(json.dumps({**settings, **report(figures, parts)}))
    else:
        print_tables(figures, parts)
    return 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--surfaces", type=Path, default=HERE / "surfaces", help="folder of *.csv and tasks.json"
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each method on each surface")
    parser.add_argument("--trials", type=int, default=40, help="distinct trials allowed")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=EVERYTHING,
        default=EVERYTHING,
        metavar="METHOD",
        help=f"all: {' '.join(EVERYTHING)}",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="runs side by side")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    return parser.parse_args()


def report(
    figures: Mapping[str, Figures], parts: Mapping[str, Mapping[str, Figures]]
) -> dict[str, object]:
    """Figures of methods, and of each on each family, with those that the goals are set by."""
    took = {method: row["geo_trials_to_5pct"] for method, row in figures.items()}
    peers = [method for method in took if method in PEERS or method == AX]
    best_peer = min(peers, key=lambda method: took[method], default=None)

    def ratio(method: str) -> float | None:
        return took[method] / took[best_peer] if best_peer and method in took else None

    return {
        "best_peer": best_peer,
        **{f"{m}_over_best_peer": ratio(m) for m in ("auto", "auto-unpriced", *TRANSFERS)},
        "methods": {m: {**row, "families": dict(parts[m])} for m, row in figures.items()},
    }


def print_tables(
    figures: Mapping[str, Figures], parts: Mapping[str, Mapping[str, Figures]]
) -> None:
    families = next(iter(parts.values()))
    for family in families if len(families) > 1 else ():
        print_table(family, {method: rows[family] for method, rows in parts.items()})
    print_table("all", figures)
    facts = report(figures, parts)
    if facts["best_peer"]:
        ratios = [f"{m} {100 * took:.0f} %" for m, took in facts.items() if isinstance(took, float)]
        words = ", ".join(ratios).replace("_over_best_peer", "")
        print(f"\ntrials to 5 %, of those of the best peer ({facts['best_peer']}): {words}")
    print(f"\n{NOTE}")


def print_table(title: str, rows: Mapping[str, Figures]) -> None:
    first = next(iter(rows.values()))
    marks = [mark for mark in MARKS if f"hit5_at_{mark}" in first]
    reached = "".join(f"{f'to {pct} %':>8}" for pct in WITHIN_PCT)
    hits = "".join(f"{f'hit@{mark}':>8}" for mark in marks)
    print(f"\n{title:<15}{reached}{'spend':>7}{hits}{'regret':>8}{'dup':>7}{'s/ask':>8}")
    for method, row in rows.items():
        reached = "".join(f"{row[f'geo_trials_to_{pct}pct']:>8.1f}" for pct in WITHIN_PCT)
        hits = "".join(f"{100 * row[f'hit5_at_{mark}']:>6.0f} %" for mark in marks)
        regret = row.get("regret_at_10", row[f"regret_at_{marks[-1]}"])
        print(
            f"{method:<15}{reached}{row['geo_spend_to_5pct']:>7.1f}{hits}{regret:>8.2f}"
            f"{100 * row['duplicates_share']:>5.0f} %{row['seconds_per_ask']:>8.3f}"
        )


if __name__ == "__main__":
    sys.exit(main())
