"""Job files: YAML (or JSON) to a JobSpec, and the JSON Schema of the format.

The dataclasses of `tuner.spec` and `tuner.space` are the format. Every fault found is told with
its field, line, value and remedy.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

import regex
from pydantic import TypeAdapter, ValidationError

from tuner import expression, nodes, pricefile, spec_faults, yaml_lines
from tuner.collect.formats import FORMATS
from tuner.collect.telemetry import USAGE_FORMATS
from tuner.errors import InvalidJob, Problem
from tuner.gang import RANK_NAMES
from tuner.launch import names_of_ranks
from tuner.space import Choice, Float, Int
from tuner.spec import JobSpec, Workload
from tuner.spec_apply import placed
from tuner.yaml_lines import Document

Fault = tuple[yaml_lines.Path, str, str]
"""Where, what, remedy."""

LAUNCH_NAMES = ("nnodes", "nproc_per_node", "python")
"""What a command may name besides the parameters: the sizes of the gang, this interpreter."""

_MAIN = 'if __name__ == "__main__"'


def load_job(text: str, source: str = "job", folder: Path | None = None) -> JobSpec:
    """The job that a YAML or JSON text describes. Raises InvalidJob with every fault found.

    A price book in a file of its own is looked for from `folder`; None: there is none to read."""
    document = yaml_lines.read(text, source)
    spec_faults.fill_kinds(document.data)
    _fill_prices(document, source, folder)
    try:
        spec = _adapter().validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems = spec_faults.explain(error, document, _schema())
        raise InvalidJob(problems, source) from error
    problems = [_problem(fault, document) for fault in _faults(spec)]
    unpriced = spec.missing_price()
    if unpriced is not None:
        problems.append(spec_faults.told(unpriced, document, _schema()))
    if problems:
        raise InvalidJob(problems, source)
    return spec


def load_job_file(path: Path) -> JobSpec:
    """The job in a file; its relative paths start from the file's folder. Raises InvalidJob."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        remedy = "give the path of a job file; `trimtab init` writes one"
        problem = Problem(field="(file)", message=f"cannot be read: {reason}", remedy=remedy)
        raise InvalidJob([problem], str(path)) from error
    folder = path.absolute().parent
    return resolved(load_job(text, str(path), folder), folder)


def job_schema() -> dict[str, object]:
    """The format of job files as JSON Schema 2020-12."""
    return json.loads(json.dumps(_schema()))  # type: ignore[no-any-return]


def workload_names() -> tuple[str, ...]:
    """The workloads that come with Trimtab, found as files and not imported."""
    found = find_spec("workloads")
    folders = found.submodule_search_locations if found else None
    paths = [Path(folder) for folder in folders or ()]
    files = (file for path in paths for file in path.glob("[a-z]*.py"))
    modules = [file.stem for file in files if _MAIN in file.read_text(encoding="utf-8")]
    packages = [main.parent.name for path in paths for main in path.glob("[a-z]*/__main__.py")]
    return tuple(sorted([*modules, *packages]))


def _fill_prices(document: Document, source: str, folder: Path | None) -> None:
    """Puts the price book that `prices: {file: ...}` names in its place."""
    prices = document.data.get("prices")
    if not isinstance(prices, dict) or "file" not in prices:
        return
    name, fault = prices["file"], None
    if not isinstance(name, str) or len(prices) > 1:
        fault = "names a price book, and stands alone", "write `prices: {file: prices.yaml}`"
    elif folder is None:
        fault = "files cannot be read from here", "write the prices into the job itself"
    if fault is not None:
        raise InvalidJob([_problem((("prices", "file"), *fault), document)], source)
    assert folder is not None
    book = pricefile.load_prices(folder / Path(name).expanduser())
    document.data["prices"] = pricefile.plain_prices(book)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[JobSpec]:
    return TypeAdapter(JobSpec)


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    schema = _adapter().json_schema()
    params = schema["$defs"]["Space"]["properties"]["params"]
    options = params["additionalProperties"].pop("anyOf")
    named = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}
    schema["properties"]["prices"]["anyOf"].append({**named, "additionalProperties": False})
    # Editors then complain about the kind that was meant, not about all three.
    kinds = {kind: f"#/$defs/{kind.title()}" for kind in spec_faults.KINDS}
    params["additionalProperties"] = {
        "oneOf": options,
        "discriminator": {"propertyName": "kind", "mapping": kinds},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Trimtab job",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def resolved(spec: JobSpec, folder: Path) -> JobSpec:
    """The job with every relative path taken from a folder."""
    working_dir = _absolute(spec.workload.working_dir or ".", folder)
    workload = replace(spec.workload, working_dir=working_dir)
    return replace(spec, workload=workload, apply=placed(spec.apply, folder))


def _absolute(path: str, folder: Path) -> str:
    return str((folder / Path(path).expanduser()).resolve())


def _problem(fault: Fault, document: Document) -> Problem:
    path, message, remedy = fault
    value = document.value(path)
    return Problem(
        field=yaml_lines.dotted(path),
        message=message,
        remedy=remedy,
        value=value if isinstance(value, str) else "",
        line=document.line(path),
    )


def _faults(spec: JobSpec) -> Iterator[Fault]:
    """What the fields cannot know one by one."""
    yield from _workload_faults(spec)
    yield from _template_faults(spec)
    yield from _log_faults(spec)
    yield from _count_faults(spec)
    yield from nodes.faults(spec)


def _workload_faults(spec: JobSpec) -> Iterator[Fault]:
    workload = spec.workload
    known = workload_names()
    if workload.name is not None and workload.name not in known:
        remedy = spec_faults.suggestion(workload.name, known)
        yield ("workload", "name"), f"there is no workload `{workload.name}`", remedy
    for name in sorted(set(workload.args) & set(spec.space.params)):
        remedy = "remove it here, or from `space.params`"
        yield ("workload", "args", name), f"`{name}` is a parameter of the space too", remedy


def _template_faults(spec: JobSpec) -> Iterator[Fault]:
    for place, text in _templates(spec.workload):
        own = names_of_ranks(spec) if place[1] == "env" else ()
        names = [*spec.space.params, *LAUNCH_NAMES, *own]
        template = Template(text)
        if not template.is_valid():
            remedy = "write `$$` for a dollar sign, `${name}` for a parameter"
            yield place, "a `$` stands alone", remedy
            continue
        for name in template.get_identifiers():
            if name not in names:
                yield place, *_unknown_name(name, names)
            elif place[1] == "command" and text == f"${{{name}}}" and _is_conditional(spec, name):
                remedy = f"write option and value as one word: `--{name}=${{{name}}}`"
                yield place, f"`{name}` has a `when`: its word is left out at times", remedy


def _unknown_name(name: str, known: list[str]) -> tuple[str, str]:
    if name in RANK_NAMES:
        remedy = "use it in `workload.env` of a job with `launch: per_rank`"
        return f"`${{{name}}}` is known only where a rank is started", remedy
    return f"`${{{name}}}` names no parameter of the space", spec_faults.suggestion(name, known)


def _templates(workload: Workload) -> Iterator[tuple[yaml_lines.Path, str]]:
    for index, word in enumerate(workload.command or ()):
        yield ("workload", "command", index), word
    for name, text in workload.env.items():
        yield ("workload", "env", name), text


def _is_conditional(spec: JobSpec, name: str) -> bool:
    parameter = spec.space.params.get(name)
    return parameter is not None and parameter.when is not None


def _log_faults(spec: JobSpec) -> Iterator[Fault]:
    log = spec.workload.log
    known = ("report", "auto", *FORMATS)
    if log.format not in known:
        remedy = spec_faults.suggestion(log.format, known)
        yield ("workload", "log", "format"), f"there is no log format `{log.format}`", remedy
    for index, file in enumerate(log.files):
        readable = (*USAGE_FORMATS, *FORMATS)
        if file.format not in readable:
            where = ("workload", "log", "files", index, "format")
            remedy = spec_faults.suggestion(file.format, readable)
            yield where, f"there is no file format `{file.format}`", remedy
    for index, pattern in enumerate(log.patterns):
        fault = _pattern_fault(pattern)
        if fault is not None:
            yield ("workload", "log", "patterns", index), *fault
    for name in sorted(expression.names(log.samples_per_step or "0")):
        if _is_conditional(spec, name):
            remedy = f"remove the `when` of `{name}`, or use parameters without one"
            yield ("workload", "log", "samples_per_step"), f"`{name}` is not always there", remedy


def _pattern_fault(pattern: str) -> tuple[str, str] | None:
    try:
        groups = regex.compile(pattern).groupindex
    except regex.error as error:
        remedy = "correct it, or escape special characters with a backslash"
        return f"is not a regular expression: {error}", remedy
    if groups:
        return None
    return "has no named group", r"name what it reads: `step (?P<step>\d+)`"


def _count_faults(spec: JobSpec) -> Iterator[Fault]:
    for name in ("nnodes", "nproc_per_node"):
        parameter = spec.space.params.get(name)
        if parameter is not None and not _holds_counts(parameter):
            remedy = "use whole numbers from 1 upwards"
            yield ("space", "params", name), f"`{name}` counts, so it cannot be this", remedy
    objectives = [objective.metric for objective in spec.objectives]
    for index, metric in enumerate(objectives):
        if metric in objectives[:index]:
            yield ("objectives", index), f"`{metric}` is an objective twice", "keep one of the two"


def _holds_counts(parameter: Int | Float | Choice) -> bool:
    if isinstance(parameter, Float) or parameter.when is not None:
        return False
    return all(type(value) is int and value >= 1 for value in parameter.values())
