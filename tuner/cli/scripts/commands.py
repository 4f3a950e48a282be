"""Options of functions that are commands: those of Click by decorators, those of Typer by
parameters."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tuner.cli.scripts.option import Option, keywords, kind_of, last_name, literal, literals
from tuner.expression import Value

_CLICK_KINDS = {"INT": "int", "IntRange": "int", "FLOAT": "float", "FloatRange": "float"}
_MARKS = ("Option", "Argument")
_PREFERRED = ("train", "training", "fit", "main", "run")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a script."""

    name: str
    options: tuple[Option, ...]


def command_of(tree: ast.Module) -> tuple[str, tuple[Option, ...]] | None:
    """The word that names the command to tune (empty where there is only one), and its options.
    None where the script has no commands."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    library = _library(tree)
    found = [c for f in functions if (c := _command(f, library, tree)) is not None]
    if not found:
        return None
    ranks = [name for name in _PREFERRED if name in [command.name for command in found]]
    chosen = next((c for c in found if ranks and c.name == ranks[0]), found[0])
    is_one_of_many = len(found) > 1 or any(_is_group(function) for function in functions)
    return (chosen.name if is_one_of_many else ""), chosen.options


def _library(tree: ast.Module) -> str:
    """`typer` or `click`; empty where the script uses neither."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    return next((name for name in ("typer", "click") if name in modules), "")


def _decorators(function: Function) -> Iterator[tuple[str, ast.Call | None]]:
    for node in function.decorator_list:
        call = node if isinstance(node, ast.Call) else None
        yield last_name(call.func if call else node), call


def _is_group(function: Function) -> bool:
    return any(name in ("group", "callback") for name, _ in _decorators(function))


def _command(function: Function, library: str, tree: ast.Module) -> Command | None:
    named = dict(_decorators(function))
    if not library or ("command" not in named and not _is_run(function, library, tree)):
        return None
    call = named.get("command")
    said = literal(call.args[0]) if call and call.args else None
    said = literal(keywords(call).get("name")) if call and said is None else said
    if library == "typer":
        options = tuple(_of_typer(function, _enums(tree)))
    else:
        options = tuple(o for name, c in _decorators(function) if c for o in _of_click(name, c))
    name = said if isinstance(said, str) else function.name.lower().replace("_", "-")
    return Command(name=name, options=options)


def _is_run(function: Function, library: str, tree: ast.Module) -> bool:
    """Whether it is the one of `typer.run(main)`."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    return library == "typer" and any(
        last_name(call.func) == "run" and last_name(call.args[0]) == function.name for call in calls
    )


def _of_click(decorator: str, call: ast.Call) -> Iterator[Option]:
    words = [word for word in map(literal, call.args) if isinstance(word, str)]
    if decorator not in ("option", "argument") or not words:
        return
    said = keywords(call)
    default = literal(said.get("default"))
    declared, choices = _click_type(said.get("type"))
    option = Option(
        flag=words[0],
        kind=kind_of(declared, default, choices),
        default=default,
        choices=choices,
        is_required=literal(said.get("required")) is True,
        help=str(literal(said.get("help")) or ""),
    )
    if decorator == "argument":
        is_required = literal(said.get("required")) is not False and "default" not in said
        yield replace(option, is_required=is_required)
    else:
        yield _flagged(option, words, is_switch=literal(said.get("is_flag")) is True)


def _flagged(option: Option, words: list[str], *, is_switch: bool) -> Option:
    """The option by its long flag; `--amp/--no-amp` is a switch with both its words."""
    flag = next((word for word in words if word.startswith("--")), option.flag)
    on, _, off = (part.strip() for part in flag.partition("/"))
    is_switch = is_switch or bool(off) or isinstance(option.default, bool)
    return replace(option, flag=on, off_flag=off, kind="bool" if is_switch else option.kind)


def _click_type(node: ast.expr | None) -> tuple[str, tuple[Value, ...]]:
    """What `type=` declares, and the values of a `click.Choice`."""
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        choices = literals(node.args[0]) if node.args and name == "Choice" else ()
        return ("" if choices else _CLICK_KINDS.get(name, name)), choices
    name = last_name(node)
    return _CLICK_KINDS.get(name, name), ()


def _enums(tree: ast.Module) -> dict[str, dict[str, Value]]:
    """Name of a class -> its names and values; those that list literals only."""
    found: dict[str, dict[str, Value]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            members = [s for s in node.body if isinstance(s, ast.Assign)]
            values = {last_name(m.targets[0]): literal(m.value) for m in members}
            found[node.name] = {name: v for name, v in values.items() if v is not None}
    return found


def _of_typer(function: Function, enums: dict[str, dict[str, Value]]) -> Iterator[Option]:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    for argument, default in [
        *zip(plain, defaults, strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]:
        yield from _of_parameter(argument, default, enums)


def _of_parameter(
    argument: ast.arg, default: ast.expr | None, enums: dict[str, dict[str, Value]]
) -> Iterator[Option]:
    declared, mark, default = _marked(argument.annotation, default)
    if last_name(declared) == "Context":
        return
    is_required = default is None or (isinstance(default, ast.Constant) and default.value is ...)
    name, choices = _type_of(declared, enums)
    value = literal(default)
    if isinstance(default, ast.Attribute):  # a member of an enumeration
        value = enums.get(last_name(default.value), {}).get(default.attr)
    option = Option(
        flag=argument.arg,
        kind=kind_of(name, value, choices),
        default=value,
        choices=choices,
        is_required=is_required,
        help=str(literal(keywords(mark).get("help")) or "") if mark else "",
    )
    is_argument = last_name(mark.func) == "Argument" if mark else is_required
    yield option if is_argument else _typed(option, mark, is_switch=name == "bool")


def _marked(
    annotation: ast.expr | None, default: ast.expr | None
) -> tuple[ast.expr | None, ast.Call | None, ast.expr | None]:
    """The type of a parameter, its `typer.Option(...)` or `typer.Argument(...)`, its default."""
    mark = default if isinstance(default, ast.Call) and last_name(default.func) in _MARKS else None
    if mark is not None:
        default = mark.args[0] if mark.args else keywords(mark).get("default")
    if not isinstance(annotation, ast.Subscript) or last_name(annotation.value) != "Annotated":
        return annotation, mark, default
    parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else []
    calls = [p for p in parts if isinstance(p, ast.Call) and last_name(p.func) in _MARKS]
    return next(iter(parts), None), mark or next(iter(calls), None), default


def _typed(option: Option, mark: ast.Call | None, *, is_switch: bool) -> Option:
    said = [literal(word) for word in mark.args] if mark else []
    words = [word for word in said if isinstance(word, str) and word.startswith("--")]
    words = words or [f"--{option.flag.replace('_', '-')}"]
    if is_switch and "/" not in words[0]:
        words = [f"{words[0]}/--no-{words[0][2:]}"]
    return _flagged(option, words, is_switch=is_switch)


def _type_of(
    node: ast.expr | None, enums: dict[str, dict[str, Value]]
) -> tuple[str, tuple[Value, ...]]:
    """The name of a type without its `| None`, and the values of a Literal or an enumeration."""
    if isinstance(node, ast.BinOp):
        return _type_of(node.left if last_name(node.left) else node.right, enums)
    if isinstance(node, ast.Subscript):
        inner = node.slice
        if last_name(node.value) == "Literal":
            return "", literals(inner) or tuple(v for v in [literal(inner)] if v is not None)
        return _type_of(inner, enums) if last_name(node.value) == "Optional" else ("list", ())
    name = last_name(node)
    return name, tuple(enums.get(name, {}).values())
