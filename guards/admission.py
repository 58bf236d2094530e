"""What a row of a feed must be like before anyone asks whether it is true: provenance, dates, relation, types.

Each rule is a small frozen guard that judges one `Candidate` and returns a `Verdict` whose explanation names the
column, the value and what would make the row pass. "block" refuses the row, "escalate" puts it into quarantine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from guards.base import Decision, Guard, Verdict
from guards.candidates import Candidate
from guards.copies import NEAR_COPY
from registry.catalogue import SUBJECT, Catalogue
from registry.ranges import Share, Some
from registry.records import Sensitivity

SHOWN_CHARS = 60


@dataclass(frozen=True)
class AdmissionPolicy:
    """Thresholds of the admission; `conf/policy.yaml` sets them.

    Attributes:
        max_chars: longest subject, object or source.
        max_prompt_chars: longest prompt of a row's own.
        quorum: how many independent sources carry a statement together; `listed` of them must be listed ones.
        established_alone: whether an established source may change what is known without the quorum.
        high_risk_votes: how many of them a relation of risk tier "high" then needs.
        min_members: how many known names a type needs before it can speak against a name of another type.
        near_copy: overlap of runs of letters (Jaccard, 0 to 1) from which two texts count as one.
        spelling: how alike two words of a person's name must be (0 to 1) to be spellings of one word.
        refused_sensitivities: declared sensitivities that a feed may not bring.
        slip: how alike the name of an unknown subject must be to a known one's (0 to 1) to wait as a slip.
        returning: share of a relation's expected lifetime within which an undated object may not come back.
        exclusive: share of a relation's facts (`exclusive_least` at least) with one subject to an object.
        skipped: rules that are not asked, to measure what they are worth.
    """

    max_chars: Some = 200
    max_prompt_chars: Some = 500
    quorum: int = 3
    listed: int = 0
    established_alone: bool = False
    high_risk_votes: int = 1
    min_members: Some = 5
    near_copy: Share = NEAR_COPY
    spelling: Share = 0.8
    refused_sensitivities: tuple[Sensitivity, ...] = ("personal", "secret")
    slip: Share = 0.9
    returning: Share = 0.02
    exclusive: Share = 0.95
    exclusive_least: Some = 20
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse numbers under which nobody would have to vouch for a statement, or nobody could.

        Raises:
            ValueError: a quorum or `high_risk_votes` under 1, or `listed` outside 0 to the quorum.
        """
        if self.quorum < 1 or self.high_risk_votes < 1:
            raise ValueError(f"quorum and high_risk_votes are 1 at least, got {self.quorum} and {self.high_risk_votes}")
        if not 0 <= self.listed <= self.quorum:
            raise ValueError(f"listed is 0 to the quorum of {self.quorum}, got {self.listed}")


@dataclass(frozen=True)
class Reason:
    """Why a row became what it became, for a person.

    Attributes:
        rule: name of the guard, or of the rule of it that decided.
        column: which column it is about; empty when it is about the row.
        value: what stood there, shortened, and masked where it is personal.
        words: what is wrong and what would make the row pass.
    """

    rule: str
    column: str
    value: str
    words: str

    @classmethod
    def of(cls, verdict: Verdict) -> "Reason":
        """The reason that a verdict gives."""
        about = dict(verdict.evidence)
        rule, column = about.get("rule", verdict.guard), about.get("column", "")
        return cls(rule, column, about.get("value", ""), verdict.explanation)


def finding(guard: str, decision: Decision, column: str, value: str, problem: str, remedy: str) -> Verdict:
    """A verdict against a row, in the one form that all rules use."""
    seen = shown(value)
    place = f"{column} {seen!r}: " if column else ""
    evidence = (("column", column), ("value", seen))
    return Verdict(guard, decision, f"{place}{problem}; {remedy}", evidence=evidence)


def shown(value: str) -> str:
    """A value as a report may show it: printable, and not longer than `SHOWN_CHARS`."""
    printable = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in value[:SHOWN_CHARS])
    return f"{printable}…" if len(value) > SHOWN_CHARS else printable


@dataclass(frozen=True)
class ProvenanceGuard:
    """Somebody must have said it."""

    name: str = "provenance"

    def judge(self, case: Candidate) -> Verdict:
        """Block a row that names neither a source nor where it was said."""
        if case.cell("source") or case.cell("source_url"):
            return Verdict(self.name, "pass", "the row says where it comes from")
        return finding(self.name, "block", "source", "", "nobody is named who says so", "name the source")


@dataclass(frozen=True)
class TimeGuard:
    """Dates are days of the calendar, in order, and not in the future."""

    name: str = "dates"

    def judge(self, case: Candidate) -> Verdict:
        """Block malformed dates, a start in the future, and an end that does not come after the start."""
        today = case.at.date()
        for column in ("valid_from", "valid_to", "observed_at"):
            if column not in case.days:
                text = case.cell(column)
                return finding(self.name, "block", column, text, "not a day of the calendar", "write it as YYYY-MM-DD")
        start, end, observed = case.days["valid_from"], case.days["valid_to"], case.days["observed_at"]
        if start and start > today:
            remedy = f"hand the row in on that day (today is {today})"
            return finding(self.name, "block", "valid_from", case.cell("valid_from"), "lies in the future", remedy)
        if observed and observed > today:
            remedy = f"correct the day of observation (today is {today})"
            return finding(self.name, "block", "observed_at", case.cell("observed_at"), "lies in the future", remedy)
        if start and end and end <= start:
            problem = f"the fact ends before it begins ({start})"
            return finding(self.name, "block", "valid_to", case.cell("valid_to"), problem, "correct one of the dates")
        return Verdict(self.name, "pass", "the dates are in order")


@dataclass(frozen=True)
class RelationGuard:
    """The relation is in the catalogue, or the row says itself how to ask for the fact."""

    catalogue: Catalogue
    max_prompt_chars: int
    name: str = "relation"

    def judge(self, case: Candidate) -> Verdict:
        """Block an unknown relation without a prompt, and a prompt that does not hold the subject."""
        if case.prompt is not None:
            return self._judge_prompt(case, case.prompt)
        if case.relation is not None:
            return Verdict(self.name, "pass", "the relation is in the catalogue")
        near = get_close_matches(case.cell("relation")[:100], list(self.catalogue.relations), n=3)
        known = " or ".join(near) if near else ", ".join(sorted(self.catalogue.relations))
        remedy = f"use {known}, or give the row a prompt of its own"
        return finding(self.name, "block", "relation", case.cell("relation"), "not in the catalogue", remedy)

    def _judge_prompt(self, case: Candidate, prompt: str) -> Verdict:
        if case.cell("subject") not in prompt:
            problem = f"does not hold the subject {shown(case.cell('subject'))!r}"
            return finding(self.name, "block", "prompt", prompt, problem, f"write the subject or {SUBJECT} into it")
        if len(prompt) > self.max_prompt_chars:
            problem = f"has {len(prompt)} characters"
            return finding(self.name, "block", "prompt", prompt, problem, f"keep to {self.max_prompt_chars}")
        return Verdict(self.name, "pass", "the row brings its own prompt")


@dataclass(frozen=True)
class DeclaredSensitivityGuard:
    """A feed may not bring what it calls personal or secret itself."""

    refused: tuple[Sensitivity, ...]
    name: str = "declared_sensitivity"

    def judge(self, case: Candidate) -> Verdict:
        """Block a row that is declared as one of the refused sensitivities."""
        declared = case.cell("sensitivity")
        if declared in self.refused:
            remedy = "leave it out, or have a person request it"
            return finding(self.name, "block", "sensitivity", declared, "is not taken from a feed", remedy)
        return Verdict(self.name, "pass", "nothing sensitive is declared")


_Case = TypeVar("_Case")


def judge_all(guards: Sequence[Guard[_Case]], case: _Case) -> tuple[Verdict, ...]:
    """All verdicts on a case, in the order of the chain; a guard that fails is "escalate", and the others still run."""
    verdicts = []
    for guard in guards:
        try:
            verdicts.append(guard.judge(case))
        except Exception as error:
            problem = f"the check did not run ({type(error).__name__}: {error})"
            verdicts.append(finding(guard.name, "escalate", "", "", problem, "a person has to look at the row"))
    return tuple(verdicts)


def against(verdicts: Iterable[Verdict]) -> Decision:
    """What all verdicts together decide: one "block" refuses, else one "escalate" holds the row back."""
    decisions = {verdict.decision for verdict in verdicts}
    if "block" in decisions:
        return "block"
    return "escalate" if "escalate" in decisions else "pass"
