"""Which evidence shows that knowledge was updated, and which may only be memory.

Of what happened before its training data ends a model may have read the answer, so that a right answer says nothing
about the update, and neither instructions nor masking mend that (A. Lopez-Lira et al., "The Memorization Problem",
arXiv 2504.14765). Only facts that began after the cutoff, and counterfactual ones, count as evidence of updating.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from guards.base import Decision, Score, Verdict
from guards.stats import CONFIDENCE, wilson

Standing = Literal["counts", "before_cutoff", "undated", "known_before"]
"""What an answer about a fact is evidence of.

counts: of updating; the fact began after the cutoff, or never was true.
before_cutoff: of nothing; the model may have read it in training.
undated: of nothing; nobody says when the fact began.
known_before: of nothing; the model answered it before anything was written.
"""


@dataclass(frozen=True)
class Answered:
    """One changed fact and what was answered about it.

    Attributes:
        name: for a person.
        valid_from: first day on which the fact holds; None where that is not known.
        right: whether the answer after the update was right.
        right_before: whether the model's answer before the update was right already; None where it was not asked.
        counterfactual: whether the fact is known to be untrue in the world.
    """

    name: str
    valid_from: date | None
    right: bool
    right_before: bool | None = None
    counterfactual: bool = False


def standing(one: Answered, cutoff: date) -> Standing:
    """What the answer is evidence of, for a model whose training data ends on `cutoff`."""
    if one.right_before:
        return "known_before"
    if one.counterfactual:
        return "counts"
    if one.valid_from is None:
        return "undated"
    return "counts" if one.valid_from > cutoff else "before_cutoff"


@dataclass(frozen=True)
class CutoffGuard:
    """Passes when a claim of updating rests on enough answers that count.

    Attributes:
        cutoff: last day of which the model can have read; None where nobody knows.
        least: with fewer answers that count, nothing is decided.
        threshold: what Wilson's lower bound of the share right, among those that count, must reach.
        confidence: of the intervals.
    """

    cutoff: date | None
    least: int = 10
    threshold: float = 0.5
    confidence: float = CONFIDENCE
    name: str = "cutoff"

    def judge(self, case: Sequence[Answered]) -> Verdict:
        """Escalate where too little counts, block where what counts is wrong; the rest is told apart, never mixed."""
        if self.cutoff is None:
            words = "expected the day on which the model's training data ends, found none; state it in the policy"
            return Verdict(self.name, "escalate", words)
        groups: dict[Standing, list[Answered]] = {}
        for one in case:
            groups.setdefault(standing(one, self.cutoff), []).append(one)
        scores = tuple(self._score(kind, group) for kind, group in sorted(groups.items()))
        counted = groups.get("counts", [])
        evidence = tuple((kind, ", ".join(one.name for one in group[:5])) for kind, group in sorted(groups.items()))
        decision, words = self._decide(counted, len(case))
        return Verdict(self.name, decision, words, scores, evidence)

    def _decide(self, counted: Sequence[Answered], n: int) -> tuple[Decision, str]:
        """The decision and why."""
        if len(counted) < self.least:
            return "escalate", (
                f"expected at least {self.least} answers about facts from after {self.cutoff} or counterfactual ones, "
                f"found {len(counted)} of {n}; the others may be memory: claim no updating from them, or ask of newer "
                "facts"
            )
        found = wilson(sum(one.right for one in counted), len(counted), confidence=self.confidence)
        told = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}) of the {found.n} that count, of {n}, are right"
        if found.low < self.threshold:
            return "block", f"expected a lower bound of at least {self.threshold:g}, found {told}; claim no updating"
        return "pass", told

    def _score(self, kind: Standing, group: Sequence[Answered]) -> Score:
        """Share of a group that is right."""
        found = wilson(sum(one.right for one in group), len(group), confidence=self.confidence)
        return Score(kind, found.value, found.low, found.high, found.n, self.threshold if kind == "counts" else None)
