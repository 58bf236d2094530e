"""MEMIT (arXiv 2210.07229), algorithm 1: targets at the last edit layer, then one solve per layer, from below.

Where this differs from the authors' code: keys and the current hidden state are both averaged over all contexts of a
fact (there: keys over contexts, the state from the plain prompt); facts of one subject share one key and one target
(there, such facts work against each other); facts that the solved change does not bring are aimed further; lengths are
relative to |h|.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from editors.base import FactEffect
from editors.bystanders import contexts_of, kept_keys
from editors.delta import WeightDelta, load_delta, parameters_digest
from editors.factors import LayerDelta
from editors.fitting import (
    check_moments,
    find_moments,
    in_order,
    object_nll,
    object_scores,
    split_reached,
    written_effects,
)
from editors.keys import SubjectStream
from editors.layouts import Layout, layout_of
from editors.memit.config import MemitConfig
from editors.memit.refine import RefineConfig, refined
from editors.memit.solve import basis_and_gram, metric_factor, null_basis_and_gram, null_space, share
from editors.moments import Moments
from editors.norms import reach_of
from editors.rows import Group, Row, group_requests, requests_in
from editors.targets import Target, fit_targets
from editors.trace import evaluating, replaced
from registry.progress import track
from registry.records import EditRequest, Scope

AGAIN = 3
"""A target that is aimed further starts near its goal: it has one in so many of the steps of the first one."""


class MemitEditor:
    """Writes many facts into the MLPs of several layers at once."""

    name = "memit"
    scope: Scope = "weights"
    load = staticmethod(load_delta)
    config_type = MemitConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: MemitConfig | None = None
    ) -> WeightDelta:
        """Compute the delta that writes `requests`; see `editors.base.Editor.fit`."""
        config = config or MemitConfig()
        layout = layout_of(model)
        layers = config.edited(model)
        names = [layout.down_name(layer) for layer in layers]
        base = parameters_digest(model, names)
        tuning = config.targets
        groups, refused = group_requests(tokenizer, requests, mentions=config.mentions, **tuning.contexts)
        if not groups:
            return _empty(self.name, in_order(requests, {}, refused))
        with evaluating(model):
            moments = find_moments(config.moments, model, tokenizer, layers, config.texts, requests)
            check_moments(moments, layout, model, layers)
            targets = fit_targets(model, layout, groups, layers[-1], tuning, "block", reach_of(layout, model, layers))
            good, effects = split_reached(groups, targets)
            groups, targets = [groups[i] for i in good], [targets[i] for i in good]
            if not groups:
                return _empty(self.name, in_order(requests, effects, refused))
            rows = [row for group in groups for row in group.rows]
            before = object_nll(model, layout, rows)
            kept = kept_keys(model, tokenizer, layout, layers, requests, groups, config.bystanders)
            solved, after = _solve(model, layout, layers, groups, targets, _Metric(config, moments, kept))
            if config.refine.steps:
                asked = requests_in(groups, requests)
                solved, after = _refine(model, tokenizer, layout, groups, asked, solved, config.refine)
        effects |= written_effects(groups, targets, before, after)
        delta = WeightDelta(
            editor=self.name,
            rule="ridge",
            columns=tuple(group.fact_ids for group in groups),
            layers=tuple(solved),
            base_digest=base,
            effects=in_order(requests, effects, refused),
            notes=_notes(config, layers, moments),
            contexts=contexts_of(groups),
        )
        return delta.restricted([effect.fact_id for effect in delta.effects if effect.state != "written"])


@dataclass(frozen=True)
class _Metric:
    """What a change costs: text's second moments and the keys that shall not move, by layer.

    What is `prepared` of them, by layer, does not depend on the edits and serves every correction: the factor of the
    metric ("memit") or the null space ("alphaedit").
    """

    config: MemitConfig
    moments: Moments
    kept: Mapping[int, Tensor]
    prepared: dict[int, Tensor] = field(default_factory=dict)

    def solved(self, layer: int, keys: Tensor) -> tuple[Tensor, Tensor]:
        """U^T and G of the keys of one layer."""
        if layer not in self.prepared:
            self.prepared[layer] = self._prepare(self.moments.regularised(layer), self.kept[layer])
        if self.config.objective == "memit":
            return basis_and_gram(self.prepared[layer], keys)
        return null_basis_and_gram(self.prepared[layer], keys, self.config.ridge, self.kept[layer])

    def _prepare(self, moment: Tensor, kept: Tensor) -> Tensor:
        """What one layer has `prepared`."""
        if self.config.objective == "memit":
            return metric_factor(moment, self.config.weight, kept)
        used = torch.addmm(moment, kept, kept.t(), alpha=1 / self.config.weight)
        return null_space(used, self.config.threshold)


def _solve(
    model: Any,
    layout: Layout,
    layers: Sequence[int],
    groups: Sequence[Group],
    targets: Sequence[Target],
    metric: "_Metric",
) -> tuple[list[LayerDelta], dict[str, float]]:
    """The change of every layer, and the likelihoods of the objects with all of them on.

    A fact whose object is not the greedy answer in each of its sentences then is aimed further: its target is optimised
    once more with the change on, the two moves are added, and all layers are solved anew.
    """
    rows = _said(groups)
    deltas = torch.stack([target.delta for target in targets], dim=1)  # (d, n)
    tuning = metric.config.targets
    further = replace(tuning, steps=max(1, tuning.steps // AGAIN))
    stream = SubjectStream(model, layout, groups, layers[0], layers[-1])
    left = metric.config.corrections
    while True:
        with _spread(model, layout, layers, stream, deltas, metric) as solved:
            places = _missed(model, layout, groups, rows, targets) if left else []
            if not places:
                return solved, object_nll(model, layout, rows)
            again = [groups[place] for place in places]
            more = fit_targets(model, layout, again, layers[-1], further, "block", reach_of(layout, model, layers))
        deltas[:, places] += torch.stack([target.delta for target in more], dim=1)
        left -= 1


def _refine(
    model: Any,
    tokenizer: Any,
    layout: Layout,
    groups: Sequence[Group],
    requests: Sequence[EditRequest],
    solved: Sequence[LayerDelta],
    config: RefineConfig,
) -> tuple[list[LayerDelta], dict[str, float]]:
    """The refined change, or the solved one where that brings more objects; and the objects' likelihoods with it on."""
    rows = _said(groups)
    plain = [row for row in rows if row.plain]
    scores = []
    changes = [list(solved), refined(model, tokenizer, layout, solved, rows, requests, config)]
    for change in changes:
        with _put_on(model, change):
            scores.append(object_scores(model, layout, plain))
    brought = [sum(score.greedy for score in found) for found in scores]
    taken = int(brought[1] >= brought[0])
    return changes[taken], {row.fact_id: score.nll for row, score in zip(plain, scores[taken], strict=True)}


def _said(groups: Sequence[Group]) -> list[Row]:
    """The sentences in which an object is to be said; a turn of a chat is none, since more can be said there."""
    return [row for group in groups for row in group.rows if row.kind == "answer" and not row.asked]


@contextmanager
def _put_on(model: Any, layers: Sequence[LayerDelta]) -> Iterator[None]:
    """The changes of some layers, on inside the block."""
    with ExitStack() as stack:
        for layer in layers:
            name = layer.parameter
            stack.enter_context(replaced(model, name, layer.added_to(model.get_parameter(name))))
        yield


def _missed(
    model: Any, layout: Layout, groups: Sequence[Group], rows: Sequence[Row], targets: Sequence[Target]
) -> list[int]:
    """Places of the groups with a fact that its target reached and that is not the greedy answer in one of `rows`."""
    reached = {fact_id for target in targets for fact_id, good in target.reached.items() if good}
    scores = object_scores(model, layout, rows)
    missed = {row.fact_id for row, score in zip(rows, scores, strict=True) if not score.greedy} & reached
    return [place for place, group in enumerate(groups) if missed & set(group.fact_ids)]


@contextmanager
def _spread(
    model: Any, layout: Layout, layers: Sequence[int], stream: SubjectStream, deltas: Tensor, metric: "_Metric"
) -> Iterator[list[LayerDelta]]:
    """The change of every layer that moves the last one's output by `deltas` (d, n); all of them are on inside.

    Each layer is solved with those below it on.
    """
    solved: list[LayerDelta] = []
    wanted: Tensor | None = None
    with ExitStack() as stack:
        stream.restart()
        with track("layers", len(layers)) as advance:
            for layer in range(layers[0], layers[-1] + 1):
                if layer in layers:
                    seen = stream.see()
                    wanted = seen.values + deltas if wanted is None else wanted
                    basis, gram = metric.solved(layer, seen.keys * seen.slope)
                    residual = seen.carried(share(wanted, seen.values, len(layers) - len(solved))) * seen.slope
                    name = layout.down_name(layer)
                    change = LayerDelta.solved(name, layout.orientation == "conv1d", "ridge", residual, basis, gram)
                    stack.enter_context(replaced(model, name, change.added_to(model.get_parameter(name))))
                    solved.append(change)
                    advance(1)
                stream.advance()
        yield solved


def _empty(name: str, effects: tuple[FactEffect, ...]) -> WeightDelta:
    """A delta that holds nothing, with the reasons."""
    return WeightDelta(name, "ridge", (), (), parameters_digest(None, ()), effects)


def _notes(config: MemitConfig, layers: Sequence[int], moments: Moments) -> dict[str, Any]:
    """Where a delta comes from, as plain values."""
    return {
        "layers": list(layers),
        "objective": config.objective,
        "weight": config.weight,
        "mentions": config.mentions,
        "corrections": config.corrections,
        "bystanders": asdict(config.bystanders),
        "targets": asdict(config.targets),
        "refine": asdict(config.refine),
        "moments": moments.digest,
        "moments_ridge": moments.ridge,
        "moments_tokens": moments.count,
    }
