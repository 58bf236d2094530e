"""`dmmgov releases compact | prune`: what is kept of releases, and in which form."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines import console
from pipelines.commands.options import Actor, AsJson, ReleaseRef, actor_name, home_of

if TYPE_CHECKING:
    from pipelines.releasing.compact import CompactResult
    from pipelines.releasing.prune import PruneResult
    from registry.home import Home
    from registry.ledger import Ledger
    from registry.records import Release

MB = 1e6
SHOWN = 12
"""So many characters of a digest are shown in lists."""

Rows = list[tuple[str, str]]


def compact_release(context: typer.Context, release: ReleaseRef, actor: Actor = "", as_json: AsJson = False) -> None:
    """Merge the weight deltas of a release into a checkpoint, on which later releases stand.

    The release itself does not change, and earlier ones can be rebuilt as long as their deltas are kept. A memory
    beside the weights (wise, grace, serac, rag) stays a delta, and so does what was put on after it.
    """
    from pipelines.releasing.compact import compact

    result = compact(home_of(context), release, actor_name(actor))
    title = f"The deltas of r{result.release} are merged; later releases stand on the checkpoint"
    console.show(result, as_json, lambda: console.pairs(title, compact_rows(result)))


def compact_rows(result: "CompactResult") -> Rows:
    """What a compaction came to, for people."""
    equal = "equal" if result.chain == result.weights else "DIFFERENT"
    return [
        ("made from the base", result.base),
        ("deltas merged", f"{len(result.merged)} with {result.facts} facts"),
        *(("stays a delta", f"{one['digest'][:SHOWN]} of {one['editor']}: {one['why']}") for one in result.kept),
        ("weights of the chain", result.chain),
        ("weights read back", f"{result.weights} ({equal})"),
        ("checkpoint", result.folder),
        ("size", f"{result.size / MB:.1f} MB"),
        ("ledger entry", str(result.entry)),
        ("seconds", f"{result.seconds:.1f}"),
    ]


def prune_releases(
    context: typer.Context,
    releases: Annotated[
        list[str] | None, typer.Argument(metavar="[RELEASE]...", help="Only these; all that nothing needs otherwise.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it; without this, nothing is changed.")] = False,
    keep_last: Annotated[
        int | None,
        typer.Option("--keep-last", min=1, metavar="N", help="Keep the last N releases, whatever the policy."),
    ] = None,
    min_days: Annotated[
        float | None, typer.Option("--min-days", min=0, metavar="DAYS", help="Keep what is younger than so many days.")
    ] = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Say which releases nothing needs; with --remove take away their deltas, snapshots and MLflow versions.

    What the policy keeps (`retention` in policy.yaml) and what an alias, a certificate or an open request needs stays.
    The records, facts and certificates of pruned releases stay in the ledger.
    """
    from dataclasses import replace

    from pipelines.releasing.prune import prune
    from pipelines.settings import Settings

    policy = Settings.load().policy.retention
    if keep_last is not None:
        policy = replace(policy, keep_last=keep_last)
    if min_days is not None:
        policy = replace(policy, min_days=min_days)
    result = prune(home_of(context), releases or (), actor=actor_name(actor), remove=remove, policy=policy)
    console.show(result, as_json, lambda: console.pairs(prune_title(result), prune_rows(result)))


def prune_title(result: "PruneResult") -> str:
    """What became of it, in a headline."""
    if not result.releases and not any(result.gone.values()):
        return "Nothing to prune"
    done = "Pruned" if result.removed else "Would be pruned (nothing is changed without --remove)"
    numbers = ", ".join(f"r{number}" for number in result.releases) or "no release"
    return f"{done}: {numbers}"


def prune_rows(result: "PruneResult") -> Rows:
    """What goes and what stays, for people."""
    rows = [(kind, ", ".join(one[:SHOWN] for one in digests)) for kind, digests in result.gone.items() if digests]
    rows += [("becomes free", f"{result.size / MB:.1f} MB")] if rows else []
    rows += [(f"r{number} stays", "; ".join(reasons)) for number, reasons in result.kept.items()]
    return rows + ([("ledger entry", str(result.entry))] if result.entry is not None else [])


def kept_values(home: "Home", ledger: "Ledger", release: "Release") -> dict[str, Any]:
    """Whether a release was pruned, what it stands on, and whether its weights can still be put together."""
    from pipelines.releasing.retention import rebuildable
    from registry.compactions import CompactionStore
    from registry.pruning import PruningStore

    pruned, compactions = PruningStore(ledger).releases.get(release.number), CompactionStore(ledger)
    why, own = rebuildable(home, ledger, release), compactions.of(release.number)
    below = next(compactions.below(release), None)
    return {
        "pruned": pruned.words if pruned is not None else "",
        "compacted": own.artefact if own is not None else "",
        "stands_on": f"the checkpoint of release {below.release}" if below is not None else "the base model",
        "rebuildable": not why,
        "not_rebuildable": why,
    }


def kept_rows(values: dict[str, Any]) -> Rows:
    """The same for people."""
    rows = [("stands on", values["stands_on"])]
    rows += [("merged into", f"checkpoint {values['compacted'][:SHOWN]}")] if values["compacted"] else []
    rows += [("pruned", values["pruned"])] if values["pruned"] else []
    return [*rows, ("can be rebuilt", "yes" if values["rebuildable"] else f"no: {values['not_rebuildable']}")]


def listed_values(ledger: "Ledger") -> list[dict[str, Any]]:
    """Every release with its aliases, who pruned it, and the checkpoints that hold deltas of it."""
    from registry.compactions import CompactionStore
    from registry.pruning import PruningStore
    from registry.releases import ALIASES, ReleaseStore

    store, compactions, prunings = ReleaseStore(ledger), CompactionStore(ledger), PruningStore(ledger)
    aliases = {name: store.alias(name) for name in ALIASES}
    gone = prunings.gone("bases")
    rows = []
    for release in store.all():
        pruned = prunings.releases.get(release.number)
        held = [
            {
                "checkpoint": one.artefact,
                "release": one.release,
                "deltas": len(part),
                "entry": one.seq,
                "pruned": one.artefact in gone,
            }
            for one, part in compactions.holding(release).items()
        ]
        rows.append(
            {
                "release": release.number,
                "alias": ", ".join(name for name, number in aliases.items() if number == release.number),
                "parent": release.parent,
                "created": release.created_at.isoformat(timespec="seconds"),
                "by": release.created_by,
                "model": release.model,
                "deltas": len(release.deltas),
                "weights": release.weights_digest[:SHOWN],
                "pruned": pruned.words if pruned is not None else "",
                "merged": held,
            }
        )
    return rows


def listed_rows(values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same for people: columns that nothing stands in are left out."""

    def merged(one: Mapping[str, Any]) -> str:
        """How many deltas are in which checkpoint."""
        gone = " (pruned)" if one["pruned"] else ""
        return f"{one['deltas']} in {one['checkpoint'][:SHOWN]} of r{one['release']}{gone}"

    rows = [{**one, "merged": "; ".join(merged(each) for each in one["merged"])} for one in values]
    empty = {name for name in ("pruned", "merged") if not any(row[name] for row in rows)}
    return [{name: value for name, value in row.items() if name not in empty} for row in rows]


def check_rebuildable(home: "Home", ledger: "Ledger", release: "Release") -> None:
    """Refuse a release that was pruned and whose weights cannot be put together any more.

    Raises:
        InputError: says what is gone. One that was not pruned is left to `rebuild`, which names what is damaged.
    """
    from pipelines.releasing.retention import rebuildable
    from registry.errors import InputError
    from registry.pruning import PruningStore

    pruned = PruningStore(ledger).releases.get(release.number)
    why = rebuildable(home, ledger, release) if pruned is not None else ""
    if why:
        raise InputError("a release that can be rebuilt", f"release {release.number}: {why}", "name one that is kept")
