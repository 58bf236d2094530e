"""Sample questions of a run: some about what changed, some about what did not, asked before and after."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pipelines.route import RAG
from registry.catalogue import Catalogue
from registry.records import EditRequest, KnownFact
from registry.text import holds_answer

if TYPE_CHECKING:
    from pipelines.answering.reply import Reply

COUNT = 20
CHANGED = 14
"""How many of them are about changed facts."""
QUICK_COUNT = 8


@dataclass(frozen=True)
class Samples:
    """Questions with the answers that are right after the run.

    Attributes:
        requests: what is asked about; changed facts first.
        changed: how many of them changed.
    """

    requests: tuple[EditRequest, ...]
    changed: int

    @classmethod
    def drawn(
        cls,
        changed: Sequence[EditRequest],
        memory: Mapping[str, str],
        untouched: Sequence[KnownFact],
        catalogue: Catalogue,
        seed: int,
        count: int = COUNT,
    ) -> Self:
        """Draw by seed: changed facts from every memory in turn, then facts that the run does not touch."""
        draw = random.Random(seed)
        asked = [item for item in changed if item.question]
        written = [item for item in asked if memory[item.fact.id] != RAG]
        indexed = [item for item in asked if memory[item.fact.id] == RAG]
        most = count * CHANGED // COUNT
        first = (written[: most // 2] + indexed)[:most]
        touched = {(item.fact.subject, item.fact.relation) for item in changed}
        rest = [
            item.fact
            for item in untouched
            if (item.fact.subject, item.fact.relation) not in touched and item.fact.relation in catalogue.relations
        ]
        others = draw.sample(rest, min(count - len(first), len(rest)))
        return cls((*first, *(catalogue.request(fact, "ADD") for fact in others)), len(first))

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked."""
        return tuple(item.question for item in self.requests)

    def compared(
        self, before: "Mapping[str, Reply]", after: "Mapping[str, Reply]", memory: Mapping[str, str]
    ) -> tuple[dict[str, Any], ...]:
        """One row per question: both answers, whether they are right, and where the fact lives.

        Args:
            before: what was answered before, by question; nothing where there was no system yet.
            after: what is answered afterwards.
            memory: name of the memory of each changed fact, by fact id.
        """
        rows = []
        for number, request in enumerate(self.requests):
            old, new = before.get(request.question), after.get(request.question)
            rows.append(
                {
                    "question": request.question,
                    "changed": number < self.changed,
                    "before": old.text if old else "",
                    "after": new.text if new else "",
                    "right_before": bool(old and old.known and holds_answer(old.text, request.answers)),
                    "right_after": bool(new and new.known and holds_answer(new.text, request.answers)),
                    "memory": memory.get(request.fact.id, new.provenance[0].memory if new and new.provenance else ""),
                    "source": request.fact.source,
                }
            )
        return tuple(rows)
