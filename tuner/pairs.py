"""Which confirming pair is for what, and which arm of it runs first. Pure.

A candidate has a block of pairs: those that decide whether it has won, and, once it has, a few more
from which alone the gain is told. What decided is flattered by its own luck; the others are not.
"""

import random

from tuner.spec import JobSpec


def pairs_of(spec: JobSpec) -> int:
    """Confirming pairs of one candidate at most: those that decide, and those that tell."""
    return spec.apply.pairs + spec.apply.report_pairs


def decides(spec: JobSpec, pair: int) -> bool:
    """Whether a pair is one of those that decide."""
    return pair % pairs_of(spec) < spec.apply.pairs


def candidate_first(spec: JobSpec, pair: int) -> bool:
    """The coin toss of a pair, the same after a restart; as many heads as tails in each part
    of a block, so that a drift of the computer does not pass for a gain."""
    block, place = divmod(pair, pairs_of(spec))
    count, part = spec.apply.pairs, "pairs"
    if not decides(spec, pair):
        count, part, place = spec.apply.report_pairs, "told", place - count
    tosses = [number % 2 == 0 for number in range(count)]
    random.Random(f"{spec.search.seed}-{spec.name}-{part}-{block}").shuffle(tosses)
    return tosses[place]
