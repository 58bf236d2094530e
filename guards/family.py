"""All gates of an update together: each by its bound, and the family by Holm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from guards.base import Decision, Verdict
from guards.corrections import HolmStep, holm
from guards.efficacy import GatePolicy, TierThresholds, WrittenGuard
from guards.fluency import FluencyCase, FluencyGuard
from guards.locality import RetainedGuard
from guards.observations import Observation, ObservationKind
from registry.errors import InputError
from registry.records import RiskTier

_MEND = "mend the section gates of the policy"


@dataclass(frozen=True)
class FamilyVerdict:
    """What all gates say.

    Attributes:
        decision: "pass" when every gate passes, "block" when one blocks, "escalate" otherwise.
        verdicts: one per gate, in the order of the policy, fluency last.
        explanation: in words: which gates did not pass.
    """

    decision: Decision
    verdicts: tuple[Verdict, ...]
    explanation: str

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the gates that do not pass."""
        return tuple(verdict.guard for verdict in self.verdicts if verdict.decision != "pass")


class _ObservationGate(Protocol):
    """A guard over observations that also gives the probability for Holm."""

    @property
    def name(self) -> str: ...

    def judge(self, case: Sequence[Observation]) -> Verdict: ...

    def p_value(self, case: Sequence[Observation]) -> float: ...


def judge_family(
    observations: Sequence[Observation],
    policy: GatePolicy,
    tier: RiskTier,
    *,
    fluency: FluencyCase | None = None,
) -> FamilyVerdict:
    """Judge an update by every gate of the policy.

    A gate passes when the bound of its interval reaches the threshold of the tier and, as one of a family, when Holm's
    correction still rejects "the true figure misses the threshold". A gate without observations escalates, and so
    does a family without gates.

    Args:
        observations: of all kinds; those whose kind is no gate of the policy are left out.
        policy: thresholds and levels.
        tier: which thresholds count; of several tiers in one update, judge each by its own facts.
        fluency: running text read before and after; None leaves that gate out.
    """
    thresholds = policy.tier(tier)
    guards = [_gate(kind, thresholds, policy.confidence) for kind in policy.gates]
    verdicts = [guard.judge(observations) for guard in guards]
    chances = {guard.name: guard.p_value(observations) for guard in guards}
    if fluency is not None:
        reader = FluencyGuard(thresholds.perplexity_ratio, policy.confidence, policy.resamples, policy.seed)
        verdicts.append(reader.judge(fluency))
        chances[reader.name] = reader.p_value(fluency)
    if not verdicts:
        return FamilyVerdict("escalate", (), "no gate is set: nothing shows that the update is safe; name some")
    steps = holm(chances, alpha=policy.family_alpha)
    judged = tuple(_in_family(verdict, steps[verdict.guard], policy.family_alpha) for verdict in verdicts)
    decisions = {verdict.decision for verdict in judged}
    decision: Decision = "block" if "block" in decisions else "escalate" if "escalate" in decisions else "pass"
    missed = [f"{verdict.guard}: {verdict.explanation}" for verdict in judged if verdict.decision != "pass"]
    return FamilyVerdict(decision, judged, "; ".join(missed) or f"all {len(judged)} gates pass")


def _gate(kind: ObservationKind, thresholds: TierThresholds, confidence: float) -> _ObservationGate:
    """The guard of one kind of observation.

    Raises:
        InputError: no guard judges this kind.
    """
    match kind:
        case "efficacy" | "generalisation":
            return WrittenGuard(kind, getattr(thresholds, kind), confidence)
        case "neighbourhood" | "same_subject" | "drawdown":
            return RetainedGuard(kind, getattr(thresholds, kind), confidence)
    raise InputError("gates among efficacy, generalisation, neighbourhood, same_subject, drawdown", repr(kind), _MEND)


def _in_family(verdict: Verdict, step: HolmStep, alpha: float) -> Verdict:
    """A verdict with what Holm says about it; one that passes alone but not in the family blocks."""
    evidence = (*verdict.evidence, ("p", f"{step.p:.4g}"), ("holm_p", f"{step.adjusted:.4g}"))
    if verdict.decision != "pass" or step.rejected:
        return replace(verdict, evidence=evidence)
    explanation = (
        f"{verdict.explanation}; passes alone, but among all gates the chance of a false pass is up to "
        f"{step.adjusted:.3f}, {alpha:.3f} is allowed"
    )
    return replace(verdict, decision="block", explanation=explanation, evidence=evidence)
