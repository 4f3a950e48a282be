"""Numbers, times and configurations as a person reads them. Absent is "unknown", never 0."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from tuner import metrics
from tuner.expression import Value
from tuner.model import Spend

UNKNOWN = "unknown"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def number(value: float, digits: int = 3) -> str:
    """Significant digits below 1000, whole numbers with separators above."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def count(value: float) -> str:
    """A large count in words: 1.23 million."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(value) >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:,.0f}"


def money(usd: Decimal | float | None) -> str:
    """Dollars and cents, or three significant digits of what is less than a dollar."""
    if usd is None or not math.isfinite(usd):
        return UNKNOWN
    size = abs(float(usd))
    if size == 0 or size >= 1:
        return f"${usd:,.2f}"
    decimals = min(12, 2 - math.floor(math.log10(size)))
    return f"${usd:.{decimals}f}"


def percent(value: float | None) -> str:
    """A change, with its sign."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 1 else 2
    return f"{value:+.{decimals}f} %"


def spread(value: float, interval: tuple[float, float] | None) -> str:
    """Half the width of an interval in per cent of the value, `± 2.1 %`; empty without one."""
    if interval is None or value == 0:
        return ""
    half = (interval[1] - interval[0]) / 2 / abs(value) * 100
    return f"± {half:.1f} %" if math.isfinite(half) else ""


def metric(name: str, value: float | None, interval: tuple[float, float] | None = None) -> str:
    """A metric with its unit and its interval: `12,345 samples/s ± 2.1 %`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    parts = [_with_unit(name, value), spread(value, interval)]
    return " ".join(part for part in parts if part)


def _with_unit(name: str, value: float) -> str:
    known = metrics.BY_NAME.get(name)
    unit = known.unit if known else ""
    if unit == "USD":
        return money(value)
    digits = 4 if unit == "" else 3
    return f"{number(value, digits)} {unit}".strip()


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 12 s`, `2 h 05 min`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 else f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
    return f"{whole // _DAY:,} d {whole % _DAY // _HOUR} h"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long since: `3 min ago`; a dash where it has not happened."""
    if moment is None:
        return "-"
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    if seconds < _MINUTE:
        return f"{seconds:.0f} s ago"
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "now"


def timestamp(moment: datetime | None) -> str:
    """Local time to the second."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def value(item: Value | None) -> str:
    """A parameter's value; a dash where it does not apply."""
    if item is None:
        return "-"
    if isinstance(item, bool):
        return str(item).lower()
    return f"{item:.4g}" if isinstance(item, float) else str(item)


def params(chosen: Mapping[str, Value]) -> str:
    return " ".join(f"{name}={value(item)}" for name, item in chosen.items())


def differences(
    chosen: Mapping[str, Value], other: Mapping[str, Value]
) -> dict[str, tuple[Value | None, Value | None]]:
    """Name -> (value in `chosen`, value in `other`) where they differ; None: not there."""
    names = [*chosen, *(name for name in other if name not in chosen)]
    pairs = {name: (chosen.get(name), other.get(name)) for name in names}
    return {name: (new, old) for name, (new, old) in pairs.items() if new != old}


def changed_params(chosen: Mapping[str, Value], baseline: Mapping[str, Value]) -> str:
    """Only what differs from the baseline, `name=value` each."""
    changes = differences(chosen, baseline)
    return " ".join(f"{name}={value(new)}" for name, (new, _) in changes.items()) or "(default)"


def change_pct(new: float | None, old: float | None) -> float | None:
    """By how many per cent `new` differs from `old`; None where that says nothing."""
    if new is None or old is None:
        return None
    if old == 0:
        return 0.0 if new == 0 else None
    return (new / old - 1) * 100


def spend(used: Spend) -> str:
    """What a search used, in one line."""
    parts = [duration(used.wall_s), f"{number(used.core_s / _HOUR, 2)} core-hours"]
    if used.gpu_s:
        parts.append(f"{number(used.gpu_s / _HOUR, 2)} GPU-hours")
    parts.append(money(used.usd) if used.usd is not None else "money unknown")
    if used.energy_j is not None:
        parts.append(f"{number(used.energy_j / 3.6e6, 2)} kWh")
    return ", ".join(parts)
