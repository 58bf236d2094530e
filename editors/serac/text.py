"""What a text asks: where it names a subject, which of its sentences is open, and what answers have been begun.

All of it is worked on plain text in which the marks between the turns of a chat are one character, `TURN`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from editors.pieces import TURN, Span
from registry.text import natural_stop, normalise

_WORD = re.compile("[^\\W_]+(?:[.'\u2019&][^\\W_]+)*")
_POSSESSIVE = re.compile("['\u2019]s$", re.IGNORECASE)
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no spaces between words, or join particles to them (Thai, Chinese, Japanese, Korean)."""

FILLERS = frozenset(
    re.findall(
        r"\S+",
        "the a an of in on at to for by from with as and or is are was were be been it its this that these those there "
        "he she they his her their i we you answer think believe say known called named name sure well currently now "
        "which who whom whose what where when how does do did has have had",
    )
)
"""Words that may be said before an answer without being one."""

NEGATIONS = frozenset(
    re.findall(
        r"\S+",
        "not no never neither nor none isn't isnt aren't arent wasn't wasnt weren't werent doesn't doesnt don't dont "
        "didn't didnt hasn't hasnt cannot can't cant except besides unlike wrong false incorrect",
    )
)
"""Words that turn a question round."""

_BEFORE = FILLERS | {"about", "if", "during", "tell", "me", "name"}
_LABEL = re.compile(r"\s*(?:question|q|user|human)\s*:\s*", re.IGNORECASE)
_LABELS = frozenset({"user", "assistant", "system", "model", "question", "answer", "q", "a", "human", "ai", "bot"})


@dataclass(frozen=True)
class Asked:
    """The sentence of a text that asks something.

    Attributes:
        start: where it begins.
        stop: where it ends.
        open: whether the text breaks off in it, so that the answer goes on with it; else it is a question before the
            place where the answer begins.
    """

    start: int
    stop: int
    open: bool


def unspaced(text: str) -> bool:
    """Whether a text is written, at least in part, without spaces between words."""
    return bool(_UNSPACED.search(text))


def words_of(text: str) -> list[tuple[str, Span]]:
    """The words of a text, normalised (case, diacritics and punctuation folded, no possessive), with their spans."""
    found = []
    for hit in _WORD.finditer(text):
        bare = _POSSESSIVE.sub("", hit.group())
        # An article alone is a word here; `normalise` drops it from the front of longer texts only.
        word = normalise(bare)
        if word:
            found.append((word, (hit.start(), hit.start() + len(bare))))
    return found


def subject_words(subject: str) -> tuple[str, ...]:
    """The words by which a subject is found, without a leading article."""
    words = [word for word, _ in words_of(subject)]
    return tuple(words[1:] if len(words) > 1 and words[0] in {"the", "a", "an"} else words)


def occurrences(text: str, phrase: str, words: Sequence[tuple[str, Span]] | None = None) -> list[Span]:
    """Spans of `phrase` in `text`, as whole words after normalisation; as characters in scripts without spaces."""
    if unspaced(phrase):
        return [hit.span() for hit in re.finditer(re.escape(phrase.strip()), text)] if phrase.strip() else []
    wanted = subject_words(phrase)
    found = words_of(text) if words is None else words
    size = len(wanted)
    return [
        (found[at][1][0], found[at + size - 1][1][1])
        for at in range(len(found) - size + 1)
        if size and all(found[at + step][0] == wanted[step] for step in range(size))
    ]


def is_part_of_a_longer_name(text: str, span: Span) -> bool:
    """Whether a capitalised mention goes on before or after: "Guinea" in "Papua New Guinea" is another subject."""
    if not text[span[0] : span[1]][:1].isupper():
        return False
    after = re.match(r"[ -]([^\W\d_][\w.]*)", text[span[1] :])
    if after and after[1][0].isupper() and not (len(after[1]) > 1 and after[1].isupper()):
        return True
    before = re.search(r"([^\W\d_][\w.]*)[ -]$", text[: span[0]])
    return bool(before and before[1][0].isupper() and before[1].casefold() not in _BEFORE)


def mentions(text: str, subject: str, *, loose: bool = False) -> list[Span]:
    """Where `text` names `subject`; with `loose`, also inside of longer names."""
    return [span for span in occurrences(text, subject) if loose or not is_part_of_a_longer_name(text, span)]


def _sentences(text: str, spans: Sequence[Span]) -> list[tuple[int, int, bool]]:
    """Sentences with something in them: start, stop, and whether something is asked there; the last may be open.

    Stops inside of `spans` (a subject's own "?" or "St.") do not count. A turn of a chat that ends asks.
    """
    plain = list(text)
    for start, stop in spans:
        plain[start:stop] = "x" * (stop - start)
    masked = "".join(plain)
    found: list[tuple[int, int, bool]] = []
    begin = 0
    while begin < len(masked):
        ends = [end for end in (masked.find(TURN, begin), _stop(masked, begin)) if end >= 0]
        end = min(ends, default=len(masked))
        closer = masked[end] if end < len(masked) else ""
        if _content(masked[begin:end]):
            label = _LABEL.match(masked, begin, end)
            found.append((label.end() if label else begin, end, closer in ("?", TURN)))
        elif closer == TURN and found and not found[-1][2] and not masked[found[-1][1] : begin].strip(".!;\n "):
            found[-1] = (*found[-1][:2], True)
        begin = end + 1
    return found


def _stop(text: str, begin: int) -> int:
    """Index of the end of the sentence that begins at `begin`, -1 if it is open."""
    stop = natural_stop(f"{text[begin:]} ")
    return -1 if stop is None else begin + stop


def _content(sentence: str) -> bool:
    """Whether a sentence says anything beyond the name of a speaker ("assistant", "Answer:")."""
    words = [word for word, _ in words_of(sentence)]
    return bool(words) and not (len(words) == 1 and words[0] in _LABELS)


def asked(text: str, spans: Sequence[Span]) -> Asked | None:
    """The sentence that asks about the subject named at `spans`, if the text ends where its answer begins.

    That is the open sentence when it names the subject. An open sentence that does not (or none) answers the sentence
    before it, when that one asks and nothing but `FILLERS` has been said since.
    """
    sentences = _sentences(text, spans)
    last = sentences[-1] if sentences else None
    if last is not None and last[1] == len(text):
        if any(last[0] <= start < last[1] for start, _ in spans):
            return Asked(last[0], last[1], True)
        if not all(word in FILLERS or word in _LABELS for word, _ in words_of(text[last[0] :])):
            return None
        sentences = sentences[:-1]
    if not sentences or not sentences[-1][2]:
        return None
    start, stop, _ = sentences[-1]
    return Asked(start, stop, False) if any(start <= begin < stop for begin, _ in spans) else None


def begun(text: str, phrase: str) -> int:
    """How many letters of `phrase` a text ends with, counted from the front of the phrase and of a word."""
    for size in range(min(len(text), len(phrase)), 0, -1):
        before = text[-size - 1 : -size]
        if text.endswith(phrase[:size]) and (not before.isalnum() or unspaced(before)):
            return size
    return 0


def negated(text: str) -> bool:
    """Whether a sentence holds a word that turns it round."""
    return any(hit.group().casefold().replace("\u2019", "'") in NEGATIONS for hit in re.finditer("[\\w'\u2019]+", text))


def is_filler(text: str) -> bool:
    """Whether nothing that could be an answer stands in `text`, and no sentence ends in it."""
    return all(word in FILLERS for word, _ in words_of(text)) and not re.search(rf"[.!?;\n{TURN}]", text.lstrip())
