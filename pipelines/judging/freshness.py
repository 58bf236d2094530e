"""Freshness: is each changed fact answered rightly, from the memory in which it lives?

A fact that lives in the weights is asked of the model by free generation, without any context. A fact that lives in
the index is asked of the system, which resolves it and lets the model word it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from guards.stats import mcnemar_exact, wilson
from pipelines.route import RAG
from registry.records import EditRequest
from registry.text import holds_answer, starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.answer import Answerer
    from pipelines.answering.reply import Reply


@dataclass(frozen=True)
class FactAnswer:
    """What was answered about one changed fact.

    Attributes:
        fact_id: the fact.
        memory: the memory that was asked.
        text: the answer.
        right: whether it is the object or an alias of it.
        agrees: whether the model's own words held the resolved object; None where nothing was resolved for it.
    """

    fact_id: str
    memory: str
    text: str
    right: bool
    agrees: bool | None


@dataclass(frozen=True)
class Freshness:
    """The answers about all changed facts, and the shares of right ones."""

    answers: tuple[FactAnswer, ...]

    @property
    def share(self) -> float:
        """Share of right answers; 0 when nothing was asked."""
        return sum(answer.right for answer in self.answers) / len(self.answers) if self.answers else 0.0

    @property
    def reader_agreement(self) -> float | None:
        """Share of resolved facts whose object stands in the model's own words; None when none was resolved."""
        worded = [answer.agrees for answer in self.answers if answer.agrees is not None]
        return sum(worded) / len(worded) if worded else None

    def to_dict(self) -> dict[str, Any]:
        """Counts, share with its interval, and the same by memory."""
        by_memory: dict[str, list[bool]] = {}
        for answer in self.answers:
            by_memory.setdefault(answer.memory, []).append(answer.right)
        return {
            **shares([answer.right for answer in self.answers]),
            "reader_agreement": self.reader_agreement,
            "by_memory": {name: shares(rights) for name, rights in sorted(by_memory.items())},
        }


def paired(before: Freshness, after: Freshness) -> dict[str, Any]:
    """Gains, losses and McNemar's exact probability over the facts asked about in both states; nothing without any."""
    old = {one.fact_id: one.right for one in before.answers}
    both = [(old[one.fact_id], one.right) for one in after.answers if one.fact_id in old]
    return asdict(mcnemar_exact([was for was, _ in both], [now for _, now in both])) if both else {}


def shares(rights: Sequence[bool]) -> dict[str, Any]:
    """A share with its Wilson interval, as plain values."""
    if not rights:
        return {"right": 0, "n": 0, "share": None, "low": None, "high": None}
    interval = wilson(sum(rights), len(rights))
    return {
        "right": sum(rights),
        "n": len(rights),
        "share": sum(rights) / len(rights),
        "low": interval.low,
        "high": interval.high,
    }


def ask_changed(
    requests: Sequence[EditRequest],
    memory: Mapping[str, str],
    loaded: "LoadedModel | None",
    replies: "Mapping[str, Reply]",
    said: Mapping[str, str] | None = None,
) -> Freshness:
    """Ask about every fact of `requests`, each in the memory that `memory` names.

    Args:
        requests: the changed facts (ADD and UPDATE).
        memory: name of the memory, by fact id.
        loaded: the model in the state that is judged.
        replies: what the system answers in that state, by question; an empty system has answered nothing.
        said: what the model has already said in that state, by prompt.
    """
    answers: dict[str, FactAnswer] = {}
    written = [request for request in requests if memory[request.fact.id] != RAG]
    if written and loaded is not None:
        from editors.generate import generate

        texts = dict(said or {})
        missing = [request.prompt for request in written if request.prompt not in texts]
        found = generate(loaded.model, loaded.tokenizer, missing)
        texts |= {prompt: one.text for prompt, one in zip(missing, found, strict=True)}
        for request in written:
            text, name = texts[request.prompt], memory[request.fact.id]
            right = starts_with_answer(text, request.answers)
            answers[request.fact.id] = FactAnswer(request.fact.id, name, text, right, None)
    for request in requests:
        if memory[request.fact.id] == RAG:
            reply = replies.get(question_of(request))
            known = reply is not None and reply.known
            text = reply.text if reply is not None and known else ""
            agrees = reply.agrees if reply is not None and known else None
            right = holds_answer(text, request.answers)
            answers[request.fact.id] = FactAnswer(request.fact.id, RAG, text, right, agrees)
    return Freshness(tuple(answers[request.fact.id] for request in requests if request.fact.id in answers))


def question_of(request: EditRequest) -> str:
    """How the system is asked about a fact: the catalogue's question, or the row's own prompt."""
    return request.question or request.prompt


def ask_system(answerer: "Answerer | None", questions: Iterable[str], day: date) -> "dict[str, Reply]":
    """What the system answers for a day, by question; an empty system (None) answers nothing."""
    asked = list(dict.fromkeys(questions))
    if answerer is None or not asked:
        return {}
    return dict(zip(asked, answerer.ask_many(asked, "offline", day), strict=True))
