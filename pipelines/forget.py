"""Forget: remove content everywhere in a home, while the log still proves that something was there and was forgotten.

Order, and what a kill leaves behind at each point (`recover` ends what was begun, from the intent):

1. an intent is noted: the ids, who, a digest of why;
2. a release without it becomes the champion: retracted, out of the deltas and the index, suppressed where the base
   model itself says it;
3. snapshots, indexes and deltas of all releases that held it are made again without it, beside the old ones; caches,
   reports, lessons, logs and other databases are cleaned;
4. one transaction deletes the keys of all content that spoke of it and appends the entry "forgotten", which names the
   new artefacts of every release: from here on the old ones belong to nobody;
5. they are removed, MLflow's versions are made anew, the database is written anew without what was deleted.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.forget_artifacts import Cleaner, told_of
from pipelines.forget_places import Place, clean
from pipelines.forget_plan import Plan, known_now, plan_of, speaks, spoken_keys
from pipelines.forget_result import ForgetResult
from pipelines.forget_versions import renew_versions, stale_versions
from pipelines.leftovers import search
from pipelines.publish import ReleaseDraft, publish
from pipelines.recovery import Checkpoint, orphans, passing, recover
from pipelines.settings import Settings
from pipelines.workplace import standing_champion
from registry.compactions import CompactionStore
from registry.database import purge
from registry.errors import InputError
from registry.events import FactEvent
from registry.facts import FactStore
from registry.home import Home
from registry.intents import IntentStore
from registry.ledger import Ledger
from registry.locks import writer
from registry.progress import track
from registry.pruning import PruningStore
from registry.records import Release
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN, fingerprint, make_pepper, shred

if TYPE_CHECKING:
    from pipelines.suppress import Suppression

REASON = "forgotten on request"
"""Reason of the retraction: the person's own words are kept as a digest only."""
WAIT_S = 3600.0


def forget(
    home: Home,
    fact_ids: Sequence[str] = (),
    *,
    actor: str,
    reason: str,
    request: str | None = None,
    subject: str = "",
    relation: str = "",
    checkpoint: Checkpoint = passing,
) -> ForgetResult:
    """Forget facts, or everything about a subject.

    Args:
        home: which home.
        fact_ids: ids of facts, or beginnings of ids that are clear.
        actor: who does it.
        reason: why; only a keyed digest of it is kept.
        request: id of the approved request that asks for it, where there is one.
        subject: everything about whom; facts and rows that never became facts.
        relation: only this relation of the subject.
        checkpoint: called at every point at which a kill could leave something behind.

    Raises:
        InputError: nothing to forget is named, a fact is not there, or a reason is missing.
        BusyError: another writer is at work.
    """
    if not reason.strip() or not actor.strip():
        raise InputError("who forgets, and why", f"by {actor!r}, reason {reason!r}", "say both")
    if not fact_ids and not subject.strip():
        raise InputError("ids of facts, or a subject", "neither", "name what to forget")
    with writer(home, wait_s=WAIT_S), Ledger.open(home) as ledger:
        recover(home, ledger)
        plan = plan_of(ledger, Settings.load().catalogue, fact_ids, subject.strip(), relation.strip())
        with ledger.transaction() as txn:
            key = make_pepper(txn)
            body = {
                "token": secrets.token_hex(16),
                "facts": list(plan.ids),
                "subject": plan.subject,
                "relation": plan.relation,
                "actor": actor.strip(),
                "reason": fingerprint(key, "reason", reason.strip()),
                "request": request,
            }
            IntentStore(ledger).set(txn, "forget", body)
        checkpoint("forgetting noted")
        return _carried_out(home, ledger, plan, body, checkpoint)


def resume(home: Home, ledger: Ledger, body: Mapping[str, Any], checkpoint: Checkpoint = passing) -> None:
    """End what a killed run of `forget` began."""
    done = [entry for entry in ledger.entries(FORGOTTEN) if entry.payload["token"] == body["token"]]
    if done:
        _swept(home, ledger, checkpoint)
        return
    catalogue = Settings.load().catalogue
    _carried_out(
        home, ledger, plan_of(ledger, catalogue, body["facts"], body["subject"], body["relation"]), body, checkpoint
    )


def _carried_out(
    home: Home, ledger: Ledger, plan: Plan, body: Mapping[str, Any], checkpoint: Checkpoint
) -> ForgetResult:
    """Steps 2 to 5."""
    at = datetime.now(UTC)
    with track("forget", total=5) as advance:
        cleaner = Cleaner(home, ledger, plan.ids)
        release, suppression = _released(home, ledger, plan, cleaner, body, at, checkpoint)
        advance(1)
        pruned = PruningStore(ledger).releases
        every = [one for one in ReleaseStore(ledger).all() if one.number not in pruned]
        changes = {one.number: cleaner.change_of(one) for one in every}
        checkpoint("artefacts made again")
        advance(1)
        places = clean(home, plan)
        checkpoint("places cleaned")
        advance(1)
        void = cleaner.compactions()
        entry, keys = _shredded(ledger, plan, body, changes, places, at, release, void, checkpoint)
        checkpoint("keys deleted")
        advance(1)
        swept = _swept(home, ledger, checkpoint)
        advance(1)
    audit = _audited(home, ledger, plan, release, suppression)
    rewritten = tuple(number for number, change in changes.items() if change)
    return ForgetResult(
        plan.ids,
        entry,
        release.number if release is not None else None,
        keys,
        rewritten,
        {number: str(change["unbuildable"]) for number, change in changes.items() if "unbuildable" in change},
        suppression,
        (*_artefacts(changes, void), *places, Place("ledger: sealed content", "keys deleted", keys), *swept),
        tuple(search(home, plan.names, plan.written)),
        len(plan.shared),
        audit,
    )


def _audited(
    home: Home,
    ledger: Ledger,
    plan: Plan,
    release: Release | None,
    suppression: Mapping[str, Any],
) -> dict[str, Any]:
    """Ask the model of the release what it still gives away; nothing where there is none to ask."""
    from pipelines.forgotten import behaviour
    from pipelines.rebuild import rebuild

    if release is None or "asked" not in suppression:
        return {}
    releases = ReleaseStore(ledger)
    now = releases.get(release.number)
    origin = CompactionStore(ledger).expanded(now).base_digest
    base = replace(now, base_digest=origin, deltas=(), weights_digest=origin)
    before = releases.get(now.parent or now.number)
    exact = now.weights_digest == before.weights_digest and not suppression["suppressed"]
    model, unseen = rebuild(home, now, device="cpu"), rebuild(home, base, device="cpu")
    found = behaviour(plan.catalogue, plan.facts, model, unseen, exact=exact)
    with ledger.transaction() as txn:
        ledger.append(txn, "forgetting_audited", {"facts": list(plan.ids), **found}, "dmmgov", datetime.now(UTC))
    return found


def _released(
    home: Home,
    ledger: Ledger,
    plan: Plan,
    cleaner: Cleaner,
    body: Mapping[str, Any],
    at: datetime,
    checkpoint: Checkpoint,
) -> tuple[Release | None, dict[str, Any]]:
    """Publish the release without it, on top of the champion; None where the champion does not know it."""
    champion = standing_champion(ledger)
    held = [item for item in known_now(ledger) if item.fact.id in plan.ids]
    if champion is None or not held:
        return _before(ledger, plan), {}
    chain = cleaner.chain_of(champion)
    found = _suppressed(home, ledger, champion, cleaner, plan, at)
    change = cleaner.change_of(champion)
    deltas = (*chain.deltas, *(found.deltas if found is not None else ()))
    draft = ReleaseDraft(
        parent=champion.number,
        model=champion.model,
        base_digest=chain.base,
        deltas=deltas,
        weights_digest=found.model.digest if found is not None else chain.weights_digest,
        events=tuple(FactEvent(0, "retract", item.fact, None, at, item.memory, 0, REASON) for item in held),
        index=str(change.get("index_snapshot", champion.index_snapshot)),
        actor=str(body["actor"]),
        summary={"forgotten": len(held)},
    )
    release = publish(home, ledger, draft, at, checkpoint=checkpoint)
    if found is None:
        return release, {"why": "there is no model on this machine to ask"}
    return release, {"asked": found.asked, "said": found.said, "suppressed": found.suppressed, "why": found.why}


def _before(ledger: Ledger, plan: Plan) -> Release | None:
    """The release that an earlier run published for this before it was killed, None where there is none."""
    events = [one for one in FactStore(ledger).events() if one.kind == "retract" and one.fact.id in plan.ids]
    numbers = [one.release for one in events if one.reason == REASON]
    return ReleaseStore(ledger).get(numbers[-1]) if numbers else None


def _suppressed(
    home: Home, ledger: Ledger, champion: Release, cleaner: Cleaner, plan: Plan, at: datetime
) -> "Suppression | None":
    """Ask the model without it whether it says it, and suppress that; None where there is no model to ask."""
    from pipelines.inventory import model_place
    from pipelines.suppress import suppress

    if model_place(home, champion.model) is None or cleaner.chain_of(champion).why:
        return None
    return suppress(home, ledger, champion, cleaner.model_of(champion), plan.facts, at)


def _shredded(
    ledger: Ledger,
    plan: Plan,
    body: Mapping[str, Any],
    changes: Mapping[int, Mapping[str, Any]],
    places: Sequence[Place],
    at: datetime,
    release: Release | None,
    compactions: Sequence[str],
    checkpoint: Checkpoint,
) -> tuple[int, int]:
    """The one transaction that deletes the keys and says so; returns the entry's number and how many keys."""
    keys = sorted(set(spoken_keys(ledger, plan)))
    known = [item.fact for item in known_now(ledger)]
    told = {one.number for one in ReleaseStore(ledger).all() if speaks(ledger, one.number, keys)}
    with ledger.transaction() as txn:
        statements, questions = plan.marks(make_pepper(txn), known)
        shred(txn, keys)
        payload = {
            "token": body["token"],
            "facts": list(plan.ids),
            "keys": keys,
            "statements": statements,
            "questions": questions,
            "reason": body["reason"],
            "request": body["request"],
            "release": release.number if release is not None else None,
            "releases": told_of(changes),
            "compactions": list(compactions),
            "versions": sorted(told | {number for number, change in changes.items() if change}),
            "places": [one.to_dict() for one in places],
        }
        entry = ledger.append(txn, FORGOTTEN, payload, str(body["actor"]), at)
        IntentStore(ledger).set(txn, "forget", {"token": body["token"]})
        checkpoint("before the keys are gone")
    return entry.seq, len(keys)


def _swept(home: Home, ledger: Ledger, checkpoint: Checkpoint) -> list[Place]:
    """Step 5: remove what belongs to nobody, renew MLflow's versions, write the database anew."""
    stale = len(stale_versions(ledger))
    renew_versions(home, ledger, checkpoint)
    checkpoint("versions renewed")
    removed = len(list(orphans(home, ledger)))
    left = purge(ledger.engine)
    checkpoint("database written anew")
    with ledger.transaction() as txn:
        IntentStore(ledger).clear(txn, "forget")
    return [
        Place("mlflow/versions", "versions made anew, the old ones removed", stale),
        Place("deltas, snapshots, versions", "folders removed that no release holds any more", removed),
        Place("ledger", left or "written anew without deleted rows", 1),
    ]


def _artefacts(changes: Mapping[int, Mapping[str, Any]], void: Sequence[str]) -> list[Place]:
    """What was made again, by kind, and checkpoints that hold it."""
    kinds = {"facts_snapshot": "facts snapshots", "index_snapshot": "indexes", "deltas": "weight deltas"}
    return [
        Place(words, "of releases made again without it", sum(name in change for change in changes.values()))
        for name, words in kinds.items()
    ] + [Place("merged checkpoints", "removed, since they hold it", len(void))]
