"""One option of a script's command line, and the values that are written out in its source."""

import ast
from dataclasses import dataclass

from tuner.expression import Value

KINDS = frozenset({"int", "float", "str"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A setting of a script, as far as it is written in literals."""

    flag: str
    """As it is typed: `--batch-size`; a word without dashes is a positional argument."""
    kind: str
    """`int`, `float`, `str`, `bool` (a switch), or `other`."""
    default: Value | None = None
    choices: tuple[Value, ...] = ()
    is_required: bool = False
    help: str = ""
    off_flag: str = ""
    """What switches it off: `--no-amp`; empty where nothing does."""

    @property
    def name(self) -> str:
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def is_positional(self) -> bool:
        return not self.flag.startswith("-")


def literal(node: ast.expr | None) -> Value | None:
    """The value of a literal; None for anything that would have to be run."""
    if node is None:
        return None
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, int | float | str | bool) else None


def literals(node: ast.expr | None) -> tuple[Value, ...]:
    """The values of a list or tuple of literals; empty for anything else."""
    if not isinstance(node, ast.List | ast.Tuple):
        return ()
    values = [literal(element) for element in node.elts]
    return tuple(value for value in values if value is not None)


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in call.keywords if word.arg is not None}


def last_name(node: ast.expr | None) -> str:
    """`option` of `click.option` and of `option`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def kind_of(declared: str, default: Value | None, choices: tuple[Value, ...]) -> str:
    """The kind of values, by the type that is declared, else by those that are known."""
    if declared in KINDS:
        return declared
    known = default if default is not None else next(iter(choices), None)
    found = type(known).__name__
    if known is None:
        return "other" if declared else "str"
    return found if found in KINDS else "other"
