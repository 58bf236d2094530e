"""Conflict consistency: do the weights and the index give the same answer about what was written into the weights?

DMM-Gov's CCR (arXiv 2509.18868, panel P3). Every such fact is asked in both memories, so that the share is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from guards.base import Decision, Score, Verdict

SHOWN = 3


@dataclass(frozen=True)
class TwoAnswers:
    """One question answered by both memories.

    Attributes:
        question: what was asked.
        parametric: the answer of the weights, without any context.
        retrieved: the answer of the index, without the model.
        same: whether they name the same thing.
    """

    question: str
    parametric: str
    retrieved: str
    same: bool


@dataclass(frozen=True)
class ConsistencyGuard:
    """Passes when the share of questions on which both memories agree reaches the threshold.

    Attributes:
        threshold: share of all facts in the weights.
    """

    threshold: float = 0.97

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "consistency"

    def judge(self, case: Sequence[TwoAnswers]) -> Verdict:
        """Decide on the answers about every fact in the weights; without any it escalates."""
        if not case:
            return Verdict(self.name, "escalate", "no fact was asked in both memories: nothing shows that they agree")
        same = sum(one.same for one in case)
        share = same / len(case)
        score = Score(self.name, share, share, share, len(case), self.threshold)
        apart = [f"{one.question!r}: {one.parametric!r} and {one.retrieved!r}" for one in case if not one.same]
        more = f" and {len(apart) - SHOWN} more" if len(apart) > SHOWN else ""
        found = (
            f"weights and index agree on {same} of all {len(case)} facts in the weights; {self.threshold:.3f} is asked "
            f"for{': apart are ' + ', '.join(apart[:SHOWN]) + more if apart else ''}"
        )
        decision: Decision = "pass" if share >= self.threshold else "block"
        return Verdict(self.name, decision, found, (score,))
