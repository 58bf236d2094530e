"""Whether what was written is answered: in its own prompt, and in phrasings that fitting never saw.

The thresholds of all gates of an update stand here too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from guards.base import Decision, Score, Verdict
from guards.observations import Observation, ObservationKind, failures, of_kind
from guards.stats import CONFIDENCE, cases_needed, score_p, wilson
from registry.errors import InputError
from registry.ranges import Amount, Growth, Level, Share, Some
from registry.records import RiskTier

TOLERATED: Mapping[ObservationKind, float] = {"neighbourhood": 0.02, "drawdown": 0.01, "capability": 0.02}
"""Share of the facts right before that may be lost before a loss can count as shown; neighbours are reached first."""


@dataclass(frozen=True)
class TierThresholds:
    """What the bound of each gate's interval must reach in one risk tier.

    A bound lies well below the share that was measured while cases are few: with a confidence of .95, a perfect score
    gives .68 for 8 cases, .84 for 20, .93 for 50, .975 for 150, and 145 of 150 (.967) gives .92. A threshold is
    therefore set on what the evidence of one update can show, not on the share that one hopes for, and the fewer
    cases there are, the fewer failures pass.

    Attributes:
        efficacy: share of written facts answered rightly in their own prompt, lower bound.
        generalisation: share answered rightly in phrasings never used in fitting, lower bound.
        neighbourhood: share of neighbours right before that are still right, lower bound.
        same_subject: share of other facts of the subject right before that are still right, lower bound.
        drawdown: share of untouched facts right before that are still right, lower bound.
        perplexity_ratio: perplexity of running text after / before, upper bound.
        capability: share of general questions right before that are still right, lower bound.
        entropy_loss: bits by which the n-gram entropy of long generated text may fall, upper bound.
    """

    efficacy: Share
    generalisation: Share
    neighbourhood: Share
    same_subject: Share
    drawdown: Share
    perplexity_ratio: Growth
    capability: Share = 0.80
    entropy_loss: Amount = 1.5


@dataclass(frozen=True)
class GatePolicy:
    """How strict the gates of an update are.

    Attributes:
        confidence: of every interval (two-sided).
        family_alpha: chance that any of the gates passes although its true figure misses the threshold (Holm).
        resamples: draws of a bootstrap.
        seed: of the bootstrap.
        gates: the observations without which nothing passes.
        informs: observations whose share is told with its interval and never blocks. What is in neither is not judged.
        tolerated: share of the facts right before that may be lost in some phrasing, by kind; a loss that it does not
            explain blocks, even where the bound still reaches the threshold (`guards.power`).
        consistency: share of the facts in the weights whose retrieved answer must be the same one, all asked.
        low: thresholds of facts whose error does little harm. What can pass at all: 5 prompts of written facts, 9
            neighbours, 22 untouched facts, all of them right.
        medium: thresholds of ordinary facts; at least 6, 12 and 29.
        high: thresholds of facts whose error does harm; at least 9, 22 and 45.
    """

    confidence: Level = 0.95
    family_alpha: Level = 0.05
    resamples: Some = 2_000
    seed: int = 0
    gates: tuple[ObservationKind, ...] = ("efficacy", "generalisation", "neighbourhood", "drawdown")
    informs: tuple[ObservationKind, ...] = ()
    tolerated: Mapping[ObservationKind, Share] = field(default_factory=lambda: dict(TOLERATED))
    consistency: Share = 0.97
    low: TierThresholds = TierThresholds(0.55, 0.45, 0.70, 0.50, 0.85, 1.15, 0.80, 1.5)
    medium: TierThresholds = TierThresholds(0.60, 0.50, 0.75, 0.60, 0.88, 1.10, 0.85, 1.25)
    high: TierThresholds = TierThresholds(0.70, 0.60, 0.85, 0.70, 0.92, 1.05, 0.90, 1.0)

    def tier(self, name: RiskTier) -> TierThresholds:
        """Thresholds of one risk tier.

        Raises:
            InputError: there is no such tier.
        """
        tiers = {"low": self.low, "medium": self.medium, "high": self.high}
        if name not in tiers:
            raise InputError("one of the risk tiers low, medium, high", repr(name), "name one of them")
        return tiers[name]


@dataclass(frozen=True)
class WrittenGuard:
    """Passes when Wilson's lower bound of the share answered rightly by the final model reaches the threshold.

    Attributes:
        kind: "efficacy" or "generalisation".
        threshold: what the bound must reach.
        confidence: of the interval.
    """

    kind: Literal["efficacy", "generalisation"]
    threshold: float
    confidence: float = CONFIDENCE

    @property
    def name(self) -> str:
        """The kind of observation that it judges."""
        return self.kind

    def judge(self, case: Sequence[Observation]) -> Verdict:
        """Decide on the observations of this guard's kind; without any it escalates."""
        cases = of_kind(case, self.kind)
        right = [one for one in cases if one.after]
        return bound_verdict(self.name, len(right), cases, self.threshold, self.confidence, "answered rightly")

    def p_value(self, case: Sequence[Observation]) -> float:
        """Probability of so good a result if the true share were the threshold; 1 without observations."""
        cases = of_kind(case, self.kind)
        return score_p(sum(one.after for one in cases), len(cases), self.threshold) if cases else 1.0


def bound_verdict(
    name: str, right: int, cases: Sequence[Observation], threshold: float, confidence: float, words: str
) -> Verdict:
    """The verdict on a proportion by the lower bound of its interval.

    Without cases, or with so few that even a perfect score could not reach the threshold, it escalates.
    """
    if not cases:
        explanation = f"no observation of {name}: nothing shows that it holds; ask at least one prompt of this kind"
        return Verdict(name, "escalate", explanation)
    interval = wilson(right, len(cases), confidence=confidence)
    score = Score(name, interval.value, interval.low, interval.high, interval.n, threshold)
    found = f"{right} of {interval.n} {words}, which shows at least {interval.low:.3f}; {threshold:.3f} is asked for"
    decision: Decision = "pass" if interval.low >= threshold else "block"
    if decision == "pass":
        return Verdict(name, decision, found, (score,))
    needed = cases_needed(threshold, confidence=confidence) if threshold < 1 else None
    if right == interval.n and (needed is None or interval.n < needed):
        wanted = "no number of cases can show that" if needed is None else f"at least {needed} cases can show that"
        return Verdict(name, "escalate", f"{found}; {wanted}", (score,))
    return Verdict(name, decision, f"{found}: {failures(cases)}", (score,))
