"""What of a passage may be used: the passage without the sentences that speak to its reader.

A retrieved passage states something about the world. An order or a question in it is never evidence for an answer, so
it can be left out at almost no cost, where dropping the passage would lose what else it says. Three steps, and what
none of them clears is not used:

    attack    words that are an attack beyond doubt ("ignore all previous ...", role tags): nothing of it is used
    sentences a sentence that the rules or the model of admission take for one to a reader is left out; in a passage
              the capitals of a title excuse none
    rest      what is left is looked at once more as a whole; nothing is used where something is still found

A sentence that chiefly says again what the question says is the question, and stays; an attack is seen in it too.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from guards.instructions import SENTENCES, shipped
from guards.paths import content
from guards.patterns import INSTRUCTIONS
from guards.sensitivity import InstructionGuard, folded, hits

_PLAIN_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_ASKED = re.compile(r"\?[.!?\s]*$")
_LINES = re.compile(r"[\r\n\u2028\u2029]+")

SPOKEN = 0.4
"""Probability from which a sentence of a passage is left out: the highest of a few at which no more orders of the half
that was chosen on stay in their passages than at the lowest (benchmarks/passages.py)."""
_ATTACKS = tuple(
    pattern
    for pattern in INSTRUCTIONS
    if pattern.name
    in {
        "an instruction to ignore others",
        "a mention of the system prompt",
        "a word to an assistant",
        "a role tag",
        "a jailbreak",
    }
)
"""Rules whose hits no honest passage explains; the others hit a sentence of about one paragraph in 400."""

Spoken = Callable[[str], str]
"""What in a text is an instruction, in words; empty for none."""


@dataclass(frozen=True)
class Cut:
    """A sentence that was left out of a passage.

    Attributes:
        text: as it stood there.
        words: why, for a person.
    """

    text: str
    words: str


@dataclass(frozen=True)
class Excerpt:
    """What of a passage may be used.

    Attributes:
        text: to be used in the passage's place; empty where nothing may be.
        cut: what was left out, in order.
        problem: why nothing may be used, in words; empty where `text` may be.
    """

    text: str
    cut: tuple[Cut, ...] = ()
    problem: str = ""


def orders_in(text: str) -> str:
    """What in a text gives orders to its reader, by the rules and the model of admission; empty if nothing does."""
    return InstructionGuard().order(visible(text))


def spoken_in(sentence: str, threshold: float = SPOKEN) -> str:
    """What in the sentences of a passage speaks to a reader.

    The capitals of a title excuse no order there, and what ends in a question mark states nothing, whatever it is.
    """
    plain = visible(sentence)
    return _prose_guard(threshold).order(plain, prose=True) or ("a question" if _ASKED.search(plain) else "")


@cache
def _prose_guard(threshold: float) -> InstructionGuard:
    return InstructionGuard(model=replace(shipped(), threshold=threshold))


def attack_in(text: str) -> str:
    """What in a text is an attack on a model beyond doubt; empty if nothing."""
    return next((name for name, _, _ in hits(_ATTACKS, visible(text))), "")


def visible(text: str) -> str:
    """A text folded as patterns see it, without characters that a reader does not see."""
    if text.isascii():
        return folded(text)
    return folded("".join(letter for letter in text if unicodedata.category(letter) != "Cf"))


def excerpt(query: str, text: str, spoken: Spoken = spoken_in, attack: Spoken = attack_in) -> Excerpt:
    """What of a passage may be used for a question.

    Args:
        query: the question, whose own words are no order.
        text: the passage.
        spoken: what in a sentence speaks to a reader.
        attack: what in a text is an attack beyond doubt; nothing of such a passage is used.
    """
    problem = attack(text if not attack(query) else beside(query, text))
    if problem:
        return Excerpt("", (), problem)
    kept, cut = [], []
    for piece in _pieces(text):
        words = _found(query, piece, spoken)
        if words:
            cut.append(Cut(piece.strip(), words))
        else:
            kept.append(piece)
    if not cut:
        return Excerpt(text)
    rest = "".join(kept).strip()
    left = spoken(beside(query, rest))
    if left or not content(rest):
        return Excerpt("", tuple(cut), left or cut[0].words)
    return Excerpt(rest, tuple(cut))


def beside(query: str, text: str) -> str:
    """The sentences of a text that do not chiefly say again what the question says."""
    return " ".join(one for one in _PLAIN_SENTENCES.split(text) if one and not _repeats(query, one))


def statements(text: str) -> str:
    """A text without its questions: of a memory that goes on to an action they are what was asked once."""
    return " ".join(one for one in _PLAIN_SENTENCES.split(text) if not one.rstrip().endswith("?"))


def _repeats(query: str, sentence: str) -> bool:
    """Whether more than half of what a sentence says stands in the question."""
    asked, own = set(content(query)), content(sentence)
    return 2 * sum(word in asked for word in own) > len(own)


def _pieces(text: str) -> Iterator[str]:
    """The sentences of a text, each with what parts it from the next one."""
    start = 0
    for gap in SENTENCES.finditer(text):
        if gap.end() > start:
            yield text[start : gap.end()]
        start = gap.end()
    if start < len(text):
        yield text[start:]


def _found(query: str, piece: str, spoken: Spoken) -> str:
    """What in a piece, or in a line of it, speaks to a reader."""
    lines = [piece, *(_LINES.split(piece.strip()) if _LINES.search(piece.strip()) else ())]
    return next((words for one in lines if not _repeats(query, one) and (words := spoken(one))), "")
