"""WISE (arXiv 2405.14768): each fact an update of a side memory of one down-projection, found by its activation.

Where this differs from the authors' code: an update is of rank one inside its mask, its value found as in ROME and its
reader by the margin loss; D is the largest of a text's tokens and in units of the fact's own effect; irrelevant texts
are made from the request (other subjects in the same prompt), so that none must be given; the choice asks besides that
the prompt's last key points the way of the fact's relation, since all facts of a subject excite the same reader; it is
made once per sequence, at the prompt. Where a norm follows the MLP the update is added behind it, since through it the
stream could not be moved far enough. Masks follow from a seed, and nothing is global.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from editors.delta import parameters_digest
from editors.depth import one_layer
from editors.fitting import in_order
from editors.layouts import Layout, layout_of
from editors.others import CARRIERS, RELATIONS, Placed, placed, with_others
from editors.rows import Group, request_rows
from editors.sequences import unrouted
from editors.side_fit import Values, fact_groups, find_values, keys_of, outcome
from editors.trace import evaluating
from editors.wise.config import WiseConfig
from editors.wise.delta import WiseDelta
from editors.wise.memory import Update, memories_of
from editors.wise.solve import Margins, activation, mask, ridge_reader, trained_reader
from editors.wise.strangers import NAMES, Strangers
from registry.errors import EditError
from registry.records import EditRequest, Scope

DEPTH = 1 / 3
"""Where the memories lie, as a share of the depth: low enough that the layers above can use what is written."""

ROOM = 8
"""A reader is to be quiet at one other subject of its prompt for so many of its neurons, at most: more leave it nothing
to say."""


class WiseEditor:
    """Writes each fact into a side memory of one MLP."""

    name = "wise"
    scope: Scope = "side_memory"
    load = WiseDelta.load
    config_type = WiseConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: WiseConfig | None = None
    ) -> WiseDelta:
        """Compute the delta that writes `requests`; see `editors.base.Editor.fit`."""
        config = config or WiseConfig()
        _check(config)
        layout = layout_of(model)
        layer = one_layer(config.layers, model, DEPTH, "WISE")
        tuning = config.targets
        wanted, groups, refused = fact_groups(
            requests, lambda request: request_rows(tokenizer, request, **tuning.contexts)
        )
        with evaluating(model):
            values = find_values(model, layout, groups, layer, tuning, lambda: unrouted(model), "block")
            chosen = [wanted[group.fact_ids[0]] for group in values.groups]
            fit = _Fit(model, tokenizer, layout, layer, config)
            record, tensors = fit.run(values, chosen)
            effects = values.effects
            if chosen:
                updates = Update.all_of(tensors, record, model.get_input_embeddings().weight.device)
                effects |= outcome(model, layer, values, memories_of(updates, record))
        names = (layout.down_name(layer),) if chosen else ()
        delta = WiseDelta(
            fact_ids=tuple(request.fact.id for request in chosen),
            parameters=names,
            base_digest=parameters_digest(model, names),
            record=record,
            tensors=tensors,
            effects=(),
            notes={"config": asdict(replace(config, texts=())), "texts": len(config.texts)},
        )
        failed = [fact_id for fact_id in delta.fact_ids if effects[fact_id].state != "written"]
        return replace(delta.without(failed), effects=in_order(requests, effects, refused))


def _check(config: WiseConfig) -> None:
    """Refuse numbers that cannot be."""
    if not (0 < config.mask <= 1 and config.capacity >= 1 and 0 < config.density <= 1 and config.room >= 1):
        raise EditError(
            f"expected mask and density in (0, 1], a capacity and a room of 1 or more, got {config.mask}, "
            f"{config.density}, {config.capacity}, {config.room}; mend the config"
        )


class _Fit:
    """Finds the reader, the context and the threshold of one fact after another."""

    def __init__(self, model: Any, tokenizer: Any, layout: Layout, layer: int, config: WiseConfig) -> None:
        self.model, self.tokenizer, self.layout, self.layer, self.config = model, tokenizer, layout, layer, config
        self.width = layout.down_weight(model, layer).shape[1]
        self.margins = Margins(config.alpha, config.beta, config.gamma)

    def run(self, values: Values, requests: Sequence[EditRequest]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Record and tensors of the delta."""
        config = self.config
        seeds = [f"{config.targets.seed}:mask:{request.fact.id}" for request in requests]
        rows = [
            self._reader(request, group, seed)
            for request, group, seed in zip(requests, values.groups, seeds, strict=True)
        ]
        record = {"layer": self.layer, "width": self.width, "mask": config.mask, "masks": seeds}
        record |= {"context": config.context, "capacity": config.capacity, "density": config.density}
        if self.layout.post_norm(self.model, self.layer) is not None:
            record["behind"] = True
        if not rows:
            return record, {}
        tensors = {name: torch.stack([row[name] for row in rows]).to(torch.float32) for name in rows[0]}
        tensors["steps"] = torch.stack([target.delta for target in values.targets]).to(torch.float32)
        return record, tensors

    def _reader(self, request: EditRequest, group: Group, seed: str) -> dict[str, Tensor]:
        """Reader, threshold and context of one fact, float64 over its mask."""
        config, subject = self.config, request.fact.subject
        allowed = mask(seed, self.width, config.mask)
        own = [Placed(row.tokens, row.subject) for row in group.rows]
        named = [placed(self.tokenizer, template, subject) for template in CARRIERS]
        related = [placed(self.tokenizer, template, subject) for template in RELATIONS]
        about = [*own, *named, *related]
        ours = self._keys([text.tokens for text in about])
        told = torch.stack([keys[text.place] for keys, text in zip(ours[len(own) :], named, strict=False)])
        theirs = self._irrelevant(request, told, len(allowed))
        asked = [keys[row.scored[0]] for keys, row in zip(ours[: len(own)], group.rows, strict=True)]
        # Position 0 is the attention sink, with a key unlike any other; it counts only where the prompt itself asks it.
        marked = [(keys, text.place) for keys, text in zip(ours, about, strict=True) if text.place > 0 or text in own]
        spots = torch.stack([keys[place] for keys, place in marked])
        rest = [torch.cat([keys[:place], keys[place + 1 :]]) for keys, place in marked]
        narrow = spots[:, allowed]
        padded = torch.nn.utils.rnn.pad_sequence([keys[:, allowed] for keys in theirs], batch_first=True)
        start = ridge_reader(narrow, torch.cat([*rest, *theirs])[:, allowed], config.ridge)
        reader = trained_reader(start, narrow, padded, self.margins, config.steps, config.lr)
        least = (narrow @ reader).abs().min()
        centre = torch.stack([keys[-1] for keys in ours[-len(related) :]])[:, allowed].mean(0)
        ways = torch.nn.functional.normalize(torch.stack(asked)[:, allowed] - centre)
        parts = {
            "readers": reader,
            "thresholds": torch.maximum(config.threshold * least, activation(reader, padded).max()),
            "centres": centre,
            "contexts": torch.nn.functional.normalize(ways.mean(0), dim=0),
        }
        return parts if config.capacity == 1 else {**parts, "keys": spots.mean(0)}

    def _irrelevant(self, request: EditRequest, own: Tensor, neurons: int) -> list[Tensor]:
        """Keys of texts that the fact's memory is not to serve: names like the subject, alone and in its prompt.

        Args:
            request: the fact's request.
            own: the subject's key in every carrier, (carriers, d_in).
            neurons: how many the reader has.
        """
        like = self._strangers.like(request.fact.subject, own)
        asked = with_others(request, [NAMES[i] for i in like[: min(self.config.others, neurons // ROOM)]])
        texts = [*asked, *(text for text in self.config.texts if text.strip())]
        alone = [self._strangers.keys[i] for i in like[: neurons // self.config.room]]
        return [*alone, *self._keys([list(self.tokenizer(text)["input_ids"]) for text in texts])]

    def _keys(self, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        """Keys of tokenised texts, without any memory that is on; float64 on the CPU."""
        with unrouted(self.model):
            whole = keys_of(self.model, self.layout, self.layer, texts)
        return [keys.to("cpu", torch.float64) for keys in whole]

    @cached_property
    def _strangers(self) -> Strangers:
        return Strangers.read(self.tokenizer, self._keys)
