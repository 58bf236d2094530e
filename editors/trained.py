"""A fit by training, from requests and texts to a frozen delta of new weights."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from editors.anchors import Anchors, take_down
from editors.base import FactEffect
from editors.config import read_config
from editors.delta import parameters_digest
from editors.fitting import MOVED, in_order, object_nll
from editors.layouts import Layout, layout_of
from editors.rows import Row, group_requests
from editors.scores import sureness
from editors.trained_delta import TrainedDelta
from editors.training import (
    Data,
    Matrix,
    Trainee,
    TrainingConfig,
    check_finite,
    converged,
    projections,
    train,
    twin,
)
from editors.windows import windows
from registry.errors import EditError
from registry.records import EditRequest


class Method(Trainee, Protocol):
    """A trainee that can say what it has made of the matrices."""

    def result(self) -> "Result":
        """The change of every matrix."""
        ...


@dataclass(frozen=True)
class Result:
    """What training made.

    Attributes:
        tensors: of `TrainedDelta`.
        record: further plain values that decide what the delta does.
        notes: further plain values that do not.
    """

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]
    notes: Mapping[str, Any]


D = TypeVar("D", bound=TrainedDelta)

Start = Callable[[Any, Sequence[Matrix]], Method]
"""Prepares a fresh twin for training: the same on every call."""


@dataclass(frozen=True)
class TrainedConfig:
    """What the configs of all such editors have.

    Attributes:
        layers: blocks whose matrices are trained; none means all.
        training: how they are trained.
        texts: ordinary running text to train on, beside the facts or alone.
    """

    layers: tuple[int, ...] = ()
    training: TrainingConfig = field(default_factory=TrainingConfig)
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)


@dataclass(frozen=True)
class _Seen:
    """How a model stands to one fact: loss of its object, how sure it is in all contexts, whether it says it."""

    nll: float
    least: float
    said: bool


def fit_trained(
    kind: type[D], start: Start, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: TrainedConfig
) -> D:
    """Train on the requests' sentences and on text until every fact that the delta holds is written.

    A fact that is not reached is left out and the others are trained anew, so that the delta holds nothing for it.

    Args:
        kind: the delta's class.
        start: the method.
        model: comes out as it went in; only twins are trained.
        tokenizer: its fast tokenizer.
        requests: facts to write.
        config: the rest of what to do.

    Raises:
        EditError: the model's weights, or the loss of the text, are not finite.
    """
    layout, training = layout_of(model), config.training
    matrices = projections(model, layout, config.layers)
    rows, refused = _rows(tokenizer, requests, training)
    packed = windows(tokenizer, config.texts, training.length)
    effects: dict[str, FactEffect] = {}
    if rows or len(packed):
        check_finite(model, matrices)
        before = _look(twin(model), layout, rows, training)
        effects = {
            fact_id: _known(fact_id, seen) for fact_id, seen in before.items() if converged(seen.least, training)
        }
    held = [fact_id for fact_id in rows if fact_id not in effects]
    while held or len(packed):
        anchors = _anchors(model, tokenizer, layout, [one for one in requests if one.fact.id in held], training)
        data = Data(tuple(row for fact_id in held for row in rows[fact_id]), packed, anchors)
        attempt = _attempt(kind, start, model, matrices, held, data, training)
        if attempt is None and not held:
            raise EditError("the loss of the text, or a new weight, is not finite; take a smaller lr")
        if attempt is None:
            words = "training gave a value that is not finite; take a smaller lr"
            effects |= {fact_id: FactEffect(fact_id, "failed", words) for fact_id in held}
            held = []
            continue
        delta, new = attempt
        steps, shift = delta.notes["steps"], delta.notes["shift"]
        after = _look(new, layout, {fact_id: rows[fact_id] for fact_id in held}, training)
        effects |= {f: _effect(f, before[f], after[f], steps, shift) for f in held}
        written = [fact_id for fact_id in held if effects[fact_id].state == "written"]
        if written == held and shift > 0:
            return replace(delta, effects=in_order(requests, effects, refused))
        if written == held:
            break
        held = written
    nothing = kind((), (), parameters_digest(None, ()), {}, {}, ())
    return nothing.emptied(in_order(requests, effects, refused))


def _attempt(
    kind: type[D],
    start: Start,
    model: Any,
    matrices: Sequence[Matrix],
    held: Sequence[str],
    data: Data,
    config: TrainingConfig,
) -> tuple[D, Any] | None:
    """Train on some facts and on text: the delta, and a twin with its weights; None when a value is not finite."""
    copy = twin(model, train=True)
    method = start(copy, matrices)
    outcome = train(copy, method, data, config)
    if not outcome.finite:
        return None
    names = tuple(matrix.parameter for matrix in matrices)
    result = method.result()
    try:
        delta = kind(
            fact_ids=tuple(held),
            parameters=names,
            base_digest=parameters_digest(model, names),
            record={"transposed": [matrix.transposed for matrix in matrices], **result.record},
            tensors={name: tensor.detach().cpu().contiguous() for name, tensor in result.tensors.items()},
            effects=(),
        )
        new, shift = _moved(delta, model)
    except EditError:  # a new weight beyond the range of the model's precision
        return None
    notes = {
        **result.notes,
        "training": asdict(config),
        "steps": outcome.steps,
        "shift": shift,
        "text_tokens": data.windows.numel(),
        "text_losses": [*outcome.text_losses[:1], *outcome.text_losses[-1:]],
    }
    return replace(delta, notes=notes), new


def _anchors(
    model: Any, tokenizer: Any, layout: Layout, requests: Sequence[EditRequest], config: TrainingConfig
) -> Anchors:
    """What is held while `requests` are trained; nothing where there are none."""
    if not requests or not config.anchors or not config.hold:
        return Anchors()
    return take_down(twin(model, train=True), tokenizer, layout, requests, config.anchors, config.seed)


def _rows(
    tokenizer: Any, requests: Sequence[EditRequest], config: TrainingConfig
) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """The contexts of each fact that can be written, in the order of the requests, and why the others cannot."""
    groups, refused = group_requests(
        tokenizer, requests, prefixes=config.prefixes, paraphrases=config.paraphrases, seed=config.seed
    )
    answers = [row for group in groups for row in group.rows if row.kind == "answer"]
    known = {row.fact_id for row in answers}
    ids = dict.fromkeys(request.fact.id for request in requests if request.fact.id in known)
    return {fact_id: [row for row in answers if row.fact_id == fact_id] for fact_id in ids}, refused


def _look(model: Any, layout: Layout, rows: Mapping[str, Sequence[Row]], config: TrainingConfig) -> dict[str, _Seen]:
    """How `model` stands to each fact."""
    flat = [row for found in rows.values() for row in found]
    sure = sureness(model, layout, flat, config.end_probability)
    nll = object_nll(model, layout, flat)
    least: dict[str, float] = {}
    said: dict[str, bool] = {}
    for row, value in zip(flat, sure, strict=True):
        least[row.fact_id] = min(least.get(row.fact_id, 1.0), value)
        if row.plain:
            said[row.fact_id] = value > 0
    return {fact_id: _Seen(nll[fact_id], least[fact_id], said[fact_id]) for fact_id in rows}


def _moved(delta: TrainedDelta, model: Any) -> tuple[Any, float]:
    """A twin with the new weights, and the length of the change relative to the weights it changes."""
    copy, change, length = twin(model), 0.0, 0.0
    for name, value in delta.new_weights(model).items():
        weight = copy.get_parameter(name)
        change += float((value.to(torch.float32) - weight.data.to(torch.float32)).square().sum())
        length += float(weight.data.to(torch.float32).square().sum())
        weight.data = value
    return copy, math.sqrt(change / max(length, 1e-30))


def _known(fact_id: str, seen: _Seen) -> FactEffect:
    """What is said of a fact that the model has already."""
    return FactEffect(
        fact_id, "no_effect", "the model gives this object in every context already; nothing to write", 0, seen.nll
    )


def _effect(fact_id: str, before: _Seen, after: _Seen, steps: int, shift: float) -> FactEffect:
    """What became of a fact that was trained on; likelihoods are those of its own prompt, with the new weights."""
    figures = f"{steps} steps, loss {before.nll:.3f} -> {after.nll:.3f}, change {shift:.4f} of the weights' length"
    loss = after.nll if math.isfinite(after.nll) else 0.0
    if not math.isfinite(after.nll):
        return FactEffect(fact_id, "failed", f"the new weights give a value that is not finite ({figures})", steps)
    if not after.said:
        words = f"the object is not the greedy answer to its prompt ({figures})"
        return FactEffect(fact_id, "failed", words, steps, loss, shift)
    if before.nll - after.nll < MOVED:
        words = f"what was trained does not move the answer ({figures})"
        return FactEffect(fact_id, "no_effect", words, steps, loss, shift)
    return FactEffect(fact_id, "written", figures, steps, loss, shift)
