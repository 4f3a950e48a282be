"""Options that a script declares by calls: `add_argument` of argparse, `DEFINE_...` of absl."""

import ast
from collections.abc import Iterator

from tuner.cli.scripts.option import Option, keywords, kind_of, last_name, literal, literals

_DEFINED = {
    "DEFINE_integer": "int",
    "DEFINE_float": "float",
    "DEFINE_string": "str",
    "DEFINE_enum": "str",
    "DEFINE_bool": "bool",
    "DEFINE_boolean": "bool",
}


def declared_options(tree: ast.Module) -> Iterator[Option]:
    """In the order of the script."""
    adding = {"add_argument", *_other_names(tree)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = last_name(call.func)
        if name in adding:
            yield from _of_argparse(call)
        elif name in _DEFINED:
            yield from _of_absl(call, _DEFINED[name])


def _other_names(tree: ast.Module) -> Iterator[str]:
    """Names that stand for `parser.add_argument`: `add = parser.add_argument`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            targets = target.elts if several and isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for name, value in zip(targets, values, strict=False):
                is_it = isinstance(value, ast.Attribute) and value.attr == "add_argument"
                if is_it and isinstance(name, ast.Name):
                    yield name.id


def _of_argparse(call: ast.Call) -> Iterator[Option]:
    flags = [flag for flag in map(literal, call.args) if isinstance(flag, str)]
    flag = next((f for f in flags if f.startswith("--")), flags[0] if flags else "")
    if not flag:
        return
    words = keywords(call)
    default, choices = literal(words.get("default")), literals(words.get("choices"))
    action = _action(words.get("action"))
    declared = last_name(words["type"]) or "called" if "type" in words else ""
    kind = kind_of(declared, default, choices)
    if action:
        kind = (
            "bool" if action.startswith("store_") or action == "BooleanOptionalAction" else "other"
        )
    optional = literal(words.get("nargs")) in ("?", "*") or "default" in words
    yield Option(
        flag=flag,
        kind=kind,
        default=default,
        choices=choices,
        is_required=literal(words.get("required")) is True
        or (not flag.startswith("-") and not optional),
        help=str(literal(words.get("help")) or ""),
        off_flag=f"--no-{flag[2:]}" if action == "BooleanOptionalAction" else "",
    )


def _action(node: ast.expr | None) -> str:
    if node is None:
        return ""
    found = str(literal(node) or last_name(node) or "other")
    return "" if found == "store" else found


def _of_absl(call: ast.Call, kind: str) -> Iterator[Option]:
    """(name, default, help), and for an enum (name, default, values, help)."""
    name = literal(call.args[0]) if call.args else None
    if not isinstance(name, str):
        return
    words = keywords(call)
    is_enum = last_name(call.func) == "DEFINE_enum"
    rest = dict(enumerate(call.args[1:]))
    values = rest.get(1, words.get("enum_values")) if is_enum else None
    about = rest.get(2 if is_enum else 1, words.get("help"))
    yield Option(
        flag=f"--{name}",
        kind=kind,
        default=literal(rest.get(0, words.get("default"))),
        choices=literals(values),
        is_required=literal(words.get("required")) is True,
        help=str(literal(about) or ""),
        off_flag=f"--no{name}" if kind == "bool" else "",
    )
