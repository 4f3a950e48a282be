"""What `trimtab job explain` prints."""

from collections.abc import Sequence

from tuner.cli import output, text
from tuner.cli.output import Format
from tuner.explain.nouns import Explanation
from tuner.expression import Value

NOT_VARIED = "not varied"


def show(explanation: Explanation, baseline: dict[str, Value], form: Format) -> None:
    """The explanation: tables for people, whole as JSON, a move of a parameter a row otherwise."""
    if form in (Format.TABLE, Format.JSON):
        output.show_one(explanation, form, lambda: lines(explanation, baseline))
    else:
        output.print_data([output.to_data(effect) for effect in explanation.sensitivity], form)


def lines(explanation: Explanation, baseline: dict[str, Value]) -> list[str]:
    """What matters, what happens around the best, and what else would do."""
    best = "none yet" if explanation.best is None else f"trial {explanation.best}"
    found = [f"Best: {best}. Learned from {explanation.learned_from} measured trials."]
    if explanation.note:
        found.append(f"{explanation.note[0].upper()}{explanation.note[1:]}.")
    return [
        *found,
        *_importance(explanation),
        *_sensitivity(explanation),
        *_alternatives(explanation, baseline),
        *_front(explanation, baseline),
        *(["", "Advice", *explanation.advice] if explanation.advice else []),
    ]


def _importance(explanation: Explanation) -> list[str]:
    rows = [
        (one.name, NOT_VARIED if one.share_pct is None else f"{one.share_pct:.0f} %")
        for one in explanation.importance
    ]
    if rows and explanation.together_pct is not None:
        rows.append(("several together", f"{explanation.together_pct:.0f} %"))
    return _section("Importance", ("Parameter", "Explains"), rows)


def _sensitivity(explanation: Explanation) -> list[str]:
    rows = [
        (
            effect.name,
            text.value(effect.value),
            text.percent(effect.gain_pct),
            f"{text.percent(effect.low_pct)} to {text.percent(effect.high_pct)}",
            effect.failure or _measured(effect.measured_pct),
            "" if effect.trial_number is None else str(effect.trial_number),
        )
        for effect in explanation.sensitivity
    ]
    columns = ("Parameter", "Moved to", "Predicted", "95 % interval", "Measured", "Trial")
    return _section("The best with one parameter moved", columns, rows)


def _measured(pct: float | None) -> str:
    return "" if pct is None else text.percent(pct)


def _alternatives(explanation: Explanation, baseline: dict[str, Value]) -> list[str]:
    rows = [
        (
            "predicted" if one.trial_number is None else f"trial {one.trial_number}",
            text.percent(one.gain_pct),
            ", ".join(f"{name} {text.percent(-pct)}" for name, pct in one.savings_pct.items()),
            text.changed_params(one.params, baseline),
        )
        for one in explanation.alternatives
    ]
    columns = ("From", "Against the best", "Takes less", "Configuration")
    return _section("Nearly as good for less", columns, rows)


def _front(explanation: Explanation, baseline: dict[str, Value]) -> list[str]:
    rows = [
        (
            str(one.trial_number),
            *(text.percent(pct) for pct in one.gains_pct.values()),
            text.changed_params(one.params, baseline),
        )
        for one in explanation.front
    ]
    metrics = explanation.front[0].gains_pct if rows else ()
    columns = ("Trial", *metrics, "Configuration")
    return _section("Compromises that nothing beats (Pareto front)", columns, rows)


def _section(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    left = frozenset({"Parameter", "Moved to", "From", "Takes less", "Configuration"})
    right = frozenset(columns) - left
    table = output.Table(columns=columns, rows=rows, right=right)
    return ["", title, *output.aligned(table)]
