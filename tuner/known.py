"""What is known of a configuration's objectives before it is tried: the price of what it holds.

The cost of a sample is price over rate. The price stands in the price book, so that only the rate
has to be learned, and half of what makes configurations differ comes for free.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from tuner import cost
from tuner.interfaces import Host
from tuner.launch import held, launch_command, place
from tuner.model import Placement
from tuner.space import Params
from tuner.spec import JobSpec

Known = Callable[[Params], float]
"""Configuration -> the part of its log gain that is known, up to a constant."""

PRICED = frozenset(
    {
        *("usd_per_hour", "usd_per_million_samples"),
        *("usd_per_billion_samples", "usd_per_million_requests"),
    }
)
"""Metrics that are in proportion to the price of an hour."""


def placements(spec: JobSpec, host: Host) -> Callable[[Params], Placement | None]:
    """What a configuration would hold of an idle computer; None where it has no room for it."""
    cores, gpus, names = host.cores(), host.gpus(), host.gpu_names()

    def placed(params: Params) -> Placement | None:
        try:
            command = launch_command(spec, params)
            placement = place(
                spec, command, free_cores=cores, all_cores=cores, free_gpus=gpus, all_gpus=gpus
            )
        except ValueError:
            return None
        if placement is None:
            return None
        return replace(placement, gpu_names=held(names, placement))

    return placed


NEVER = -50.0
"""Log gain of what cannot be placed here, or has no price: worth no question."""


def known_gain(spec: JobSpec, host: Host) -> Known | None:
    """None where no objective is in money, or a price is missing."""
    priced = [o for o in spec.objectives if o.metric in PRICED]
    if not priced or spec.prices is None:
        return None
    weight = sum(o.weight if o.direction == "maximize" else -o.weight for o in priced)
    placed = placements(spec, host)

    def price(params: Params) -> Decimal | None:
        placement = placed(params)
        return None if placement is None else cost.usd_per_hour(spec, placement)

    def known(params: Params) -> float:
        per_hour = price(params)
        return weight * math.log(per_hour) if per_hour else NEVER

    return known if price(spec.space.default()) else None
