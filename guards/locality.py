"""Whether what should not move stayed: neighbours, other facts of the subject, facts that nothing touches.

Only what was right before can be lost, so the share is taken over the observations that were right before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from guards.base import Verdict
from guards.efficacy import bound_verdict
from guards.observations import Observation, ObservationKind, lost_facts, of_kind
from guards.stats import CONFIDENCE, excess_p, mcnemar_exact, score_p


@dataclass(frozen=True)
class RetainedGuard:
    """Passes when Wilson's lower bound of the share still right, of those right before, reaches the threshold.

    Attributes:
        kind: "neighbourhood", "same_subject", "drawdown" or "capability".
        threshold: what the bound must reach.
        confidence: of the interval.
    """

    kind: ObservationKind
    threshold: float
    confidence: float = CONFIDENCE

    @property
    def name(self) -> str:
        """The kind of observation that it judges."""
        return self.kind

    def judge(self, case: Sequence[Observation]) -> Verdict:
        """Decide on the observations of this guard's kind; without any that was right before it escalates.

        The evidence holds the exact McNemar test over all of them, also those that were wrong before.
        """
        cases = of_kind(case, self.kind)
        held = [one for one in cases if one.before]
        kept = sum(one.after for one in held)
        verdict = bound_verdict(self.name, kept, held, self.threshold, self.confidence, "still right")
        paired = mcnemar_exact([one.before for one in cases], [one.after for one in cases])
        evidence = (("gained", str(paired.gained)), ("lost", str(paired.lost)), ("mcnemar_p", f"{paired.p:.4g}"))
        return replace(verdict, evidence=evidence)

    def p_value(self, case: Sequence[Observation]) -> float:
        """Probability of so good a result if the true share were the threshold; 1 without observations."""
        held = [one for one in of_kind(case, self.kind) if one.before]
        return score_p(sum(one.after for one in held), len(held), self.threshold) if held else 1.0

    def drop_p(self, case: Sequence[Observation], tolerated: float) -> float:
        """Probability of so great a loss if each fact that was right before were lost with chance `tolerated`.

        The null of this test is "no more was lost than is tolerated", the reverse of `p_value`'s: a small one shows
        that something broke. 1 without observations.
        """
        lost, held = lost_facts(case, self.kind)
        return excess_p(lost, held, tolerated) if held else 1.0
