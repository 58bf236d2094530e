"""What counts as the same text, and where a free generation stops.

Right or wrong is decided here and nowhere else: an answer is right when, after normalisation, it starts with the
object or with one of its aliases as whole words.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_ARTICLES = ("the ", "a ", "an ")
_ABBREVIATIONS = frozenset(
    {"st", "mt", "ft", "dr", "mr", "mrs", "ms", "jr", "sr", "prof", "gen", "col", "sgt", "lt", "capt", "rev", "hon"}
    | {"gov", "pres", "inc", "ltd", "co", "corp", "bros", "no", "vs", "etc", "ave"}
)
_PUNCTUATION = re.compile(r"[^\w\s]", flags=re.UNICODE)


_KEPT = 1 << 16
"""Texts whose normal form is remembered: the same names are compared again and again."""


@lru_cache(maxsize=_KEPT)
def normalise(text: str) -> str:
    """Fold case, diacritics, punctuation, white space and a leading article.

    "The Côte d'Ivoire" -> "cote divoire", "U.S." -> "us". Letters of every script are kept.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    words = " ".join(
        _PUNCTUATION.sub(lambda hit: " " if hit.group() in "-/\u2013\u2014_" else "", bare.casefold()).split()
    )
    for article in _ARTICLES:
        if words.startswith(article):
            return words[len(article) :]
    return words


def starts_with_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether `text` begins with one of `answers`, as whole words after normalisation.

    An empty answer never matches.
    """
    said = normalise(text)
    for answer in answers:
        wanted = normalise(answer)
        if wanted and (said == wanted or said.startswith(f"{wanted} ")):
            return True
    return False


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether one of `answers` stands anywhere in `text`, as whole words after normalisation."""
    said = f" {normalise(text)} "
    return any(f" {normalise(answer)} " in said for answer in answers if normalise(answer))


def shortest_answer(text: str, answers: Iterable[str]) -> str:
    """The shortest beginning of `text`, up to the end of a word, that is one of `answers`; all of it where none is."""
    wanted = list(answers)
    ends = (hit.end() for hit in re.finditer(r"\w+", text))
    return next((text[:end] for end in ends if starts_with_answer(text[:end], wanted)), text)


def is_settled(text: str, answers: Iterable[str]) -> bool:
    """Whether `starts_with_answer(text, answers)` has the same truth however `text` goes on.

    Right for good: an answer and the beginning of another word after it. Wrong for good: no answer and no article can
    still come of what is there. An empty text is never settled.
    """
    said = normalise(text)
    if any(article.startswith(said) for article in _ARTICLES):
        return False
    wanted = [answer for answer in map(normalise, answers) if answer]
    if any(said.startswith(f"{answer} ") for answer in wanted):
        return True
    return not any(answer.startswith(said) or said.startswith(answer) for answer in wanted)


def natural_stop(text: str) -> int | None:
    """Where a generated text ends by itself: index of the first end of line or of sentence, None if it goes on.

    A full stop ends a sentence only when white space or the end of a finished text follows and the word before it is
    no initial ("U.S.", "J. K.") and no known abbreviation ("St."). The index is that of the first character that does
    not belong to the answer.
    """
    for position, letter in enumerate(text):
        if letter == "\n" and text[:position].strip():
            return position
        if letter in "!?;" and text[:position].strip():
            return position
        if letter == "." and text[position + 1 : position + 2].isspace():
            word = re.split(r"[\s(]", text[:position])[-1].casefold()
            initial = len(word) == 1 or "." in word
            if word and not initial and word not in _ABBREVIATIONS:
                return position
    return None


def answer_of(text: str) -> str:
    """The answer in a generated text: up to its natural stop, without surrounding white space and final stop."""
    stop = natural_stop(text)
    return (text if stop is None else text[:stop]).strip().rstrip(".,").strip()
