"""All gates of an update together: each by its bound, the drops by an exact test, and both families by Holm.

Two questions are asked, with opposite nulls:

1. *is it shown to be good enough?* The null of a gate is "the true figure misses the threshold"; it passes when the
   bound of its interval reaches the threshold and Holm's correction over all gates still rejects the null. The chance
   that any gate passes although its figure misses the threshold is at most alpha.
2. *is it shown to be broken?* The null is "no more is lost than is tolerated"; a loss that Holm's correction over all
   drop tests rejects blocks, however low the threshold. The chance that any of them blocks although nothing is lost
   beyond what is tolerated is at most alpha.

A gate that only informs is in neither family. What the hypotheses are is declared before anything is asked
(`guards.declaration`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from guards.base import Decision, Verdict
from guards.corrections import HolmStep, holm
from guards.efficacy import GatePolicy, TierThresholds, WrittenGuard
from guards.entropy import EntropyCase, EntropyGuard
from guards.fluency import FluencyCase, FluencyGuard
from guards.informing import InformingGuard
from guards.locality import RetainedGuard
from guards.observations import Observation, ObservationKind, lost_facts
from guards.power import detectable
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
    entropy: EntropyCase | None = None,
) -> FamilyVerdict:
    """Judge an update by every gate of the policy.

    A gate passes when the bound of its interval reaches the threshold of the tier and, as one of a family, when Holm's
    correction still rejects "the true figure misses the threshold", and when its drop test shows no loss beyond what is
    tolerated. A gate without observations escalates, and so does a family without gates.

    Args:
        observations: of all kinds; those whose kind is no gate of the policy and does not inform are left out.
        policy: thresholds and levels.
        tier: which thresholds count; of several tiers in one update, judge each by its own facts.
        fluency: running text read before and after; None leaves that gate out.
        entropy: long texts written before and after; None leaves that gate out.
    """
    thresholds = policy.tier(tier)
    guards = [_gate(kind, thresholds, policy.confidence) for kind in policy.gates]
    verdicts = [guard.judge(observations) for guard in guards]
    chances = {guard.name: guard.p_value(observations) for guard in guards}
    if fluency is not None:
        reader = FluencyGuard(thresholds.perplexity_ratio, policy.confidence, policy.resamples, policy.seed)
        verdicts.append(reader.judge(fluency))
        chances[reader.name] = reader.p_value(fluency)
    if entropy is not None:
        writer = EntropyGuard(thresholds.entropy_loss, policy.confidence, policy.resamples, policy.seed)
        verdicts.append(writer.judge(entropy))
        chances[writer.name] = writer.p_value(entropy)
    if not verdicts:
        return FamilyVerdict("escalate", (), "no gate is set: nothing shows that the update is safe; name some")
    steps = holm(chances, alpha=policy.family_alpha)
    drops = _drops(observations, policy)
    judged = tuple(
        _undropped(_in_family(verdict, steps[verdict.guard], policy.family_alpha), drops, observations, policy)
        for verdict in verdicts
    )
    decisions = {verdict.decision for verdict in judged}
    decision: Decision = "block" if "block" in decisions else "escalate" if "escalate" in decisions else "pass"
    missed = [f"{verdict.guard}: {verdict.explanation}" for verdict in judged if verdict.decision != "pass"]
    told = tuple(InformingGuard(kind, policy.confidence).judge(observations) for kind in policy.informs)
    return FamilyVerdict(decision, (*judged, *told), "; ".join(missed) or f"all {len(judged)} gates pass")


def _gate(kind: ObservationKind, thresholds: TierThresholds, confidence: float) -> _ObservationGate:
    """The guard of one kind of observation.

    Raises:
        InputError: no guard judges this kind.
    """
    match kind:
        case "efficacy" | "generalisation":
            return WrittenGuard(kind, getattr(thresholds, kind), confidence)
        case "neighbourhood" | "same_subject" | "drawdown" | "capability":
            return RetainedGuard(kind, getattr(thresholds, kind), confidence)
    known = "efficacy, generalisation, neighbourhood, same_subject, drawdown, capability"
    raise InputError(f"gates among {known}", repr(kind), _MEND)


def drop_gates(policy: GatePolicy) -> tuple[ObservationKind, ...]:
    """The gates that a drop test stands beside, in the order of the policy."""
    return tuple(kind for kind in policy.gates if kind in policy.tolerated)


def _drops(observations: Sequence[Observation], policy: GatePolicy) -> dict[str, HolmStep]:
    """The drop tests after Holm's correction, by gate."""
    chances = {
        kind: RetainedGuard(kind, 0.0).drop_p(observations, policy.tolerated[kind]) for kind in drop_gates(policy)
    }
    return holm({str(kind): p for kind, p in chances.items()}, alpha=policy.family_alpha)


def _undropped(
    verdict: Verdict, drops: Mapping[str, HolmStep], observations: Sequence[Observation], policy: GatePolicy
) -> Verdict:
    """The verdict with its drop test: a loss that is shown blocks; else the evidence says what could have been seen."""
    step = drops.get(verdict.guard)
    if step is None or verdict.decision == "escalate":
        return verdict
    kind = next(kind for kind in policy.tolerated if kind == verdict.guard)
    lost, held = lost_facts(observations, kind)
    seen = detectable(held, policy.tolerated[kind], policy.family_alpha / len(drops))
    evidence = (
        *verdict.evidence,
        ("drop_cases", str(held)),
        ("drop_p", f"{step.p:.4g}"),
        ("drop_holm_p", f"{step.adjusted:.4g}"),
        ("drop_seen_with_power_.8", f"{seen:.3f}"),
    )
    if not step.rejected:
        return replace(verdict, evidence=evidence)
    explanation = (
        f"{lost} of {held} facts that were right before are lost, more than the {policy.tolerated[kind]:.3f} that is "
        f"tolerated explains (Holm p {step.adjusted:.3g}); {verdict.explanation}"
    )
    return replace(verdict, decision="block", explanation=explanation, evidence=evidence)


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
