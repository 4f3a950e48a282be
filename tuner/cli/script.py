"""The argparse options of a Python script, read without running it."""

import ast
from dataclasses import dataclass
from pathlib import Path

from tuner.errors import UserError
from tuner.expression import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One `add_argument` of a script, as far as it is written in literals."""

    flag: str
    """As it is typed: `--batch-size`."""
    kind: str
    """`int`, `float`, `str`, `bool` (a switch), or whatever else `type` names."""
    default: Value | None = None
    choices: tuple[Value, ...] = ()
    is_required: bool = False
    help: str = ""

    @property
    def name(self) -> str:
        return self.flag.lstrip("-").replace("-", "_")


def read_options(path: Path) -> list[Option]:
    """The options in the order of the script. Raises UserError where it cannot be read."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not Python: {error.msg}") from error
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = sorted(filter(_is_add_argument, calls), key=lambda call: call.lineno)
    return [option for call in calls if (option := _option(call)) is not None]


def _is_add_argument(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"


def _option(call: ast.Call) -> Option | None:
    """None for positional arguments, which are no settings."""
    flags = [flag for flag in map(_literal, call.args) if isinstance(flag, str)]
    long_flags = [flag for flag in flags if flag.startswith("--")] or flags
    if not long_flags or not long_flags[0].startswith("-"):
        return None
    words = {word.arg: word.value for word in call.keywords if word.arg is not None}
    default = _literal(words.get("default"))
    choices = _choices(words.get("choices"))
    return Option(
        flag=long_flags[0],
        kind=_kind(words, choices),
        default=default,
        choices=choices,
        is_required=_literal(words.get("required")) is True,
        help=str(_literal(words.get("help")) or ""),
    )


def _kind(words: dict[str, ast.expr], choices: tuple[Value, ...]) -> str:
    if "action" in words:
        return "bool" if str(_literal(words["action"])).startswith("store_") else "other"
    declared = words.get("type")
    if isinstance(declared, ast.Name):
        return declared.id
    if declared is not None:
        return "other"
    return type(choices[0]).__name__ if choices else "str"


def _choices(node: ast.expr | None) -> tuple[Value, ...]:
    if not isinstance(node, ast.List | ast.Tuple):
        return ()
    values = [_literal(element) for element in node.elts]
    return tuple(value for value in values if value is not None)


def _literal(node: ast.expr | None) -> Value | None:
    """The value of a literal; None for anything that would have to be run."""
    if node is None:
        return None
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if isinstance(value, int | float | str | bool) else None
