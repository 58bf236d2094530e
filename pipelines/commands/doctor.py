"""`dmmgov doctor`: what is missing on this machine."""

import typer

from pipelines import console
from pipelines.commands.options import AsJson, home_of

FAILED = 1


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Say what is missing on this machine.

    Exit code 1 when something is.
    """
    from pipelines.running.doctor import examine

    checks = examine(home_of(context))
    rows = [{"check": check.name, "state": check.state, "found": check.found, "todo": check.todo} for check in checks]
    missing = [check.name for check in checks if check.state == "missing"]
    title = f"missing: {', '.join(missing)}" if missing else "nothing is missing"
    console.show(rows, as_json, lambda: console.records(title, rows, "nothing was looked at"))
    if missing:
        raise typer.Exit(FAILED)
