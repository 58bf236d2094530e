"""The overlay on a model: asks the scope classifier at the prompt, and moves probability onto the stored object.

Three hooks, found by looking at the model's own: around a call of the model (what it keeps of its logits), on the base
model (which sequences it carries; see `editors.sequences`), and on the head (where logits are changed, so that losses
computed from them follow). What was decided for a sequence lives with its cache.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from editors.layouts import Layout
from editors.pieces import Pieces
from editors.sequences import Call, Watch
from editors.serac.scope import Edit, Scope, questions
from editors.serac.solve import after, likeliest, pointer_bias
from editors.serac.text import begun, is_filler, unspaced
from registry.digests import digest_json

IDS, HELD = "serac.ids", "serac.held"
"""Per sequence: its tokens so far (-1 at padding), and the key of the edit that serves it with where the answer begins
(0 where none does)."""


OPENERS = '"([{\u2018\u201c'
"""What a word follows without a space of its own, beside white space and the beginning of a turn."""


@dataclass(frozen=True)
class Offer:
    """What is to be said next at one place.

    Attributes:
        row: sequence.
        position: token of this call after which it is said.
        tokens: the object's next tokens; empty where the object has been said and its last word ends.
        certainty: probability to be moved onto them.
        pieces: the vocabulary.
    """

    row: int
    position: int
    tokens: frozenset[int]
    certainty: float
    pieces: Pieces


@dataclass(frozen=True)
class Held:
    """An edit on a model."""

    edit: Edit
    scope: Scope
    order: int


@dataclass
class _Moment(threading.local):
    """What one thread is in: how deep, how many new tokens, which logits are kept, and what is offered."""

    depth: int = 0
    tokens: int = 0
    keep: Any = None
    offers: list[Offer] = field(default_factory=list)


class Overlay:
    """All stored edits that are on in one model; made by `Overlay.on`, gone with the last delta."""

    def __init__(self, model: Any, layout: Layout) -> None:
        """Hook into the model."""
        self.scopes: dict[str, Scope] = {}
        self._model, self._layout = model, layout
        self._watch = Watch.on(model)
        self._moment = _Moment()
        self._held: dict[int, Held] = {}
        self._hooks = (
            model.register_forward_pre_hook(self._enter, with_kwargs=True),
            model.register_forward_hook(self._leave, always_call=True),
            model.base_model.register_forward_hook(self._read, prepend=True),
            model.get_submodule(layout.head).register_forward_hook(self._say),
        )

    @classmethod
    def of(cls, model: Any) -> "Overlay | None":
        """The overlay that is on `model`, if any."""
        owners = (getattr(hook, "__self__", None) for hook in model._forward_pre_hooks.values())
        return next((owner for owner in owners if isinstance(owner, cls)), None)

    @classmethod
    def on(cls, model: Any, layout: Layout) -> "Overlay":
        """The overlay on `model`, made when there is none."""
        return cls.of(model) or cls(model, layout)

    def add(self, name: str, scope: Scope) -> None:
        """Put a delta's edits on; later deltas win ties."""
        self.scopes = {**self.scopes, name: scope}
        self._index()

    def remove(self, name: str) -> None:
        """Take a delta's edits off; the last one takes the hooks off too."""
        gone, left = self.scopes.get(name), {key: scope for key, scope in self.scopes.items() if key != name}
        if gone is not None and all(scope.embed is not gone.embed for scope in left.values()):
            gone.embed.close()
        self.scopes = left
        self._index()
        if not self.scopes:
            for hook in self._hooks:
                hook.remove()
            self._watch.release()

    def _index(self) -> None:
        """Number the edits; a key says which edit it is on every machine and after others have come or gone."""
        every = [(name, scope, edit) for name, scope in self.scopes.items() for edit in scope.edits]
        self._held = {
            int(digest_json([name, edit.fact_id])[:15], 16): Held(edit, scope, order)
            for order, (name, scope, edit) in enumerate(every)
        }

    def _enter(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        self._moment.depth += 1
        self._moment.keep, self._moment.offers = kwargs.get("logits_to_keep"), []

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        self._moment.depth = max(self._moment.depth - 1, 0)
        self._moment.offers = []

    def _read(self, module: Any, args: Any, output: Any) -> None:
        """Decide about sequences that are given text (a prompt, a piece of one), and what each is to say next."""
        call = self._watch.call
        if call is None or not call.routed or call.ids is None or (call.past and IDS not in call.state):
            return
        new = call.ids.detach().cpu().long()
        if call.real is not None:
            new = torch.where(call.real.cpu(), new, -1)
        ids = torch.cat([call.state[IDS][:, : call.past], new], dim=1) if call.past else new
        held = call.state[HELD].clone() if call.past else torch.zeros(call.rows, 2, dtype=torch.long)
        if call.tokens > 1 or not call.past:
            hidden = output[0] if isinstance(output, tuple) else output.last_hidden_state
            for row in range(call.rows):
                held[row] = torch.tensor(self._decide(ids[row].tolist(), hidden[row], call.past))
        offers: list[Offer] = []
        for row in held[:, 0].nonzero().flatten().tolist():
            held[row, 0], found = self._offers(row, ids[row].tolist(), held[row].tolist(), call)
            offers += found
        call.state |= {IDS: ids, HELD: held}
        if self._moment.depth:
            self._moment.tokens, self._moment.offers = call.tokens, offers

    def _decide(self, ids: Sequence[int], hidden: Tensor, past: int) -> tuple[int, int]:
        """Key of the edit whose scope a sequence is in, and the index at which its answer begins; (0, 0) for none."""
        places = [place for place, token in enumerate(ids) if token >= 0]
        real = [ids[place] for place in places]
        next_words: dict[int, Mapping[int, float]] = {}
        found: list[tuple[float, Held, int, int]] = []
        texts = {id(scope.pieces): scope.pieces.text(real)[0] for scope in self.scopes.values()}
        wanted = {
            (id(scope), edit.fact_id)
            for scope in self.scopes.values()
            for edit in scope.candidates(texts[id(scope.pieces)])
        }
        for key, one in self._held.items():
            if (id(one.scope), one.edit.fact_id) not in wanted:
                continue
            for question in questions(real, one.scope.pieces, one.edit):
                place = places[question.tokens - 1] - past
                if question.open and place >= 0 and question.tokens not in next_words:
                    next_words[question.tokens] = self._following(hidden[place], len(one.edit.following))
                score = one.scope.score(one.edit, question, next_words.get(question.tokens) if question.open else None)
                if score >= 0:
                    found.append((score, one, key, places[question.tokens - 1] + 1))
                    break
        standing = [
            item
            for item in found
            if not any(x[1].order > item[1].order and x[1].edit.replaces(item[1].edit) for x in found)
        ]
        if not standing:
            return 0, 0
        best = max(standing, key=lambda item: (item[0], item[1].order))
        return best[2], best[3]

    def _following(self, state: Tensor, count: int) -> dict[int, float]:
        """The base model's likeliest next tokens after a state (d,)."""
        with torch.no_grad():
            return likeliest(self._model.get_submodule(self._layout.head)(state[None, None])[0, 0], count)

    def _offers(self, row: int, ids: Sequence[int], held: Sequence[int], call: Call) -> tuple[int, list[Offer]]:
        """What a sequence that an edit serves is to say at each place of this call, and the key for the next call."""
        key, begin = held
        one = self._held.get(key)
        if one is None:
            return 0, []
        found: list[Offer] = []
        said: list[int] = []
        places = [begin - 1, *(place for place in range(begin, len(ids)) if ids[place] >= 0)]
        for place in places:
            if place >= begin:
                said.append(ids[place])
            tokens = _next(one, said, ids[place])
            if tokens is None:
                return 0, found
            if place >= call.past:
                found.append(Offer(row, place - call.past, tokens, one.scope.certainty, one.scope.pieces))
            if not tokens:
                return (key if place == len(ids) - 1 else 0), found
        return key, found

    def _say(self, module: Any, args: Any, logits: Tensor) -> Tensor | None:
        """Move probability onto what is offered."""
        moment = self._moment
        if not moment.offers or not moment.depth or logits.ndim != 3:
            return None
        kept = _kept(moment.keep, moment.tokens, logits.shape[1])
        out = logits.clone()
        for offer in moment.offers:
            if offer.position not in kept:
                continue
            row = out[offer.row, kept[offer.position]]
            ids = sorted(offer.tokens) or offer.pieces.word_ends(len(row))
            chosen = torch.tensor(ids, device=row.device)
            row[chosen] += pointer_bias(row, chosen, offer.certainty).to(row.dtype)
        return out


def _next(one: Held, said: Sequence[int], last: int) -> frozenset[int] | None:
    """What comes after the tokens said since the answer may begin; None when nothing is left to say.

    Args:
        one: the edit.
        said: those tokens.
        last: the token before the place, which is one of the text's where nothing has been said.
    """
    pieces, edit = one.scope.pieces, one.edit
    size, tokens = after(said, edit.variants)
    if size and is_filler(pieces.text(said[: len(said) - size])[0]):
        return tokens if tokens or edit.ends else None
    text = pieces.text(said)[0]
    letters = begun(text, edit.object)
    if letters and is_filler(text[: len(text) - letters]):
        left = pieces.longest(edit.object[letters:].encode())
        return frozenset(left) if left or edit.ends else None
    if not is_filler(text):
        return None
    end = pieces.text([last])[0][-1:]
    spaced = frozenset(token for token in tokens if pieces.table[token].startswith(b" "))
    if end.isalnum() and not unspaced(end):
        return spaced or tokens
    return (tokens - spaced or tokens) if end.isspace() or end in OPENERS else tokens


def _kept(keep: Any, tokens: int, size: int) -> dict[int, int]:
    """Index among the kept logits by position in the call."""
    if isinstance(keep, Tensor):
        return {position % tokens: index for index, position in enumerate(keep.tolist())}
    return {tokens - size + index: index for index in range(size)}
