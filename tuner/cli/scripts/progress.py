"""The line by which a script tells of its progress: from its f-string to a regular expression."""

import ast
import re
from collections.abc import Iterator

_WHOLE, _ANY = r"[\d,]+", r"\S+"
_STEP_NAME = re.compile(r"\b(global_|train_|num_)?(step|steps|iteration|iter|it|batch_idx)\b")
_STEP_WORD = re.compile(r"\b(step|iter|iteration|batch)\W*$", re.IGNORECASE)
_LOSS_WORD = re.compile(r"\bloss\W*$", re.IGNORECASE)
_RATE_NAME = re.compile(r"throughput|qps|(samples|examples|images|rows)_per_s")
_RATE_WORD = re.compile(r"^\s*(samples|examples|images|rows|ex)\s*(/|per )\s*s", re.IGNORECASE)
_TIME_NAME = re.compile(r"step|iter|batch|ms\b")
_MS_WORD = re.compile(r"^\s*ms\b")


def pattern_of(tree: ast.Module) -> str:
    """With named groups, for the f-string that tells most; empty where none tells of a step."""
    raised = {id(n) for r in ast.walk(tree) if isinstance(r, ast.Raise) for n in ast.walk(r)}
    strings = (n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) and id(n) not in raised)
    found = [pattern for string in strings if (pattern := _pattern(string))]
    return max(found, key=lambda pattern: pattern.count("(?P<"), default="")


def _pattern(string: ast.JoinedStr) -> str:
    told: set[str] = set()
    pieces: list[str] = []
    texts = [_text(part) for part in string.values]
    for place, part in enumerate(string.values):
        if not isinstance(part, ast.FormattedValue):
            pieces.append(_escaped(texts[place]))
            continue
        before = texts[place - 1] if place else ""
        after = texts[place + 1] if place + 1 < len(texts) else ""
        name = next((n for n in _roles(part, before, after) if n not in told), "")
        blanks = " *" if part.format_spec is not None and name else ""
        told.add(name)
        group = _WHOLE if name == "step" else _ANY
        pieces.append(f"{blanks}(?P<{name}>{group})" if name else ".*?")
    pattern = "".join(pieces).strip().removesuffix(".*?")
    is_line = "\n" not in pattern and bool({"step", "samples_per_s"} & told)
    return pattern if is_line else ""


def _text(part: ast.expr) -> str:
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ""


def _escaped(text: str) -> str:
    return re.escape(text.strip("\r\n")).replace(r"\ ", " ").replace("\\\n", "\n")


def _roles(part: ast.FormattedValue, before: str, after: str) -> Iterator[str]:
    """What a value may be, by its own words and by the text on both sides."""
    words = ast.unparse(part.value).lower()
    if _RATE_NAME.search(words) or _RATE_WORD.search(after):
        yield "samples_per_s"
    elif _MS_WORD.search(after) and _TIME_NAME.search(words):
        yield "step_time_ms"
    elif "loss" in words or _LOSS_WORD.search(before):
        yield "loss"
    elif "auc" in words:
        yield "auc"
    elif _STEP_NAME.search(words) or _STEP_WORD.search(before):
        yield "step"
