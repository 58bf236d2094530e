"""Two forms of MEMIT that its editor does not have: a column for every context, and targets of usual length (NAS)."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from editors.bystanders import kept_keys
from editors.delta import WeightDelta, parameters_digest
from editors.fitting import find_moments, split_reached
from editors.keys import SubjectStream
from editors.layouts import Layout, layout_of
from editors.memit.config import MemitConfig
from editors.rows import Group, group_requests
from editors.targets import Target
from editors.trace import evaluating
from registry.records import EditRequest

memit: Any = import_module("editors.memit.editor")


def by_context(groups: Sequence[Group], targets: Sequence[Target]) -> tuple[list[Group], list[Target]]:
    """A group for every context of every group, each with its group's target."""
    pairs = [
        (replace(group, rows=(row,)), target)
        for group, target in zip(groups, targets, strict=True)
        for row in group.key_rows
    ]
    return [group for group, _ in pairs], [target for _, target in pairs]


class ByContext:
    """MEMIT whose keys are those of single contexts, where the editor's own are means over them."""

    def fit(self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: MemitConfig) -> WeightDelta:
        """The delta, to be put on and taken off; its effects are not told."""
        layout, tuning = layout_of(model), config.targets
        layers = config.edited(model)
        base = parameters_digest(model, [layout.down_name(layer) for layer in layers])
        groups, _ = group_requests(
            tokenizer, requests, prefixes=tuning.prefixes, paraphrases=tuning.paraphrases, seed=tuning.seed
        )
        with evaluating(model):
            moments = find_moments(config.moments, model, tokenizer, layers, config.texts, requests)
            targets = memit.fit_targets(model, layout, groups, layers[-1], tuning, "block")
            good, _ = split_reached(groups, targets)
            groups, targets = [groups[place] for place in good], [targets[place] for place in good]
            kept = kept_keys(model, tokenizer, layout, layers, requests, groups, config.bystanders)
            metric = memit._Metric(config, moments, kept)
            apart, aims = by_context(groups, targets)
            solved, _ = memit._solve(model, layout, layers, apart, aims, metric)
        columns = tuple((f"{group.fact_ids[0]}:{number}",) for number, group in enumerate(apart))
        return WeightDelta("memit", "ridge", columns, tuple(solved), base, ())


def of_usual_length(
    model: Any, layout: Layout, groups: Sequence[Group], layer: int, targets: Sequence[Target]
) -> list[Target]:
    """Targets whose hidden state is as long as hidden states there are on average (NAS, arXiv 2602.02543)."""
    states = SubjectStream(model, layout, groups, layer, layer).see().values.t()  # (n, d)
    usual = float(states.norm(dim=-1).mean())
    scaled = []
    for state, target in zip(states, targets, strict=True):
        aimed = state + target.delta
        scaled.append(replace(target, delta=aimed * (usual / aimed.norm()) - state))
    return scaled
