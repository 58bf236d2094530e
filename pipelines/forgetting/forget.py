"""Forget: remove content everywhere in a home, while the log still proves that something was there and was forgotten.

Order, and what a kill leaves behind at each point (`recover` ends what was begun, from the intent):

1. an intent is noted: the ids, who, a digest of why;
2. a release without it becomes the champion: retracted, out of the deltas and the index, suppressed where the base
   model itself says it; the gates are asked again (`pipelines.forgetting.gates`), and one that does not pass ends it;
3. snapshots, indexes and deltas of all releases that held it are made again without it, beside the old ones; caches,
   reports, lessons, logs and other databases are cleaned;
4. one transaction deletes the keys of all content that spoke of it and appends the entry "forgotten", which names the
   new artefacts of every release: from here on the old ones belong to nobody;
5. they are removed, MLflow's versions are made anew, the database is written anew without what was deleted.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipelines.forgetting.artifacts import Cleaner, told_of
from pipelines.forgetting.audit import audited
from pipelines.forgetting.leftovers import search
from pipelines.forgetting.places import Place, clean
from pipelines.forgetting.plan import Plan, known_now, plan_of, speaks, spoken_keys
from pipelines.forgetting.release import GatesError, Order, Released, released
from pipelines.forgetting.result import ForgetResult
from pipelines.forgetting.versions import renew_versions, stale_versions
from pipelines.releasing.recovery import Checkpoint, orphans, passing, recover
from pipelines.settings import Settings
from registry.database import purge
from registry.errors import BlockedError, InputError
from registry.home import Home
from registry.intents import IntentStore
from registry.ledger import Event, Ledger
from registry.locks import writer
from registry.progress import track
from registry.pruning import PruningStore
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN, fingerprint, make_pepper, shred

BLOCKED = "forgetting_blocked"
"""Ledger kind: a gate, or a request that is not approved any more, forbade it; nothing was forgotten."""
WAIT_S = 3600.0


def forget(
    home: Home,
    fact_ids: Sequence[str] = (),
    *,
    actor: str,
    reason: str,
    request: int | None = None,
    subject: str = "",
    relation: str = "",
    despite_gates: str = "",
    at: datetime | None = None,
    entries: Sequence[tuple[str, Mapping[str, Any]]] = (),
    check: Callable[[Ledger], None] | None = None,
    checkpoint: Checkpoint = passing,
) -> ForgetResult:
    """Forget facts, or everything about a subject.

    Args:
        home: which home.
        fact_ids: ids of facts, or beginnings of ids that are clear.
        actor: who does it.
        reason: why; only a keyed digest of it is kept.
        request: number of the approved request that asks for it, where there is one.
        subject: everything about whom; facts and rows that never became facts.
        relation: only this relation of the subject.
        despite_gates: why it is done although gates may not pass; only a keyed digest of it is kept.
        at: when; now where it is not given.
        entries: further ledger entries of the transaction that publishes the release without it, or of the one that
            deletes the keys where the champion did not know it.
        check: called in that transaction before anything is written; what it raises stops the forgetting.
        checkpoint: called at every point at which a kill could leave something behind.

    Raises:
        InputError: nothing to forget is named, a fact is not there, or a reason is missing.
        BlockedError: a gate forbids what would be left; nothing was forgotten.
        BusyError: another writer is at work.
    """
    if not reason.strip() or not actor.strip():
        raise InputError("who forgets, and why", f"by {actor!r}, reason {reason!r}", "say both")
    if not fact_ids and not subject.strip():
        raise InputError("ids of facts, or a subject", "neither", "name what to forget")
    moment = at or datetime.now(UTC)
    with writer(home, wait_s=WAIT_S), Ledger.open(home) as ledger:
        recover(home, ledger)
        plan = plan_of(ledger, Settings.load().catalogue, fact_ids, subject.strip(), relation.strip())
        asked = {"actor": actor.strip(), "request": request, "at": moment.isoformat()}
        body = _intended(ledger, plan, asked, reason.strip(), despite_gates.strip())
        checkpoint("forgetting noted")
        order = Order(body, moment, tuple(entries), check, checkpoint)
        return _unless_blocked(home, ledger, plan, order)


def _intended(ledger: Ledger, plan: Plan, asked: Mapping[str, Any], reason: str, despite_gates: str) -> dict[str, Any]:
    """Note the intent; the words of people are in it as keyed digests."""
    with ledger.transaction() as txn:
        key = make_pepper(txn)
        body = {
            **asked,
            "token": secrets.token_hex(16),
            "facts": list(plan.ids),
            "subject": plan.subject,
            "relation": plan.relation,
            "reason": fingerprint(key, "reason", reason),
            "despite": fingerprint(key, "despite", despite_gates) if despite_gates else "",
        }
        IntentStore(ledger).set(txn, "forget", body)
    return body


def resume(home: Home, ledger: Ledger, body: Mapping[str, Any], checkpoint: Checkpoint = passing) -> bool:
    """End what a killed run of `forget` began, under the time at which that began.

    Returns:
        False where a gate, or a request that was ended since, forbids it.
    """
    done = [entry for entry in ledger.entries(FORGOTTEN) if entry.payload["token"] == body["token"]]
    if done:
        _swept(home, ledger, checkpoint)
        return True
    catalogue = Settings.load().catalogue
    plan = plan_of(ledger, catalogue, body["facts"], body["subject"], body["relation"])
    begun = datetime.fromisoformat(body["at"]) if "at" in body else datetime.now(UTC)
    order = Order(body, begun, checkpoint=checkpoint)
    try:
        _unless_blocked(home, ledger, plan, order)
    except BlockedError:
        return False
    return True


def _mandated(ledger: Ledger, plan: Plan, order: Order) -> Order:
    """The order with the word of the request behind it, where it has none yet and that is not noted as done.

    Raises:
        BlockedError: the request is not approved any more.
    """
    from pipelines.requests.mandate import Mandate
    from registry.approvals import Approvals

    number = order.body["request"]
    if number is None or order.entries or Approvals.read(ledger).get(number).state == "executed":
        return order
    mandate = Mandate.take(ledger, number, Settings.load(), order.at)
    known = any(item.fact.id in plan.ids for item in known_now(ledger))
    release = ReleaseStore(ledger).next_number() if known else None
    return replace(order, entries=(mandate.executed_by_id(release, FORGOTTEN),), check=mandate.check)


def _unless_blocked(home: Home, ledger: Ledger, plan: Plan, order: Order) -> ForgetResult:
    """Carry it out, or note that it may not be.

    Raises:
        BlockedError: it may not be; the intent is gone.
    """
    try:
        order = _mandated(ledger, plan, order)
        if order.check is not None:
            order.check(ledger)
        return _carried_out(home, ledger, plan, order)
    except BlockedError as error:
        _noted(ledger, order.body, error, order.at)
        list(orphans(home, ledger))
        raise


def _noted(ledger: Ledger, body: Mapping[str, Any], error: BlockedError, at: datetime) -> None:
    """Say in the log that it was blocked, without words that may hold content, and drop the intent."""
    gates = list(error.gates) if isinstance(error, GatesError) else []
    payload = {name: body[name] for name in ("token", "facts", "request")} | {"gates": gates}
    with ledger.transaction() as txn:
        IntentStore(ledger).clear(txn, "forget")
        ledger.append(txn, BLOCKED, payload, str(body["actor"]), at)


def _carried_out(home: Home, ledger: Ledger, plan: Plan, order: Order) -> ForgetResult:
    """Steps 2 to 5."""
    checkpoint = order.checkpoint
    with track("forget", total=5) as advance:
        cleaner = Cleaner(home, ledger, plan.ids)
        made = released(home, ledger, plan, cleaner, order)
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
        entry, keys = _shredded(ledger, plan, order, changes, places, made, void)
        checkpoint("keys deleted")
        advance(1)
        swept = _swept(home, ledger, checkpoint)
        advance(1)
    audit = audited(home, ledger, plan, made)
    rewritten = tuple(number for number, change in changes.items() if change)
    return ForgetResult(
        plan.ids,
        entry,
        made.release.number if made.release is not None else None,
        keys,
        rewritten,
        {number: str(change["unbuildable"]) for number, change in changes.items() if "unbuildable" in change},
        made.suppression,
        (*_artefacts(changes, void), *places, Place("ledger: sealed content", "keys deleted", keys), *swept),
        tuple(search(home, plan.names, plan.written)),
        len(plan.shared),
        audit,
        made.gates,
        made.moved,
        made.overruled,
    )


def _shredded(
    ledger: Ledger,
    plan: Plan,
    order: Order,
    changes: Mapping[int, Mapping[str, Any]],
    places: Sequence[Place],
    made: Released,
    compactions: Sequence[str],
) -> tuple[int, int]:
    """The one transaction that deletes the keys and says so; returns the entry's number and how many keys."""
    body, release = order.body, made.release
    keys = sorted(set(spoken_keys(ledger, plan)))
    known = [item.fact for item in known_now(ledger)]
    told = {one.number for one in ReleaseStore(ledger).all() if speaks(ledger, one.number, keys)}
    with ledger.transaction() as txn:
        if release is None:
            if order.check is not None:
                order.check(ledger)
            ledger.append_many(txn, [Event(*one) for one in order.entries], order.actor, order.at)
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
        entry = ledger.append(txn, FORGOTTEN, payload, order.actor, order.at)
        IntentStore(ledger).set(txn, "forget", {"token": body["token"]})
        order.checkpoint("before the keys are gone")
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
