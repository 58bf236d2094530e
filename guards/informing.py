"""What is told and does not decide: shares around an edit that few cases stand behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from guards.base import Score, Verdict
from guards.observations import Observation, ObservationKind, of_kind
from guards.stats import CONFIDENCE, wilson

WORDS: dict[ObservationKind, str] = {
    "alias": "answered by another name of the subject",
    "reversal": "answered from the object",
    "two_hop": "drawn through one more fact",
    "negation": "not said where the prompt denies it",
}
RETAINED: tuple[ObservationKind, ...] = ("neighbourhood", "same_subject", "drawdown", "capability")
"""Kinds of which only what was right before can be lost."""


@dataclass(frozen=True)
class InformingGuard:
    """Tells a share with its interval; passes always, and says so.

    Attributes:
        kind: what it tells.
        confidence: of the interval.
    """

    kind: ObservationKind
    confidence: float = CONFIDENCE

    @property
    def name(self) -> str:
        """The kind of observation that it tells."""
        return self.kind

    def judge(self, case: Sequence[Observation]) -> Verdict:
        """The share right after (of what was right before, where only that can be lost), without a threshold."""
        cases = of_kind(case, self.kind)
        if self.kind in RETAINED:
            cases = [one for one in cases if one.before]
        if not cases:
            return Verdict(self.name, "pass", f"informs only: nothing could be asked of {self.kind}")
        right = sum(one.after for one in cases)
        interval = wilson(right, len(cases), confidence=self.confidence)
        score = Score(self.name, interval.value, interval.low, interval.high, interval.n)
        found = f"{right} of {interval.n} {WORDS.get(self.kind, 'still right')}"
        return Verdict(self.name, "pass", f"informs only: {found} [{interval.low:.3f}, {interval.high:.3f}]", (score,))
