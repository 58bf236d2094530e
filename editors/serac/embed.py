"""Wordings as vectors: the model's own hidden states of each word, whitened against ordinary sentences."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.layouts import layout_of
from editors.pieces import Pieces
from editors.sequences import unrouted
from editors.serac.solve import Whitening, contrast, likeness, rarity, through
from editors.serac.text import FILLERS

MASKED = -1
"""Stands for the subject in a wording."""

BATCH = 64
"""Sentences that are embedded in one pass."""

Wording = tuple[int, ...]
"""A sentence as token ids, its subject as one `MASKED`."""


@dataclass(frozen=True)
class Words:
    """A wording as vectors.

    Attributes:
        vectors: (n, d), of length 1.
        weights: (n,), how rare each word is.
        profile: (relations,), how alike it is to each ordinary relation, in the way of asking that it is most like.
    """

    vectors: Tensor
    weights: Tensor
    profile: Tensor


class Embedder:
    """Words as the model's own hidden states, whitened against ordinary sentences.

    A hook on one block stays on until `close`; it looks at the calls of `_states` only, whatever other threads do.
    """

    def __init__(
        self,
        model: Any,
        block: Any,
        pieces: Pieces,
        sentences: Sequence[Wording],
        relations: Sequence[int] | None,
        mask: int,
        sink: int,
    ) -> None:
        """Measure ordinary sentences.

        Args:
            model: the model, read without side memories.
            block: its block whose input is read.
            pieces: the vocabulary.
            sentences: ordinary sentences.
            relations: which relation each asks for; None where each stands for one of its own, and none is a way from
                one wording to another, as it was in deltas of before there were relations.
            mask: token that stands for a subject.
            sink: token put before every sentence; the model's first state is unlike any other.
        """
        self._model, self._pieces, self._mask, self._sink = model, pieces, mask, sink
        self._held = Counter(stem for one in sentences for stem in {pieces.stems[token] for token in one if token >= 0})
        self._size = len(sentences)
        self._bridged = relations is not None
        self._relations = torch.tensor(relations or range(len(sentences)))
        self._stored: dict[Wording, Words] = {}
        self._here = _Here()
        self._hook = block.register_forward_pre_hook(self._see, with_kwargs=True, prepend=True)
        try:
            states = self._states(sentences)
            self._whitening = Whitening.of(torch.cat(states))
        except BaseException:
            self.close()
            raise
        owner = [index for index, one in enumerate(states) for _ in one]
        self._ordinary = (
            self._whitening(torch.cat(states)),
            torch.cat([self._weights(one, part) for one, part in zip(sentences, states, strict=True)]),
            torch.tensor(owner, device=states[0].device),
        )

    def close(self) -> None:
        """Take the hook off."""
        self._hook.remove()

    def compare(self, one: Wording, other: Wording) -> tuple[float, float]:
        """Likeness, straight or through an ordinary relation, and contrast of two sentences."""
        left, right = self._words_of(one), self._words_of(other)
        alone = torch.zeros(len(right.vectors), dtype=torch.long, device=right.vectors.device)
        alike = float(likeness(left.vectors, left.weights, right.vectors, right.weights, alone).sum())
        if self._bridged:
            alike = max(alike, through(left.profile, right.profile))
        return alike, contrast(left.profile, right.profile)

    def _words_of(self, sentence: Wording) -> Words:
        """The words of a sentence beside its subject."""
        return self._stored[sentence] if sentence in self._stored else self._words([sentence])[0]

    def store(self, sentences: Iterable[Wording]) -> None:
        """Keep the words of sentences that will be asked for again."""
        new = [one for one in dict.fromkeys(sentences) if one not in self._stored]
        for begin in range(0, len(new), BATCH):
            batch = new[begin : begin + BATCH]
            self._stored.update(zip(batch, self._words(batch), strict=True))

    def _words(self, sentences: Sequence[Wording]) -> list[Words]:
        """Embed some sentences in one pass."""
        found = []
        for one, states in zip(sentences, self._states(sentences), strict=True):
            vectors, weights = self._whitening(states), self._weights(one, states)
            found.append(Words(vectors, weights, self._profile(likeness(vectors, weights, *self._ordinary))))
        return found

    def _profile(self, alike: Tensor) -> Tensor:
        """Likeness to each ordinary relation, of likeness to each ordinary sentence."""
        owner = self._relations.to(alike.device)
        most = alike.new_full((int(owner.max()) + 1,), -1.0)
        return most.scatter_reduce(0, owner, alike, "amax") if len(alike) else alike

    def _weights(self, sentence: Wording, states: Tensor) -> Tensor:
        """How rare each word of a sentence is, (n,)."""
        return states.new_tensor([self._rarity(self._pieces.stems[token]) for token in sentence if token != MASKED])

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


def embedder(model: Any, pieces: Pieces, about: Mapping[str, Any]) -> Embedder:
    """The embedder that a delta's record describes (`editors.serac.request.about`)."""
    blocks = layout_of(model).block_list(model)
    block = blocks[min(max(round(about["depth"] * len(blocks)), 1), len(blocks) - 1)]
    sentences = [tuple(one) for one in about["sentences"]]
    return Embedder(model, block, pieces, sentences, about.get("relations"), about["mask"], about["sink"])
