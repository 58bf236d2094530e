"""`dmmgov releases compact`: what is kept of releases, and in which form."""

from typing import TYPE_CHECKING

import typer

from pipelines import console
from pipelines.commands.options import Actor, AsJson, ReleaseRef, actor_name, home_of

if TYPE_CHECKING:
    from pipelines.compact import CompactResult

MB = 1e6


def compact_release(context: typer.Context, release: ReleaseRef, actor: Actor = "", as_json: AsJson = False) -> None:
    """Merge the weight deltas of a release into a checkpoint, on which later releases stand.

    The release itself does not change, and earlier ones can be rebuilt as long as their deltas are kept. A memory
    beside the weights (wise, grace, serac, rag) stays a delta, and so does what was put on after it.
    """
    from pipelines.compact import compact

    result = compact(home_of(context), release, actor_name(actor))
    title = f"The deltas of r{result.release} are merged; later releases stand on the checkpoint"
    console.show(result, as_json, lambda: console.pairs(title, compact_rows(result)))


def compact_rows(result: "CompactResult") -> list[tuple[str, str]]:
    """What a compaction came to, for people."""
    equal = "equal" if result.chain == result.weights else "DIFFERENT"
    return [
        ("made from the base", result.base),
        ("deltas merged", f"{len(result.merged)} with {result.facts} facts"),
        *(("stays a delta", f"{one['digest'][:12]} of {one['editor']}: {one['why']}") for one in result.kept),
        ("weights of the chain", result.chain),
        ("weights read back", f"{result.weights} ({equal})"),
        ("checkpoint", result.folder),
        ("size", f"{result.size / MB:.1f} MB"),
        ("ledger entry", str(result.entry)),
        ("seconds", f"{result.seconds:.1f}"),
    ]
