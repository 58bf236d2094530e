"""What the guards of an edit look at: one prompt asked before and after.

Each answer is judged by `registry.text.starts_with_answer` on a free
generation with a natural stop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

ObservationKind = Literal[
    "efficacy",
    "generalisation",
    "neighbourhood",
    "same_subject",
    "drawdown",
    "alias",
    "reversal",
    "two_hop",
    "negation",
    "capability",
]
"""What an observation is about.

efficacy: the prompt on which the fact was fitted.
generalisation: a phrasing of the fact that fitting never saw.
neighbourhood: another subject of the same relation.
same_subject: another relation of the same subject.
drawdown: a fact that no request touches.
alias: the fact asked by another name of its subject.
reversal: the fact asked from its object.
two_hop: what follows from the fact and from one more fact that is known.
negation: the prompt negated; right is any answer but the fact's own object.
capability: a general question of a fixed set that has nothing to do with the catalogue.
"""


@dataclass(frozen=True)
class Observation:
    """One prompt, asked of the model before anything was written and of the final model.

    Attributes:
        kind: what it is about.
        fact_id: the written fact that it is a probe of; empty where it is of none.
        prompt: what was asked.
        before: whether the answer before was right.
        after: whether the answer of the final model is right.
        before_text: the answer before.
        after_text: the answer of the final model.
    """

    kind: ObservationKind
    fact_id: str
    prompt: str
    before: bool
    after: bool
    before_text: str
    after_text: str


def of_kind(observations: Iterable[Observation], kind: ObservationKind) -> list[Observation]:
    """The observations of one kind, in their order."""
    return [one for one in observations if one.kind == kind]


def lost_facts(observations: Iterable[Observation], kind: ObservationKind) -> tuple[int, int]:
    """Of the facts of one kind that were right in every phrasing before, how many are wrong in some now; and how many.

    Phrasings of one fact fall together, so that a test of a loss counts facts.
    """
    held: dict[str, bool] = {}
    lost: set[str] = set()
    for one in of_kind(observations, kind):
        held[one.fact_id] = held.get(one.fact_id, True) and one.before
        if not one.after:
            lost.add(one.fact_id)
    return sum(fact in lost for fact, right in held.items() if right), sum(held.values())


def failures(observations: Sequence[Observation], limit: int = 3) -> str:
    """The first few observations that are not right after, in words."""
    bad = [one for one in observations if not one.after]
    shown = "; ".join(f"{one.prompt!r} -> {one.after_text!r} (before: {one.before_text!r})" for one in bad[:limit])
    return f"{shown}{f'; and {len(bad) - limit} more' if len(bad) > limit else ''}"
