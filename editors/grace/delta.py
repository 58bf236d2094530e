"""GRACE's delta: a code book of keys, values and radii."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from editors.base import taken_out
from editors.grace.solve import claims
from editors.side import Keys, SideMemory
from editors.side_delta import SideDelta

NAMES = ("keys", "values", "radii")
"""The tensors of a code book."""


@dataclass(frozen=True, eq=False)
class GraceDelta(SideDelta):
    """Entries of a code book, one for each context of a fact.

    Tensors: `keys` (n, d_in), `values` (n, d_out), `radii` (n,), float32. Record: `layer`, and `owners`, the fact of
    each entry.
    """

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        return "grace"

    def memories(self, model: Any) -> "list[Entry]":
        """Every entry."""
        return Entry.all_of(model, self.tensors)

    def without(self, fact_ids: Collection[str]) -> "GraceDelta":
        """The other entries, as they are: no entry depends on another."""
        gone = set(fact_ids) & set(self.fact_ids)
        if not gone:
            return self
        owners = self.record["owners"]
        kept = [index for index, fact_id in enumerate(owners) if fact_id not in gone]
        smaller = {name: tensor[kept].contiguous() for name, tensor in self.tensors.items()} if kept else {}
        return replace(
            self,
            fact_ids=tuple(fact_id for fact_id in self.fact_ids if fact_id not in gone),
            record={**self.record, "owners": [owners[index] for index in kept]},
            tensors=smaller,
            effects=taken_out(self.effects, gone),
        )


@dataclass(frozen=True, eq=False)
class Entry(SideMemory):
    """One context of the code book.

    Attributes:
        key: (d_in,).
        value: what the down-projection gives at the prompt's last token instead, (d_out,).
        radius: (), how far off a key may be.
    """

    key: Tensor
    value: Tensor
    radius: Tensor

    @classmethod
    def all_of(cls, model: Any, tensors: Mapping[str, Tensor]) -> list[Self]:
        """The entries that a delta's tensors hold, on the model's device."""
        device = model.get_input_embeddings().weight.device
        return [cls(*rows) for rows in zip(*(tensors[name].to(device) for name in NAMES), strict=True)]

    @classmethod
    def scores(cls, memories: Sequence[Self], keys: Keys) -> Tensor:
        """Radius over distance at the last token of the prompt."""
        stacked = [torch.stack(parts) for parts in zip(*((m.key, m.radius) for m in memories), strict=True)]
        return claims(keys.last_values, stacked[0], stacked[1])

    def change(self, keys: Keys, output: Tensor) -> Tensor:
        """From the output to the value at the last token of a prompt inside the ball; nothing while decoding."""
        moved = torch.zeros_like(output, dtype=self.value.dtype)
        if keys.prefill:
            inside = claims(keys.last_values, self.key[None], self.radius[None])[:, 0] > 1
            rows = torch.arange(len(output), device=output.device)
            step = self.value - output[rows, keys.last].to(self.value.dtype)
            moved[rows, keys.last] = torch.where(inside[:, None], step, torch.zeros_like(step))
        return moved
