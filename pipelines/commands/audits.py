"""`dmmgov audit run | report | card | verify`: is everything as it was recorded, and what is there to tell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import console
from pipelines.commands.freshness import freshness_rows
from pipelines.commands.options import AsJson, home_of

if TYPE_CHECKING:
    from pipelines.audit import AuditResult

FAILED, BLOCKED = 1, 3


def run_audit(
    context: typer.Context,
    ask: Annotated[
        int, typer.Option("--ask", min=0, metavar="N", help="Ask N questions in each of the three settings.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Check all that `verify` checks, rebuild the champion, ask what it leaks, and write its card and its report.

    Exit code 1 when anything differs from what was recorded, 3 when a verdict on leakage blocks.
    """
    from pipelines.audit import run

    _conclude(run(home_of(context), ask), as_json)


def verify(
    context: typer.Context,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Public key that the log must have, or a file with it.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="An old checkpoint that the log must still begin with."),
    ] = None,
    no_rebuild: Annotated[
        bool, typer.Option("--no-rebuild", help="Do not put every release together again from its deltas.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the log, its checkpoints and signatures, every kept file, and that every release comes out as recorded.

    Exit code 1 when something is wrong; the first wrong entry comes first, then what rests on it.
    """
    from pipelines.audit import verify as check
    from pipelines.auditing.log_checks import Pins

    pins = Pins.read(key, checkpoint or [])
    _conclude(check(home_of(context), pins=pins, rebuild=not no_rebuild), as_json)


def report(
    context: typer.Context,
    release: Annotated[
        str | None, typer.Option("--release", metavar="RELEASE", help="Release to report on; the champion otherwise.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write it; the home's reports otherwise."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report on a release: one HTML file that needs no network."""
    from pipelines.audit import report as render

    path = render(home_of(context), release, out)
    console.show({"report": str(path)}, as_json, lambda: str(path))


def card(
    context: typer.Context,
    release: Annotated[
        str | None, typer.Option("--release", metavar="RELEASE", help="Release to describe; the champion otherwise.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to write it; the home's reports otherwise.")
    ] = None,
    ask: Annotated[
        int, typer.Option("--ask", min=0, metavar="N", help="Ask N questions in each of the three settings.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the evaluation card of a release, as YAML and as a page; a card that its schema refuses is not written."""
    from pipelines.auditing.card import write_card

    plain, page = write_card(home_of(context), release, out, questions=ask)
    console.show({"card": str(plain), "page": str(page)}, as_json, lambda: f"{plain}\n{page}")


def _conclude(result: "AuditResult", as_json: bool) -> None:
    """Show an audit and leave with its exit code."""
    rows = [(str(number), problem) for number, problem in enumerate(result.problems, 1)]
    verdict = f"problems: {len(rows)}" if rows else "everything is as recorded"
    told = [(name, path) for name, path in (("report", result.report), ("card", result.card)) if path]
    told += [("pruned", words) for words in result.pruned]
    title = f"{verdict}; checked: {console.phrase(result.checked)}"
    told += [
        ("not in the log yet", f"{key}: {old!r} as recorded, {new!r} now")
        for key, (old, new) in result.unrecorded.items()
    ]
    told += [(f"{one.guard.replace('_', ' ')}: {one.decision}", one.explanation) for one in result.leakage]
    told += freshness_rows(result.freshness)
    console.show(result, as_json, lambda: console.pairs(title, rows + told))
    if result.problems:
        raise typer.Exit(FAILED)
    if result.leaks:
        raise typer.Exit(BLOCKED)
