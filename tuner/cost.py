"""What a measurement costs and an attempt has used, by the price book. Unknown stays unknown."""

from collections.abc import Iterable, Sequence

from tuner.gang import RunStatus
from tuner.model import Attempt, Placement, Spend
from tuner.spec import PriceBook

JOULES_PER_KWH = 3.6e6


def num_cores(placement: Placement) -> int:
    """Different cores that a gang holds."""
    return len({core for node in placement.cores for core in node})


def num_gpus(placement: Placement) -> int:
    """Different GPUs that a gang holds."""
    return len({gpu for node in placement.gpus for gpu in node})


def usd_per_hour(prices: PriceBook | None, placement: Placement) -> float | None:
    """Price of holding what a gang holds for an hour, energy left out."""
    if prices is None:
        return None
    cores = num_cores(placement) * prices.usd_per_core_hour
    return cores + num_gpus(placement) * prices.usd_per_gpu_hour


def usd_per_million_samples(
    prices: PriceBook | None,
    placement: Placement,
    samples_per_s: float,
    joules_per_sample: float | None,
) -> float | None:
    """Price of a million samples at a rate: time held, plus measured energy if it has a price."""
    per_hour = usd_per_hour(prices, placement)
    if prices is None or per_hour is None or samples_per_s <= 0:
        return None
    held = per_hour / 3600.0 / samples_per_s * 1e6
    if joules_per_sample is None:
        return held
    return held + joules_per_sample * 1e6 / JOULES_PER_KWH * prices.usd_per_kwh


def spend_of(prices: PriceBook | None, placement: Placement, status: RunStatus) -> Spend:
    """What an attempt has used so far, start-up and teardown included."""
    hours = status.elapsed_s / 3600.0
    per_hour = usd_per_hour(prices, placement)
    energy_j = status.usage.get("energy_j")
    usd = None
    if prices is not None and per_hour is not None:
        usd = per_hour * hours + (energy_j or 0.0) / JOULES_PER_KWH * prices.usd_per_kwh
    return Spend(
        wall_s=status.elapsed_s,
        core_s=status.elapsed_s * num_cores(placement),
        gpu_s=status.elapsed_s * num_gpus(placement),
        usd=usd,
        energy_j=energy_j,
    )


def total(attempts: Iterable[Attempt]) -> Spend:
    """What a whole search has used; money and energy are unknown when no attempt knows them."""
    spends = [a.spend for a in attempts]
    return Spend(
        wall_s=sum(s.wall_s for s in spends),
        core_s=sum(s.core_s for s in spends),
        gpu_s=sum(s.gpu_s for s in spends),
        usd=_known_sum([s.usd for s in spends]),
        energy_j=_known_sum([s.energy_j for s in spends]),
    )


def _known_sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
