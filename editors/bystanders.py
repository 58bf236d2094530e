"""Keys that an edit keeps clear of: other subjects in its sentences, its own subject said again, and earlier subjects.

The second moments of ordinary text hardly hold the sentences of an edit, so that MEMIT's objective lets the subjects
beside the edited ones move with them. Here the same sentences are said of common other names, and the keys of those
names count in the objective as text does. Keys of earlier edits count likewise (AlphaEdit's K_p, arXiv 2410.02355,
section 3.3). An object that repeats its subject ("the currency of Bhutan is the Bhutanese ngultrum") would be broken
off where it does, because the edit acts there as well; so the subject's token counts as a bystander in its own object.
Nothing but the requests and the model is looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from editors.delta import deltas_on
from editors.layouts import Layout
from editors.norms import slopes
from editors.others import MORE_NAMES, Placed, placed
from editors.rows import Group, requests_in
from editors.subject import subject_span
from editors.trace import inputs_of
from registry.errors import EditError
from registry.ranges import Amount, Count, Share
from registry.records import EditRequest
from registry.text import normalise

ROWS = 64


@dataclass(frozen=True)
class BystanderConfig:
    """How much an edit keeps clear of others.

    Attributes:
        most: how many sentences about other names are looked at, at most.
        each: and at most so many for each fact.
        share: and at most as many as this share of the keys' width, those of subjects in their own objects included, so
            that room is left for the edits.
        weight: what the key of another name, and of the subject in its own object, counts, against 1 for the key of an
            edit.
        earlier: what the key of an earlier edit counts.
        seed: decides which names stand in which sentences.
    """

    most: Count = 1200
    each: Count = 60
    share: Share = 0.8
    weight: Amount = 2.0
    earlier: Amount = 1.0
    seed: int = 0


def bystanders(tokenizer: Any, requests: Sequence[EditRequest], most: int, seed: int) -> list[tuple[int, ...]]:
    """The `sentences` as tokens up to the name's last one, each once."""
    return list(dict.fromkeys(one.tokens[: one.place + 1] for one in sentences(tokenizer, requests, most, seed)))


def sentences(
    tokenizer: Any, requests: Sequence[EditRequest], most: int, seed: int, known: Sequence[str] = MORE_NAMES
) -> list[Placed]:
    """The requests' sentences about other names that are known, at most `most`.

    A name that holds an edited subject, or is held by one, is left out. Which sentences are taken is drawn for each on
    its own, so that one request more or less changes little.
    """
    names = names_beside(requests, known)
    forms = dict.fromkeys(form for request in requests for form in _forms(request))
    pairs = [(form, name) for form in forms for name in names]
    pairs.sort(key=lambda pair: Random(f"{seed}:{pair[0]}:{pair[1]}").random())
    return [placed(tokenizer, form, name) for form, name in pairs[:most]]


def _forms(request: EditRequest) -> Iterator[str]:
    """The request's phrasings with {} for the subject; one that does not hold the subject is passed over."""
    for prompt in (request.prompt, *request.paraphrases):
        with suppress(EditError):
            start, end = subject_span(prompt, request.fact.subject)
            if "{}" not in prompt:
                yield f"{prompt[:start]}{{}}{prompt[end:]}"


def names_beside(requests: Sequence[EditRequest], known: Sequence[str] = MORE_NAMES) -> list[str]:
    """The known names that neither hold an edited subject nor are held by one."""
    subjects = {normalise(request.fact.subject) for request in requests}
    named = ((name, normalise(name)) for name in known)
    return [name for name, plain in named if not any(plain in subject or subject in plain for subject in subjects)]


def contexts_of(groups: Sequence[Group]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Each group's contexts as tokens up to the subject's last one: what a delta keeps for later edits."""
    return tuple(tuple(dict.fromkeys(row.tokens[: row.subject + 1] for row in group.answer_rows)) for group in groups)


def echoes(groups: Sequence[Group]) -> list[tuple[int, ...]]:
    """Contexts of a fact up to each later token that is the subject's last one again ("Bhutan ... the Bhutanese").

    What is written at the subject would act there once more, in the middle of its object.
    """
    rows = [row for group in groups for row in group.rows]
    ends = (
        row.tokens[: place + 1]
        for row in rows
        for place in range(row.subject + 1, len(row.tokens))
        if row.tokens[place] == row.tokens[row.subject]
    )
    return list(dict.fromkeys(ends))


def earlier_contexts(model: Any, groups: Sequence[Group]) -> list[tuple[int, ...]]:
    """Contexts of the edits that are on in `model`, except those that `groups` write anew."""
    new = {context for column in contexts_of(groups) for context in column}
    columns = (column for delta in deltas_on(model) for column in delta.contexts)
    return [context for column in columns if not new & set(column) for context in column]


def kept_keys(
    model: Any,
    tokenizer: Any,
    layout: Layout,
    layers: Sequence[int],
    requests: Sequence[EditRequest],
    groups: Sequence[Group],
    config: BystanderConfig,
) -> dict[int, Tensor]:
    """What the edited matrices see at other names and at earlier subjects, by layer.

    Args:
        model: with all earlier edits on.
        tokenizer: its tokenizer.
        layout: its layout.
        layers: the edited blocks.
        requests: whose sentences.
        groups: what is about to be written.
        config: how much each counts.

    Returns:
        (d_in, n) float64 on the CPU, each key times the square root of what it counts, and per unit of what it makes
        where a norm follows (`editors.norms`); n may be 0.

    Raises:
        EditError: the model gives values that are not finite.
    """
    written = requests_in(groups, requests)
    width = min(layout.down_weight(model, layer).shape[1] for layer in layers)
    room = int(config.share * width)
    own = echoes(groups)[:room] if config.weight else []
    most = min(config.most, config.each * len(written), room - len(own))
    others = [*bystanders(tokenizer, written, most, config.seed), *own] if config.weight else []
    earlier = earlier_contexts(model, groups) if config.earlier else []
    scale = torch.tensor([config.weight] * len(others) + [config.earlier] * len(earlier), dtype=torch.float64).sqrt()
    keys = keys_at_end(model, layout, layers, [*others, *earlier])
    if not all(bool(torch.isfinite(found).all()) for found in keys.values()):
        raise EditError("expected finite hidden states, got NaN or infinity; check the model's weights")
    counts = {
        layer: scale * slopes(layout.post_norm(model, layer), layout.down_weight(model, layer), found.t())
        for layer, found in keys.items()
    }
    return {layer: found * counts[layer] for layer, found in keys.items()}


def keys_at_end(
    model: Any, layout: Layout, layers: Sequence[int], contexts: Sequence[Sequence[int]]
) -> Mapping[int, Tensor]:
    """What the down-projections of some blocks are given at the last token of each context.

    Returns:
        (d_in, contexts) float64 on the CPU, by layer. Contexts of one length run together, unpadded.
    """
    modules = {layer: layout.down_module(model, layer) for layer in layers}
    device = model.get_input_embeddings().weight.device
    widths = {layer: layout.down_weight(model, layer).shape[1] for layer in layers}
    keys = {layer: torch.zeros(widths[layer], len(contexts), dtype=torch.float64) for layer in layers}
    order = sorted(range(len(contexts)), key=lambda index: len(contexts[index]))
    begin = 0
    while begin < len(order):
        length = len(contexts[order[begin]])
        batch = [index for index in order[begin : begin + ROWS] if len(contexts[index]) == length]
        ids = torch.tensor([list(contexts[index]) for index in batch], device=device)
        with torch.no_grad(), inputs_of(modules) as seen:
            model.base_model(input_ids=ids, use_cache=False)
        for layer, found in seen.items():
            last = found.reshape(len(batch), length, -1)[:, -1]
            keys[layer][:, batch] = last.to("cpu", torch.float64).t()
        begin += len(batch)
    return keys
