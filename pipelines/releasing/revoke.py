"""Revoke: take single facts back out of whatever memory they live in, without redoing what was written with them.

A fact in the weights leaves its batch by `without`: the rest is solved anew with the same targets, nothing is fitted.
The gates are asked again about what is left; where they do not show that it may stay, the rest of that batch goes to
the index. What the revoked fact had ended holds again. All of it is one new release; the ledger loses nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from guards.base import Verdict
from pipelines.judging.rechecks import Recheck
from pipelines.outcome import UpdateResult, peak_rss_mb
from pipelines.publish import ReleaseDraft
from pipelines.publish import publish as commit
from pipelines.releasing.record import event_of, gate_entries, summary_of
from pipelines.releasing.retire import retire
from pipelines.route import RAG
from pipelines.workplace import Workplace
from registry.errors import BlockedError, InputError, UnknownNameError
from registry.events import FactEvent, view
from registry.home import Home
from registry.ledger import Ledger
from registry.progress import track
from registry.records import Fact, KnownFact
from registry.shredding import ToSeal

REVOKED = "revoked"
"""Ledger kind of a fact that was taken back."""
ID_CHARS = 6
"""So many characters of an id name a fact, if no other one begins with them."""


@dataclass(frozen=True)
class RevokeResult:
    """What a revocation came to.

    Attributes:
        release: number of the new release, which is the champion.
        facts: the facts that were taken back: id, words, the memory they lived in.
        moved: facts that shared an edit or a batch with one of them and live in the index now: id, words, the reason.
        restored: facts that hold again, since what had ended them was taken back: id, words.
        says_now: what the weights answer now to the own prompt of each revoked fact that was in them, by fact id.
        gates: verdicts on what is left, as plain values.
        weights_digest: digest of the weights now.
        seconds: wall seconds by step; `take out` is the edit itself, `gates` what was asked afterwards.
    """

    release: int
    facts: tuple[Mapping[str, str], ...]
    moved: tuple[Mapping[str, str], ...]
    restored: tuple[Mapping[str, str], ...]
    says_now: Mapping[str, str]
    gates: tuple[Mapping[str, Any], ...]
    weights_digest: str
    seconds: Mapping[str, float] = field(default_factory=dict)


def revoke(
    home: Home,
    fact_ids: Sequence[str],
    *,
    actor: str,
    reason: str,
    request: int | None = None,
    at: datetime | None = None,
    entries: Sequence[tuple[str, Mapping[str, Any]]] = (),
    check: Callable[[Ledger], None] | None = None,
) -> RevokeResult:
    """Take facts back and publish what is left as a new release.

    Args:
        home: which home.
        fact_ids: ids of facts of the champion, or their first characters.
        actor: who does it.
        reason: why, in words.
        request: number of the approved request behind it, where there is one.
        at: when; now where it is not given.
        entries: further ledger entries of the same transaction.
        check: called in that transaction before anything is written; what it raises stops the release.

    Raises:
        InputError: no reason, nothing is published, or the champion knows no such fact.
        BlockedError: a gate forbids what would be left; nothing is published.
        IntegrityError: the base or a delta is not as recorded.
    """
    if not reason.strip():
        raise InputError("a reason", "none", "say with --reason why it is taken back")
    with Workplace.opened(home, None, actor, at or datetime.now(UTC)) as place:
        if place.parent is None:
            raise InputError("a fact that was published", "a home without a release", "run `dmmgov update` first")
        taken = named(place, fact_ids)
        return _Revocation(place, taken, reason.strip(), request, tuple(entries), check).run()


def named(place: Workplace, fact_ids: Sequence[str]) -> list[KnownFact]:
    """The known facts that ids, or their first characters, name; each once.

    Raises:
        InputError: one names none, or several.
    """
    known = {item.fact.id: item for item in place.known}
    found: dict[str, KnownFact] = {}
    for text in fact_ids:
        start = text.strip().lower()
        fits = [key for key in known if len(start) >= ID_CHARS and key.startswith(start)]
        if len(fits) > 1:
            raise InputError("an id that names one fact", f"{text!r}, which names {len(fits)}", "give more of it")
        if not fits:
            raise UnknownNameError("fact of the champion (an id, from `dmmgov ask`)", text, known)
        found[fits[0]] = known[fits[0]]
    if not found:
        raise InputError("at least one fact id", "none", "name one, from `dmmgov ask`")
    return list(found.values())


@dataclass
class _Revocation:
    """One revocation on its way."""

    place: Workplace
    taken: Sequence[KnownFact]
    reason: str
    request: int | None
    entries: tuple[tuple[str, Mapping[str, Any]], ...]
    check: Callable[[Ledger], None] | None
    moved: dict[str, str] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)

    def run(self) -> RevokeResult:
        """Take out, ask again, publish."""
        from pipelines.guard import stored_index, system_gates
        from pipelines.judging.declare import record_family

        place = self.place
        family = record_family(place, quick=True)
        verdicts = self._reweighed()
        events = list(self._events())
        known = view([*place.events, *events])
        with place.timed("gates"):
            index = stored_index(place, known)
            verdicts += system_gates(place, (), _nothing(), known, index)
        failed = [verdict for verdict in verdicts if verdict.decision != "pass"]
        if failed:
            raise BlockedError(f"gate {failed[0].guard}: {failed[0].explanation}; nothing was revoked")
        gates = tuple(verdict.to_dict() for verdict in verdicts)
        outcome = UpdateResult("published", REVOKED, "", gates=gates, family=family, peak_rss_mb=peak_rss_mb())
        with place.timed("publish"), track("publish"):
            number = self._publish(outcome, events, index.name)
        by_id = {item.fact.id: item for item in place.known}
        return RevokeResult(
            number,
            tuple({**_told(item.fact), "memory": item.memory} for item in self.taken),
            tuple({**_told(by_id[key].fact), "reason": why} for key, why in self.moved.items() if key in by_id),
            tuple(_told(event.fact) for event in events if event.kind == "assert" and event.fact.id not in self.moved),
            dict(self.says),
            gates,
            _digest(place),
            dict(place.seconds),
        )

    def _reweighed(self) -> list[Verdict]:
        """Take the facts out of the weights; the verdicts on what is left in them, none where nothing changed there."""
        place = self.place
        ids = [item.fact.id for item in self.taken if item.memory != RAG]
        if not ids:
            return []
        with place.timed("gates"):
            recheck = Recheck.before(place, [item for item in self.taken if item.memory != RAG])
        self._take_out(ids, "it shared one edit with a fact that was revoked")
        with place.timed("gates"):
            verdicts = recheck.after(place, self._gone)
        failed = next((one for one in verdicts if one.decision != "pass"), None)
        if failed is not None:
            rest = recheck.companions(place, self._gone)
            words = f"what was left of its batch did not pass the gate {failed.guard}: {failed.explanation}"
            self._take_out(rest, words)
            with place.timed("gates"):
                verdicts = recheck.after(place, self._gone)
        self.says = recheck.says(place)
        return verdicts

    @property
    def _gone(self) -> frozenset[str]:
        """Ids of everything that has left the weights."""
        return frozenset([*self.moved, *(item.fact.id for item in self.taken)])

    def _take_out(self, ids: Sequence[str], why: str) -> None:
        """Take facts out of the weights, and note those that leave with them."""
        taken = {item.fact.id for item in self.taken}
        with self.place.timed("take out"):
            left = retire(self.place, ids)
        self.moved |= {key: why for key in left if key not in taken}

    def _events(self) -> Iterator[FactEvent]:
        """What the revocation says about the facts."""
        place = self.place
        by_id = {item.fact.id: item for item in place.known}
        for item in self.taken:
            words = f"revoked by {place.actor}: {self.reason}"
            yield event_of(place, "retract", item.fact, None, item.memory, words)
        for fact in ended_by(place.events, self.taken):
            yield event_of(place, "assert", replace(fact, recorded_at=place.at), None, RAG, "what ended it was revoked")
        for key, why in self.moved.items():
            if key in by_id:
                yield event_of(place, "assert", replace(by_id[key].fact, recorded_at=place.at), None, RAG, why)

    def _publish(self, outcome: UpdateResult, events: Sequence[FactEvent], index: str) -> int:
        """Publish what is left; returns the number of the release."""
        place, parent = self.place, self.place.parent
        assert parent is not None, "there is a champion"
        payload = {
            "facts": [item.fact.id for item in self.taken],
            "reason": ToSeal(self.reason),
            "request": self.request,
            "moved": sorted(self.moved),
            "deltas_before": list(parent.deltas),
            "deltas": list(place.deltas),
        }
        draft = ReleaseDraft(
            parent=parent.number,
            model=parent.model,
            base_digest=place.base_digest,
            deltas=place.deltas,
            weights_digest=_digest(place),
            events=tuple(events),
            index=index,
            actor=place.actor,
            gates=outcome.gates,
            summary=summary_of(place, outcome),
            entries=((REVOKED, payload), *gate_entries(outcome), *self.entries),
            check=self.check,
        )
        return commit(place.home, place.ledger, draft, place.at).number


def ended_by(events: Sequence[FactEvent], taken: Sequence[KnownFact]) -> Iterator[Fact]:
    """The facts that the arrival of `taken` ended or took back, as they were asserted, each once.

    They are those of the same subject and relation that the release which brought a taken fact closed or retracted, and
    that nothing later touched.
    """
    last: dict[str, FactEvent] = {}
    asserted: dict[str, Fact] = {}
    brought: dict[str, int] = {}
    for event in events:
        last[event.fact.id] = event
        if event.kind == "assert":
            asserted[event.fact.id] = event.fact
            brought.setdefault(event.fact.id, event.release)
    ids = {item.fact.id for item in taken}
    for item in taken:
        for key, event in last.items():
            same = (event.fact.subject, event.fact.relation) == (item.fact.subject, item.fact.relation)
            if same and key not in ids and event.kind != "assert" and event.release == brought.get(item.fact.id):
                yield asserted[key]


def _nothing() -> Any:
    """No answers about changed facts: a revocation changes none."""
    from pipelines.judging.freshness import Freshness

    return Freshness(())


def _told(fact: Fact) -> dict[str, str]:
    """A fact in words."""
    return {"fact_id": fact.id, "fact": f"{fact.subject}, {fact.relation}: {fact.object}"}


def _digest(place: Workplace) -> str:
    """Digest of the weights as they are now; the parent's where nothing left them."""
    parent = place.parent
    assert parent is not None, "there is a champion"
    return parent.weights_digest if place.deltas == parent.deltas else place.loaded.digest
