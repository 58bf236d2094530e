"""Freshness: whether the system answers what changed, and still answers what did not.

What changed is asked completely, so its share is exact and needs no interval. What did not change is a sample, judged
by the bound of its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from guards.base import Decision, Score, Verdict
from guards.stats import CONFIDENCE, wilson
from registry.ranges import Share, Some

SHOWN = 3


@dataclass(frozen=True)
class SystemPolicy:
    """What the whole system must show before a release is published.

    Attributes:
        changed: share of all changed facts that are answered rightly, each from its memory.
        retrieval: lower bound of the share of known facts that the index answers.
        sample: how many known facts are asked for it.
    """

    changed: Share = 0.97
    retrieval: Share = 0.85
    sample: Some = 60


@dataclass(frozen=True)
class Answered:
    """One fact that the system was asked about.

    Attributes:
        what: the question, in words.
        right: whether the answer was right.
        said: the answer.
    """

    what: str
    right: bool
    said: str


@dataclass(frozen=True)
class ChangedGuard:
    """Passes when the share of changed facts that are answered rightly, each from its memory, reaches the threshold.

    Attributes:
        threshold: share of all changed facts.
    """

    threshold: float = 0.97

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "freshness"

    def judge(self, case: Sequence[Answered]) -> Verdict:
        """Decide on the answers about every changed fact; without any it escalates."""
        if not case:
            return Verdict(self.name, "escalate", "no changed fact was asked about: nothing shows that one is answered")
        right = sum(one.right for one in case)
        share = right / len(case)
        score = Score(self.name, share, share, share, len(case), self.threshold)
        found = f"{right} of all {len(case)} changed facts are answered rightly; {self.threshold:.3f} is asked for"
        decision: Decision = "pass" if share >= self.threshold else "block"
        return Verdict(self.name, decision, f"{found}{_misses(case)}", (score,))


@dataclass(frozen=True)
class RetrievalGuard:
    """Passes when the lower bound of the share of known facts that the index still answers reaches the threshold.

    Attributes:
        threshold: what Wilson's lower bound must reach.
        confidence: of the interval.
    """

    threshold: float = 0.85
    confidence: float = CONFIDENCE

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "retrieval"

    def judge(self, case: Sequence[Answered]) -> Verdict:
        """Decide on a sample of what is known; without any it escalates."""
        if not case:
            return Verdict(self.name, "escalate", "no known fact was asked about: nothing shows that the index answers")
        right = sum(one.right for one in case)
        interval = wilson(right, len(case), confidence=self.confidence)
        score = Score(self.name, interval.value, interval.low, interval.high, interval.n, self.threshold)
        found = (
            f"{right} of {interval.n} known facts are answered from the index, which shows at least "
            f"{interval.low:.3f}; {self.threshold:.3f} is asked for"
        )
        decision: Decision = "pass" if interval.low >= self.threshold else "block"
        return Verdict(self.name, decision, f"{found}{_misses(case)}", (score,))


def _misses(case: Sequence[Answered]) -> str:
    """The first wrong answers, in words."""
    wrong = [f"{one.what!r} gives {one.said!r}" for one in case if not one.right]
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return f": wrong are {', '.join(wrong[:SHOWN])}{more}" if wrong else ""
