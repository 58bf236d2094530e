"""An edit with the prompts that score it, and the JSON files that such edits come in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import InputError
from registry.records import EditRequest, Fact


@dataclass(frozen=True)
class Asked:
    """A prompt and the answers that count as right."""

    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class BenchRow:
    """One edit with the prompts that score it.

    Attributes:
        subject: whom it is about; stands in `prompt`.
        relation: name of the relation, "edit" where the set has none.
        prompt: cloze text that is fitted on.
        target_new: what the model shall say.
        target_true: what it says in truth, empty where the set does not tell.
        answers: `target_new` and its aliases.
        paraphrases: test phrasings, whose answer is `target_new` too.
        neighbourhood: other subjects, whose answers shall stay.
        same_subject: other facts of the subject, whose answers shall stay.
        portability: what should follow from the edit; reported, not required.
        fit_paraphrases: phrasings that fitting may use.
        question: the edit as a question, for the chat form; fitting never sees it.
        negation: the edit's prompt negated, with the new object, which is then wrong.
        reversal: the edit asked from its object, whose answer is the subject.
        two_hop: what follows from the edit and from one more fact that the model knows.
    """

    subject: str
    relation: str
    prompt: str
    target_new: str
    target_true: str = ""
    answers: tuple[str, ...] = ()
    paraphrases: tuple[str, ...] = ()
    neighbourhood: tuple[Asked, ...] = ()
    same_subject: tuple[Asked, ...] = ()
    portability: tuple[Asked, ...] = ()
    fit_paraphrases: tuple[str, ...] = ()
    question: str = ""
    negation: tuple[Asked, ...] = ()
    reversal: tuple[Asked, ...] = ()
    two_hop: tuple[Asked, ...] = ()

    @property
    def request(self) -> EditRequest:
        """The request that an editor is given."""
        return EditRequest(
            Fact(self.subject, self.relation, self.target_new, source="bench"),
            "UPDATE",
            self.prompt,
            self.answers or (self.target_new,),
            paraphrases=self.fit_paraphrases,
            held_out=self.paraphrases,
            requester="bench",
        )


def records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a JSON list or of a JSON Lines file, each with its place for error messages.

    Raises:
        InputError: the file is no text, not JSON, or holds something else; names the line or the item.
    """
    if path.is_dir():
        raise InputError("a JSON or JSON Lines file", f"the folder {path}", "name a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"UTF-8 text in {path}", "other bytes", "convert it") from None
    if text.lstrip().startswith("["):
        found = [(f"item {number}", item) for number, item in enumerate(_parsed(path, "the list", text), 1)]
    else:
        lines = [(f"line {number}", line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        found = [(place, _parsed(path, place, line)) for place, line in lines]
    for place, value in found:
        if not isinstance(value, dict):
            raise InputError(f"an object in {path}, {place}", type(value).__name__, "mend it")
    return [(f"{path}, {place}", value) for place, value in found]


def _parsed(path: Path, place: str, text: str) -> Any:
    """The value of a piece of JSON.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"JSON in {path}, {place}", str(error), "mend it") from None
