"""Route: a pure policy picks the memory of each request, and says why.

The order of the questions is DMM-Gov's decision flow (arXiv 2509.18868, S1 and S2): what changes or is disputed goes
to the external memory, small clear facts go into the weights, everything that fits nowhere goes to the external memory.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guards.volatility import ChangeRate
from registry.catalogue import Catalogue
from registry.ranges import Count, Share, Some
from registry.records import Belief, EditRequest, Route

RAG = "rag"
WEIGHT_EDITORS = ("rome", "memit")
"""Editors with which the loop writes weights; the side memories and the training editors are not among them."""


@dataclass(frozen=True)
class RoutePolicy:
    """Thresholds of the router.

    Attributes:
        stable_days: a relation whose facts are expected to hold for less goes to the index.
        max_object_words: a longer object goes to the index.
        few: up to this many facts in one run are written one by one, more as one batch.
        editor_few: editor that writes few facts.
        editor_many: editor that writes many.
        max_per_run: facts that may go into the weights in one run; the rest goes to the index.
        max_in_weights: facts that may live in the weights of one base model altogether.
        changes_seen: so many observed changes of a relation are needed before its observed lifetime counts.
        persuasion_samples: answers sampled on each side for the coherent-persuasion score; 0 does not ask. The score is
            told with the route and decides nothing.
        certain: a model that is surer than this of something wrong counts as hard to overcome (said, not decisive).
    """

    stable_days: Count = 3650
    max_object_words: Some = 4
    few: Count = 2
    editor_few: str = "rome"
    editor_many: str = "memit"
    max_per_run: Count = 60
    max_in_weights: Count = 1000
    changes_seen: Count = 5
    persuasion_samples: Count = 0
    certain: Share = 0.9


@dataclass(frozen=True)
class Evidence:
    """What the router knows beside the requests.

    Attributes:
        beliefs: what the model answers now, by fact id; a fact that is missing was not asked.
        disputed: ids of the facts on which sources disagree.
        in_weights: how many facts live in the weights already.
        allowed: names of the editors that this run may use.
        rates: how often facts of a relation were seen to change, by relation.
        persuasion: how far the model yields to context, in nats, by fact id.
    """

    beliefs: Mapping[str, Belief] = field(default_factory=dict)
    disputed: frozenset[str] = frozenset()
    in_weights: int = 0
    allowed: frozenset[str] = frozenset({RAG, *WEIGHT_EDITORS})
    rates: Mapping[str, ChangeRate] = field(default_factory=dict)
    persuasion: Mapping[str, float] = field(default_factory=dict)


def route(
    requests: Sequence[EditRequest], evidence: Evidence, catalogue: Catalogue, policy: RoutePolicy
) -> list[Route]:
    """One route per request, in order.

    Pure: the same arguments give the same routes, and nothing is read or changed.
    """
    barriers = [barrier(request, evidence, catalogue, policy) for request in requests]
    fit = [index for index, reason in enumerate(barriers) if reason is None]
    room = max(0, min(policy.max_per_run, policy.max_in_weights - evidence.in_weights))
    chosen = set(_in_turn(fit, requests, evidence)[:room])
    editor = _weights_editor(len(chosen), evidence.allowed, policy)
    routes = []
    for index, (request, reason) in enumerate(zip(requests, barriers, strict=True)):
        found = _found(request, evidence, catalogue)
        if reason is not None:
            routes.append(Route(RAG, reason, found))
        elif editor is None:
            routes.append(Route(RAG, "this run may write to the index only", found))
        elif index not in chosen:
            routes.append(Route(RAG, f"the weights have room for {room} facts in this run, and it is full", found))
        else:
            routes.append(Route(editor, _why(request, len(chosen), evidence, policy), found))
    return routes


def _in_turn(fit: Sequence[int], requests: Sequence[EditRequest], evidence: Evidence) -> list[int]:
    """Positions in the order in which they get room: of each relation the easiest first, then its second, and so on.

    Edits of one relation pull at the same untouched facts; where room is short they are spread over relations.
    """
    turn: Counter[str] = Counter()
    ranked: list[tuple[int, int, int]] = []
    for index in sorted(fit, key=lambda index: _resistance(requests[index], evidence)):
        relation = requests[index].fact.relation
        ranked.append((turn[relation], len(ranked), index))
        turn[relation] += 1
    return [index for _, _, index in sorted(ranked)]


def _resistance(request: EditRequest, evidence: Evidence) -> float:
    """What an edit of this fact has to overcome: the model's certainty; what was not asked counts as the most.

    Where room is short, the facts that are easiest to write have it.
    """
    belief = evidence.beliefs.get(request.fact.id)
    return belief.certainty if belief is not None else 1.0


def _weights_editor(count: int, allowed: frozenset[str], policy: RoutePolicy) -> str | None:
    """The editor for `count` stable facts, the other one where it is not allowed, None where neither is."""
    wanted = (policy.editor_few, policy.editor_many)
    if count > policy.few:
        wanted = wanted[::-1]
    return next((name for name in wanted if name in allowed), None)


def barrier(request: EditRequest, evidence: Evidence, catalogue: Catalogue, policy: RoutePolicy) -> str | None:
    """Why a request must not go into the weights; None when nothing speaks against it."""
    fact, relation = request.fact, catalogue.relations.get(request.fact.relation)
    belief = evidence.beliefs.get(fact.id)
    if request.operation in ("DELETE", "FORGET"):
        return "what is known ends; there is nothing to write into the weights"
    if relation is None:
        return "the relation has no entry in the catalogue, so no other phrasing could test an edit"
    if fact.id in evidence.disputed:
        return "sources disagree, and the index can hold both sides with their sources"
    if relation.lifetime_days is not None and relation.lifetime_days < policy.stable_days:
        return f"volatile: a {relation.label} is expected to hold for {_span(relation.lifetime_days)}"
    rate = evidence.rates.get(fact.relation)
    if rate is not None and rate.changes >= policy.changes_seen and rate.longest_lifetime_days < policy.stable_days:
        seen = f"{rate.changes} changes in {rate.years:.0f} years of one fact"
        return f"volatile as observed: {seen}, so a {relation.label} holds for {_span(round(rate.lifetime_days))}"
    if relation.cardinality == "many":
        return f"a subject has several of the relation {relation.label}; one edit cannot hold a list"
    if fact.valid_to is not None:
        return f"holds only until {fact.valid_to}; the weights know no dates"
    if fact.sensitivity != "public":
        return f"sensitivity {fact.sensitivity}: a weight edit reveals its subject"
    if len(fact.object.split()) > policy.max_object_words:
        return f"long: the object has more than {policy.max_object_words} words"
    if belief is not None and belief.state == "known":
        return "the model answers it rightly already; the index keeps it with its source"
    return None


def _why(request: EditRequest, count: int, evidence: Evidence, policy: RoutePolicy) -> str:
    """The reason for a route into the weights, in words."""
    amount = f"one of {count} stable, undisputed facts" if count > 1 else "a single stable, undisputed fact"
    belief = evidence.beliefs.get(request.fact.id)
    if belief is None:
        return f"{amount}; what the model believes was not asked"
    said = belief.answers[0] or "nothing"
    sure = " and is sure of it" if belief.state == "wrong" and belief.certainty >= policy.certain else ""
    return f"{amount}; the model says {said!r}{sure}"


def _found(request: EditRequest, evidence: Evidence, catalogue: Catalogue) -> dict[str, Any]:
    """The evidence of one decision, as plain values."""
    relation = catalogue.relations.get(request.fact.relation)
    belief = evidence.beliefs.get(request.fact.id)
    rate, yields = evidence.rates.get(request.fact.relation), evidence.persuasion.get(request.fact.id)
    lifetime = rate.lifetime_days if rate is not None and rate.changes else None
    return {
        "observed_lifetime_days": round(lifetime) if lifetime is not None else None,
        "persuasion": round(yields, 3) if yields is not None else None,
        "lifetime_days": relation.lifetime_days if relation else None,
        "risk_tier": request.risk_tier,
        "disputed": request.fact.id in evidence.disputed,
        "belief": belief.state if belief else "not asked",
        "certainty": round(belief.certainty, 4) if belief else None,
    }


def _span(days: int) -> str:
    """A number of days in words."""
    return f"{days / 365.25:.0f} years" if days >= 730 else f"{days} days"
