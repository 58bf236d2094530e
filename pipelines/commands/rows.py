"""`dmmgov rows list | release`: what was not let in, and a person's word for it."""

from typing import Annotated

import typer

from pipelines import console
from pipelines.commands.options import Actor, AsJson, actor_name, home_of


def list_rows(
    context: typer.Context,
    feed: Annotated[
        int | None, typer.Option("--feed", metavar="FEED", min=1, help="Only rows of this feed run; all otherwise.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the rows that were refused or quarantined.

    The rules are what `release` has to overrule; personal values are masked.
    """
    from pipelines.admission.release_rows import held_rows

    rows = held_rows(home_of(context), feed)
    told = [
        (f"feed {one.feed} row {one.row}", f"{one.decision}, {one.state}: {'; '.join(one.reasons)}") for one in rows
    ]
    console.show(rows, as_json, lambda: console.pairs("rows that were not let in", told))


def release(
    context: typer.Context,
    feed: Annotated[int, typer.Argument(metavar="FEED", min=1, help="Number of the feed run, from `rows list`.")],
    row: Annotated[int, typer.Argument(metavar="ROW", min=1, help="Number of the row in it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it may come in.")],
    despite: Annotated[
        list[str] | None,
        typer.Option(
            "--despite", metavar="RULE", help="Overrule personal_data, instruction or declared_sensitivity; repeatable."
        ),
    ] = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Release a row that was refused or quarantined; the next update takes it up.

    Exit code 3 when a rule stands against it that must be named.
    """
    from pipelines.admission.release_rows import release_row, to_plain

    done = release_row(home_of(context), feed, row, by=actor_name(actor), reason=reason, despite=despite or ())
    values = to_plain(done)
    console.show(
        values, as_json, lambda: console.pairs(f"row {row} of feed run {feed} is released", console.told(values))
    )
