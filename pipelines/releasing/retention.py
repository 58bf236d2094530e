"""Retention: which releases are still needed and why, and which folders belong to them."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from registry.approvals import Approvals
from registry.compactions import CompactionStore
from registry.events import view
from registry.facts import FactStore
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.ranges import Amount
from registry.records import Release
from registry.releases import ALIASES, ReleaseStore
from registry.requests import RequestStore

CERTIFIED = "certified"


@dataclass(frozen=True)
class RetentionPolicy:
    """How long the artefacts of releases are kept; whatever an alias, a certificate or a request needs stays anyway.

    Attributes:
        keep_last: so many of the last releases are kept.
        min_days: a release is kept for so many days after it was published.
        merged_deltas: deltas that were merged into a checkpoint are kept as long as a kept release stands on it, so
            that single facts can still be revoked and forgotten out of it.
    """

    keep_last: int = 10
    min_days: Amount = 90
    merged_deltas: bool = True

    def __post_init__(self) -> None:
        """Refuse a policy that would keep nothing.

        Raises:
            ValueError: it keeps less than one release, or for a negative time.
        """
        if self.keep_last < 1 or self.min_days < 0:
            raise ValueError(f"at least one release and no negative time, got {self.keep_last} and {self.min_days}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Artefacts:
    """Digests of the folders of some releases, by kind."""

    deltas: frozenset[str]
    snapshots: frozenset[str]
    bases: frozenset[str]
    versions: frozenset[str]

    def places(self, home: Home) -> Mapping[Path, frozenset[str]]:
        """The digests by the folder in which they lie."""
        from pipelines.releasing.tracking import versions_folder

        return {
            home.deltas: self.deltas,
            home.snapshots: self.snapshots,
            home.bases: self.bases,
            versions_folder(home): self.versions,
        }


def needed(ledger: Ledger, policy: RetentionPolicy, now: datetime | None = None) -> dict[int, tuple[str, ...]]:
    """Why each release that is not pruned yet must stay; no reason where it need not.

    Args:
        ledger: the open ledger.
        policy: what is kept.
        now: the moment; the present where it is not given.
    """
    releases = ReleaseStore(ledger)
    there = [one for one in releases.all() if one.number not in PruningStore(ledger).releases]
    why: dict[int, list[str]] = {one.number: [] for one in there}
    for alias in ALIASES:
        if (number := releases.alias(alias)) in why:
            why[number].append(f"it is the {alias}")
    youngest = (now or datetime.now(UTC)) - timedelta(days=policy.min_days)
    for one in there:
        if one.created_at > youngest:
            why[one.number].append(f"it is younger than {policy.min_days:g} days")
    for one in there[-policy.keep_last :]:
        why[one.number].append(f"it is one of the last {policy.keep_last}")
    certified = {entry.payload["release"] for entry in ledger.entries(CERTIFIED)}
    aliased = {releases.alias(alias) for alias in ALIASES}
    for one in [each for each in there if why[each.number]]:
        if one.parent in why and one.number in certified | aliased:
            names = "certificate of release" if one.number in certified else "record of release"
            why[one.parent].append(f"the {names} {one.number} names it as the way back")
    for number, request in _asked_for(ledger).items():
        if number in why:
            why[number].append(f"request {request} is open and names a fact that it brought")
    return {number: tuple(reasons) for number, reasons in why.items()}


def _asked_for(ledger: Ledger) -> dict[int, int]:
    """The releases that brought a fact which an open request names, with the request's number."""
    open_ones = [one for one in Approvals.read(ledger).requests.values() if one.state == "open"]
    if not open_ones:
        return {}
    brought = {one.fact.id: one.release for one in view(FactStore(ledger).events())}
    contents = {one.number: RequestStore(ledger).content(one) for one in open_ones}
    return {
        brought[fact_id]: number
        for number, content in contents.items()
        for fact_id in content.get("facts", ())
        if fact_id in brought
    }


def artefacts(ledger: Ledger, without: Collection[int] = (), *, merged: bool = True) -> Artefacts:
    """Everything that the releases which are not pruned hold.

    Args:
        ledger: the open ledger.
        without: further releases that do not count.
        merged: also the deltas that were merged into a checkpoint which one of them stands on; those that a pruning
            removed do not come back.
    """
    releases, compactions, pruned = ReleaseStore(ledger), CompactionStore(ledger), PruningStore(ledger)
    kept = [one for one in releases.all() if one.number not in pruned.releases and one.number not in without]
    standing = [compactions.standing(one) for one in kept]
    deltas = {digest for one in standing for digest in one.deltas}
    if merged:
        whole = {digest for one in standing for digest in compactions.expanded(one).deltas}
        deltas |= whole - pruned.gone("deltas")
    bases = {found.artefact for one in (*standing, *kept) for found in _first(compactions, one)}
    versions = [releases.version(one.number) for one in kept]
    return Artefacts(
        frozenset(deltas),
        frozenset(digest for one in kept for digest in (one.facts_snapshot, one.index_snapshot)),
        frozenset(bases),
        frozenset(one[1] for one in versions if one is not None),
    )


def _first(compactions: CompactionStore, release: Release) -> list[Any]:
    """The checkpoint that a release is put on, none where it is put on the base model."""
    return list(compactions.below(release))[:1]


def rebuildable(home: Home, ledger: Ledger, release: Release) -> str:
    """Why the weights of a release can no longer be put together; empty where they can.

    What the release and its checkpoint need is looked for, and nothing is digested.
    """
    from pipelines.releasing.inventory import model_place

    compactions, pruned = CompactionStore(ledger), PruningStore(ledger)
    forms = dict.fromkeys(((release.base_digest, release.deltas), _form(compactions.standing(release))))
    reasons = []
    for base, deltas in forms:
        checkpoint = _first(compactions, _on(release, base))
        lost = [digest for digest in deltas if not (home.deltas / digest).is_dir()]
        if checkpoint and not (home.bases / checkpoint[0].artefact).is_dir():
            reasons.append(
                f"checkpoint {checkpoint[0].artefact[:12]} is {_how(pruned, 'bases', checkpoint[0].artefact)}"
            )
        elif not checkpoint and model_place(home, release.model) is None:
            reasons.append(f"the base model {release.model} is not on this machine")
        elif lost:
            reasons.append(f"delta {lost[0][:12]} is {_how(pruned, 'deltas', lost[0])}")
        else:
            return ""
    return "; ".join(reasons)


def _form(release: Release) -> tuple[str, tuple[str, ...]]:
    """Base and deltas."""
    return release.base_digest, release.deltas


def _on(release: Release, base: str) -> Release:
    """The release on another base."""
    from dataclasses import replace

    return replace(release, base_digest=base)


def _how(pruned: PruningStore, kind: str, digest: str) -> str:
    """What became of a folder that is not there."""
    return next((one.words for one in pruned.all if digest in one.gone[kind]), "missing")
