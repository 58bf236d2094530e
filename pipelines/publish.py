"""Publish: a release becomes real in one transaction of the ledger, or not at all.

Order, and what a kill leaves behind at each point:

1. an intent is noted; then the facts snapshot and the index are written, content-addressed (left: files that nothing
   names, which `recover` removes);
2. one transaction holds the fact events, the feed's rows, the release, all ledger entries and both aliases, and notes
   that MLflow has to follow (left: all of it, or nothing);
3. MLflow follows: version, alias challenger, alias champion (left: a note, by which `recover` finishes).

Every writing command begins with `recover`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.releasing.inventory import model_inventory, record_caches
from pipelines.releasing.recovery import Checkpoint, finish, passing, recover
from registry.artifacts import Artifact, checked, store, store_copy
from registry.compactions import CompactionStore
from registry.errors import InputError
from registry.facts import FactEvent, FactStore, view, write_snapshot
from registry.feeds import FeedStore
from registry.home import Home
from registry.intents import IntentStore
from registry.ledger import Event, Ledger
from registry.locks import writer
from registry.records import Release
from registry.releases import ALIASES, ReleaseStore
from registry.shredding import sealed_payload

__all__ = ["Checkpoint", "FeedRecord", "ReleaseDraft", "finish", "publish", "recover"]


@dataclass(frozen=True)
class FeedRecord:
    """The feed that a release comes from, with what became of its rows.

    Attributes:
        digest: digest of its bytes.
        name: its file name.
        rows: plain values with at least `row` and `decision`.
    """

    digest: str
    name: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ReleaseDraft:
    """Everything that a release will consist of.

    Attributes:
        parent: number of the release that it is built on, None for the first.
        model: name or path of the base model.
        base_digest: digest of the base model's weights.
        deltas: digests of artefacts below `home.deltas`, in the order in which they are applied.
        weights_digest: digest of the weights with all deltas on.
        events: what it brings to the facts; `seq` and `release` are filled in.
        index: a built index folder, or the digest of one below `home.snapshots`.
        actor: who publishes.
        gates: verdicts of the gates, as plain values.
        summary: counts and figures for people.
        feed: where it comes from, None where it comes from no feed.
        entries: further ledger entries (kind, payload), in order; what is `ToSeal` in a payload is sealed.
        check: called inside the transaction before anything is written in it; what it raises stops the release.
    """

    parent: int | None
    model: str
    base_digest: str
    deltas: tuple[str, ...]
    weights_digest: str
    events: tuple[FactEvent, ...]
    index: Path | str
    actor: str
    gates: tuple[Mapping[str, Any], ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    feed: FeedRecord | None = None
    entries: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    check: Callable[[Ledger], None] | None = None


def publish(
    home: Home, ledger: Ledger, draft: ReleaseDraft, at: datetime, *, checkpoint: Checkpoint = passing
) -> Release:
    """Publish a draft and make it the champion.

    Args:
        home: where artefacts and MLflow lie.
        ledger: the open ledger of `home`.
        draft: what to publish.
        at: the moment that every record of it bears.
        checkpoint: called at every point at which a kill could leave something behind.

    Returns:
        The release with its MLflow version.

    Raises:
        InputError: the draft does not fit what is there (parent, facts that it ends, missing deltas).
        IntegrityError: a delta or the index is not what its digest says.
        BusyError: another writer is at work.
        DmmGovError: the release is published, and MLflow could not be told; the next run tells it.
    """
    with writer(home):
        releases = ReleaseStore(ledger)
        number = releases.next_number()
        lineage = () if draft.parent is None else releases.lineage(draft.parent)
        before = FactStore(ledger).events(lineage)
        start = FactStore(ledger).next_seq()
        events = _numbered(draft.events, before, start, number)
        _check(home, releases, draft)
        with ledger.transaction() as txn:
            intent = {"release": number, "parent": draft.parent, "deltas": list(draft.deltas), "actor": draft.actor}
            IntentStore(ledger).set(txn, "publish", intent)
        checkpoint("intent noted")
        facts = store(home.snapshots, lambda folder: write_snapshot([*before, *events], folder))
        checkpoint("facts written")
        index = _index(home, draft.index)
        checkpoint("index written")
        _commit(home, ledger, draft, _release(number, draft, facts, index, at), events, checkpoint)
        checkpoint("committed")
        finish(home, ledger, checkpoint)
        return releases.get(number)


def _numbered(events: Sequence[FactEvent], before: Sequence[FactEvent], start: int, number: int) -> list[FactEvent]:
    """The events of a draft with their places and their release; an end names the fact as it was asserted.

    Args:
        events: of the draft.
        before: of its lineage.
        start: place of the first.
        number: number of the release.

    Raises:
        InputError: one ends what the release does not know.
    """
    asserted = {event.fact.id: event.fact for event in before if event.kind == "assert"}
    numbered = []
    for place, event in enumerate(events, start):
        fact = event.fact
        if event.kind == "assert":
            asserted[fact.id] = fact
        elif fact.id not in asserted:
            named = f"{event.kind} of {fact.subject} · {fact.relation} · {fact.object}"
            raise InputError("an end only for what the release knows", named, "assert it first, or leave it out")
        numbered.append(replace(event, seq=place, release=number, fact=asserted[fact.id]))
    return numbered


def _check(home: Home, releases: ReleaseStore, draft: ReleaseDraft) -> None:
    """Refuse a draft that does not fit what is there.

    Raises:
        InputError: says what does not fit.
        IntegrityError: a delta is not what its digest says.
    """
    if draft.parent is not None:
        parent = releases.get(draft.parent)
        bases = CompactionStore(releases.ledger).bases(parent)
        if draft.base_digest not in bases:
            found = parent.base_digest
            raise InputError(f"the base model of release {draft.parent} ({found})", draft.base_digest, "use its model")
    if not draft.deltas and draft.weights_digest != draft.base_digest:
        raise InputError("the base's own digest for weights without a delta", draft.weights_digest, "name the deltas")
    for digest in draft.deltas:
        checked(home.deltas, digest)


def _index(home: Home, index: Path | str) -> Artifact:
    """Keep the index, or check that it is kept."""
    if isinstance(index, str):
        return Artifact(index, checked(home.snapshots, index))
    if index.parent == home.snapshots:
        return Artifact(index.name, checked(home.snapshots, index.name))
    return store_copy(home.snapshots, index)


def _release(number: int, draft: ReleaseDraft, facts: Artifact, index: Artifact, at: datetime) -> Release:
    """The release that the draft becomes, without its MLflow version."""
    return Release(
        number=number,
        parent=draft.parent,
        model=draft.model,
        base_digest=draft.base_digest,
        deltas=draft.deltas,
        weights_digest=draft.weights_digest,
        facts_snapshot=facts.digest,
        index_snapshot=index.digest,
        mlflow_version="",
        created_at=at,
        created_by=draft.actor,
        gates=draft.gates,
        summary=draft.summary,
    )


def _commit(
    home: Home,
    ledger: Ledger,
    draft: ReleaseDraft,
    release: Release,
    events: Sequence[FactEvent],
    checkpoint: Checkpoint,
) -> None:
    """The one transaction after which the release exists."""
    releases, intents = ReleaseStore(ledger), IntentStore(ledger)
    models = model_inventory(home, ledger, draft.model, CompactionStore(ledger).expanded(release).base_digest)
    with ledger.transaction() as txn:
        if draft.check is not None:
            draft.check(ledger)
        if draft.feed is not None:
            feed = draft.feed
            FeedStore(ledger).record(
                txn,
                feed.digest,
                feed.name,
                release.number,
                "published",
                feed.rows,
                release.created_at,
                actor=draft.actor,
            )
        further = [Event("model", one.to_dict()) for one in models]
        further += [Event(kind, sealed_payload(txn, payload)) for kind, payload in draft.entries]
        ledger.append_many(txn, further, draft.actor, release.created_at)
        record_caches(home, ledger, txn, draft.actor, release.created_at)
        FactStore(ledger).append_many(txn, events, draft.actor)
        checkpoint("in the transaction")
        releases.commit(txn, release, {"facts_known": len(view(events))})
        for alias in ALIASES:
            releases.set_alias(txn, alias, release.number, actor=draft.actor, at=release.created_at)
        intents.clear(txn, "publish")
        intents.set(txn, "mlflow", {"release": release.number})
        checkpoint("before the commit")
