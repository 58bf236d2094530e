"""New weights found by training: kept whole, or as thin factors that every machine adds to the same bits."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from editors.base import FactEffect
from editors.delta import parameters_digest
from editors.factors import LayerDelta
from editors.stored import PatchDelta


@dataclass(frozen=True, eq=False)
class TrainedDelta(PatchDelta):
    """New weights of some matrices, found by training them together; its facts cannot be told apart.

    For the i-th parameter, `tensors` holds either "i.weight", the new weight as stored, or "i.left" (d_out, r) and
    "i.right" (r, d_in), whose product is added to it, and perhaps "i.rows" (d_out,), by which its rows are multiplied
    after that. `record["transposed"]` says which parameters are stored as (d_in, d_out).
    """

    @property
    @abstractmethod
    def editor(self) -> str:
        """Name of the editor that made it."""

    def new_weights(self, model: Any) -> Mapping[str, Tensor]:
        """The edited values; products are added in fixed order, so that every machine gets the same bits."""
        new: dict[str, Tensor] = {}
        for index, name in enumerate(self.parameters):
            weight = model.get_parameter(name).detach()
            if f"{index}.weight" in self.tensors:
                new[name] = self.tensors[f"{index}.weight"].to(weight.device)
                continue
            left, right = self.tensors[f"{index}.left"], self.tensors[f"{index}.right"]
            transposed, none = bool(self.record["transposed"][index]), torch.zeros(0)
            added = LayerDelta(name, transposed, left, right, none).added_to(weight)
            rows = self.tensors.get(f"{index}.rows")
            if rows is not None:
                wide = rows.to(weight.device, torch.float64)
                added = (added.to(torch.float64) * (wide if transposed else wide[:, None])).to(weight.dtype)
            new[name] = added
        return new

    def without(self, fact_ids: Collection[str]) -> Self:
        """This delta, or one that holds nothing as soon as one of its facts is taken out: refit for the others."""
        if not set(fact_ids) & set(self.fact_ids):
            return self
        words = {
            fact_id: "taken out of the delta"
            if fact_id in fact_ids
            else "went with a fact that it was trained together with; refit to have it back"
            for fact_id in self.fact_ids
        }
        return self.emptied(
            tuple(
                FactEffect(effect.fact_id, "no_effect", words[effect.fact_id]) if effect.fact_id in words else effect
                for effect in self.effects
            )
        )

    def emptied(self, effects: tuple[FactEffect, ...]) -> Self:
        """The same kind of delta, holding nothing."""
        nothing = parameters_digest(None, ())
        return replace(
            self, fact_ids=(), parameters=(), base_digest=nothing, record={}, tensors={}, effects=effects, notes={}
        )
