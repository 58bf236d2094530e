"""`dmmgov demo | update | schedule`: the loop on the example, on one feed, on a folder of feeds."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import console
from pipelines.commands import telling
from pipelines.commands.options import DEFAULT_MODEL, Actor, AsJson, Model, Quick, actor_name, home_of, new_file

BLOCKED = 3


def demo(
    context: typer.Context,
    model: Model = DEFAULT_MODEL,
    quick: Quick = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to FILE as JSON; - prints them.")
    ] = None,
) -> None:
    """Run the whole loop on a real model and real facts.

    Admit, route, write, guard, publish, ask, roll back, report.
    """
    to_stdout = json_file is not None and str(json_file) == "-"
    file = None if json_file is None or to_stdout else new_file(json_file, "--json")
    from pipelines.demo import run_demo

    result = run_demo(home_of(context), model, quick=quick)
    values = result.to_dict()
    if file is not None:
        file.write_text(console.to_json(values) + "\n", encoding="utf-8")
    console.show(values, to_stdout, lambda: console.pairs("The loop on the atlas", telling.demo_rows(result)))


def update(
    context: typer.Context,
    feed: Annotated[Path, typer.Argument(metavar="FEED", help="CSV, JSONL or Parquet file of facts.")],
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="As for demo; the one that the home began with by default."),
    ] = None,
    quick: Quick = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="EDITOR", help="Use only this editor (rag, rome, memit); may be given again."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--most", min=0, metavar="N", help="Write at most N facts into the weights; the policy's by default."
        ),
    ] = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Take in a feed; what is good in it becomes a release.

    Exit code 3 when a gate forbids the release.
    """
    from editors import EDITORS
    from pipelines.loop import run_update
    from registry.errors import UnknownNameError

    for name in only or ():
        if name not in EDITORS:
            raise UnknownNameError("editor", name, EDITORS)
    allowed = tuple(only) if only else None
    result = run_update(home_of(context), feed, model, quick=quick, actor=actor_name(actor), only=allowed, most=most)
    console.show(result, as_json, lambda: console.pairs(telling.update_title(result), telling.update_rows(result)))
    if result.blocked:
        raise typer.Exit(BLOCKED)


def schedule(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder in which feed files arrive.")],
    cron: Annotated[str, typer.Option("--cron", metavar="EXPR", help="When to look: a cron expression.")] = "0 3 * * *",
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Zone in which EXPR is read.")] = "UTC",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of Prefect's pages on 127.0.0.1; 0 takes a free one.")
    ] = 0,
    model: Model = DEFAULT_MODEL,
) -> None:
    """Take in new feed files of a folder, on a schedule.

    Each file is taken in once. Runs until it is stopped.
    """
    from pipelines.running.schedule import serve_schedule

    serve_schedule(home_of(context), folder, cron, model, timezone=timezone, port=port)
