"""What a model says of others, held while facts are trained.

Gradients on a few sentences move whatever is said alike: trained until ten facts are sure, a model says their objects
of everything. So every step also sees the same sentences about other names, and other sentences about the facts'
subjects, each with what the model itself went on to say. The divergence of what follows there from what followed before
is added to the loss, as ROME adds it at one sentence (arXiv 2202.05262, equation 4) and MEND at other facts (arXiv
2110.11309, L_loc). Nothing but the requests and the model is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from editors.bystanders import names_beside, sentences
from editors.decoding import Row, Rules, decode, end_tokens
from editors.layouts import Layout
from editors.others import RELATIONS, Placed, placed
from editors.scores import next_logp
from editors.well_known import WELL_KNOWN
from registry.records import EditRequest
from registry.text import normalise

EACH = 100
"""Sentences for each fact, at most."""
SAID = 6
"""Tokens of what the model went on to say that are held, at most."""
LIKELIEST = 64
"""Next tokens that are told apart; all others count as one, so that the divergence is at most the whole one."""
LEAST = 1e-6
"""Probability that all others together have at least."""
SHORT = 3
"""Letters of words that say nothing."""
COMMON = 4
"""One of so many sentences about others alone says something common."""
ROWS = 32


@dataclass(frozen=True)
class Anchors:
    """Sentences, and what followed in them.

    Attributes:
        tokens: of each sentence with what the model went on to say.
        places: of each, where the next token is held: from the name's last token on.
        likeliest: of each, the likeliest next tokens there, (places, K).
        before: and their log-probabilities, (places, K) float32.
    """

    tokens: tuple[tuple[int, ...], ...] = ()
    places: tuple[range, ...] = ()
    likeliest: tuple[Tensor, ...] = ()
    before: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        """How many sentences."""
        return len(self.tokens)


def take_down(
    model: Any, tokenizer: Any, layout: Layout, requests: Sequence[EditRequest], most: int, seed: int
) -> Anchors:
    """What `model` says in up to `most` sentences that do not say what the requests do, and no more than `EACH` a fact.

    Half of them are the requests' own about other names; of the rest one half says common things of the requests'
    subjects, the other of other names.

    Args:
        model: as it is before anything is trained.
        tokenizer: its tokenizer.
        layout: its layout.
        requests: what is about to be trained.
        most: how many sentences.
        seed: decides which.
    """
    return said_in(model, tokenizer, layout, _sentences(tokenizer, requests, min(most, EACH * len(requests)), seed))


def said_in(model: Any, tokenizer: Any, layout: Layout, found: Sequence[Placed]) -> Anchors:
    """What `model` says in some sentences."""
    rows = [Row(list(one.tokens)) for one in found]
    decode(model, rows, Rules(SAID, end_tokens(model, tokenizer)))
    tokens = tuple((*row.ids, *row.said) for row in rows)
    places = tuple(range(one.place, len(own)) for one, own in zip(found, tokens, strict=True))
    likeliest: list[Tensor] = []
    before: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(tokens), ROWS):
            part = slice(start, start + ROWS)
            logp = next_logp(model, layout, tokens[part], places[part])
            values, ids = logp.topk(min(LIKELIEST, logp.shape[1]))
            sizes = [len(one) for one in places[part]]
            likeliest += torch.split(ids, sizes)
            before += torch.split(values, sizes)
    return Anchors(tokens, places, tuple(likeliest), tuple(before))


def _sentences(tokenizer: Any, requests: Sequence[EditRequest], most: int, seed: int) -> list[Placed]:
    """The sentences, each once."""
    asked: dict[str, set[str]] = {}
    for request in requests:
        asked.setdefault(request.fact.subject, set()).update(_words(" ".join((request.prompt, *request.paraphrases))))
    found = sentences(tokenizer, requests, most // 2, seed)
    for names in (asked, names_beside(requests)):
        pairs = [(form, name) for form in RELATIONS for name in names if not _words(form) & asked.get(name, set())]
        Random(seed).shuffle(pairs)
        found += [placed(tokenizer, form, name) for form, name in pairs[: most // 4]]
    return list(dict.fromkeys(found))


def of_others(tokenizer: Any, requests: Sequence[EditRequest], most: int, seed: int) -> list[Placed]:
    """At most `most` sentences about well-known others, none about the requests' subjects.

    A quarter says common things; the rest are the requests' own.
    """
    common = most // COMMON
    found = sentences(tokenizer, requests, most - common, seed, WELL_KNOWN)
    pairs = [(form, name) for form in RELATIONS for name in names_beside(requests, WELL_KNOWN)]
    Random(seed).shuffle(pairs)
    return list(dict.fromkeys([*found, *(placed(tokenizer, form, name) for form, name in pairs[:common])]))


def _words(text: str) -> set[str]:
    """Words that tell what is asked: a subject is not held to sentences that may say what is to be written."""
    return {word for word in normalise(text).split() if len(word) > SHORT}


def drift(model: Any, layout: Layout, anchors: Anchors, chosen: Sequence[int]) -> Tensor:
    """Mean divergence KL(before || now) of the next token over the held places of some sentences, in nats."""
    now = next_logp(model, layout, [anchors.tokens[i] for i in chosen], [anchors.places[i] for i in chosen])
    now = now.gather(1, torch.cat([anchors.likeliest[i] for i in chosen]))
    before = torch.cat([anchors.before[i] for i in chosen])
    return ((before.exp() * (before - now)).sum(1) + _others(before, now)).mean()


def _others(before: Tensor, now: Tensor) -> Tensor:
    """What all tokens but the likeliest add to the divergence, (places,)."""
    left, right = ((1 - logp.exp().sum(1)).clamp(min=LEAST) for logp in (before, now))
    return left * (left / right).log()
