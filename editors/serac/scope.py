"""The scope classifier on a model: which stored edit, if any, a text asks about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from editors.pieces import Pieces, Span
from editors.serac.embed import MASKED, Embedder, Wording
from editors.serac.solve import Weights, after, agreement
from editors.serac.text import (
    Asked,
    asked,
    begun,
    mentions,
    negated,
    occurrences,
    subject_words,
    unspaced,
    words_of,
)


@dataclass(frozen=True)
class Edit:
    """One stored edit.

    Attributes:
        fact_id: the fact.
        subject: whom it is about.
        relation: name of its relation.
        object: what is to be said.
        was: what the base model says instead, to tell where an answer begins in a given text; "" if it says nothing.
        variants: the object's token ids after a space and without one.
        wordings: the sentences that ask for it.
        loose: whether its own prompt names the subject inside of a longer name.
        negated: whether its own prompt holds a negation.
        open: whether its own prompt is a sentence to be gone on with.
        following: probability of the base model's likeliest next tokens after the prompt.
    """

    fact_id: str
    subject: str
    relation: str
    object: str
    was: str
    variants: tuple[tuple[int, ...], ...]
    wordings: tuple[Wording, ...]
    loose: bool
    negated: bool
    open: bool
    following: Mapping[int, float]

    @cached_property
    def name(self) -> tuple[str, ...]:
        """The subject's words."""
        return subject_words(self.subject)

    @property
    def ends(self) -> bool:
        """Whether a word ends with the object, so that no letter may follow."""
        return self.object[-1:].isalnum() and not unspaced(self.object[-1])

    def replaces(self, other: "Edit") -> bool:
        """Whether this edit, being later, takes the other's place."""
        return self.name == other.name and self.relation == other.relation


@dataclass(frozen=True)
class Question:
    """A place in a text where an answer may begin, and what is asked there.

    Attributes:
        tokens: how many tokens stand before the answer.
        open: whether the answer goes on with the sentence.
        wording: the sentence that asks.
    """

    tokens: int
    open: bool
    wording: Wording


def wording(ids: Sequence[int], spans: Sequence[Span], part: Asked, names: Sequence[Span], pieces: Pieces) -> Wording:
    """The tokens of a sentence with its subject masked; its first word is written as after a space.

    Args:
        ids: tokens of the text.
        spans: their character spans.
        part: the sentence.
        names: character spans of the subject.
        pieces: the vocabulary.
    """
    out: list[int] = []
    last: Span | None = None
    for token, (start, stop) in zip(ids, spans, strict=True):
        if stop <= part.start or start >= part.stop or start == stop:
            continue
        named = next((name for name in names if start < name[1] and stop > name[0]), None)
        if named is None:
            out.append(token if out else pieces.spaced.get(token, token))
        elif named != last:
            out.append(MASKED)
        last = named
    return tuple(out)


def ask_of(
    ids: Sequence[int], pieces: Pieces, subject: str, *, loose: bool = False
) -> tuple[Asked, str, Wording] | None:
    """What a text asks about a subject where it ends: the sentence, its words, its wording; None if nothing."""
    text, spans = pieces.text(ids)
    names = mentions(text, subject, loose=loose)
    part = asked(text, names) if names else None
    if part is None:
        return None
    return part, text[part.start : part.stop], wording(ids, spans, part, names, pieces)


def questions(ids: Sequence[int], pieces: Pieces, edit: Edit) -> Iterable[Question]:
    """Every place in a text where the edit's object may begin and its subject is asked about, first places first.

    Those are: where the object, or what the base model says instead, stands in the text; where the object has been
    begun at its end; and its end.
    """
    text, spans = pieces.text(ids)
    names = mentions(text, edit.subject, loose=True)  # what follows the name may be the answer
    if not names:
        return
    said = [span for phrase in (edit.object, edit.was) for span in occurrences(text, phrase) if span[0] >= names[0][1]]
    starts = [start for start, _ in said] + [len(text) - letters for letters in [begun(text, edit.object)] if letters]
    places = {_place(text, spans, start) for start in starts}
    for tokens in sorted(places | {len(ids) - after(ids, edit.variants)[0], len(ids)}):
        found = ask_of(ids[:tokens], pieces, edit.subject, loose=edit.loose)
        if found is None:
            continue
        part, sentence, asked_for = found
        if negated(sentence) == edit.negated and not occurrences(sentence, edit.object):
            yield Question(tokens, part.open, asked_for)


def _place(text: str, spans: Sequence[Span], start: int) -> int:
    """How many tokens stand before the word at a character, and before a space of its own."""
    place = next(at for at, span in enumerate(spans) if span[1] > start)
    while place and spans[place - 1][0] < spans[place - 1][1] and not text[slice(*spans[place - 1])].strip(" "):
        place -= 1
    return place


@dataclass(frozen=True)
class Scope:
    """p(in scope | text, edit) for the edits of one delta.

    Attributes:
        edits: the edits, in order.
        pieces: the vocabulary.
        embed: makes vectors.
        weights: of the evidence.
        certainty: of the pointer.
        shared: digest of what vocabulary and vectors depend on.
    """

    edits: tuple[Edit, ...]
    pieces: Pieces
    embed: Embedder
    weights: Weights
    certainty: float
    shared: str

    def __post_init__(self) -> None:
        """Embed what is stored."""
        self.embed.store(one for edit in self.edits for one in edit.wordings)

    @cached_property
    def _by_word(self) -> dict[str, list[Edit]]:
        """Edits by the first word of their subject; "" for those that are found by characters alone."""
        found: dict[str, list[Edit]] = {}
        for edit in self.edits:
            whole = unspaced(edit.subject)
            found.setdefault("" if whole or not edit.name else edit.name[0], []).append(edit)
        return found

    def candidates(self, text: str) -> list[Edit]:
        """The edits whose subject may be named in a text."""
        words = {word for word, _ in words_of(text)} | {""}
        return [edit for word in sorted(words & self._by_word.keys()) for edit in self._by_word[word]]

    def score(self, edit: Edit, question: Question, following: Mapping[int, float] | None) -> float:
        """Log-odds that a question asks for what an edit stores."""
        agreed = agreement(edit.following, following) if following is not None and edit.open else None
        compared = (self.embed.compare(one, question.wording) for one in edit.wordings)
        return max(self.weights.log_odds(s, agreed, d) for s, d in compared)
