"""YAML text to plain data, with the line of every value and every fault of the text itself.

As `yaml.safe_load`, but stricter where YAML surprises: no aliases, no tags, no key twice, and dates
stay text; and as YAML 1.2 in one thing: `1e-3` is a number.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from tuner.errors import InvalidJob, Problem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32

Path = tuple[str | int, ...]

_FILE = "(file)"
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)
_FLOAT = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A mapping read from text; `lines` counts from 1 and knows every key and list item."""

    data: dict[str, object]
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def value(self, path: Path) -> object:
        """The value at a path; None where there is none."""
        found: object = self.data
        for part in path:
            if isinstance(found, dict):
                found = found.get(str(part))
            elif isinstance(found, list) and isinstance(part, int) and part < len(found):
                found = found[part]
            else:
                return None
        return found


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses aliases and endless nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (`*name`) are not allowed", problem_mark=mark
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read(text: str, source: str) -> Document:
    """The mapping in a YAML (or JSON) text. Raises InvalidJob with every fault found."""
    if len(text) > MAX_BYTES:
        raise _invalid(source, 1, f"{len(text)} characters are too many", f"stay below {MAX_BYTES}")
    loader = None
    try:
        loader = _Loader(_without_tabs(text))
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        problems = list(_faults(node, (), lines)) if node else []
        if problems:
            raise InvalidJob(problems, source)
        data = loader.construct_document(node) if node else None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character {error.character!r} is not allowed"
        raise _invalid(source, line, message, "save the file as plain UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        raise InvalidJob([_syntax_problem(error)], source) from error
    except ValueError as error:
        raise _invalid(source, 1, str(error), "write the number in plain digits") from error
    finally:
        if loader is not None:
            loader.dispose()
    return Document(data=_mapping(data, source), lines=lines)


def _without_tabs(text: str) -> str:
    # JSON may be indented by tabs, which YAML refuses; in valid JSON no string holds a bare tab.
    if "\t" in text and text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            return text.replace("\t", " ")
    return text


def _mapping(data: object, source: str) -> dict[str, object]:
    example = "start with `name: my-job`, or let `trimtab init` write a job file"
    if data is None:
        raise _invalid(source, 1, "it is empty", example)
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise _invalid(source, 1, f"it holds {kind}, not `key: value` lines", example)
    return data


def _invalid(source: str, line: int, message: str, remedy: str) -> InvalidJob:
    return InvalidJob([Problem(field=_FILE, message=message, remedy=remedy, line=line)], source)


def _faults(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Iterator[Problem]:
    """Walks the nodes, notes the line of each, and yields what is wrong with their form."""
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if node.tag not in _PLAIN_TAGS:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        yield _problem(path, line, f"the tag {tag} is not allowed", "remove it", "")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _faults(item, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        yield from _mapping_faults(node, path, lines)


def _mapping_faults(
    node: yaml.MappingNode, path: Path, lines: dict[Path, int]
) -> Iterator[Problem]:
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not key.tag.endswith(":str"):
            shown = str(key.value) if isinstance(key, yaml.ScalarNode) else "this"
            remedy = f'put it in quotes: "{shown}":'
            yield _problem(path, line, f"the key `{shown}` is not text", remedy, shown)
            continue
        place = (*path, str(key.value))
        if place in lines:
            message = f"`{key.value}` is given twice, first in line {lines[place]}"
            yield _problem(place, line, message, "keep one of the two", "")
            continue
        lines[place] = line
        yield from _faults(value, place, lines)


def _problem(path: Path, line: int, message: str, remedy: str, value: str) -> Problem:
    return Problem(field=dotted(path), line=line, message=message, remedy=remedy, value=value)


def dotted(path: Path) -> str:
    """A path as people read it: `space.params.nnodes.high`."""
    return ".".join(str(part) for part in path) or _FILE


_REMEDIES = (
    ("\\t", "indent with spaces; YAML allows no tabs there"),
    ("single document", "keep one document: remove the `---` line and what follows it"),
    ("aliases", "write the value out in each place"),
    ("nested", f"nest at most {MAX_DEPTH} levels"),
    ("mapping values are not allowed", "put a text that holds `: ` in quotes, or check the indent"),
    ("could not find expected ':'", "write `key: value`, with a blank after the colon"),
    ("expected <block end>", "give keys of the same level the same indent"),
    ("cannot start any token", "put a text that begins with a special character in quotes"),
    ("expected ',' or", "close the bracket, and put commas between the items"),
    ("quoted scalar", "close the quotes"),
)


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = " ".join(part for part in (error.context, error.problem) if part)
    default = "check brackets, quotes and indent in this line and the one before"
    remedy = next((remedy for words, remedy in _REMEDIES if words in said), default)
    line = mark.line + 1 if mark else 1
    is_tab = "\\t" in said
    message = "a tab is used as indent" if is_tab else f"this is not YAML: {said}"
    return Problem(field=_FILE, message=message, remedy=remedy, line=line)
