"""What must not move: the share of it that did not, and the gate that repair works against."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from guards.efficacy import GatePolicy
from guards.family import judge_family
from guards.observations import Observation, ObservationKind
from pipelines.judging.costs import Gate
from pipelines.judging.freshness import shares
from pipelines.judging.probing import MUST_STAY
from registry.records import RiskTier

OWN: tuple[ObservationKind, ...] = ("same_subject",)
OTHERS = tuple(kind for kind in MUST_STAY if kind not in OWN)


def locality(seen: Sequence[Observation], kinds: Collection[ObservationKind] = MUST_STAY) -> dict[str, Any]:
    """Untouched facts that were right in both phrasings before and still are: right, n, share and interval."""
    kept: dict[str, bool] = {}
    for item in seen:
        if item.kind in kinds:
            kept[item.fact_id] = kept.get(item.fact_id, True) and item.after
    return shares(list(kept.values()))


def stay_gate(gates: GatePolicy, tier: RiskTier, kept: float) -> Gate:
    """The gate that repair works against: the gates on what must not move, and the share of it that stays right.

    Args:
        gates: the policy.
        tier: of the batch.
        kept: share of the facts asked, right in every phrasing before, that must still be so. Other facts of the edited
            subjects count where they are lost; where they are right they make up for nothing.
    """
    kinds = tuple(kind for kind in gates.gates if kind in MUST_STAY)
    policy = replace(gates, gates=kinds, informs=())

    def gate(seen: Sequence[Observation]) -> str | None:
        family = judge_family(seen, policy, tier)
        blocked = [verdict for verdict in family.verdicts if verdict.decision == "block"]
        if blocked:
            return f"{blocked[0].guard}: {blocked[0].explanation}"
        others, own = locality(seen, OTHERS), locality(seen, OWN)
        lost = own["n"] - own["right"]
        if others["n"] and (others["right"] - lost) / others["n"] < kept:
            besides = f", {lost} about the edited subjects are not" if lost else ""
            return f"{others['right']} of {others['n']} untouched facts still right{besides}; {kept:.2f} is asked for"
        return None

    return gate
