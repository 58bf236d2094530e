"""v*: the hidden state at the subject's last token that makes the model say the object.

ROME (arXiv 2202.05262) section 3.1, equation 4, and MEMIT (2210.07229) equation 16:

    delta* = argmin over delta of  mean over contexts of -log P[object | context, h + delta]
             + drift KL(P[. | "{subject} is a", h + delta] || P[. | "{subject} is a", h])  + decay |delta|^2 / |h|^2

The same function as running the whole model with h + delta at that token, with less work: hidden states below the edit
layer are computed once; tokens before the subject's last one cannot see delta, so that their keys and values are
computed once for all layers above; only scored positions reach the vocabulary; a fact that has converged leaves the
batch. Lengths are relative to |h|, so that the same numbers serve any stream. KL is as in the authors' code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.frame import Frame, Output, Scores, starts_of
from editors.layouts import Layout
from editors.rows import Contexts, Group, Row
from editors.workers import go_on, side_by_side, side_by_side_rows
from registry.progress import track
from registry.ranges import Amount, Count, Positive, Share, Some

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants."""

MASSIVE, REST = 4, 2.0
"""So many features of a hidden state may hold most of its length; a step is no longer than so many times the others."""

CPU_BATCH, GPU_BATCH = 4, 32
"""Facts that are optimised together at most: fewer make too few rows for a fast product, more leave cores waiting."""


@dataclass(frozen=True)
class TargetConfig:
    """How targets are optimised.

    Attributes:
        steps: most steps of Adam.
        lr: length of a step, relative to |h|, or to less where a few features hold most of it; see `_pace`.
        clamp: longest delta, relative to |h|.
        decay: weight of |delta|^2 / |h|^2.
        drift: weight of the KL term.
        stop_probability: least one of each object token, as the likeliest, in every context of a converged fact.
        end_probability: and the full stop after the object has at least this probability, times `stop_probability`.
        extra_steps: steps taken after that, for a margin.
        prefixes: natural beginnings put before the prompt, each a context.
        paraphrases: most paraphrases of the request used as contexts.
        chat: whether the prompt as a turn of a chat, answered by the object, is a context too.
        chat_probability: what `stop_probability` is in that context, where much else can be said.
        batch: facts optimised together, which the last bits depend on; 0 is up to 4 a core of a CPU, 32 elsewhere.
        seed: decides which natural beginnings.
    """

    steps: Some = 30
    lr: Positive = 0.1
    clamp: Positive = 2.0
    decay: Amount = 0.05
    drift: Amount = 0.0625
    stop_probability: Share = 0.6
    end_probability: Share = 0.2
    extra_steps: Count = 1
    prefixes: Count = 1
    paraphrases: Count = 6
    chat: bool = False
    chat_probability: Share = 0.1
    batch: Count = 0
    seed: int = 0

    @property
    def contexts(self) -> Contexts:
        """What a request is fitted in."""
        return Contexts(prefixes=self.prefixes, paraphrases=self.paraphrases, seed=self.seed, chat=self.chat)

    def wanted(self, row: Row) -> float:
        """The probability that a row's object must have."""
        return self.chat_probability if row.asked else self.stop_probability


@dataclass(frozen=True)
class Target:
    """What one group of facts is to be moved by, and how the optimisation went.

    Attributes:
        delta: change of the output that was moved, (d,), float64.
        steps: steps taken.
        losses: negative log-likelihood per expected token of each fact, over its contexts, by fact id.
        reached: whether each fact's object is the greedy answer to its own prompt, by fact id.
        shift: |delta| / |h|.
    """

    delta: Tensor
    steps: int
    losses: dict[str, float]
    reached: dict[str, bool]
    shift: float


@dataclass(frozen=True)
class State:
    """One evaluation of the objective: per-group loss (G,), per-row likelihood and certainty (rows,)."""

    loss: Tensor
    row_nll: Tensor
    row_sure: Tensor
    initial: Tensor


def evaluate(
    frame: Frame, scores: Scores, delta: Tensor, length: Tensor, initial: Tensor | None, config: TargetConfig
) -> State:
    """The objective of every group for `delta` (G, d).

    Args:
        frame: the contexts.
        scores: their scored positions.
        delta: change of the hidden state.
        length: |h|, (G,).
        initial: log-probabilities of the drift rows without delta; None when `delta` is zero.
        config: the weights of the terms.
    """
    logp = scores.log_probabilities(frame, frame.run(delta))
    groups = len(delta)
    row_nll = scores.row_nll(logp)
    answers, drift = logp[: scores.answers], logp[scores.answers :]
    initial = drift.detach() if initial is None else initial
    kl = (drift.exp() * (drift - initial)).sum(-1)
    row_kl = torch.zeros_like(row_nll).index_add(0, scores.row[scores.answers :], kl)
    loss = scores.group_mean(row_nll, scores.is_answer, groups)
    loss = loss + config.drift * scores.group_mean(row_kl, ~scores.is_answer, groups)
    loss = loss + config.decay * (delta.square().sum(-1) / length.square()).to(loss.dtype)
    with torch.no_grad():
        gold = answers.gather(1, scores.gold[:, None])[:, 0]
        sure = torch.where(gold >= answers.max(-1).values, gold.exp(), torch.zeros_like(gold))
        sure = torch.where(scores.own, sure, (gold.exp() / config.end_probability).clamp(max=1))
    return State(loss, row_nll, scores.row_minimum(sure), initial)


def fit_targets(
    model: Any,
    layout: Layout,
    groups: Sequence[Group],
    layer: int,
    config: TargetConfig,
    output: Output = "matrix",
    reach: Tensor | None = None,
) -> list[Target]:
    """The target of every group for an output of block `layer`, in the order of `groups`.

    Args:
        model: in evaluation mode; comes out as it went in.
        layout: its layout.
        groups: whose targets to find.
        layer: index of the block whose output moves.
        config: see `TargetConfig`.
        output: which one; see `editors.frame.Output`.
        reach: how far what is written can move each feature of it, (d,), about 1 (`editors.norms.reach_of`); None where
            it moves all alike.
    """
    device = model.get_input_embeddings().weight.device
    size = config.batch or side_by_side_rows(device, len(groups), CPU_BATCH if device.type == "cpu" else GPU_BATCH)
    # The longest first: what is left to the end, when some workers have nothing more to do, is short.
    order = sorted(range(len(groups)), key=lambda i: -max(len(row.tokens) for row in groups[i].rows))
    batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
    found: dict[int, Target] = {}

    def fit(batch: tuple[list[int], Frame]) -> list[Target]:
        chosen, frame = batch
        with torch.enable_grad():
            return _fit_batch(frame, [groups[i] for i in chosen], config, reach)

    with track("targets", len(groups)) as advance, side_by_side(device, len(batches)) as run:
        # Frames watch the model with hooks, so all of them are made before the first batch runs blocks of it.
        frames = [Frame(model, layout, [groups[i].rows for i in chosen], layer, output) for chosen in batches]
        for chosen, targets in zip(batches, run(fit, zip(batches, frames, strict=True)), strict=True):
            found |= dict(zip(chosen, targets, strict=True))
            advance(len(chosen))
    return [found[index] for index in range(len(groups))]


def _fit_batch(frame: Frame, groups: Sequence[Group], config: TargetConfig, reach: Tensor | None) -> list[Target]:
    """Optimise the targets of a few groups together; each group's numbers do not depend on the others."""
    scores = Scores(frame)
    wide = torch.promote_types(frame.hidden.dtype, torch.float32)
    states = [found.to(wide) for found in _states(frame, groups)]
    length = torch.stack([found.norm(dim=-1).mean() for found in states])  # |h|, (G,): the mean over the answer rows
    pace = torch.stack([_pace(found, one) for found, one in zip(states, length, strict=True)])
    scale = (length / frame.hidden.shape[-1] ** 0.5)[:, None] * (1 if reach is None else reach.to(length))
    u = torch.zeros(len(groups), frame.hidden.shape[-1], dtype=wide, device=frame.hidden.device)
    m, v, initial = torch.zeros_like(u), torch.zeros_like(u), None
    active = list(range(len(groups)))
    since: dict[int, int] = {}
    done: dict[int, Target] = {}
    for step in range(config.steps + 1):
        go_on()
        delta = (u * scale).requires_grad_()
        state = evaluate(frame, scores, delta, length, initial, config)
        initial = state.initial
        leaving = _leaving(state, scores, active, since, step, config)
        for position in leaving:
            done[active[position]] = _target(scores, state, position, delta.detach(), length, step)
        stay = [position for position in range(len(active)) if position not in leaving]
        if not stay:
            break
        (gradient,) = torch.autograd.grad(state.loss.sum(), delta)
        u, m, v = _adam(u, m, v, gradient * scale, step + 1, config, pace[:, None])
        if leaving:
            drifting = [owner for owner, row in zip(scores.owners, scores.rows, strict=True) if row.kind == "drift"]
            initial = initial[[owner in stay for owner in drifting]]
            frame.keep(stay)
            scores = Scores(frame)
            u, m, v, length, scale, pace = (part[stay] for part in (u, m, v, length, scale, pace))
            active = [active[position] for position in stay]
    return [done[index] for index in range(len(groups))]


def _states(frame: Frame, groups: Sequence[Group]) -> list[Tensor]:
    """What delta is added to in the answer rows of every group, (rows, d) each."""
    found = []
    for edited, group, starts in zip(frame.edited, groups, starts_of(frame.groups), strict=True):
        wanted = set(group.answer_rows)
        found.append(edited[[start for start, row in zip(starts, group.rows, strict=True) if row in wanted]])
    return found


def _pace(states: Tensor, length: Tensor) -> Tensor:
    """How long a step is for what `lr` says: 1, or less where a few features hold most of |h|.

    Features of massive activation (arXiv 2402.17762) say nothing about how far the others reach. In Gemma 3 a single
    one holds nine tenths of |h|, and a step by a share of |h| is too long for all others.

    Args:
        states: hidden states of one group, (rows, d).
        length: |h|, their mean length.
    """
    return torch.clamp(REST * rest_length(states).mean() / length, max=1)


def rest_length(states: Tensor) -> Tensor:
    """Length of each of `states` (..., d) without its `MASSIVE` largest features, (...)."""
    massive = states.abs().topk(min(MASSIVE, states.shape[-1] - 1), dim=-1).indices
    lengths: Tensor = states.scatter(-1, massive, 0).norm(dim=-1)
    return lengths


def _leaving(
    state: State, scores: Scores, active: list[int], since: dict[int, int], step: int, config: TargetConfig
) -> list[int]:
    """Positions of the groups that stop at this step: converged and done with the extra steps, or out of steps."""
    spare = [math.inf] * len(active)
    for owner, row, sure in zip(scores.owners, scores.rows, state.row_sure.tolist(), strict=True):
        spare[owner] = min(spare[owner], sure - config.wanted(row))
    leaving = []
    for position, index in enumerate(active):
        if spare[position] >= 0:
            since.setdefault(index, step)
        enough = index in since and (step - since[index] >= config.extra_steps or since[index] == 0)
        if enough or step == config.steps or not bool(torch.isfinite(state.loss[position])):
            leaving.append(position)
    return leaving


def _target(scores: Scores, state: State, position: int, delta: Tensor, length: Tensor, step: int) -> Target:
    """Put together the result of the group at `position` of the batch."""
    losses: dict[str, list[float]] = {}
    reached: dict[str, bool] = {}
    nlls, sures = state.row_nll.detach().tolist(), state.row_sure.tolist()
    for row, owner, nll, sure in zip(scores.rows, scores.owners, nlls, sures, strict=True):
        if owner == position and row.kind == "answer":
            losses.setdefault(row.fact_id, []).append(nll)
            if row.plain:
                reached[row.fact_id] = sure > 0
    return Target(
        delta=delta[position].to("cpu", torch.float64),
        steps=step,
        losses={fact_id: sum(values) / len(values) for fact_id, values in losses.items()},
        reached=reached,
        shift=float(delta[position].norm() / length[position]),
    )


def _adam(
    u: Tensor, m: Tensor, v: Tensor, gradient: Tensor, step: int, config: TargetConfig, pace: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of Adam on u, `pace` (G, 1) times lr long, then onto |u| <= clamp sqrt d.

    u is in units of |h| / sqrt d, so that |delta| <= clamp |h|; of that times the reach where features have one.
    """
    m = BETA1 * m + (1 - BETA1) * gradient
    v = BETA2 * v + (1 - BETA2) * gradient.square()
    u = u - config.lr * pace * (m / (1 - BETA1**step)) / ((v / (1 - BETA2**step)).sqrt() + EPSILON)
    longest = config.clamp * u.shape[-1] ** 0.5
    norm = u.norm(dim=-1, keepdim=True)
    return torch.where(norm > longest, u * (longest / norm.clamp(min=EPSILON)), u), m, v
