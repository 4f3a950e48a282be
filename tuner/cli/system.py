"""`trimtab demo`, `serve`, `doctor`, `init`, `version` and `help`."""

import importlib.metadata
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import tuner
from tuner.cli import exits, jobs, output, session, watch
from tuner.cli.output import Format, FormatOption
from tuner.errors import Conflict, NotFound, UserError
from tuner.spec import JobSpec
from tuner.spec_apply import FileTarget

if TYPE_CHECKING:
    from tuner.doctor import Check
    from tuner.model import Lease

JOB_FILE = Path("trimtab.yaml")


def example(name: str) -> Path:
    """An example file: inside the installed package, or beside it in a checkout."""
    package = Path(tuner.__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise NotFound(f"the example {name} did not come with this installation")


def demo(
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Where to keep everything; TRIMTAB_HOME by itself."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Configurations to try.")
    ] = None,
) -> None:
    """Tune a recommender on real data here: a few minutes, nothing to configure."""
    folder = (home or session.home()).absolute()
    spec = demo_spec(jobs.load(str(example("dlrm.yaml"))), folder, trials)
    session.narrate(
        f"Tuning {spec.workload.name}: up to {spec.budget.trials} configurations as real trials on "
        f"this machine, then {spec.apply.pairs} confirming pairs. Everything is kept in {folder}."
    )
    with session.open_service(folder) as service:
        job = jobs.create_and_follow(service, spec)
        jobs.show_result(service, job)
        if home is not None:
            session.narrate(f"These commands need TRIMTAB_HOME={folder}")
        raise typer.Exit(watch.outcome(service, job))


def demo_spec(spec: JobSpec, home: Path, trials: int | None) -> JobSpec:
    """The example as the demo runs it: its plan file in the home, its budget as asked for."""
    target = FileTarget(path=str(home / "demo" / "plan.json"))
    spec = replace(spec, apply=replace(spec.apply, target=target))
    return spec if trials is None else replace(spec, budget=replace(spec.budget, trials=trials))


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
) -> None:
    """Run API, dashboard and controller until Ctrl-C."""
    from web.server import serve as serve_http

    with session.open_service() as service:
        serve_http(service, host, port, threading.Event())


def doctor(form: FormatOption = Format.TABLE) -> None:
    """Say what this machine can do, what is missing, and the remedies."""
    from tuner import doctor as checks

    found = checks.examine(session.home(), _controller)
    output.show_all(found, form, lambda: _check_table(found))
    if any(check.state == "fail" for check in found):
        raise typer.Exit(exits.UNEXPECTED)


def _controller() -> "Lease | None":
    with session.open_service() as service:
        return service.controller()


def _check_table(checks: "list[Check]") -> output.Table:
    rows: list[tuple[str, ...]] = []
    for check in checks:
        rows.append((check.state, check.name, check.detail))
        if check.remedy:
            rows.append(("", "", f"remedy: {check.remedy}"))
    return output.Table(columns=("State", "Check", "Found"), rows=rows)


def init(
    script: Annotated[
        Path | None,
        typer.Argument(help="A Python script: its options (argparse, Click, Typer) are read."),
    ] = None,
    file: Annotated[Path, typer.Option("--file", "-f", help="Where to write it.")] = JOB_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
) -> None:
    """Write a commented job file to start from."""
    from tuner import jobfile
    from tuner.cli import init as template

    if file.exists() and not force:
        raise Conflict(f"{file} exists. Remedy: --force overwrites it, --file names another")
    folder = file.absolute().parent
    text = template.job_file(script, folder)
    spec = jobfile.load_job(text, str(file), folder)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(str(file))
    unfinished = "fill in what says EDIT_ME, " if "EDIT_ME" in text else ""
    session.narrate(
        f"Proposed parameters: {', '.join(spec.space.params)}. Look through {file}, {unfinished}"
        "then:\n"
        f"  trimtab job create -f {file} --dry-run   what it means\n"
        f"  trimtab job check -f {file}              some steps of it: are its figures read?\n"
        f"  trimtab run -f {file}                    tune"
    )


def version() -> None:
    """Print the version."""
    typer.echo(importlib.metadata.version("trimtab"))


def show_topic(
    topic: Annotated[str | None, typer.Argument(help="exit-codes, refs or environment.")] = None,
) -> None:
    """Explain what no single command explains."""
    topics = {"exit-codes": _exit_codes, "refs": _refs, "environment": _environment}
    if topic is None:
        output.print_lines([*(f"trimtab help {name}" for name in topics), "trimtab --help"])
    elif topic not in topics:
        raise NotFound(f"no topic {topic!r}. The topics are: {', '.join(topics)}")
    else:
        output.print_lines(topics[topic]())


def _exit_codes() -> list[str]:
    rows = [(str(code), meaning) for code, meaning in sorted(exits.MEANINGS.items())]
    columns = ("Code", "Meaning")
    return output.aligned(output.Table(columns=columns, rows=rows, right=frozenset({"Code"})))


def _refs() -> list[str]:
    return [
        "A job is named by its id, a unique prefix of the id, its name, or @last (the latest).",
        "A plan is named by its id, a unique prefix of it, or @last; an application likewise.",
        "A trial is named by its number within a job; 0 is the baseline.",
    ]


def _environment() -> list[str]:
    rows = [
        ("TRIMTAB_HOME", f"where everything is kept; now {session.home()}"),
        ("TRIMTAB_DEBUG", "1 shows the traceback of an error"),
        ("NO_COLOR", "anything switches colour off"),
    ]
    return output.aligned(output.Table(columns=("Variable", "Meaning"), rows=rows))
