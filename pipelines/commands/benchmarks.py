"""`dmmgov bench edits`: score and time an editor on given edits, at the end, on the final model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from editors import EDITORS
from pipelines import console
from pipelines.commands.options import DEFAULT_MODEL, AsJson, home_of, new_file
from registry.errors import InputError, UnknownNameError

FORMATS = ("counterfact", "edits", "feed", "knowedit", "relations", "zsre")
MODES = ("batch", "sequential", "single")


def edits(
    context: typer.Context,
    editor: Annotated[str, typer.Option("--editor", metavar="EDITOR", help="Name of the editor.")],
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="The edits.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the figures go, as JSON.")],
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Short name, hub id, folder or GGUF file.")
    ] = DEFAULT_MODEL,
    data_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"Form of the file: {', '.join(FORMATS)}.")
    ] = "edits",
    count: Annotated[int, typer.Option("--n", metavar="N", min=1, help="How many edits to take.")] = 10,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="batch: all in one fit. sequential: one after another onto the same model. single: each alone.",
        ),
    ] = "batch",
    group: Annotated[
        int, typer.Option("--group", metavar="G", min=1, help="Edits per fit in the mode sequential.")
    ] = 1,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The editor's numbers (YAML), instead of conf/EDITOR.yaml."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option("--texts", metavar="FILE", help="Running text for the model's key moments, where none are kept."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the choice of edits and of the fit.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score and time an editor, by free generation on the final model."""
    for kind, given, known in (("editor", editor, EDITORS), ("format", data_format, FORMATS), ("mode", mode, MODES)):
        if given not in known:
            raise UnknownNameError(kind, given, known)
    if not data.is_file():
        raise InputError("a file of edits for --data", str(data), "name a file that exists")
    if texts is not None and not texts.is_file():
        raise InputError("a file of running text for --texts", str(texts), "name a file that exists")
    new_file(out, "--out")
    from pipelines.bench.edits import bench_edits

    more: dict[str, Any] = {"home": home_of(context), "texts": texts, "group": group, "config": config}
    result = console.plain(bench_edits(editor, model, data, data_format, count, mode, seed, out, **more))
    console.show(result, as_json, lambda: console.figures(f"{editor}, {count} edits, {mode}", result))
