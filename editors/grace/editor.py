"""GRACE (arXiv 2211.11031): each fact is an entry of a code book, found by its prompt's last token.

Where this differs from the authors' code: an entry serves a sequence once, at the prompt, and is not looked up again
at every decoding step; the radius is relative to the key and kept clear of other subjects in the same prompt; entries
never change each other, so that taking one out is exact; lengths are relative to |h|.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from editors.delta import parameters_digest
from editors.depth import one_layer
from editors.fitting import in_order
from editors.grace.config import GraceConfig
from editors.grace.delta import Entry, GraceDelta
from editors.grace.solve import radius
from editors.layouts import Layout, layout_of
from editors.others import other_names, with_others
from editors.rows import Row, request_rows
from editors.sequences import unrouted
from editors.side_fit import Values, fact_groups, find_values, keys_of, outcome
from editors.targets import TargetConfig
from editors.trace import evaluating
from registry.records import EditRequest, Scope

DEPTH = 1 / 2
"""Where the code book lies, as a share of the depth."""


class GraceEditor:
    """Keeps each fact as one entry beside an MLP."""

    name = "grace"
    scope: Scope = "side_memory"
    load = GraceDelta.load
    config_type = GraceConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: GraceConfig | None = None
    ) -> GraceDelta:
        """Compute the delta that writes `requests`; see `editors.base.Editor.fit`."""
        config = config or GraceConfig()
        layout = layout_of(model)
        layer = one_layer(config.layers, model, DEPTH, "GRACE")
        wanted, groups, refused = fact_groups(requests, lambda request: _rows(tokenizer, request, config.targets))
        with evaluating(model):
            values = find_values(model, layout, groups, layer, config.targets, lambda: unrouted(model))
            chosen = [wanted[group.fact_ids[0]] for group in values.groups]
            entries = _entries(model, tokenizer, layout, layer, values, chosen, config) if chosen else {}
            effects = values.effects | (outcome(model, layer, values, Entry.all_of(model, entries)) if entries else {})
        delta = GraceDelta(
            fact_ids=tuple(request.fact.id for request in chosen),
            parameters=(layout.down_name(layer),) if entries else (),
            base_digest=parameters_digest(model, (layout.down_name(layer),) if entries else ()),
            record={"layer": layer, "owners": [group.fact_ids[0] for group in values.groups for _ in group.rows]},
            tensors=entries,
            effects=(),
            notes={"config": asdict(config)},
        )
        failed = [fact_id for fact_id in delta.fact_ids if effects[fact_id].state != "written"]
        return replace(delta.without(failed), effects=in_order(requests, effects, refused))


def _rows(tokenizer: Any, request: EditRequest, config: TargetConfig) -> list[Row]:
    """The request's contexts; their "subject" is the prompt's last token: that is where the value is put."""
    rows = request_rows(tokenizer, request, prefixes=config.prefixes, paraphrases=config.paraphrases, seed=config.seed)
    return [replace(row, subject=row.scored[0]) for row in rows]


def _entries(
    model: Any,
    tokenizer: Any,
    layout: Layout,
    layer: int,
    values: Values,
    requests: Sequence[EditRequest],
    config: GraceConfig,
) -> dict[str, Tensor]:
    """Keys, values and radii of the facts whose values were found."""
    keys, outputs, radii = [], [], []
    weight = layout.down_weight(model, layer).to("cpu", torch.float64)
    bias = getattr(layout.down_module(model, layer), "bias", None)
    for request, group, target in zip(requests, values.groups, values.targets, strict=True):
        names = other_names(request.fact.subject, config.others, config.targets.seed)
        texts = [row.tokens[: row.subject + 1] for row in group.rows]
        texts += [tokenizer(text)["input_ids"] for text in with_others(request, names)]
        with unrouted(model):
            found = [key[-1].to("cpu") for key in keys_of(model, layout, layer, texts)]
        others = found[len(group.rows) :]
        for own in found[: len(group.rows)]:
            output = weight @ own.to(torch.float64) + (0 if bias is None else bias.to("cpu", torch.float64))
            nearest = min((float((own - other).norm()) for other in others), default=float("inf"))
            keys.append(own)
            outputs.append((output + target.delta).to(torch.float32))
            radii.append(radius(float(own.norm()), nearest, config.radius, config.clear))
    return {"keys": torch.stack(keys), "values": torch.stack(outputs), "radii": torch.tensor(radii)}
