"""The hard caps of a job: what may still be begun, and when what runs has to end. Pure.

Every cap is kept in the same way. A gang holds what it holds from start to end, so each cap is
used at a known rate a second. What runs is stopped early enough that it has ended by the cap even
if its processes have to be killed; nothing is begun that is not expected to fit; and the fewest
confirming pairs that can prove anything are kept aside.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tuner import assess, cost, decide, nodes
from tuner.model import Attempt, FailureKind, Measurement, Placement, Trial
from tuner.money import decimal
from tuner.spec import JobSpec

STOP_LIMIT_S = 6.5
"""Longest from deciding to stop a gang to the end of its last process, a turn of the controller
and the supervisor's grace periods included."""

ASSUMED_GPU_W = 1000
"""What a GPU is taken to draw where its energy was not measured: more than those of today."""

GAP_S = 10.0
"""Shorter pauses between launches count as minutes used: choosing and launching takes its time."""

Amounts = dict[str, Decimal]
"""Cap -> an amount of what it caps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the caps still allow."""

    is_spent: bool = False
    """Whatever runs has to end now, and nothing may be launched."""
    must_confirm: bool = False
    """Whatever is being measured has to end now, so that the winner can still be confirmed."""
    may_measure: bool = True
    """Another configuration is expected to fit, with the confirming pairs after it."""
    may_pair: bool = True
    """Another confirming pair fits, and with it enough of them for a proof."""


def room(spec: JobSpec, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> Room:
    """The room that is left. Attempts that run carry what they have used by now."""
    caps = spec.budget.caps()
    if not caps:
        return Room()
    live = [a for a in attempts if not a.state.is_finished]
    used = used_of(spec, attempts)
    # What may be needed to end whatever runs, and later the last of the confirming runs.
    ending = _sum([_rates(spec, a.placement, STOP_LIMIT_S) for a in live])
    margin = _dearest(spec, attempts)
    pair = _pair(spec, trials, attempts)
    aside = _sum([_times(pair, decide.MIN_PAIRS), margin])
    missing = max(1, decide.MIN_PAIRS - _pairs_run(attempts))
    expected = _sum([_rest(spec, attempts, a) for a in live] + [_typical(spec, attempts)])
    is_measuring = any(a.purpose == "measure" for a in live)
    has_winner = bool(pair) and bool(decide.confirmable(spec, trials))
    return Room(
        is_spent=_breaks(caps, used, ending if live else margin),
        must_confirm=is_measuring and has_winner and _breaks(caps, used, ending, aside),
        may_measure=not _breaks(caps, used, expected, aside),
        may_pair=not _breaks(caps, used, _times(pair, missing)),
    )


def refusal(spec: JobSpec, attempts: Sequence[Attempt], placement: Placement) -> str | None:
    """Why a gang may not be launched there at all; None where it may."""
    caps = spec.budget.caps()
    if "usd" in caps and cost.usd_per_hour(spec, placement) is None:
        names = sorted(set(placement.gpu_names.values())) or ["any"]
        held = f"its GPUs ({', '.join(names)})" if cost.num_gpus(placement) else "its cores"
        return (
            f"budget.usd cannot be kept: the {spec.resources.purchase} price of {held} is unknown; "
            "add it to the price book, or remove budget.usd"
        )
    ending = _rates(spec, placement, STOP_LIMIT_S)
    if _breaks(caps, used_of(spec, attempts), ending):
        return f"what is left of the budget does not even pay for {STOP_LIMIT_S:g} s of it"
    return None


def usable_gpus(spec: JobSpec, gpus: Sequence[int], names: Mapping[int, str]) -> list[int]:
    """The GPUs that a job may hold: under a cap in money those with a price, if any has one."""
    prices, purchase = spec.prices, spec.resources.purchase
    by_type = spec.resources.node_type is not None or nodes.is_typed(spec)
    if spec.budget.usd is None or prices is None or by_type:
        return list(gpus)
    priced = [g for g in gpus if prices.gpu_hour(names.get(g, ""), purchase) is not None]
    return priced or list(gpus)  # where none has one, the launch is refused for it


def unpriced(spec: JobSpec, gpu_names: Iterable[str]) -> str | None:
    """Why a cap in money cannot be kept on a computer with these GPUs; None where it can be."""
    by_type = spec.resources.node_type is not None or nodes.is_typed(spec)
    uses_gpus = spec.resources.gpus_per_node != 0 and not by_type
    if spec.budget.usd is None or spec.prices is None or not uses_gpus:
        return None
    names, purchase = sorted(set(gpu_names)), spec.resources.purchase
    if not names or any(spec.prices.gpu_hour(name, purchase) is not None for name in names):
        return None
    return (
        f"budget.usd cannot be kept: the {purchase} price of {', '.join(names)} is unknown. "
        "Remedy: add it to prices.per_gpu_hour, or set resources.gpus_per_node to 0"
    )


def used_of(spec: JobSpec, attempts: Sequence[Attempt]) -> Amounts:
    """Cap -> what has been used of it."""
    hour = cost.HOUR
    return {
        "minutes": decimal(busy_s(attempts)) / 60,
        "core_hours": decimal(sum(a.spend.core_s for a in attempts)) / hour,
        "gpu_hours": decimal(sum(a.spend.gpu_s for a in attempts)) / hour,
        "usd": sum((_usd(spec, a) for a in attempts), Decimal(0)),
    }


def busy_s(attempts: Sequence[Attempt]) -> float:
    """Seconds in which at least one attempt ran, the short pauses between them included.

    Two with a core or GPU in common never ran at once: where their times say so, the clock was set
    back, and the second ran after the first.
    """
    ran = sorted((a for a in attempts if a.spend.wall_s > 0), key=lambda a: a.created_at)
    if not ran:
        return 0.0
    busy_s, reached = 0.0, ran[0].created_at
    freed: dict[tuple[str, int], datetime] = {}
    for attempt in ran:
        held = _devices(attempt.placement)
        start = max([attempt.created_at, *(freed[device] for device in held if device in freed)])
        end = start + timedelta(seconds=attempt.spend.wall_s)
        freed |= dict.fromkeys(held, end)
        if (start - reached) / timedelta(seconds=1) > GAP_S:
            reached = start
        busy_s += max(0.0, (end - reached) / timedelta(seconds=1))
        reached = max(reached, end)
    return busy_s


def _devices(placement: Placement) -> set[tuple[str, int]]:
    cores = {("core", core) for node in placement.cores for core in node}
    return cores | {("gpu", gpu) for node in placement.gpus for gpu in node}


def _usd(spec: JobSpec, attempt: Attempt) -> Decimal:
    """Its price, with energy that was not measured taken as much; without a price it has no end."""
    if attempt.spend.usd is not None:
        return attempt.spend.usd
    return _rates(spec, attempt.placement, attempt.spend.wall_s)["usd"]


def _rates(spec: JobSpec, placement: Placement, seconds: float) -> Amounts:
    """Cap -> what so many seconds of a gang use."""
    hours, gpus = decimal(seconds) / cost.HOUR, cost.num_gpus(placement)
    amounts = {
        "minutes": hours * 60,
        "core_hours": hours * cost.num_cores(placement),
        "gpu_hours": hours * gpus,
    }
    per_hour = cost.usd_per_hour(spec, placement)
    energy = cost.energy_usd(spec, placement, float(gpus * ASSUMED_GPU_W * seconds))
    if per_hour is None or energy is None:  # no cap in money can be known to be kept
        return {**amounts, "usd": Decimal("Infinity")}
    return {**amounts, "usd": per_hour * hours + energy}


def _dearest(spec: JobSpec, attempts: Sequence[Attempt]) -> Amounts:
    """What ending a launch may use, as far as one can know: that of the dearest so far."""
    found = [_rates(spec, a.placement, STOP_LIMIT_S) for a in attempts]
    return {name: max(f[name] for f in found) for name in found[0]} if found else {}


def _typical(spec: JobSpec, attempts: Sequence[Attempt]) -> Amounts:
    """What another measurement is expected to use: the mean of those so far. Of the first nothing
    is known: it is begun, and ends by the cap at the latest."""
    ended = _ended(attempts, "measure")
    if not ended:
        return {}
    all_of_them = _sum([_rates(spec, a.placement, a.spend.wall_s) for a in ended])
    return {name: amount / len(ended) for name, amount in all_of_them.items()}


def _rest(spec: JobSpec, attempts: Sequence[Attempt], live: Attempt) -> Amounts:
    """What an attempt that runs is still expected to use."""
    walls = [a.spend.wall_s for a in _ended(attempts, live.purpose)]
    mean_s = sum(walls) / len(walls) if walls else 0.0
    return _rates(spec, live.placement, max(STOP_LIMIT_S, mean_s - live.spend.wall_s))


def _pair(spec: JobSpec, trials: Sequence[Trial], attempts: Sequence[Attempt]) -> Amounts:
    """What a confirming pair of the best trial so far is expected to use."""
    if not decide.has_baseline(spec, trials) or spec.apply.mode == "off":
        return {}
    best = next(iter(decide.confirmable(spec, trials)), trials[0])
    # What is being measured now may win, and its arms take at least as long.
    live = [a for a in attempts if a.purpose == "measure" and not a.state.is_finished]
    mine = [_rates(spec, a.placement, a.spend.wall_s) for a in live]
    mine.append(_arm(spec, attempts, best.number))
    names = {name for amounts in mine for name in amounts}
    dearest = {name: max(m.get(name, Decimal(0)) for m in mine) for name in names}
    return _sum([_arm(spec, attempts, 0), dearest])


def _arm(spec: JobSpec, attempts: Sequence[Attempt], number: int) -> Amounts:
    """From earlier arms of the trial, else from its own measurement, longer as far as the arm has
    to be more precise."""
    mine = [a for a in attempts if a.trial_number == number]
    arms = _ended(mine, "confirm")
    if arms:
        seconds = sum(a.spend.wall_s for a in arms) / len(arms)
        return _rates(spec, arms[-1].placement, seconds)
    for attempt in reversed(_ended(mine, "measure")):
        if attempt.measurement is not None:
            longer_s = _longer_s(spec, attempt.measurement)
            return _rates(spec, attempt.placement, attempt.spend.wall_s + longer_s)
    return {}


def _longer_s(spec: JobSpec, measurement: Measurement) -> float:
    """By how much a window has to be longer for the confirming precision: half the interval takes
    four times the window."""
    limits, window_s = spec.measuring, measurement.window_s
    found = [assess.precision_pct(measurement, o.metric) for o in spec.objectives]
    reached_pct = min(max(found), limits.precision_pct)
    wanted_s = window_s * (reached_pct / limits.confirm_precision_pct) ** 2
    return max(0.0, min(limits.max_window_s, wanted_s) - window_s)


def _pairs_run(attempts: Sequence[Attempt]) -> int:
    """Pairs of which both arms were measured."""
    arms = [a.pair for a in attempts if a.pair is not None and a.measurement is not None]
    return sum(arms.count(pair) >= 2 for pair in set(arms))


def _ended(attempts: Sequence[Attempt], purpose: str) -> list[Attempt]:
    return [
        a
        for a in attempts
        if a.state.is_finished
        and a.purpose == purpose
        and a.spend.wall_s > 0
        and (a.failure is None or a.failure.kind is not FailureKind.LOST)
    ]


def _sum(parts: Sequence[Mapping[str, Decimal]]) -> Amounts:
    names = {name for part in parts for name in part}
    return {name: sum((p.get(name, Decimal(0)) for p in parts), Decimal(0)) for name in names}


def _times(amounts: Mapping[str, Decimal], count: int) -> Amounts:
    return {name: amount * count for name, amount in amounts.items()}


def _breaks(caps: Mapping[str, Decimal], *parts: Mapping[str, Decimal]) -> bool:
    """Whether these amounts together reach a cap."""
    reached = _sum(parts)
    return any(reached.get(name, Decimal(0)) >= cap for name, cap in caps.items())
