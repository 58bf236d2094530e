"""The family of hypotheses of a run, declared before any of its answers is seen.

A declaration holds every gate with its null, its test, its thresholds in each risk tier and what it decides, the level
and the correction of each family, and the number of cases from which the drop tests see a drop of five points. Its
digest goes into the ledger before anything is asked of the final model, and into the release afterwards; a gate that
was not declared, or was declared with other thresholds, is found by `problems`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from guards.efficacy import GatePolicy
from guards.family import drop_gates
from guards.power import DROP, POWER, needed
from registry.digests import digest_json
from registry.records import RiskTier

Unit = Literal["prompt", "text", "fact", "question"]
TIERS: tuple[RiskTier, ...] = get_args(RiskTier)
NULLS = {
    "efficacy": "the share of prompts used in fitting that are answered rightly is below the threshold",
    "generalisation": "the share of phrasings kept out of fitting that are answered rightly is below the threshold",
    "neighbourhood": "the share of neighbours right before that are still right is below the threshold",
    "same_subject": "the share of other facts of the subject right before that are still right is below the threshold",
    "drawdown": "the share of untouched facts right before that are still right is below the threshold",
    "capability": "the share of general questions right before that are still right is below the threshold",
    "fluency": "perplexity of running text after / before is above the threshold",
    "entropy": "the mean loss of n-gram entropy of long texts is above the threshold",
    "consistency": "weights and index agree on a smaller share of the facts in the weights than the threshold",
    "freshness": "a smaller share of the changed facts than the threshold is answered rightly",
    "retrieval": "the share of known facts that the index answers is below the threshold",
}


@dataclass(frozen=True)
class Hypothesis:
    """One gate of the family.

    Attributes:
        gate: its name.
        null: what must be rejected for it to pass; of a drop test, what must be rejected for it to block.
        test: how.
        thresholds: by risk tier; what the null speaks of.
        decides: "pass" (must be shown), "block" (blocks when shown), "informs" (nothing).
        unit: what is counted.
        family: name of the family over which Holm corrects; empty where all cases are asked or nothing is decided.
    """

    gate: str
    null: str
    test: str
    thresholds: Mapping[str, float]
    decides: Literal["pass", "block", "informs"]
    unit: Unit
    family: str


@dataclass(frozen=True)
class Declaration:
    """The whole family.

    Attributes:
        hypotheses: every gate and every drop test.
        alpha: level of each family.
        confidence: of the intervals.
        correction: over each family.
        power: per drop test: tolerated share, drop, power, and from how many cases on it has that power.
        rule: which thresholds count.
    """

    hypotheses: tuple[Hypothesis, ...]
    alpha: float
    confidence: float
    correction: str
    power: tuple[Mapping[str, Any], ...]
    rule: str = "the thresholds of the strictest risk tier among the facts in the weights"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @cached_property
    def digest(self) -> str:
        """Digest of the content."""
        return digest_json(self.to_dict())


def declare(policy: GatePolicy, system: Mapping[str, float], *, entropy: bool = True) -> Declaration:
    """The family that a policy sets.

    Args:
        policy: the gates on the weights.
        system: thresholds of the gates on the whole system, by gate: freshness, retrieval.
        entropy: whether long texts are written.

    Raises:
        InputError: the policy names a tier that there is not.
    """
    drops = drop_gates(policy)
    found = [
        *(_bound(kind, policy, kind, "prompt") for kind in policy.gates),
        _bound("fluency", policy, "perplexity_ratio", "text"),
        *([_bound("entropy", policy, "entropy_loss", "text")] if entropy else []),
        *(
            Hypothesis(
                kind,
                f"no more than {policy.tolerated[kind]:g} of what was right before is lost",
                "one-sided exact binomial test of the facts lost in some phrasing",
                {tier: policy.tolerated[kind] for tier in TIERS},
                "block",
                "fact",
                "drops",
            )
            for kind in drops
        ),
        *(_census(gate, threshold) for gate, threshold in (("consistency", policy.consistency), *system.items())),
        *(
            Hypothesis(kind, "none: it informs", "share with Wilson's interval", {}, "informs", "prompt", "")
            for kind in policy.informs
        ),
    ]
    alpha = policy.family_alpha / len(drops) if drops else policy.family_alpha
    sees = tuple(
        {
            "gate": kind,
            "tolerated": policy.tolerated[kind],
            "drop": DROP,
            "power": POWER,
            "alpha": alpha,
            "cases": needed(policy.tolerated[kind], DROP, alpha),
        }
        for kind in drops
        if policy.tolerated[kind] < DROP
    )
    return Declaration(tuple(found), policy.family_alpha, policy.confidence, "Holm", sees)


def problems(declared: Mapping[str, Any], gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the verdicts of a run have that was not declared, or lack that was: a gate, a threshold of its tiers.

    The gates on the weights are judged together or, where nothing is written there, not at all.

    Args:
        declared: a declaration as plain values.
        gates: the verdicts as plain values.
    """
    allowed: dict[str, set[float | None]] = {}
    for one in declared["hypotheses"]:
        if one["decides"] != "block":
            allowed.setdefault(one["gate"], set()).update(one["thresholds"].values() or (None,))
    judged = {gate["guard"] for gate in gates}
    family = [one["gate"] for one in declared["hypotheses"] if one["family"] == "gates"]
    missing = [name for name in family if name not in judged] if judged.intersection(family) else []
    found = [f"the gate {name} was declared and not judged" for name in missing]
    for gate in gates:
        name = gate["guard"]
        if name not in allowed:
            found.append(f"the gate {name} was not declared")
            continue
        for score in gate.get("scores") or ():
            if score.get("threshold") not in allowed[name]:
                wanted = ", ".join(str(one) for one in sorted(allowed[name], key=str))
                found.append(f"the gate {name} was judged by {score.get('threshold')}, declared is {wanted}")
    return found


def _bound(gate: str, policy: GatePolicy, field: str, unit: Unit) -> Hypothesis:
    """A gate whose bound must reach the threshold of the tier."""
    tests = {
        "fluency": "upper bound of a percentile bootstrap over texts; TOST beside it",
        "entropy": "upper bound of a paired percentile bootstrap over texts; TOST beside it",
    }
    thresholds: dict[str, float] = {tier: float(getattr(policy.tier(tier), field)) for tier in TIERS}
    test = tests.get(gate, "lower bound of Wilson's interval (score test)")
    return Hypothesis(gate, NULLS[gate], test, thresholds, "pass", unit, "gates")


def _census(gate: str, threshold: float) -> Hypothesis:
    """A gate on the whole system: all cases are asked, or (retrieval) a sample judged by its bound."""
    sampled = gate == "retrieval"
    test = "lower bound of Wilson's interval" if sampled else "all are asked: the share itself"
    thresholds: dict[str, float] = {tier: threshold for tier in TIERS}
    return Hypothesis(gate, NULLS[gate], test, thresholds, "pass", "fact", "")
