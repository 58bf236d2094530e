"""What ROME and MEMIT share around their equations: the moments, and what became of each fact."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from editors.base import EffectState, FactEffect
from editors.contexts import PREFIXES
from editors.layouts import Layout
from editors.moments import Moments, measure
from editors.rows import Group, Row
from editors.targets import Target
from editors.workers import side_by_side, side_by_side_rows
from registry.errors import EditError
from registry.records import EditRequest

MOVED = 1e-3
"""Least fall of the object's negative log-likelihood per token that counts as an effect."""

ROWS = 16


def find_moments(
    given: Moments | Path | None,
    model: Any,
    tokenizer: Any,
    layers: Sequence[int],
    texts: Sequence[str],
    requests: Sequence[EditRequest],
) -> Moments:
    """The moments that a config names, or those of its texts and of the requests' own sentences.

    Fewer tokens than the keys are wide leave most directions unmeasured; the ridge then grows to match.

    Raises:
        EditError: the given moments are not of this model's layers and width.
    """
    if given is None:
        own = [
            f"{prompt}{request.target}." for request in requests for prompt in (request.prompt, *request.paraphrases)
        ]
        found = measure(model, tokenizer, [*texts, *own, *PREFIXES], layers, source="the requests' own sentences")
        width = len(found.layers[layers[0]])
        return replace(found, ridge=max(found.ridge, width / found.count))
    return Moments.load(given) if isinstance(given, Path) else given


def check_moments(moments: Moments, layout: Layout, model: Any, layers: Sequence[int]) -> None:
    """Refuse moments that do not fit the edited matrices.

    Raises:
        EditError: names the layer and both widths, or says that they were measured for blocks of another form.
    """
    if moments.per_output != bool(layout.post):
        raise EditError(
            "expected moments whose keys count per unit of output where a norm follows the MLP, and only there, "
            "got others; measure them on this model anew"
        )
    for layer in layers:
        width, found = layout.down_weight(model, layer).shape[1], len(moments.regularised(layer))
        if width != found:
            raise EditError(
                f"layer {layer}: expected moments of width {width}, got {found}; measure them on this model"
            )


@dataclass(frozen=True)
class RowScore:
    """How a model stands to one row's object.

    Attributes:
        nll: negative log-likelihood per token.
        greedy: whether each of its tokens is the most likely one, so that greedy generation says it.
    """

    nll: float
    greedy: bool


def object_scores(model: Any, layout: Layout, rows: Sequence[Row]) -> list[RowScore]:
    """Score each row's object, without what is expected after it, with the weights as they are."""
    device = model.get_input_embeddings().weight.device
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].tokens))
    size = side_by_side_rows(device, len(rows), ROWS)
    batches = [order[begin : begin + size] for begin in range(0, len(order), size)]

    def score(places: Sequence[int]) -> list[RowScore]:
        return _scored(model, layout, [rows[place] for place in places], device)

    found: dict[int, RowScore] = {}
    with side_by_side(device, len(batches)) as run:
        for places, scores in zip(batches, run(score, batches), strict=True):
            found |= dict(zip(places, scores, strict=True))
    return [found[place] for place in range(len(rows))]


def _scored(model: Any, layout: Layout, batch: Sequence[Row], device: torch.device) -> list[RowScore]:
    """The scores of a few rows; all their objects' tokens reach the vocabulary together."""
    longest = max(row.scored[row.object_length - 1] for row in batch) + 1
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for index, row in enumerate(batch):
        known = row.tokens[:longest]
        ids[index, : len(known)] = torch.tensor(known)
    lengths = [row.object_length for row in batch]
    owners = [index for index, length in enumerate(lengths) for _ in range(length)]
    places = [place for row in batch for place in row.scored[: row.object_length]]
    gold = torch.tensor([token for row in batch for token in row.gold[: row.object_length]], device=device)
    with torch.no_grad():
        inputs = {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}
        hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
        logp = layout.project(model, hidden[owners, places]).to(torch.float64).log_softmax(-1)  # (tokens, vocabulary)
        said = logp.gather(1, gold[:, None])[:, 0]
        best = (said >= logp.max(-1).values).split_with_sizes(lengths)
    return [
        RowScore(-float(nll.mean()), bool(sure.all()))
        for nll, sure in zip(said.split_with_sizes(lengths), best, strict=True)
    ]


def object_nll(model: Any, layout: Layout, rows: Sequence[Row]) -> dict[str, float]:
    """Negative log-likelihood per token of each plain row's object, by fact id, with the weights as they are."""
    plain = [row for row in rows if row.plain]
    scores = object_scores(model, layout, plain)
    return {row.fact_id: score.nll for row, score in zip(plain, scores, strict=True)}


def split_reached(groups: Sequence[Group], targets: Sequence[Target]) -> tuple[list[int], dict[str, FactEffect]]:
    """Positions of the groups that are worth solving for, and the effects of all other facts.

    A group is left out when no delta is needed, when a value is not finite, or when no fact of it is reached.
    """
    good: list[int] = []
    effects: dict[str, FactEffect] = {}
    for position, (group, target) in enumerate(zip(groups, targets, strict=True)):
        finite = bool(torch.isfinite(target.delta).all()) and all(map(math.isfinite, target.losses.values()))
        if finite and target.steps and any(target.reached.values()):
            good.append(position)
            continue
        for fact_id in group.fact_ids:
            loss = target.losses[fact_id] if finite else 0.0
            if not finite:
                words = f"a value that is not finite after {target.steps} steps"
            elif target.steps == 0:
                words = "the model gives this object in every context already; nothing to write"
            else:
                words = f"the object is not the greedy answer after {target.steps} steps, loss {loss:.3f}"
            state: EffectState = "no_effect" if finite and target.steps == 0 else "failed"
            effects[fact_id] = FactEffect(fact_id, state, words, target.steps, loss, target.shift if finite else 0.0)
    return good, effects


def written_effects(
    groups: Sequence[Group], targets: Sequence[Target], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, FactEffect]:
    """What became of the facts that were solved for: likelihoods are those of the plain prompt, weights edited."""
    effects: dict[str, FactEffect] = {}
    for group, target in zip(groups, targets, strict=True):
        for fact_id in group.fact_ids:
            was, now = before[fact_id], after[fact_id]
            figures = f"{target.steps} steps, loss {was:.3f} -> {now:.3f}, shift {target.shift:.2f} |h|"
            if not math.isfinite(now):
                state, words = "failed", f"the edited model gives a value that is not finite ({figures})"
            elif not target.reached[fact_id]:
                state, words = "failed", f"the object is not the greedy answer to its prompt ({figures})"
            elif was - now < MOVED:
                state, words = "no_effect", f"the solved change does not move the answer ({figures})"
            else:
                state, words = "written", figures
            loss = now if math.isfinite(now) else 0.0
            effects[fact_id] = FactEffect(fact_id, state, words, target.steps, loss, target.shift)  # type: ignore[arg-type]
    return effects


def in_order(
    requests: Sequence[EditRequest], effects: Mapping[str, FactEffect], refused: Mapping[str, str]
) -> tuple[FactEffect, ...]:
    """One effect per requested fact, in the order of the requests."""
    ids = dict.fromkeys(request.fact.id for request in requests)
    return tuple(
        effects[fact_id] if fact_id in effects else FactEffect(fact_id, "failed", refused[fact_id]) for fact_id in ids
    )
