"""After the solve: targets of all layers are moved together, so that what the change does to others is taken back.

A solve keeps others' keys clear as far as they can be told from the facts' own; a name that is not among them still
gets some of every target. What that does there depends on the targets, which were found one by one at their own
subjects. Here they are trained together, the solved keys kept: on the facts' sentences as far as those are not sure,
and on sentences about well-known others, where the model is held to what it says without the change
(`editors.anchors`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from editors.anchors import drift, of_others, said_in
from editors.factors import LayerDelta
from editors.layouts import Layout
from editors.rows import Row
from editors.scores import answer_scores
from editors.training import twin
from editors.turns import Turns
from editors.workers import go_on
from registry.progress import track
from registry.ranges import Amount, Count, Positive, Some
from registry.records import EditRequest

ROWS = 32
"""Sentences that run together."""

TURN = 4
"""A sentence that is sure is looked at in every so many steps."""


@dataclass(frozen=True)
class RefineConfig:
    """How solved targets are refined.

    Attributes:
        steps: steps of Adam; 0 leaves the solution as it is.
        batch: sentences about others in a step, other ones in every step as far as `each` allows.
        each: so many different ones at most for each fact.
        lr: length of a step, relative to the length of a layer's targets.
        hold: weight of the divergence in others' sentences.
        slack: nats a token of an object that cost nothing.
        stay: weight of the squared length of what is added, relative to the targets'.
        seed: decides which sentences.
    """

    steps: Count = 0
    batch: Some = 64
    each: Some = 10
    lr: Positive = 0.1
    hold: Amount = 10.0
    slack: Amount = 0.3
    stay: Amount = 0.1
    seed: int = 0


def refined(
    model: Any,
    tokenizer: Any,
    layout: Layout,
    layers: Sequence[LayerDelta],
    rows: Sequence[Row],
    requests: Sequence[EditRequest],
    config: RefineConfig,
) -> list[LayerDelta]:
    """The layers' changes with targets moved.

    Args:
        model: without the change; comes out as it went in.
        tokenizer: its tokenizer.
        layout: its layout.
        layers: the solved changes.
        rows: the facts' sentences.
        requests: the facts, whose sentences are said of others.
        config: see `RefineConfig`.
    """
    learner = twin(model, train=True)
    most = min(config.steps * config.batch, config.each * len(requests))
    anchors = said_in(learner, tokenizer, layout, of_others(tokenizer, requests, most, config.seed))
    device = model.get_input_embeddings().weight.device
    added = [torch.zeros_like(layer.left, device=device, requires_grad=True) for layer in layers]
    lengths = [max(float(layer.left.norm()), torch.finfo(torch.float32).tiny) for layer in layers]
    adam = torch.optim.Adam(
        {"params": [own], "lr": config.lr * length / own.numel() ** 0.5}
        for own, length in zip(added, lengths, strict=True)
    )
    turns, lesson = Turns(len(anchors), config.batch, config.seed), _Lesson(learner, layout, rows, config.slack)
    with track("refining", config.steps) as advance, torch.enable_grad(), hooked(learner, layers, added):
        for step in range(config.steps):
            go_on()
            adam.zero_grad()
            lesson.backward(step)
            if len(anchors):
                (config.hold * drift(learner, layout, anchors, turns.next())).backward()  # type: ignore[no-untyped-call]
            size = sum((own / length).square().sum() for own, length in zip(added, lengths, strict=True))
            (config.stay * size).backward()  # type: ignore[union-attr]
            adam.step()
            advance(1)
    if not all(bool(torch.isfinite(own).all()) for own in added):
        return list(layers)
    return [
        replace(layer, left=(layer.left + own.detach().to(layer.left)).contiguous())
        for layer, own in zip(layers, added, strict=True)
    ]


class _Lesson:
    """The facts' sentences; one that costs nothing sits out until its turn comes."""

    def __init__(self, model: Any, layout: Layout, rows: Sequence[Row], slack: float) -> None:
        """The sentences that `model` shall not forget."""
        self._model, self._layout, self._rows, self._slack = model, layout, rows, slack
        self._costs = [1.0] * len(rows)

    def backward(self, step: int) -> None:
        """Add the gradient of what the sentences cost beyond the slack, a mean over all of them."""
        due = [place for place, cost in enumerate(self._costs) if cost or place % TURN == step % TURN]
        for begin in range(0, len(due), ROWS):
            part = due[begin : begin + ROWS]
            rows = [self._rows[place] for place in part]
            costs = torch.relu(answer_scores(self._model, self._layout, rows, 1.0)[0] - self._slack)
            (costs.sum() / len(self._rows)).backward()  # type: ignore[no-untyped-call]
            for place, cost in zip(part, costs.tolist(), strict=True):
                self._costs[place] = cost


@contextmanager
def hooked(model: Any, layers: Sequence[LayerDelta], added: Sequence[Tensor]) -> Iterator[None]:
    """The changes with what is `added` to their targets, inside the block."""
    with ExitStack() as stack:
        for layer, own in zip(layers, added, strict=True):
            module = model.get_submodule(layer.parameter.rpartition(".")[0])
            left, right = layer.left.to(own.device), layer.right.to(own.device)
            stack.callback(module.register_forward_hook(_moved_by(left, right, own)).remove)
        yield


def _moved_by(left: Tensor, right: Tensor, added: Tensor) -> Any:
    """A hook that adds what the change makes of a matrix's input to its output."""

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        moved = (args[0].to(right.dtype) @ right.t()) @ (left + added).t()
        return output + moved.to(output.dtype)

    return hook
