"""A reply, and the thresholds by which it comes about."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pipelines.answering.nearest import MeaningPolicy
from pipelines.answering.reader import ReaderPolicy
from registry.ranges import Share, Some
from registry.records import KnownFact

Setting = Literal["parametric", "offline", "online"]
NOT_KNOWN = "not known"
CONTEXT_MEMORY = "rag"


@dataclass(frozen=True)
class AnswerPolicy:
    """How questions are answered.

    Attributes:
        certainty: from which an answer of the weights alone counts although no fact supports it.
        max_new_tokens: longest answer of the weights alone.
        meaning: when a question counts as asking for a relation.
        reader: how the reader is asked.
    """

    certainty: Share = 0.7
    max_new_tokens: Some = 12
    meaning: MeaningPolicy = field(default_factory=MeaningPolicy)
    reader: ReaderPolicy = field(default_factory=ReaderPolicy)


@dataclass(frozen=True)
class Reply:
    """One answer, with what it rests on.

    Attributes:
        question: as it was asked.
        text: the answer; "not known" where there is none.
        setting: the setting in which it was asked.
        known: whether there is an answer.
        provenance: the facts that it rests on: source, since when, memory and release of each.
        model_words: what the model itself said; None where it was not asked.
        agrees: whether its words hold the resolved object; None where nothing was resolved or nobody was asked.
        release: number of the release that answers; None outside of one.
        as_of: the day for which the answer holds.
        certainty: of the model's words, 0 to 1; None where it was not asked.
        why: in words: how the answer was found, or why there is none.
    """

    question: str
    text: str
    setting: str
    known: bool
    provenance: tuple[KnownFact, ...]
    model_words: str | None
    agrees: bool | None
    release: int | None
    as_of: date
    certainty: float | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        facts = [
            {"fact": item.fact.to_dict(), "memory": item.memory, "release": item.release, "reason": item.reason}
            for item in self.provenance
        ]
        return {**vars(self), "provenance": facts, "as_of": self.as_of.isoformat()}
