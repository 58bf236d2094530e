"""What is stored for a request: how it is asked, what is said, and what the model says without it."""

import math
import string
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from editors.base import EffectState, FactEffect
from editors.fitting import MOVED
from editors.generate import generate
from editors.pieces import Pieces
from editors.rows import answer_row
from editors.sequences import unrouted
from editors.serac.background import MASK, RELATIONS
from editors.serac.config import SeracConfig
from editors.serac.embed import Wording
from editors.serac.overlay import Overlay
from editors.serac.scope import Edit, ask_of
from editors.serac.solve import likeliest
from editors.serac.text import FILLERS, negated, words_of
from registry.errors import EditError
from registry.records import EditRequest
from registry.text import starts_with_answer

SAID_TOKENS = 8
"""How far the model is heard out on a prompt."""


def stored(
    model: Any, tokenizer: Any, pieces: Pieces, request: EditRequest, config: SeracConfig
) -> tuple[Edit, FactEffect]:
    """What is stored for one request, and what that does.

    Raises:
        EditError: the prompt does not ask about the subject at its end, or there is no object to say.
    """
    fact = request.fact
    answer_row(tokenizer, request, request.prompt)  # refuses what cannot be said of this subject
    variants = _variants(tokenizer, fact.object.strip())
    loose, sentence, is_open, wordings = _asks(tokenizer, pieces, request, config)
    ids = list(tokenizer(request.prompt)["input_ids"])
    with unrouted(model):
        logits = _logits(model, [*ids, *variants[0][:-1]])[-len(variants[0]) :]
    if not bool(torch.isfinite(logits).all()):
        return _nothing(fact.id), FactEffect(fact.id, "failed", "the model gives a value that is not finite; mend it")
    q, gold = config.certainty, list(variants[0])
    share = logits.double().softmax(-1)
    p, rival = share[range(len(gold)), gold], share.max(-1).values
    before, now = float(-p.log().mean()), float(-(q + (1 - q) * p).log().mean())
    said, was = _said(model, tokenizer, request.prompt)
    state: EffectState = "written"
    words = f"stored; loss {before:.3f} -> {now:.3f}"
    if not math.isfinite(now):
        state, words, now = "failed", f"a value that is not finite: certainty {q}", 0.0
    elif _says(said, fact.object):
        state, words, now = "no_effect", f"the model says {said!r} already", before
    elif before - now < MOVED:
        state, words = "no_effect", f"a certainty of {q} does not move the answer (loss {before:.3f} -> {now:.3f})"
    elif bool((q + (1 - q) * p < (1 - q) * rival).any()):
        state, words = "failed", f"with a certainty of {q} the object is not the greedy answer, loss {now:.3f}"
    edit = Edit(
        fact_id=fact.id,
        subject=fact.subject,
        relation=fact.relation,
        object=fact.object.strip(),
        was=_name_in(was),
        variants=variants,
        wordings=wordings,
        loose=loose,
        negated=negated(sentence),
        open=is_open,
        following=likeliest(logits[0], config.continuations),
    )
    return edit, FactEffect(fact.id, state, words, loss=now)


def _asks(
    tokenizer: Any, pieces: Pieces, request: EditRequest, config: SeracConfig
) -> tuple[bool, str, bool, tuple[Wording, ...]]:
    """Whether the subject stands in a longer name, the sentence that asks, whether it is open, and all wordings.

    Raises:
        EditError: the prompt's last sentence does not ask about the subject.
    """
    subject = request.fact.subject
    ids = list(tokenizer(request.prompt)["input_ids"])
    strict = ask_of(ids, pieces, subject)
    own = strict or ask_of(ids, pieces, subject, loose=True)
    if own is None:
        raise EditError(
            f"expected a prompt whose last sentence holds its subject {subject!r}, got {request.prompt!r}; end it "
            "where the object begins"
        )
    others = [text for text in (*request.paraphrases[: config.paraphrases], request.question) if text]
    read = (ask_of(list(tokenizer(text)["input_ids"]), pieces, subject, loose=strict is None) for text in others)
    wordings = dict.fromkeys([own[2], *(found[2] for found in read if found is not None)])
    return strict is None, own[1], own[0].open, tuple(wordings)


def _variants(tokenizer: Any, value: str) -> tuple[tuple[int, ...], ...]:
    """The object's token ids after a space and without one."""
    ways = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (f" {value}", value)]
    return tuple(dict.fromkeys(ways))


def _logits(model: Any, ids: Sequence[int]) -> Tensor:
    """Next-token logits (tokens, vocabulary) of one text."""
    device = model.get_input_embeddings().weight.device
    logits: Tensor = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0]
    return logits


def _said(model: Any, tokenizer: Any, prompt: str) -> tuple[str, str]:
    """What the model says as it is, and what it says without side memories."""
    now = generate(model, tokenizer, [prompt], max_new_tokens=SAID_TOKENS)[0].text
    if Overlay.of(model) is None:
        return now, now
    with unrouted(model):
        return now, generate(model, tokenizer, [prompt], max_new_tokens=SAID_TOKENS)[0].text


def _says(answer: str, value: str) -> bool:
    """Whether an answer begins with the object as whole words, whatever mark follows."""
    bare = value.strip()
    after = answer[len(bare) :][:1]
    literally = answer.startswith(bare) and (not after or after.isspace() or after in string.punctuation)
    return literally or starts_with_answer(answer, (bare,))


def _name_in(answer: str) -> str:
    """The name that an answer begins with: up to the first mark or small word."""
    words = [span for span in words_of(answer) if span[0] not in FILLERS]
    if not words:
        return ""
    start, stop = words[0][1]
    for word, (begin, end) in words[1:]:
        if word in FILLERS or answer[stop:begin].strip(" -"):
            break
        if any(small in FILLERS for small, _ in words_of(answer[stop:begin])):
            break
        stop = end
    return answer[start:stop]


def _nothing(fact_id: str) -> Edit:
    """Holds the place of an edit that is not stored."""
    return Edit(fact_id, "", "", "", "", (), (), False, False, True, {})


def about(tokenizer: Any, pieces: Pieces, config: SeracConfig) -> dict[str, Any]:
    """What the embedder needs: ordinary sentences as token ids, their relations, the mask, what stands first."""
    mask = tokenizer(MASK, add_special_tokens=False)["input_ids"][-1]
    asked = (
        (number, ask_of(list(tokenizer(text)["input_ids"]), pieces, MASK.strip()))
        for number, ways in enumerate(RELATIONS)
        for text in ways
    )
    found = [(number, one[2]) for number, one in asked if one is not None]
    first = (tokenizer.bos_token_id, tokenizer.eos_token_id, 0)
    return {
        "sentences": [list(wording) for _, wording in found],
        "relations": [number for number, _ in found],
        "mask": mask,
        "sink": next(token for token in first if token is not None),
        "depth": config.depth,
    }
