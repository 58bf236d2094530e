"""Record: turn what a run came to into a release draft, ledger entries and fact events, and hand them to `publish`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.outcome import RowResult, UpdateResult
from pipelines.publish import FeedRecord, ReleaseDraft
from pipelines.publish import publish as commit
from pipelines.releasing.inventory import record_caches
from pipelines.workplace import Workplace
from registry.artifacts import store
from registry.checkpoints import stamp
from registry.events import RELEASE_PROCESSED
from registry.facts import FactEvent
from registry.records import KnownFact, Release
from registry.redaction import sealed_gates

if TYPE_CHECKING:
    from pipelines.admit import Admission
    from pipelines.guard import Judged
    from pipelines.requests.mandate import Mandate
    from pipelines.steps import Routed
    from pipelines.write import Written

ROW_KINDS = {"refused": "refused", "quarantined": "quarantined", "NOOP": "noop"}
"""Ledger kind by decision; every other decision is "admitted"."""


def publish_release(
    place: Workplace,
    admission: "Admission",
    routed: "Routed",
    judged: "Judged",
    outcome: UpdateResult,
    mandate: "Mandate | None" = None,
) -> Release:
    """Store the delta and publish the release that holds everything the run accepted.

    Raises:
        BlockedError: the request behind it is no longer approved; nothing is published.
    """
    parent = place.parent
    deltas = place.deltas
    if judged.written.delta is not None:
        deltas = (*deltas, store(place.home.deltas, judged.written.delta.save).digest)
    draft = ReleaseDraft(
        parent=parent.number if parent else None,
        model=parent.model if parent else place.model,
        base_digest=place.base_digest,
        deltas=deltas,
        weights_digest=judged.weights_digest,
        events=tuple(new_events(place, routed, judged.written)),
        index=judged.index,
        gates=outcome.gates,
        summary=summary_of(place, outcome) | ({"request": mandate.to_dict()} if mandate else {}),
        feed=_feed(admission, outcome),
        actor=place.actor,
        entries=(*_entries(outcome), *_released(admission), *_executed(mandate, place.releases.next_number(), outcome)),
        check=mandate.check if mandate else None,
    )
    return commit(place.home, place.ledger, draft, place.at)


def record_only(
    place: Workplace, admission: "Admission", outcome: UpdateResult, mandate: "Mandate | None" = None
) -> None:
    """Keep the rows and their outcomes of a run that publishes nothing; a request that a gate blocks stays approved."""
    feed = _feed(admission, outcome)
    with place.ledger.transaction() as txn:
        if mandate is not None:
            mandate.check(place.ledger)
        number = place.parent.number if place.parent and outcome.status == "nothing_accepted" else None
        record_caches(place.home, place.ledger, txn, place.actor, place.at)
        place.feeds.record(txn, feed.digest, feed.name, number, outcome.status, list(feed.rows), place.at)
        for kind, payload in _entries(outcome):
            place.ledger.append(txn, kind, payload, place.actor, place.at)
        for kind, payload in _released(admission) if outcome.status != "blocked" else ():
            place.ledger.append(txn, kind, payload, place.actor, place.at)
        for kind, payload in _executed(mandate, None, outcome) if outcome.status != "blocked" else ():
            place.ledger.append(txn, kind, payload, place.actor, place.at)
        gates = sealed_gates(txn, outcome.gates)
        place.ledger.append(txn, outcome.status, {"feed": feed.digest, "gates": gates}, place.actor, place.at)
    stamp(place.home, place.ledger)


def _executed(
    mandate: "Mandate | None", release: int | None, outcome: UpdateResult
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entry by which the request behind a run is done with, in the transaction of what it led to."""
    if mandate is not None:
        yield mandate.executed(release, outcome.status)


def new_events(place: Workplace, routed: "Routed", written: "Written") -> Iterator[FactEvent]:
    """The fact events of a run: what it asserts, and what that ends.

    A fact ends on the day from which its successor holds (the day of the run where the successor does not say); what a
    DELETE ends, it ends on the day that it names. What a correction replaces was never true and is retracted.
    """
    known: Mapping[str, KnownFact] = {item.fact.id: item for item in place.known}
    for request in routed.requests:
        fact = request.fact
        memory = written.memory.get(fact.id, "rag")
        end = fact.valid_to or fact.valid_from or place.today if request.operation == "DELETE" else fact.valid_from
        for old in request.replaces:
            if old not in known:
                continue
            if fact.id in routed.corrections:
                reason = f"corrected by {fact.source}: it was never true"
                yield event_of(place, "retract", known[old].fact, None, known[old].memory, reason)
            else:
                reason = f"ended by {request.operation} from {fact.source}"
                yield event_of(place, "close", known[old].fact, end or place.today, known[old].memory, reason)
        if request.operation != "DELETE":
            asserted = replace(fact, recorded_at=place.at)
            yield event_of(place, "assert", asserted, None, memory, written.moved.get(fact.id, ""))


def event_of(place: Workplace, kind: Any, fact: Any, end: date | None, memory: str, reason: str) -> FactEvent:
    """One fact event of this run; its place in the log and its release are given when it is committed."""
    return FactEvent(0, kind, fact, end, place.at, memory, 0, reason)


def summary_of(place: Workplace, outcome: UpdateResult) -> dict[str, Any]:
    """What a release remembers of the run that made it; the rows lie with the feed."""
    values = outcome.to_dict()
    for name in ("rows", "gates", "release"):
        del values[name]
    return {**values, "seconds": dict(place.seconds), "rules": place.settings.digest}


def _feed(admission: "Admission", outcome: UpdateResult) -> FeedRecord:
    """The feed with its rows: raw text, decision, reasons."""
    by_row = {row.row: row for row in admission.rows}
    held = {"header": list(admission.header)} if admission.header else {}

    def keeps_header(row: RowResult) -> bool:
        """Whether a row may be released later, or is the first; one that was released before has other columns."""
        return (row.row == 1 or row.decision in ("refused", "quarantined")) and row.row not in admission.released

    rows = tuple(
        {**asdict(row), "raw": by_row[row.row].raw, **(held if keeps_header(row) else {})} for row in outcome.rows
    )
    return FeedRecord(admission.digest, admission.feed, rows)


def _released(admission: "Admission") -> Iterator[tuple[str, dict[str, Any]]]:
    """What became of the rows that a person released; a run that a gate blocks leaves them to the next one."""
    by_row = {row.row: row for row in admission.rows}
    for number, release in admission.released.items():
        row = by_row[number]
        decided = {"decision": row.decision, "fact": row.fact.id if row.fact is not None else ""}
        yield RELEASE_PROCESSED, {"release": release.seq, "feed": admission.digest, "row": number, **decided}


def _entries(outcome: UpdateResult) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ledger entries of a run: one per row, one per fact written or moved, one per gate; none holds content.

    The reasons lie with the feed's rows, the gates' words with the release (or the entry that says it was blocked).
    """
    for row in outcome.rows:
        kind = ROW_KINDS.get(row.decision, "admitted")
        yield (
            kind,
            {"row": row.row, "decision": row.decision, "fact": row.fact_id, "rules": list(row.rules)},
        )
        if row.memory:
            yield "routed", {"fact": row.fact_id, "memory": row.memory}
    yield from gate_entries(outcome)


def gate_entries(outcome: UpdateResult) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ledger entries of the gates of a run, one per gate."""
    for verdict in outcome.gates:
        passed = verdict["decision"] == "pass"
        told = {"gate": verdict["guard"], "family": outcome.family}
        yield ("gate_passed" if passed else "gate_failed", told)
