"""The reader: the model words an answer, given the one resolved fact alone, and its words are checked.

A small model reads badly; which form it is asked in decides how often its words hold the object (`FORMS`, measured in
docs/answering.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.ranges import Count, Some
from registry.text import holds_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel


@dataclass(frozen=True)
class Example:
    """A fact with the question that it answers.

    Attributes:
        statement: the fact as a sentence.
        question: what is asked.
        prompt: cloze text whose continuation is the answer.
        answer: the object.
    """

    statement: str
    question: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Reading:
    """What the reader is given, and what its words must hold.

    Attributes:
        case: the resolved fact; its `answer` is never shown but in its statement.
        answers: every way of writing the object that counts.
        examples: worked examples, all of other subjects.
    """

    case: Example
    answers: tuple[str, ...]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Words:
    """What the reader made of one fact.

    Attributes:
        text: the answer: the model's words where they hold the object, the object itself otherwise.
        said: the model's words.
        agrees: whether they hold the object.
        certainty: the model's, 0 to 1.
    """

    text: str
    said: str
    agrees: bool
    certainty: float


@dataclass(frozen=True)
class ReaderPolicy:
    """How the reader is asked.

    Attributes:
        form: one of `FORMS`.
        examples: how many worked examples it is shown.
        max_new_tokens: longest answer.
    """

    form: str = "cloze"
    examples: Count = 1
    max_new_tokens: Some = 16


WORKED = (
    Example(
        "The capital of Atlantis is Poseidonis.",
        "What is the capital of Atlantis?",
        "The capital of Atlantis is",
        "Poseidonis",
    ),
    Example(
        "The author of The Silver Door is Mara Quill.",
        "Who wrote The Silver Door?",
        "The author of The Silver Door is",
        "Mara Quill",
    ),
)
"""Worked examples about an invented world, for relations that have no other facts."""


def _answer_form(tokenizer: Any, reading: Reading) -> str:
    """Worked examples, then "Fact: ... Question: ... Answer:"."""
    shown = [f"Fact: {one.statement}\nQuestion: {one.question}\nAnswer: {one.answer}" for one in reading.examples]
    return "\n\n".join([*shown, f"Fact: {reading.case.statement}\nQuestion: {reading.case.question}\nAnswer:"])


def _cloze_form(tokenizer: Any, reading: Reading) -> str:
    """Worked examples, then the fact and its cloze prompt."""
    shown = [f"{one.statement} So: {one.prompt} {one.answer}." for one in reading.examples]
    return "\n\n".join([*shown, f"{reading.case.statement} So: {reading.case.prompt}"])


def _chat_form(tokenizer: Any, reading: Reading) -> str:
    """The chat template; the answer is begun with the cloze prompt."""
    from editors.generate import chat_prompt

    asked = f"{reading.case.statement}\n{reading.case.question}"
    return chat_prompt(tokenizer, asked, begin=reading.case.prompt)


FORMS: Mapping[str, Callable[[Any, Reading], str]] = {
    "answer": _answer_form,
    "cloze": _cloze_form,
    "chat": _chat_form,
}
"""Every form in which a model can be asked to read."""


def read(loaded: "LoadedModel", readings: Sequence[Reading], policy: ReaderPolicy | None = None) -> list[Words]:
    """Let the model word every fact, one batch for all.

    Raises:
        UnknownNameError: the policy names no known form.
    """
    from editors.generate import generate
    from registry.errors import UnknownNameError

    policy = policy or ReaderPolicy()
    if policy.form not in FORMS:
        raise UnknownNameError("reader form", policy.form, FORMS)
    if not readings:
        return []
    prompts = [FORMS[policy.form](loaded.tokenizer, reading) for reading in readings]
    said = generate(loaded.model, loaded.tokenizer, prompts, max_new_tokens=policy.max_new_tokens)
    return [checked(reading, one.text, one.certainty) for reading, one in zip(readings, said, strict=True)]


def checked(reading: Reading, said: str, certainty: float) -> Words:
    """Hold the model's words against the object."""
    agrees = holds_answer(said, reading.answers)
    return Words(said if agrees else reading.case.answer, said, agrees, certainty)


def joined(words: Sequence[Words]) -> tuple[Words, str]:
    """The words of all objects of one answer as one, and whose they are."""
    agrees = all(one.agrees for one in words)
    by = "in the model's words" if agrees else "the object itself, since the model's words do not hold it"
    return (
        Words(
            ", ".join(one.text for one in words),
            ", ".join(one.said for one in words),
            agrees,
            min(one.certainty for one in words),
        ),
        by,
    )
