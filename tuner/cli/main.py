"""The command `trimtab`. Nothing heavy is imported before a command needs it."""

import logging
import sys

import typer
from typer.core import TyperGroup

from tuner.cli import audit, estimate, exits, jobs, plans, prices, session, system, trials
from tuner.errors import TrimtabError

_COMMANDS = (
    *("demo", "init", "estimate", "run"),
    *("job", "trial", "plan"),
    *("apply", "rollback", "approve", "reject", "halt", "start"),
    *("serve", "audit", "prices", "doctor", "version", "help"),
)


class TrimtabGroup(TyperGroup):
    """Lists the commands in the order of use, and turns every error that Trimtab raises into its
    words on standard error and its exit code."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=_COMMANDS.index)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except TrimtabError as error:
            if session.is_debugging():
                raise
            session.narrate(f"trimtab: {error}")
            raise typer.Exit(exits.code_of(error)) from error


app = typer.Typer(
    cls=TrimtabGroup,
    help="Finds, proves and applies the best configuration of a training job or server.",
    epilog="Exit codes: trimtab help exit-codes",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_TUNE, _LOOK, _APPLY, _SYSTEM = "Tune", "Look", "Apply", "System"
app.command(rich_help_panel=_TUNE)(system.demo)
app.command(rich_help_panel=_TUNE)(system.init)
app.add_typer(estimate.app, name="estimate", rich_help_panel=_TUNE)
app.command(rich_help_panel=_TUNE)(jobs.run)
app.add_typer(jobs.app, name="job", rich_help_panel=_LOOK)
app.add_typer(trials.app, name="trial", rich_help_panel=_LOOK)
app.add_typer(plans.app, name="plan", rich_help_panel=_LOOK)
app.command(rich_help_panel=_APPLY)(plans.apply)
app.command(rich_help_panel=_APPLY)(plans.rollback)
app.command(rich_help_panel=_APPLY)(plans.approve)
app.command(rich_help_panel=_APPLY)(plans.reject)
app.command(rich_help_panel=_APPLY)(plans.halt)
app.command(rich_help_panel=_APPLY)(plans.start)
app.command(rich_help_panel=_SYSTEM)(system.serve)
app.add_typer(audit.app, name="audit", rich_help_panel=_SYSTEM)
app.add_typer(prices.app, name="prices", rich_help_panel=_SYSTEM)
app.command(rich_help_panel=_SYSTEM)(system.doctor)
app.command(rich_help_panel=_SYSTEM)(system.version)
app.command("help", rich_help_panel=_SYSTEM)(system.show_topic)


def main() -> None:
    """The entry point: an unexpected error is one line too, unless debugging."""
    logging.basicConfig(level=logging.WARNING, handlers=[session.Narration()])
    try:
        app()
    except Exception as error:
        if session.is_debugging():
            raise
        session.narrate(
            f"trimtab: unexpected {type(error).__name__}: {error} "
            f"({session.DEBUG_VARIABLE}=1 shows the traceback)"
        )
        sys.exit(exits.UNEXPECTED)


if __name__ == "__main__":
    main()
