"""`dmmgov models list | pull | check`: the models by their short names, and what they know."""

from typing import Annotated

import typer

from pipelines import console
from pipelines.commands.answers import SETTINGS
from pipelines.commands.options import DEFAULT_MODEL, AsJson, home_of
from registry.errors import UnknownNameError

SHOWN = ("asked", "known", "wrong", "unknown", "share", "low", "high")
"""Columns of the table of what a model knows."""


def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models that have a short name."""
    from pipelines.running.models import list_models as listed

    rows = console.plain(listed(home_of(context)))
    console.show(rows, as_json, lambda: console.records("Models", rows, "none; conf/models.yaml is empty"))


def pull(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A short name from `dmmgov models list`.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a model once and check its digest."""
    from pipelines.running.models import pull as fetch

    folder = str(fetch(home_of(context), name))
    console.show({"model": name, "folder": folder}, as_json, lambda: folder)


def check(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Short name, hub id, folder or GGUF file.")
    ] = DEFAULT_MODEL,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=1, help="Ask only N facts, spread over the relations.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="SETTING", help="parametric, offline or online; may be given again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model all known facts and keep its answers.

    They are the baseline of the router and the guards: what an update has to overcome, and what must not move.
    """
    for setting in settings or ():
        if setting not in SETTINGS:
            raise UnknownNameError("setting", setting, SETTINGS)
    from pipelines.running.models import check as believe

    result = believe(home_of(context), model, sample=sample, settings=tuple(settings or SETTINGS))
    rows = [
        {"setting": setting, "relation": relation, **{name: getattr(known, name) for name in SHOWN}}
        for setting, by_relation in result.relations.items()
        for relation, known in ({"all": result.settings[setting]} | dict(by_relation)).items()
    ]
    title = "; ".join((f"What {model} knows of {result.facts}", *result.notes))
    console.show(result, as_json, lambda: console.records(title, rows, "nothing was asked"))
