"""What pydantic says about a job file, in plain words: field, line, value, remedy."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tuner.errors import Problem
from tuner.yaml_lines import Document, Path, dotted

KINDS = ("int", "float", "choice")
TARGETS = ("file", "command", "train")

Schema = Mapping[str, object]

EXAMPLES = {
    "name": "name: my-job",
    "rows": "rows: 1000000",
    "dim": "dim: 16",
    "workload": "workload: {name: dlrm}",
    "space": "space: {params: {nnodes: {kind: int, low: 1, high: 2}}}",
    "params": "params: {nnodes: {kind: int, low: 1, high: 2}}",
    "low": "low: 1",
    "high": "high: 8",
    "options": "options: [1, 2, 4]",
    "metric": "metric: samples_per_s",
    "direction": "direction: maximize",
    "as_of": "as_of: 2026-01-31",
    "path": "path: plans/my-job.json",
    "format": "format: nvidia_smi",
    "prices": "prices: {as_of: 2026-01-31, per_core_hour: {on_demand: 0.04}}",
    "exchange": "exchange: {usd_per_unit: 1.10, as_of: 2026-01-31}",
    "usd_per_unit": "usd_per_unit: 1.10",
    "max": "max: 8",
    "target": "target: {path: plans/my-job.json}",
    "kind": "kind: file",
    "apply": "apply: [./put.sh, '${plan_file}']",
    "observe": "observe: [./look.sh]",
}
"""A line to copy for every field that must be there, or is needed by another."""

_REMEDIES = (
    ("hold no", "give a `low` below `high`"),
    ("is not one of", "choose a default among the values"),
    ("needs low", "raise `low`, or remove `log`"),
    ("isoformat", "write the day as YYYY-MM-DD: `2026-01-31`"),
    ("give exactly one", "keep one of the two"),
    ("breaks the constraint", "choose defaults that keep to it, or change the constraint"),
    ("not an expression", "write it as in Python: `nnodes * threads_per_rank <= 2`"),
    ("is not allowed", "use names, numbers, texts, comparisons, `and`, `or`, `not`, `in`"),
    ("samples_per_step", "name parameters of the space only"),
    ("is not a name", "rename it"),
    ("different values", "list each value once"),
)

_EXPECTED = {
    "int_type": ("must be a whole number", "write it in digits, without quotes or a point: `8`"),
    "int_from_float": ("must be a whole number", "write it without a point: `8`"),
    "decimal_type": ("must be a number", "write it in digits, without quotes: `0.5`"),
    "decimal_parsing": ("must be a number", "write it in digits, without quotes: `0.5`"),
    "float_type": ("must be a number", "write it in digits, without quotes: `0.5`"),
    "bool_type": ("must be true or false", "write `true` or `false`"),
    "tuple_type": ("must be a list", "write `[first, second]`, or a line `- item` for each"),
    "dict_type": ("must be a mapping", "write indented `key: value` lines below it"),
    "dataclass_type": ("must be a mapping", "write indented `key: value` lines below it"),
    "scalar": ("must be a number, a text, true or false", "write one plain value"),
}
_SCALARS = frozenset({"int", "float", "str", "bool"})
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_WORD = re.compile(r"[A-Za-z_][\w.]*")


def fill_kinds(data: dict[str, object]) -> None:
    """Adds the `kind` that a parameter's other fields imply, where it says none."""
    for parameter in _params(data).values():
        if isinstance(parameter, dict) and "kind" not in parameter:
            parameter["kind"] = _implied_kind(parameter)


def _implied_kind(parameter: Mapping[str, object]) -> str:
    if "options" in parameter:
        return "choice"
    return "float" if any(isinstance(value, float) for value in parameter.values()) else "int"


def _params(data: Mapping[str, object]) -> dict[str, object]:
    space = data.get("space")
    params = space.get("params") if isinstance(space, dict) else None
    return params if isinstance(params, dict) else {}


def explain(error: ValidationError, document: Document, schema: Schema) -> list[Problem]:
    """A Problem per fault, in the order of the file."""
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False):
        placed = _place(detail, document)
        if placed is not None:
            path, kind = placed
            problem = _translate(kind, path, detail, document, schema)
            found.setdefault((problem.field,), problem)
    return sorted(found.values(), key=lambda problem: problem.line or 0)


def _place(detail: ErrorDetails, document: Document) -> tuple[Path, str] | None:
    """The path without pydantic's names of union branches, and the kind of the fault; None for
    what concerns a branch that was not meant."""
    path: Path = detail["loc"]
    kind = detail["type"]
    if path[:2] == ("space", "params") and len(path) > 3:
        branch, path = str(path[3]).lower(), (*path[:3], *path[4:])
        meant = document.value((*path[:3], "kind"))
        if isinstance(document.value(path[:3]), dict) and meant not in KINDS:
            return (*path[:3], "kind"), "literal_error"
        if meant in KINDS and branch != meant:
            return None
    if path[:2] == ("apply", "target") and len(path) > 2:
        branch, path = str(path[2]), (*path[:2], *path[3:])
        meant = _target_kind(document)
        if meant is not None and meant not in TARGETS:
            return ("apply", "target", "kind"), "literal_error"
        if branch.lower() != f"{meant}target".replace("_", ""):
            return None
    if path[-1:] and path[-1] in _SCALARS and not isinstance(document.value(path[:-1]), dict):
        return path[:-1], "scalar"
    return path, kind


def _target_kind(document: Document) -> str | None:
    target = document.value(("apply", "target"))
    return str(target.get("kind", "file")) if isinstance(target, dict) else None


def _translate(
    kind: str, path: Path, detail: ErrorDetails, document: Document, schema: Schema
) -> Problem:
    value = document.value(path)
    if kind == "missing":
        key = str(path[-1])
        words = f"`{key}` is missing", f"add `{EXAMPLES.get(key, f'{key}: ...')}`"
    elif kind == "unexpected_keyword_argument":
        words = _unknown_key(path, document, schema)
    elif kind == "value_error":
        message = str(detail["msg"]).removeprefix("Value error, ")
        return told(message, document, schema, path)
    elif kind == "literal_error":
        words = _unknown_choice(path, value, document, schema)
    elif value is None:
        words = "is empty", f"fill it in or remove the line `{path[-1] if path else ''}:`"
    else:
        words = _wrong_type(kind, value, detail)
        value = f'"{value}"' if isinstance(value, str) else value
    line = document.line(path)
    return Problem(
        field=dotted(path), message=words[0], remedy=words[1], value=_shown(value), line=line
    )


def told(message: str, document: Document, schema: Schema, path: Path = ()) -> Problem:
    """What is wrong with the values at `path` together, at the field that the message names."""
    path = _pinpoint(message, path, document)
    said, remedy = _split(message, path, document, schema)
    shown, line = _shown(document.value(path)), document.line(path)
    return Problem(field=dotted(path), message=said, remedy=remedy, value=shown, line=line)


def _wrong_type(kind: str, value: object, detail: ErrorDetails) -> tuple[str, str]:
    if kind == "string_type":
        is_plain = isinstance(value, int | float)
        shown = f'put it in quotes: "{_shown(value)}"'
        return "must be text", shown if is_plain else "write one text, not a list or mapping"
    default = str(detail["msg"]), "see `trimtab job schema`"
    return _EXPECTED.get(kind, default)


def _unknown_key(path: Path, document: Document, schema: Schema) -> tuple[str, str]:
    key = str(path[-1])
    known = list(fields_at(path[:-1], document, schema))
    whole = "a price book" if schema.get("title") == "PriceBook" else "a job file"
    owner = f"`{dotted(path[:-1])}`" if path[:-1] else whole
    return f"`{key}` is not a field of {owner}", suggestion(key, known)


def _unknown_choice(
    path: Path, value: object, document: Document, schema: Schema
) -> tuple[str, str]:
    field = fields_at(path[:-1], document, schema).get(str(path[-1]), {})
    if path[-1] == "kind" and path[:2] == ("space", "params"):
        allowed: tuple[str, ...] = KINDS
    elif path == ("apply", "target", "kind"):
        allowed = TARGETS
    else:
        allowed = tuple(_allowed(field))
    return "is not one of the allowed values", suggestion(str(value), allowed)


def _allowed(field: Schema) -> Iterator[str]:
    if "const" in field:
        yield str(field["const"])
    yield from (str(value) for value in cast(list[object], field.get("enum", [])))
    for option in cast(list[Schema], field.get("anyOf", [])):
        yield from _allowed(option)


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the nearest known one, or all of them."""
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    listed = ", ".join(known)
    return f"did you mean `{near[0]}`? Known: {listed}" if near else f"use one of: {listed}"


def fields_at(path: Path, document: Document, schema: Schema) -> dict[str, Schema]:
    """The fields that the mapping at `path` may have, by the JSON Schema."""
    node = _resolved(schema, document.data, schema)
    for index, part in enumerate(path):
        value = document.value(path[: index + 1])
        if isinstance(part, int):
            child = node.get("items", {})
        else:
            properties = cast(Mapping[str, Schema], node.get("properties", {}))
            child = properties.get(part, node.get("additionalProperties", {}))
        node = _resolved(cast(Schema, child if isinstance(child, dict) else {}), value, schema)
    return dict(cast(Mapping[str, Schema], node.get("properties", {})))


def _resolved(node: Schema, value: object, root: Schema) -> Schema:
    """Follows references, and of alternatives takes the one of the value's `kind`."""
    while True:
        if "$ref" in node:
            name = str(node["$ref"]).rsplit("/", 1)[-1]
            node = cast(Mapping[str, Schema], root["$defs"])[name]
        elif "oneOf" in node:
            kind = str(value.get("kind")).title() if isinstance(value, dict) else ""
            options = cast(list[Schema], node["oneOf"])
            node = next((o for o in options if str(o["$ref"]).endswith(f"/{kind}")), options[0])
        elif "anyOf" in node:
            options = [o for o in cast(list[Schema], node["anyOf"]) if "$ref" in o]
            kind = str(value.get("kind", "")).replace("_", "") if isinstance(value, dict) else ""
            named = [o for o in options if kind and _names(o, f"{kind}target")]
            node = next(iter([*named, *options]), {})
        else:
            return node


def _names(option: Schema, name: str) -> bool:
    return str(option["$ref"]).rsplit("/", 1)[-1].lower() == name


def _pinpoint(message: str, path: Path, document: Document) -> Path:
    """The field below `path` that the message of a `__post_init__` is about."""
    for word in _WORD.findall(_QUOTED.sub("", message)):
        place: Path = (*path, *word.rstrip(".").split("."))
        if place in document.lines:
            return place
    quoted = [first or second for first, second in _QUOTED.findall(message)]
    for text in sorted(quoted, key=len, reverse=True):
        for place in document.lines:
            is_it = place[-1:] == (text,) or document.value(place) == text
            if text and is_it and place != path and place[: len(path)] == path:
                return place
    return path


def _split(message: str, path: Path, document: Document, schema: Schema) -> tuple[str, str]:
    """The message, and as remedy its second half, a known one, or else what the field is for."""
    for mark in ("; ", ": use "):
        if mark in message:
            said, _, remedy = message.partition(mark)
            return said, f"use {remedy}" if "use" in mark else remedy
    needed = re.search(r"needs `(\w+)`", message)
    if needed:
        return message, f"add `{EXAMPLES.get(needed[1], needed[1])}`"
    for words, remedy in _REMEDIES:
        if words in message:
            return message, remedy
    field = fields_at(path[:-1], document, schema).get(str(path[-1]), {}) if path else {}
    meaning = str(field.get("description", "")).split("\n")[0]
    about = f" ({meaning.rstrip('.')})" if meaning else ""
    return message, f"change `{dotted(path)}`{about}"


def _shown(value: object) -> str:
    if value is None or isinstance(value, dict):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
