"""What a measurement costs and an attempt has used, by the price book. Unknown stays unknown."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from tuner.gang import RunState, RunStatus
from tuner.model import Attempt, Placement, Spend
from tuner.money import charged, decimal
from tuner.prices import NodeType
from tuner.spec import JobSpec

HOUR = Decimal(3600)
JOULES_PER_KWH = Decimal(3_600_000)


def num_cores(placement: Placement) -> int:
    """Different cores that a gang holds."""
    return len({core for node in placement.cores for core in node})


def num_gpus(placement: Placement) -> int:
    """Different GPUs that a gang holds."""
    return len({gpu for node in placement.gpus for gpu in node})


def usd_per_hour(spec: JobSpec, placement: Placement) -> Decimal | None:
    """Price of holding what a gang holds for an hour, energy left out; None where any part of it
    has no known price."""
    if spec.prices is None:
        return None
    name = spec.resources.node_type
    if placement.node_types:
        price = _by_types(spec, placement)
    elif name is None:
        price = _by_devices(spec, placement)
    else:
        price = _by_nodes(spec, spec.prices.node_types[name], placement)
    return None if price is None else spec.prices.in_usd(price)


def _by_devices(spec: JobSpec, placement: Placement) -> Decimal | None:
    assert spec.prices is not None
    purchase = spec.resources.purchase
    per_core = spec.prices.per_core_hour.of(purchase)
    gpus = sorted({gpu for node in placement.gpus for gpu in node})
    names = [placement.gpu_names.get(gpu, "") for gpu in gpus]
    parts = [spec.prices.gpu_hour(name, purchase) for name in names]
    parts.append(None if per_core is None else per_core * num_cores(placement))
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None


def _by_nodes(spec: JobSpec, node_type: NodeType, placement: Placement) -> Decimal | None:
    price = node_type.per_hour.of(spec.resources.purchase)
    gpus = num_gpus(placement)
    if price is None or (gpus and not node_type.gpus):
        return None
    if node_type.cores is None:
        return price * len(placement.cores)
    share = Decimal(num_cores(placement)) / node_type.cores
    return price * max(share, Decimal(gpus) / node_type.gpus if gpus else Decimal(0))


def _by_types(spec: JobSpec, placement: Placement) -> Decimal | None:
    """Each node by its own type, as a gang of that node alone."""
    assert spec.prices is not None
    types = spec.prices.node_types
    nodes = zip(placement.node_types, placement.cores, placement.gpus, strict=True)
    parts = [
        _by_nodes(spec, types[name], Placement(cores=(cores,), gpus=(gpus,)))
        for name, cores, gpus in nodes
    ]
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None


def energy_usd(spec: JobSpec, placement: Placement, joules: float | None) -> Decimal | None:
    """Price of measured energy: nothing where the hourly prices include it, or where a gang holds
    no GPU and nothing measures it; None where that of GPUs has a price but was not measured."""
    if spec.prices is None:
        return None
    if spec.prices.per_kwh is None:
        return Decimal(0)
    if joules is None:
        return None if num_gpus(placement) else Decimal(0)
    kwh = decimal(joules) / JOULES_PER_KWH * spec.prices.pue
    return spec.prices.in_usd(kwh * spec.prices.per_kwh)


def usd_per_million(
    spec: JobSpec, placement: Placement, rate_per_s: float, joules_each: float | None
) -> Decimal | None:
    """Price of a million samples or requests at a rate: time held, and measured energy."""
    per_hour = usd_per_hour(spec, placement)
    energy = energy_usd(spec, placement, None if joules_each is None else joules_each * 1e6)
    if per_hour is None or energy is None or not rate_per_s > 0:
        return None
    return per_hour / HOUR / decimal(rate_per_s) * 1_000_000 + energy


def spend_of(spec: JobSpec, attempt: Attempt, status: RunStatus, now: datetime) -> Spend:
    """What an attempt has used so far, start-up and teardown included. Where the executor lost it
    and cannot tell how long it ran, it is charged until now, or as long as it can have lived."""
    wall_s = status.elapsed_s
    if status.state is RunState.LOST and not wall_s:
        wall_s = _age_s(spec, attempt, now)
    return _spend(spec, attempt.placement, wall_s, status.usage.get("energy_j"))


def up_to_now(spec: JobSpec, attempt: Attempt, now: datetime) -> Attempt:
    """An attempt with what it has used by now, for whoever cannot ask the executor."""
    if attempt.state.is_finished or attempt.handle is None:
        return attempt
    spend = _spend(spec, attempt.placement, _age_s(spec, attempt, now), None)
    return replace(attempt, spend=spend)


def _age_s(spec: JobSpec, attempt: Attempt, now: datetime) -> float:
    age_s = (now - attempt.created_at) / timedelta(seconds=1)
    return min(max(0.0, age_s), longest_s(spec))


def longest_s(spec: JobSpec) -> float:
    """No attempt lives longer: watched it ends at its own limits, unwatched with its lease."""
    limits = spec.measuring
    return max(limits.max_trial_s, limits.startup_s) + spec.resources.lease_s


def _spend(spec: JobSpec, placement: Placement, wall_s: float, energy_j: float | None) -> Spend:
    per_hour = usd_per_hour(spec, placement)
    energy = energy_usd(spec, placement, energy_j)
    usd = None
    if per_hour is not None and energy is not None:
        usd = charged(per_hour * decimal(wall_s) / HOUR + energy)
    return Spend(
        wall_s=wall_s,
        core_s=wall_s * num_cores(placement),
        gpu_s=wall_s * num_gpus(placement),
        usd=usd,
        energy_j=energy_j,
    )


def held_for(spec: JobSpec, placement: Placement, wall_s: float) -> Spend:
    """What holding a placement for so long uses; energy is not measured."""
    return _spend(spec, placement, wall_s, None)


def total(attempts: Sequence[Attempt]) -> Spend:
    """What a search has used. Money or energy is unknown where that of any launch is."""
    ran = [a.spend for a in attempts if a.spend.wall_s > 0]
    whole = known(attempts)
    return replace(
        whole,
        usd=None if any(s.usd is None for s in ran) else whole.usd,
        energy_j=None if any(s.energy_j is None for s in ran) else whole.energy_j,
    )


def known(attempts: Sequence[Attempt]) -> Spend:
    """As `total`, but of money and energy only the known parts; None where no part is known."""
    ran = [a.spend for a in attempts if a.spend.wall_s > 0]
    usd = [s.usd for s in ran if s.usd is not None]
    energy = [s.energy_j for s in ran if s.energy_j is not None]
    return Spend(
        wall_s=sum(s.wall_s for s in ran),
        core_s=sum(s.core_s for s in ran),
        gpu_s=sum(s.gpu_s for s in ran),
        usd=sum(usd, Decimal(0)) if usd else None,
        energy_j=sum(energy) if energy else None,
    )
