"""ROME (arXiv 2202.05262) as r-ROME: one rank-one change per subject, each computed with the earlier ones on.

Where this differs from the authors' code: the averaged key is used everywhere (their mix of two keys makes some edits
destroy the model); facts of one subject share one key and one target; lengths are relative to |h|.
"""

from collections.abc import Sequence
from dataclasses import asdict
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
    split_reached,
    written_effects,
)
from editors.keys import SubjectStream
from editors.layouts import Layout, layout_of
from editors.moments import Moments
from editors.rome.config import RomeConfig
from editors.rome.solve import basis_and_gram, residuals
from editors.rows import Group, group_requests
from editors.targets import Target, TargetConfig, fit_targets
from editors.trace import evaluating, replaced
from registry.progress import track
from registry.records import EditRequest, Scope


class RomeEditor:
    """Writes facts one after another into the MLP of one layer."""

    name = "rome"
    scope: Scope = "weights"
    load = staticmethod(load_delta)
    config_type = RomeConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: RomeConfig | None = None
    ) -> WeightDelta:
        """Compute the delta that writes `requests`; see `editors.base.Editor.fit`."""
        config = config or RomeConfig()
        layout = layout_of(model)
        layers = config.edited(model)
        base = parameters_digest(model, [layout.down_name(layers[0])])
        tuning = config.targets
        groups, refused = group_requests(tokenizer, requests, **tuning.contexts)
        effects: dict[str, FactEffect] = {}
        if not groups:
            return _empty(self.name, in_order(requests, effects, refused))
        with evaluating(model):
            moments = find_moments(config.moments, model, tokenizer, layers, config.texts, requests)
            check_moments(moments, layout, model, layers)
            kept = kept_keys(model, tokenizer, layout, layers, requests, groups, config.bystanders)[layers[0]]
            metric = torch.addmm(moments.regularised(layers[0]), kept, kept.t(), alpha=1 / config.weight)
            edits = _Edits(model, layout, layers[0], groups, metric)
            before = object_nll(model, layout, [row for group in groups for row in group.rows])
            effects |= edits.run(tuning)
            if not edits.kept:
                return _empty(self.name, in_order(requests, effects, refused))
            after = edits.likelihoods()
        effects |= written_effects([groups[i] for i in edits.kept], edits.targets, before, after)
        delta = WeightDelta(
            editor=self.name,
            rule="sequence",
            columns=tuple(groups[i].fact_ids for i in edits.kept),
            layers=(edits.change(),),
            base_digest=base,
            effects=in_order(requests, effects, refused),
            notes=_notes(config, layers, moments),
            contexts=contexts_of([groups[i] for i in edits.kept]),
        )
        return delta.restricted([effect.fact_id for effect in delta.effects if effect.state != "written"])


class _Edits:
    """The edits of one fit so far, and the change that they add up to."""

    def __init__(self, model: Any, layout: Layout, layer: int, groups: Sequence[Group], metric: Tensor) -> None:
        """Find every key and solve with C once: keys of a layer do not depend on its own matrix.

        `metric` is C with its ridge and the keys that shall not move.
        """
        self.model, self.layout, self.layer, self.groups = model, layout, layer, groups
        keys = SubjectStream(model, layout, groups, layer, layer).see().keys
        self.basis, self.gram = basis_and_gram(metric, keys)
        self.kept: list[int] = []
        self.targets: list[Target] = []

    def run(self, config: TargetConfig) -> dict[str, FactEffect]:
        """Edit for one group after another; returns the effects of the facts that got no column."""
        effects: dict[str, FactEffect] = {}
        name = self.layout.down_name(self.layer)
        with track("facts", len(self.groups)) as advance:
            for index, group in enumerate(self.groups):
                with replaced(self.model, name, self.weight()):
                    target = fit_targets(self.model, self.layout, [group], self.layer, config)[0]
                good, failed = split_reached([group], [target])
                effects |= failed
                if good:
                    self.kept.append(index)
                    self.targets.append(target)
                advance(1)
        return effects

    def change(self) -> LayerDelta:
        """All edits so far as one change of the matrix."""
        index = torch.tensor(self.kept)
        gram = self.gram[index][:, index]
        steps = torch.stack([target.delta for target in self.targets], dim=1)
        return LayerDelta.solved(
            self.layout.down_name(self.layer),
            self.layout.orientation == "conv1d",
            "sequence",
            residuals(steps, gram),
            self.basis[index],
            gram,
        )

    def weight(self) -> torch.Tensor:
        """The matrix with all edits so far."""
        weight: torch.Tensor = self.model.get_parameter(self.layout.down_name(self.layer)).detach()
        return self.change().added_to(weight) if self.kept else weight

    def likelihoods(self) -> dict[str, float]:
        """Likelihoods of the written facts with all edits on."""
        rows = [row for index in self.kept for row in self.groups[index].rows]
        with replaced(self.model, self.layout.down_name(self.layer), self.weight()):
            return object_nll(self.model, self.layout, rows)


def _empty(name: str, effects: tuple[FactEffect, ...]) -> WeightDelta:
    """A delta that holds nothing, with the reasons."""
    return WeightDelta(name, "sequence", (), (), parameters_digest(None, ()), effects)


def _notes(config: RomeConfig, layers: Sequence[int], moments: Moments) -> dict[str, Any]:
    """Where a delta comes from, as plain values."""
    return {
        "layers": list(layers),
        "weight": config.weight,
        "bystanders": asdict(config.bystanders),
        "targets": asdict(config.targets),
        "moments": moments.digest,
        "moments_ridge": moments.ridge,
        "moments_tokens": moments.count,
    }
