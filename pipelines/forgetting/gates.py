"""The release without what is forgotten, judged: the gates are asked again, as for a revocation.

What is given up where a gate does not pass, in this order:

1. the rest of a batch out of which something was taken leaves the weights and lives in the index;
2. the suppression is left out: `ask` does not ask the weights about what was forgotten anyway;
3. the release, and with it the forgetting, unless a person overrules the gates and says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from guards.base import Verdict
from pipelines.forgetting.artifacts import Cleaner
from pipelines.forgetting.plan import Plan
from pipelines.judging.declare import record_family
from pipelines.judging.freshness import Freshness
from pipelines.judging.rechecks import Recheck
from pipelines.releasing.inventory import model_place
from pipelines.releasing.record import event_of
from pipelines.route import RAG
from pipelines.workplace import Workplace
from registry.artifacts import checked
from registry.errors import DmmGovError
from registry.events import FactEvent, view
from registry.records import EditRequest, KnownFact, Release

REASON = "forgotten on request"
"""Reason of the retraction: the person's own words are kept as a digest only."""
SHARED = "it shared one edit with a fact that was forgotten"


@dataclass(frozen=True)
class Weighed:
    """The release that could be published, and what the gates say about it.

    Attributes:
        deltas: digests of its deltas, in order.
        weights_digest: digest of its weights.
        index: digest of its index.
        events: what it says about the facts.
        verdicts: of the gates.
        family: digest of their declaration.
        moved: why facts that stay known live in the index now, by id.
        suppression: figures on what the model itself said.
    """

    deltas: tuple[str, ...]
    weights_digest: str
    index: str
    events: tuple[FactEvent, ...]
    verdicts: tuple[Verdict, ...]
    family: str
    moved: dict[str, str]
    suppression: dict[str, Any]

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The gates that do not pass."""
        return tuple(one for one in self.verdicts if one.decision != "pass")


@dataclass
class Weighing:
    """One release without some facts on its way to the gates.

    Attributes:
        place: the workplace; its parent is the champion.
        cleaner: makes the champion's artefacts without the facts.
        plan: what is to be forgotten.
        held: those of the facts that the champion knows.
    """

    place: Workplace
    cleaner: Cleaner
    plan: Plan
    held: Sequence[KnownFact]
    why: str = SHARED
    suppression: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Weighed:
        """Take out, suppress, ask the gates."""
        place, champion = self.place, self.champion
        family = record_family(place, quick=True)
        chain = self.cleaner.chain_of(champion)
        place.deltas, place.base_digest, digest = chain.deltas, chain.base, chain.weights_digest
        verdicts: list[Verdict] = []
        if chain.why or model_place(place.home, champion.model) is None:
            self.why = f"the deltas cannot be taken apart: {chain.why}" if chain.why else self.why
            self.suppression = {"why": "there is no model on this machine to ask"}
        else:
            place.loaded = self.cleaner.model_of(champion)
            verdicts = self._suppressed(self._left())
            digest = place.loaded.digest
        moved = self._moved()
        events = tuple(self._events(moved))
        change = self.cleaner.change_of(champion)
        index = str(change.get("index_snapshot", champion.index_snapshot))
        verdicts += self._system(view([*place.events, *events]), place.home.snapshots / index)
        return Weighed(place.deltas, digest, index, events, tuple(verdicts), family, moved, self.suppression)

    @property
    def champion(self) -> Release:
        """The release that knows them."""
        assert self.place.parent is not None, "there is a champion"
        return self.place.parent

    @cached_property
    def requests(self) -> tuple[EditRequest, ...]:
        """The prompts about what is to be forgotten."""
        from pipelines.forgetting.suppress import request_of

        return tuple(request_of(self.plan.catalogue, fact) for fact in self.plan.facts)

    @cached_property
    def recheck(self) -> Recheck:
        """What the base model said; asked where something in the weights changes."""
        taken = [item for item in self.held if item.memory != RAG]
        return Recheck.before(self.place, taken, hidden=self.requests)

    def _left(self) -> list[Verdict]:
        """The verdicts on what is left in the weights; where one does not pass, the rest of the batch leaves them."""
        from pipelines.releasing.retire import retire

        place = self.place
        if self._same:
            return []
        verdicts = self._after()
        failed = next((one for one in verdicts if one.decision != "pass"), None)
        if failed is None:
            return verdicts
        rest = self.recheck.companions(place, self._gone)
        if not rest:
            return verdicts
        self.why = f"what was left of its batch did not pass the gate {failed.guard}"
        retire(place, rest)
        return self._after()

    def _suppressed(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Hide what the model says without having been taught it, where the gates pass with that on."""
        from pipelines.forgetting.suppress import suppress
        from pipelines.releasing.rebuild import rebuild

        place, before = self.place, self.place.deltas
        digest = place.loaded.digest
        found = suppress(place.home, place.ledger, self.champion, place.loaded, self.plan.facts, place.at)
        self.suppression = {"asked": found.asked, "said": found.said, "suppressed": found.suppressed, "why": found.why}
        if not found.deltas:
            return verdicts
        place.deltas, place.loaded = (*before, *found.deltas), found.model
        hidden = self._after()
        failed = next((one for one in hidden if one.decision != "pass"), None)
        if failed is None:
            return hidden
        words = f"the suppression did not pass the gate {failed.guard} and was left out"
        self.suppression |= {"suppressed": 0, "why": words}
        place.deltas = before
        stood = replace(self.champion, base_digest=place.base_digest, deltas=before, weights_digest=digest)
        place.loaded = rebuild(place.home, stood, device="cpu")
        return verdicts

    def _after(self) -> list[Verdict]:
        """The gates on the weights as they are now."""
        return self.recheck.after(self.place, self._gone)

    @property
    def _same(self) -> bool:
        """Whether nothing left the weights."""
        place, champion = self.place, self.champion
        return (place.base_digest, place.deltas) == (champion.base_digest, champion.deltas)

    @property
    def _gone(self) -> frozenset[str]:
        """Ids of everything that is known to have left the weights."""
        return frozenset((*self.plan.ids, *self._moved()))

    def _moved(self) -> dict[str, str]:
        """Facts that stay known and whose edit is gone, by id, with the reason."""
        from editors import read_delta

        place = self.place
        if self._same:
            return {}
        left = {one for digest in place.deltas for one in read_delta(checked(place.home.deltas, digest)).fact_ids}
        known = [item.fact.id for item in place.known if item.memory != RAG]
        return {one: self.why for one in known if one not in left and one not in self.plan.ids}

    def _events(self, moved: dict[str, str]) -> list[FactEvent]:
        """What the release says about the facts."""
        place = self.place
        gone = [event_of(place, "retract", item.fact, None, item.memory, REASON) for item in self.held]
        stay = [item.fact for item in place.known if item.fact.id in moved]
        return gone + [
            event_of(place, "assert", replace(fact, recorded_at=place.at), None, RAG, moved[fact.id]) for fact in stay
        ]

    def _system(self, known: Sequence[KnownFact], index: Path) -> list[Verdict]:
        """The gates on what the whole system still answers; what cannot be asked is not shown."""
        from pipelines.guard import system_gates

        try:
            return list(system_gates(self.place, (), Freshness(()), known, index))
        except DmmGovError as error:
            return [Verdict("retrieval", "escalate", f"the index cannot be asked: {error}")]
