"""`trimtab audit ...`: what was decided and done, by whom, and whether the record is whole."""

import typer

from tuner.cli import exits, output, session
from tuner.cli.output import Format, FormatOption

app = typer.Typer(help="Every decision, by whom and on what evidence.", no_args_is_help=True)


@app.command("list")
def list_events(form: FormatOption = Format.TABLE) -> None:
    """List every event, the latest last."""
    with session.open_service() as service:
        events = service.events()
        rows = [
            (f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.subject, e.after_hash[:12], e.detail)
            for e in events
        ]
        columns = ("At", "Actor", "Action", "Subject", "Plan", "Detail")
        output.show_all(events, form, lambda: output.Table(columns=columns, rows=rows))


@app.command()
def verify() -> None:
    """Check that no event was changed, added or removed by anything but Trimtab."""
    from tuner import audit

    with session.open_service() as service:
        trail = service.audit()
    wrong = audit.verify(trail)
    if wrong:
        session.narrate(f"trimtab: the audit is broken: {wrong}")
        raise typer.Exit(exits.AUDIT_BROKEN)
    before = audit.unlinked(trail)
    note = f"; {before} of them from before there were links" if before else ""
    typer.echo(f"The audit is whole: {len(trail.links)} events{note}.")
