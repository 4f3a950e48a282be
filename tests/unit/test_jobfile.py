import json
from pathlib import Path

import pytest

from tuner import jobfile, spec_faults
from tuner.errors import InvalidJob, Problem
from tuner.jobfile import job_schema, load_job, load_job_file, workload_names
from tuner.space import Choice, Float, Int

GOOD = """\
name: x
workload: {name: dlrm}
space:
  params:
    nnodes: {kind: int, low: 1, high: 2}
    rate: {kind: float, low: 0.1, high: 1}
"""
COMMAND = GOOD.replace("{name: dlrm}", "{command: [train, WORD], env: {A: TEXT}}")


def with_command(word: str = "x", text: str = "y") -> str:
    return COMMAND.replace("WORD", f"'{word}'").replace("TEXT", f"'{text}'")


def with_log(log: str) -> str:
    return GOOD.replace("{name: dlrm}", f"{{name: dlrm, log: {log}}}")


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(InvalidJob) as caught:
        load_job(text, "job.yaml")
    return caught.value.problems


BAD_TEXT = [
    ("", "(file)", 1, "it is empty", "trimtab init"),
    ("# only a comment\n", "(file)", 1, "it is empty", "name: my-job"),
    ("[1, 2]", "(file)", 1, "a list", "name: my-job"),
    ("just words", "(file)", 1, "a single value", "name: my-job"),
    ("name: x\nspace: [\n", "(file)", 3, "not YAML", "check brackets"),
    ("name: x\nspace:\n\tparams: 1\n", "(file)", 3, "a tab", "spaces"),
    ("name: 'x\n", "(file)", 2, "quoted scalar", "close the quotes"),
    ("name: a: b\n", "(file)", 1, "mapping values", "quotes"),
    ("name: x\nname: y\n", "name", 2, "given twice, first in line 1", "keep one"),
    ("name: x\nspace: {params: 1, params: 2}\n", "space.params", 2, "twice", "keep one"),
    ("name: &n x\nworkload: *n\n", "(file)", 2, "aliases", "write the value out"),
    ("name: x\non: 1\n", "(file)", 2, "`on` is not text", '"on"'),
    ("1: x\n", "(file)", 1, "`1` is not text", "quotes"),
    ("? [a]\n: x\n", "(file)", 1, "is not text", "quotes"),
    ("name: !!python/object/apply:os.getcwd []\n", "name", 1, "tag !!python", "remove it"),
    ("name: !!int x\n", "(file)", 1, "invalid literal", "digits"),
    ("name: x\nworkload: \x01\n", "(file)", 2, "character 1", "UTF-8"),
    ("[" * 500, "(file)", 1, "nested too deeply", "32"),
    ("name: x\n---\nname: y\n", "(file)", 2, "single document", "`---`"),
    ("#" * 300_000, "(file)", 1, "300000 characters", "262144"),
]


@pytest.mark.parametrize(("text", "field", "line", "message", "remedy"), BAD_TEXT)
def test_bad_text_is_told_with_its_place_and_remedy(
    text: str, field: str, line: int, message: str, remedy: str
) -> None:
    check_only_problem(text, field, line, message, remedy)


BAD_FIELDS = [
    (GOOD.replace("name: x\n", ""), "name", 1, "`name` is missing", "add `name: my-job`"),
    (GOOD + "objetives: []\n", "objetives", 7, "not a field of a job file", "mean `objectives`?"),
    (GOOD + "banana: 1\n", "banana", 7, "not a field", "use one of: name, workload"),
    (GOOD + "budget: {trails: 3}\n", "budget.trails", 7, "of `budget`", "mean `trials`?"),
    (GOOD + "budget:\n  trials: many\n", "budget.trials", 8, "a whole number", "digits"),
    (GOOD + "budget: {trials: '3'}\n", "budget.trials", 7, "a whole number", "without quotes"),
    (GOOD + "budget: {trials: 2.5}\n", "budget.trials", 7, "a whole number", "point"),
    (GOOD + "budget: {trials: yes}\n", "budget.trials", 7, "a whole number", "digits"),
    (GOOD + "budget: {trials: 0}\n", "budget.trials", 7, "at least 1, not 0", "Different config"),
    (GOOD + "budget: {minutes: -1}\n", "budget.minutes", 7, "above 0", "Minutes in which"),
    (GOOD + "budget:\n", "budget", 7, "is empty", "remove the line"),
    (GOOD + "budget: 3\n", "budget", 7, "must be a mapping", "key: value"),
    (GOOD + "limits: 3\n", "limits", 7, "must be a list", "- item"),
    (GOOD + "limits:\n- {metric: a}\n", "limits.0", 8, "needs `max`", "add `max: 8`"),
    (GOOD + "search: {method: baysian}\n", "search.method", 7, "allowed", "mean `bayesian`?"),
    (GOOD + "apply: {target: {kind: ftp, path: x}}\n", "apply.target.kind", 7, "allowed", "file"),
    (GOOD + "apply: {target: {}}\n", "apply.target.path", 7, "missing", "path: plans/"),
    (GOOD + "apply: {mode: auto}\n", "apply.mode", 7, "needs a target", "target: {path:"),
    (GOOD + "measuring: {stall_s: -1}\n", "measuring.stall_s", 7, "above 0", "stalled"),
    (GOOD + "prices: {as_of: today}\n", "prices.as_of", 7, "isoformat", "YYYY-MM-DD"),
    (
        GOOD + "objectives: [{metric: usd_per_hour, direction: minimize}]\n",
        "(file)",
        1,
        "needs `prices`",
        "per_core_hour: {on_demand",
    ),
    (
        GOOD + "objectives:\n- metric: loss\n",
        "objectives.0.direction",
        8,
        "is missing",
        "direction: maximize",
    ),
    (
        GOOD + "objectives:\n- {metric: a, direction: maximize}\n"
        "- {metric: a, direction: minimize}\n",
        "objectives.1",
        9,
        "objective twice",
        "keep one",
    ),
    (GOOD.replace("name: x", "name: x y"), "name", 1, "name 'x y'", "use letters"),
    (GOOD.replace("dlrm", "dlmr"), "workload.name", 2, "no workload `dlmr`", "mean `dlrm`?"),
    (
        GOOD.replace("{name: dlrm}", "{name: dlrm, command: [x]}"),
        "workload.name",
        2,
        "exactly one",
        "keep one",
    ),
    (
        GOOD.replace("{name: dlrm}", "{command: [x], args: {a: 1}}"),
        "workload.args",
        2,
        "goes with",
        "options into",
    ),
    (
        GOOD.replace("{name: dlrm}", "{name: dlrm, args: {rate: 1}}"),
        "workload.args.rate",
        2,
        "parameter of the space too",
        "remove it",
    ),
    (
        GOOD.replace("{name: dlrm}", "{name: dlrm, args: {a: [1]}}"),
        "workload.args.a",
        2,
        "a number, a text",
        "plain",
    ),
    (
        GOOD.replace("{name: dlrm}", "{name: dlrm, env: {A: 1}}"),
        "workload.env.A",
        2,
        "must be text",
        'quotes: "1"',
    ),
    (with_command(word="${nodes}"), "workload.command.1", 2, "names no param", "mean `nnodes`?"),
    (with_command(word="a$"), "workload.command.1", 2, "stands alone", "write `$$`"),
    (with_command(text="${x-}"), "workload.env.A", 2, "stands alone", "write `$$`"),
    (
        with_command(word="${b}") + "    b: {options: [1], when: nnodes > 1}\n",
        "workload.command.1",
        2,
        "has a `when`",
        "`--b=${b}`",
    ),
    (with_log("{format: deepsped}"), "workload.log.format", 2, "no log format", "`deepspeed`?"),
    (
        with_log("{files: [{path: gpu.csv, format: nvidia-smi}]}"),
        "workload.log.files.0.format",
        2,
        "no file format",
        "`nvidia_smi`?",
    ),
    (
        with_log("{files: [{path: ../gpu.csv, format: dcgm}]}"),
        "workload.log.files.0.path",
        2,
        "../gpu.csv",
        "use a plain file name",
    ),
    (
        with_log("{files: [{path: a, format: dcgm}, {path: a, format: sacct}]}"),
        "workload.log.files",
        2,
        "a name of its own",
        "beside what the job prints",
    ),
    (with_log("{patterns: ['(']}"), "workload.log.patterns.0", 2, "regular", "backslash"),
    (with_log("{patterns: ['x']}"), "workload.log.patterns.0", 2, "named group", "?P<step>"),
    (
        with_log("{samples_per_step: nope}"),
        "workload.log.samples_per_step",
        2,
        "names ['nope']",
        "of the space only",
    ),
    (
        with_log("{samples_per_step: b}") + "    b: {options: [1], when: nnodes > 1}\n",
        "workload.log.samples_per_step",
        2,
        "not always there",
        "`when`",
    ),
    (GOOD.replace("high: 2", "hihg: 2"), "space.params.nnodes.high", 5, "missing", "high: 8"),
    (GOOD.replace("high: 2", "high: '2'"), "space.params.nnodes.high", 5, "whole", "quotes"),
    (GOOD.replace("high: 2", "high: 0"), "space.params.nnodes.low", 5, "hold no", "below"),
    (GOOD.replace("low: 1", "low: 0"), "space.params.nnodes", 5, "counts", "from 1"),
    (GOOD.replace("int", "inte"), "space.params.nnodes.kind", 5, "allowed", "mean `int`?"),
    (GOOD + "    c: 3\n", "space.params.c", 7, "must be a mapping", "key: value"),
    (GOOD + "    c: {options: [1, [2]]}\n", "space.params.c.options.1", 7, "a text", "plain"),
    (GOOD + "    c: {options: [1, 1]}\n", "space.params.c.options", 7, "different", "once"),
    (GOOD + "    c: {options: [1], default: 2}\n", "space.params.c.default", 7, "not one", "among"),
    (GOOD + "    a b: {options: [1]}\n", "space.params.a b", 7, "not a name", "rename"),
    (
        GOOD + "    c: {options: [1], when: nope > 1}\n",
        "space.params.c.when",
        7,
        "names ['nope']",
        "nnodes, rate, c",
    ),
    (GOOD + "  constraints: ['nnodes <=']\n", "space.constraints.0", 7, "not an expr", "Python"),
    (GOOD + "  constraints:\n  - f(1) > 1\n", "space.constraints.0", 8, "uses Call", "names"),
    (GOOD + "  constraints:\n  - nnodes > 9\n", "space.constraints.0", 8, "breaks", "defaults"),
]


@pytest.mark.parametrize(("text", "field", "line", "message", "remedy"), BAD_FIELDS)
def test_a_bad_field_is_told_with_its_place_and_remedy(
    text: str, field: str, line: int, message: str, remedy: str
) -> None:
    problems = problems_of(text)
    found = next((p for p in problems if p.field == field), None)
    assert found is not None, [p.field for p in problems]
    assert found.line == line
    assert message in found.message
    assert remedy in found.remedy
    said = f"{found.message} {found.remedy}"
    assert not any(word in said for word in ("Input should", "Field required", "keyword"))


def check_only_problem(text: str, field: str, line: int, message: str, remedy: str) -> None:
    (found,) = problems_of(text)
    assert (found.field, found.line) == (field, line)
    assert message in found.message
    assert remedy in found.remedy


def test_faults_are_told_all_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("high: 2", "hihg: 2") + "budgt: {}\nsearch: {seed: x}\n"
    fields = [p.field for p in problems_of(text)]
    assert fields == [
        "space.params.nnodes.high",
        "space.params.nnodes.hihg",
        "budgt",
        "search.seed",
    ]


def test_only_the_branch_of_the_given_kind_is_told() -> None:
    text = GOOD.replace("kind: int, low: 1", "kind: int, low: a")
    assert [p.field for p in problems_of(text)] == ["space.params.nnodes.low"]


def test_the_message_names_file_line_field_value_and_remedy() -> None:
    with pytest.raises(InvalidJob) as caught:
        load_job(GOOD + "budget: {trials: 0}\n", "job.yaml")
    said = str(caught.value)
    assert said.startswith("job.yaml:7: budget.trials: trials must be at least 1")
    assert "(value: 0)" in said
    assert "Remedy: " in said


def test_a_good_file_becomes_a_spec() -> None:
    spec = load_job(GOOD)
    assert spec.workload.name == "dlrm"
    assert spec.space.params == {
        "nnodes": Int(low=1, high=2),
        "rate": Float(low=0.1, high=1.0),
    }


def test_kinds_may_be_left_out_where_the_other_fields_tell() -> None:
    text = GOOD.replace("kind: int, ", "").replace("kind: float, ", "") + "    c: {options: [a]}\n"
    kinds = [parameter.kind for parameter in load_job(text).space.params.values()]
    assert kinds == ["int", "float", "choice"]


def test_surprises_of_yaml_are_kept_away() -> None:
    text = GOOD + "    c: {options: [1e-3, 1.5, on, 'no', x]}\nprices: {as_of: 2026-01-31}\n"
    spec = load_job(text)
    parameter = spec.space.params["c"]
    assert isinstance(parameter, Choice)
    assert parameter.options == (0.001, 1.5, True, "no", "x")
    assert spec.prices is not None
    assert spec.prices.as_of == "2026-01-31"


def test_json_is_read_too_even_with_tabs() -> None:
    data = {"name": "x", "workload": {"name": "dlrm"}, "space": {"params": {"a": {"options": [1]}}}}
    assert load_job(json.dumps(data, indent="\t")) == load_job(json.dumps(data))


def test_an_unknown_field_in_json_has_a_line() -> None:
    data = {"name": "x", "workload": {"name": "dlrm"}, "space": {"params": {"a": {"options": [1]}}}}
    text = json.dumps({**data, "speed": 1}, indent=1)
    (problem,) = problems_of(text)
    assert problem.line == text[: text.index('"speed"')].count("\n") + 1


def test_relative_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(GOOD + "apply: {mode: next_start, target: {path: plans/p.json}}\n")
    spec = load_job_file(file)
    assert spec.workload.working_dir == str(tmp_path)
    assert spec.apply.target is not None
    assert spec.apply.target.place == str(tmp_path / "plans" / "p.json")


def test_a_working_dir_may_be_relative_or_absolute(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    for given, expected in (("sub", tmp_path / "sub"), ("/srv", Path("/srv"))):
        file.write_text(GOOD.replace("{name: dlrm}", f"{{name: dlrm, working_dir: {given}}}"))
        assert load_job_file(file).workload.working_dir == str(expected)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00name"])
def test_an_unreadable_file_is_told_with_its_path(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "job.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidJob, match=r"job\.yaml: \(file\): cannot be read"):
        load_job_file(file)


def test_workloads_are_found_as_files() -> None:
    assert "dlrm" in workload_names()
    assert "common" not in workload_names()


def test_the_schema_tells_kinds_apart_and_describes_every_field() -> None:
    schema = json.loads(json.dumps(job_schema()))
    params = schema["$defs"]["Space"]["properties"]["params"]["additionalProperties"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert sorted(params["discriminator"]["mapping"]) == ["choice", "float", "int"]
    assert schema["additionalProperties"] is False
    assert "apply" in schema["$defs"]["Apply"]["properties"]["mode"]["description"]


def test_a_caller_cannot_change_the_schema_of_others() -> None:
    job_schema().clear()
    assert "properties" in job_schema()


def test_every_required_field_has_an_example_line() -> None:
    schema = json.loads(json.dumps(job_schema()))
    objects = [schema, *schema["$defs"].values()]
    required = {name for item in objects for name in item.get("required", [])}
    assert required <= set(spec_faults.EXAMPLES)


def test_launch_names_may_be_used_in_a_command() -> None:
    words = "".join(f"${{{name}}}" for name in jobfile.LAUNCH_NAMES)
    assert load_job(with_command(word=words)).workload.command == ("train", words)
