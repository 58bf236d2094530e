"""`dmmgov releases`: list, show, compare, move, export, rebuild, merge."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import console
from pipelines.commands import keeping, telling
from pipelines.commands.options import Actor, AsJson, ReleaseRef, actor_name, home_of


def list_releases(context: typer.Context, as_json: AsJson = False) -> None:
    """List all releases, with who pruned which, and whose deltas were merged into a checkpoint."""
    from registry.ledger import Ledger

    with Ledger.open(home_of(context)) as ledger:
        values = keeping.listed_values(ledger)
    empty = "none yet; `dmmgov update FEED` makes one"
    console.show(values, as_json, lambda: console.records("Releases", keeping.listed_rows(values), empty))


def show_release(context: typer.Context, release: ReleaseRef, as_json: AsJson = False) -> None:
    """Show what a release is made of, its gates, its figures, and whether it can still be rebuilt."""
    from registry.ledger import Ledger
    from registry.releases import ReleaseStore

    home = home_of(context)
    with Ledger.open(home) as ledger:
        found = ReleaseStore(ledger).get(release)
        kept = keeping.kept_values(home, ledger, found)
    rows = telling.release_rows(found)
    console.show(
        {**found.to_dict(), **kept},
        as_json,
        lambda: console.pairs(f"Release {found.number}", [*rows, *keeping.kept_rows(kept)]),
    )


def diff_releases(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="FROM", help="A release.")],
    new: Annotated[str, typer.Argument(metavar="TO", help="Another release.")],
    as_json: AsJson = False,
) -> None:
    """Say what differs between two releases: facts, deltas, gates, and what they answer about what changed."""
    from pipelines.releasing.diff import diff, lines

    values = diff(home_of(context), old, new)
    console.show(values, as_json, lambda: console.pairs(f"From r{values['from']} to r{values['to']}", lines(values)))


def promote_release(context: typer.Context, release: ReleaseRef, actor: Actor = "", as_json: AsJson = False) -> None:
    """Make a release the champion: the one that answers."""
    from pipelines.rollback import promote

    promoted = promote(home_of(context), release, actor_name(actor)).to_dict()
    console.show(promoted, as_json, lambda: f"r{promoted['number']} is the champion")


def rollback_release(context: typer.Context, release: ReleaseRef, actor: Actor = "", as_json: AsJson = False) -> None:
    """Make an earlier release the champion again.

    Its model is rebuilt and the digest of its weights compared with the recorded one; nothing moves if they differ.
    """
    from pipelines.rollback import rollback

    result = rollback(home_of(context), release, actor_name(actor))
    rows = [
        ("recorded digest", result.recorded),
        ("digest found", result.found),
        ("equal", "yes" if result.recorded == result.found else "no"),
        ("seconds", f"{result.seconds:.1f}"),
    ]
    console.show(result, as_json, lambda: console.pairs(f"r{result.release.number} is the champion again", rows))


def rebuild_release(context: typer.Context, release: ReleaseRef, as_json: AsJson = False) -> None:
    """Put a release's weights together from the base model and its deltas alone, and compare their digest.

    Nothing is changed. Exit code 1 when they do not come out as recorded.
    """
    import time

    from pipelines.releasing.rebuild import rebuild
    from registry.ledger import Ledger
    from registry.releases import ReleaseStore

    home, started = home_of(context), time.perf_counter()
    with Ledger.open(home) as ledger:
        found = ReleaseStore(ledger).get(release)
        keeping.check_rebuildable(home, ledger, found)
    digest = rebuild(home, found, device="cpu").digest
    values = {
        "release": found.number,
        "recorded": found.weights_digest,
        "found": digest,
        "equal": digest == found.weights_digest,
        "deltas": len(found.deltas),
        "seconds": round(time.perf_counter() - started, 2),
    }
    console.show(values, as_json, lambda: console.figures(f"r{found.number} comes out as recorded", values))


def certificate(context: typer.Context, release: ReleaseRef, as_json: AsJson = False) -> None:
    """Show the signed change-audit certificate (F1 to F7) of a release, and draw it as a page.

    Exit code 3 where the release was refused one; the message says what it lacks.
    """
    from pipelines.releasing.certify import write_page

    plain, page = write_page(home_of(context), release)
    console.show({"certificate": str(plain), "page": str(page)}, as_json, lambda: f"{plain}\n{page}")


def export_release(
    context: typer.Context,
    release: ReleaseRef,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty folder to write into.")],
    as_json: AsJson = False,
) -> None:
    """Write a release as an ordinary Hugging Face checkpoint.

    Beside it lies a manifest of the facts that live outside the weights.
    """
    from pipelines.releasing.export import export

    result = export(home_of(context), release, folder)
    console.show(result, as_json, lambda: console.figures(f"Exported to {folder}", console.plain(result)))
