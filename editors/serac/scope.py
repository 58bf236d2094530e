"""The scope classifier on a model: which stored edit, if any, a text asks about."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from editors.sequences import unrouted
from editors.serac.pieces import Pieces
from editors.serac.solve import Whitening, after, agreement, likeness, log_odds, rarity
from editors.serac.text import (
    FILLERS,
    Asked,
    Span,
    asked,
    begun,
    mentions,
    negated,
    occurrences,
    subject_words,
    unspaced,
    words_of,
)

MASKED = -1
"""Stands for the subject in a wording."""

Wording = tuple[int, ...]
"""A sentence as token ids, its subject as one `MASKED`."""


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
class Words:
    """A wording as vectors.

    Attributes:
        vectors: (n, d), of length 1.
        weights: (n,), how rare each word is.
    """

    vectors: Tensor
    weights: Tensor


class Embedder:
    """Words as the model's own hidden states, whitened against ordinary sentences.

    A hook on one block stays on until `close`; it looks at the calls of `_states` only, whatever other threads do.
    """

    def __init__(
        self, model: Any, block: Any, pieces: Pieces, sentences: Sequence[Wording], mask: int, sink: int
    ) -> None:
        """Measure ordinary sentences.

        Args:
            model: the model, read without side memories.
            block: its block whose input is read.
            pieces: the vocabulary.
            sentences: ordinary sentences.
            mask: token that stands for a subject.
            sink: token put before every sentence; the model's first state is unlike any other.
        """
        self._model, self._pieces, self._mask, self._sink = model, pieces, mask, sink
        self._held = Counter(stem for one in sentences for stem in {pieces.stems[token] for token in one if token >= 0})
        self._size = len(sentences)
        self._here = _Here()
        self._hook = block.register_forward_pre_hook(self._see, with_kwargs=True, prepend=True)
        try:
            self._whitening = Whitening.of(torch.cat(self._states(sentences)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take the hook off."""
        self._hook.remove()

    def __call__(self, sentences: Sequence[Wording]) -> list[Words]:
        """The words of some sentences beside their subjects."""
        return [
            Words(
                self._whitening(states), states.new_tensor([self._rarity(self._pieces.stems[at]) for at in _shown(one)])
            )
            for one, states in zip(sentences, self._states(sentences), strict=True)
        ]

    def _rarity(self, stem: str) -> float:
        """Weight of a word; words that say little have the least."""
        little = stem in FILLERS or stem in ("'s", "\u2019s", "s") or not any(letter.isalnum() for letter in stem)
        return rarity(self._size, self._size) if little else rarity(self._held[stem], self._size)

    def _states(self, sentences: Sequence[Wording]) -> list[Tensor]:
        """Hidden states (n, d) of each sentence's tokens beside its subject, float32."""
        device = self._model.get_input_embeddings().weight.device
        rows = [[self._sink, *(self._mask if at == MASKED else at for at in one)] for one in sentences]
        ids = torch.full((len(rows), max(map(len, rows))), self._sink, device=device)
        real = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row, device=device)
            real[index, : len(row)] = 1
        self._here.wanted = True
        try:
            with unrouted(self._model), torch.no_grad():
                self._model.base_model(input_ids=ids, attention_mask=real, use_cache=False)
        except _Seen as seen:
            hidden = seen.hidden.float()
        finally:
            self._here.wanted = False
        return [
            hidden[index, [at + 1 for at, token in enumerate(one) if token != MASKED]]
            for index, one in enumerate(sentences)
        ]

    def _see(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._here.wanted:
            raise _Seen(args[0] if args else kwargs["hidden_states"])


class _Here(threading.local):
    """Whether this thread asks for hidden states."""

    wanted = False


class _Seen(Exception):
    """Ends a call at the block whose input was asked for."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


def _shown(sentence: Wording) -> list[int]:
    """The tokens of a sentence beside its subject."""
    return [token for token in sentence if token != MASKED]


@dataclass(frozen=True)
class Scope:
    """p(in scope | text, edit) for the edits of one delta.

    Attributes:
        edits: the edits, in order.
        pieces: the vocabulary.
        embed: makes vectors.
        weights: see `solve.log_odds`.
        certainty: of the pointer.
        shared: digest of what vocabulary and vectors depend on.
    """

    edits: tuple[Edit, ...]
    pieces: Pieces
    embed: Embedder
    weights: tuple[float, float, float, float]
    certainty: float
    shared: str
    _words: dict[str, list[Words]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Embed what is stored."""
        for edit in self.edits:
            self._words[edit.fact_id] = self.embed(edit.wordings)

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
        (asked_for,) = self.embed([question.wording])
        best = max(
            likeness(one.vectors, one.weights, asked_for.vectors, asked_for.weights)
            for one in self._words[edit.fact_id]
        )
        agreed = agreement(edit.following, following) if following is not None and edit.open else None
        return log_odds(best, agreed, self.weights)
