"""Decide on rows that the guards have looked at: what each would change, who stands behind it, and what becomes of it.

Rows are decided in the order of the feed; what a row brings is known to the rows after it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Literal

from guards.admission import AdmissionPolicy, Reason, against, finding, judge_all
from guards.base import Verdict
from guards.candidates import Candidate
from guards.conflicts import Change, decide
from guards.consensus import Claim, ConsensusGuard, Support, support
from guards.doubts import Arriving, doubts_of
from guards.known import KnownIndex
from guards.origins import Statement
from guards.sensitivity import PERSONAL_DATA
from guards.sources import Sources, Tier
from pipelines.admission.arrivals import arrivals_of, origin_of
from pipelines.admission.feed import COLUMNS
from registry.events import RowRelease
from registry.records import Fact

Outcome = Literal["ADD", "UPDATE", "DELETE", "NOOP", "refused", "quarantined"]
"""What becomes of a row.

ADD, UPDATE, DELETE: it goes on, and does this to what is known.
NOOP: it is true and known; nothing is to be done.
refused: a rule forbids it; the reasons say what would make it pass.
quarantined: it waits for a person, or for more sources.
"""

MAX_RIVALS = 3
WITHDRAWN, REVISION, CONFLICT, CORRECTION = "withdrawn", "revision", "conflict", "correction"
"""The last one is the rule of the first reason of an accepted row that says that what was known was never true."""
UNHEARD = Support(0, 0, "weak", {}, ())
"""Who stands behind a statement where nobody was asked."""
ACCEPTED = ("ADD", "UPDATE", "DELETE")


@dataclass(frozen=True)
class RowOutcome:
    """What became of one row.

    Attributes:
        row: 1-based number in the feed.
        decision: see `Outcome`.
        fact: the row as a fact; None when it is refused, or cannot be read as one.
        prompt: the row's own cloze text with its subject filled in.
        replaces: ids of the known facts that it ends.
        reasons: why; for an accepted row what decided, for another every rule against it.
        raw: the row's original text.
        verdicts: of every guard that looked at it, in order.
        disputed: whether credible sources disagree about it.
        sources: how many independent sources say so.
        confirms: id of the known fact that a NOOP says again; empty otherwise.
    """

    row: int
    decision: Outcome
    fact: Fact | None
    prompt: str | None
    replaces: tuple[str, ...]
    reasons: tuple[Reason, ...]
    raw: str
    verdicts: tuple[Verdict, ...]
    disputed: bool = False
    sources: int = 0
    confirms: str = ""


@dataclass(frozen=True)
class Judged:
    """A row after the guards that look at it alone; `release` is a person's word for it, if there is one."""

    case: Candidate
    verdicts: tuple[Verdict, ...]
    release: RowRelease | None = None


RELEASED = "released"
"""Rule of the last reason of a row that a person released."""


def waived(verdict: Verdict, release: RowRelease | None) -> Verdict:
    """A verdict after a person's word: what the release waives passes, and says on whose word."""
    if release is None or verdict.decision == "pass" or Reason.of(verdict).rule not in release.waives:
        return verdict
    return Verdict(verdict.guard, "pass", f"waived: {release.words}", verdict.scores, verdict.evidence)


class Court:
    """Decides row after row; holds what the rows before have brought."""

    def __init__(
        self,
        judged: Mapping[int, Judged],
        index: KnownIndex,
        policy: AdmissionPolicy,
        sources: Sources,
        today: date,
        as_of: date | None,
    ) -> None:
        """Group the sound rows into claims, one per subject, relation, object and operation.

        Args:
            judged: rows by number, without those of broken shape.
            index: what is known; rows that are accepted are added to it.
            policy: thresholds.
            sources: who is trusted how far.
            today: the day of admission.
            as_of: the day on which undated known facts were true.
        """
        self.judged, self.index, self.policy, self.sources = judged, index, policy, sources
        self.today, self.as_of = today, as_of
        self.guard = ConsensusGuard.of(policy)
        self.doubts, self._votes = doubts_of(policy), self.guard.name not in policy.skipped
        self.facts = {row: each.case.fact() for row, each in judged.items() if against(each.verdicts) == "pass"}
        cases = {row: each.case for row, each in judged.items()}
        asked = {rule: rule not in policy.skipped for rule in (REVISION, WITHDRAWN)}
        self.arrivals = arrivals_of(
            self.facts, cases, index, today, revises=asked[REVISION], withdraws=asked[WITHDRAWN]
        )
        relations = {fact.relation for fact in self.facts.values()}
        self.exclusive = index.exclusive(relations, today, policy.exclusive_least, policy.exclusive)
        self.claims: dict[_Key, list[int]] = defaultdict(list)
        days: dict[_Day, dict[_Key, int]] = defaultdict(dict)
        for row in (row for row in self.facts if row not in self.arrivals.withdrawn):
            key = self._key(row)
            self.claims[key].append(row)
            days[(*key[:2], self.facts[row].valid_from)].setdefault(key, row)
        self._support: dict[_Key, Support] = {}
        several = {day: keys for day, keys in days.items() if len(keys) > 1 and self._votes}
        self._credible = {day: self._credible_of(keys) for day, keys in several.items()}

    def _key(self, row: int) -> "_Key":
        subject, relation = self.index.key(self.facts[row])
        ends = self.judged[row].case.operation == "DELETE"
        return subject, relation, self.index.names.key(self.facts[row].object), ends

    def _credible_of(self, keys: Mapping["_Key", int]) -> "tuple[tuple[_Key, Support], ...]":
        """Of the claims about one subject, relation and day, those that more than a few weak voices make."""
        backed = ((key, self.support(key)) for key in keys if not key[3])
        return tuple((key, backing) for key, backing in backed if self.guard.credible(backing))

    def support(self, key: "_Key") -> Support:
        """Who stands behind one claim."""
        if not self._votes:
            return UNHEARD
        found = self._support.get(key)
        if found is None:
            statements = [_statement(self.judged[row].case) for row in self.claims[key]]
            found = self._support[key] = support(statements, self.sources, self.policy.near_copy)
        return found

    def decide(self, row: int, raw: str, broken: str | None) -> RowOutcome:
        """What becomes of one row."""
        if broken is not None:
            verdict = finding("shape", "block", "", "", broken, "mend the row")
            return RowOutcome(row, "refused", None, None, (), (Reason.of(verdict),), raw, (verdict,))
        judged = self.judged[row]
        against_it = tuple(verdict for verdict in judged.verdicts if verdict.decision != "pass")
        if not against_it and row in self.arrivals.withdrawn:
            against_it = (self._withdrawal(row, judged),)
            judged = Judged(judged.case, (*judged.verdicts, *against_it), judged.release)
            against_it = tuple(verdict for verdict in against_it if verdict.decision != "pass")
        if not against_it:
            return self._weigh(row, raw, judged)
        verdicts = judged.verdicts
        private = tuple(each for each in against_it if each.guard == PERSONAL_DATA and each.decision == "block")
        if private:
            # Other verdicts quote the cells, and would show what must not be shown.
            against_it, verdicts = private, (*(each for each in verdicts if each.decision == "pass"), *private)
        refused = against(against_it) == "block"
        reasons = tuple(Reason.of(verdict) for verdict in against_it)
        fact = None if refused else _fact_if_any(judged.case)
        prompt = None if private else judged.case.prompt
        return RowOutcome(row, "refused" if refused else "quarantined", fact, prompt, (), reasons, raw, verdicts)

    def _withdrawal(self, row: int, judged: Judged) -> Verdict:
        """The verdict on a row that its own source took back in the same feed."""
        later = self.arrivals.withdrawn[row]
        problem = f"its source took it back on {self.arrivals.by_row[later].observed} (row {later})"
        verdict = finding(WITHDRAWN, "block", "object", self.facts[row].object, problem, "nothing is to be done")
        return waived(verdict, judged.release)

    def _weigh(self, row: int, raw: str, judged: Judged) -> RowOutcome:
        """Decide on a sound row by what it would change and who says so."""
        fact, case, arrival = self.facts[row], judged.case, self.arrivals.by_row[row]
        change = decide(fact, case.operation, self.index, case.relation, self.today, self.as_of, arrival)
        backing, rivals = self.support(self._key(row)), self._rivals(row, change)
        risk = case.relation.risk_tier if case.relation else "low"
        verdict = Verdict(self.guard.name, "pass", "not asked")
        if self._votes:
            verdict = self.guard.judge(Claim(change, backing, rivals, self._tier_of(change), risk, fact))
        doubts = self._doubted(fact, judged, change)
        verdicts = (*(each for each in doubts if each.decision != "pass"), waived(verdict, judged.release))
        decision = _outcome(change, verdicts)
        replaces = change.replaces if decision in ACCEPTED else ()
        self._file(decision, fact, change, replaces, arrival.observed)
        corrects = change.effect == "contradiction" or change.nature == "correction"
        effect = Reason(CORRECTION if corrects else CONFLICT, "object", fact.object, change.words)
        told = tuple(Reason.of(each) for each in verdicts if decision in ("NOOP", *ACCEPTED) or each.decision != "pass")
        reasons = (effect, *told) if decision in ACCEPTED else told or (effect,)
        if judged.release is not None:
            reasons = (*reasons, Reason(RELEASED, "", "", judged.release.words))
        return RowOutcome(
            row,
            decision,
            fact=None if decision == "refused" else fact,
            prompt=case.prompt,
            replaces=replaces,
            reasons=reasons,
            raw=raw,
            verdicts=(*judged.verdicts, *doubts, verdicts[-1]),
            disputed=bool(rivals),
            sources=backing.votes,
            confirms=change.known.id if decision == "NOOP" and change.known is not None else "",
        )

    def _tier_of(self, change: Change) -> Tier:
        """How far the source of the known fact is trusted that a change touches; what changes nothing touches none."""
        if change.known is None or change.effect == "NOOP":
            return "weak"
        return self.sources.find(change.known.source, change.known.source_url).tier

    def _rivals(self, row: int, change: Change) -> tuple[Support, ...]:
        """Credible claims of another object from the same day on, where only one can be true; the first few of them."""
        fact, relation = self.facts[row], self.judged[row].case.relation
        if change.effect == "NOOP" or (relation is not None and relation.cardinality == "many"):
            return ()
        others = self._credible.get((*self.index.key(fact), fact.valid_from), ())
        same = self.index.names.same_object
        rivals = (
            backing
            for key, backing in others
            if not same(fact, self.facts[self.claims[key][0]], relation) and not self._one_after_another(row, key)
        )
        return tuple(islice(rivals, MAX_RIVALS))

    def _one_after_another(self, row: int, key: "_Key") -> bool:
        """Whether a claim is the same source's of another day: it says first the one and then the other."""
        own, observed = origin_of(self.facts[row]), self.arrivals.by_row[row].observed
        if observed is None:
            return False
        days = (self.arrivals.by_row[other].observed for other in self.claims[key])
        alone = all(origin_of(self.facts[other]) == own for other in self.claims[key])
        return alone and all(day is not None and day != observed for day in days)

    def _doubted(self, fact: Fact, judged: Judged, change: Change) -> tuple[Verdict, ...]:
        """What makes a change doubtful, whoever stands behind it; a guard that fails doubts."""
        if change.effect not in ("ADD", "UPDATE"):
            return ()
        case = Arriving(fact, judged.case, change, self.index, self.today, self.exclusive)
        return tuple(waived(each, judged.release) for each in judge_all(self.doubts, case))

    def _file(
        self, decision: Outcome, fact: Fact, change: Change, replaces: tuple[str, ...], said: date | None
    ) -> None:
        """Let the rows after this one know what it brought."""
        if decision in ("ADD", "UPDATE"):
            self.index.add(fact, replaces, said)
        elif decision == "DELETE":
            self.index.end(replaces, fact.valid_to or said)
        elif decision == "NOOP" and change.known is not None:
            self.index.repeated(change.known, said)


_Key = tuple[str, str, str, bool]
"""A claim: canonical subject, relation, canonical object, and whether it says that the fact ends."""
_Day = tuple[str, str, date | None]


def _statement(case: Candidate) -> Statement:
    """A row as its origin goes; words that the feed has beside its known columns tell copies."""
    further = case.cells.keys() - COLUMNS and [text for name, text in case.cells.items() if name not in COLUMNS]
    return Statement(case.cell("source"), case.cell("source_url"), " ".join(further))


def _fact_if_any(case: Candidate) -> Fact | None:
    """The row as a fact for a person to look at, if its cells can be read as one."""
    try:
        return case.fact()
    except ValueError:
        return None


def _outcome(change: Change, verdicts: tuple[Verdict, ...]) -> Outcome:
    """What becomes of a row by what it does, by the doubts about it, and by the consensus on it."""
    found = against(verdicts)
    if found == "block" or (found == "pass" and change.effect == "older"):
        return "refused"
    if found == "escalate" or change.effect == "older":
        return "quarantined"
    return "UPDATE" if change.effect == "contradiction" else change.effect
