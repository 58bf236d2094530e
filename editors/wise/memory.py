"""What lies beside the down-projection: one fact's update as thin factors, or several merged into one matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from editors.side import Keys, SideMemory
from editors.wise.solve import mask, ties


@dataclass(frozen=True, eq=False)
class Update:
    """What a delta keeps of one fact, spread over all input neurons; zero outside of its mask.

    Attributes:
        step: delta, (d_out,).
        reader: u, (d_in,).
        centre: where common relations of the subject lie, (d_in,).
        context: direction from there to the fact's own relation, of length 1, (d_in,).
        allowed: the mask, (d_in,), 0 or 1.
        threshold: epsilon, ().
        key: the subject's mean key, (d_in,); of use where updates are merged.
    """

    step: Tensor
    reader: Tensor
    centre: Tensor
    context: Tensor
    allowed: Tensor
    threshold: Tensor
    key: Tensor

    @classmethod
    def all_of(cls, tensors: Mapping[str, Tensor], record: Mapping[str, Any], device: torch.device) -> list[Self]:
        """The updates that a delta's tensors hold."""
        found = []
        for index, seed in enumerate(record["masks"]):
            place = mask(seed, record["width"], record["mask"])
            narrow = [tensors[name][index] for name in ("readers", "centres", "contexts")]
            wide = [
                torch.zeros(record["width"]).index_copy(0, place, part) for part in [*narrow, torch.ones(len(place))]
            ]
            key = tensors["keys"][index] if "keys" in tensors else torch.zeros(record["width"])
            parts = (tensors["steps"][index], *wide, tensors["thresholds"][index], key)
            found.append(cls(*(part.to(device) for part in parts)))
        return found


def memories_of(updates: Sequence[Update], record: Mapping[str, Any]) -> list["SideMemory"]:
    """One memory for every `capacity` updates, in their order."""
    size, context, behind = int(record["capacity"]), float(record["context"]), bool(record.get("behind"))
    if size == 1:
        return [FactMemory(update, context, behind) for update in updates]
    parts = [updates[begin : begin + size] for begin in range(0, len(updates), size)]
    return [replace(MergedMemory.of(part, context, float(record["density"])), behind=behind) for part in parts]


def agreement(last: Tensor, updates: Sequence[Update]) -> Tensor:
    """Cosine between (a - centre) and the context, each seen through the update's mask, (B, updates).

    Args:
        last: keys of the prompts' last tokens, (B, d_in).
        updates: whose contexts to compare with.
    """
    centre, context, allowed = (
        torch.stack([getattr(update, name) for update in updates]) for name in ("centre", "context", "allowed")
    )
    along = last @ context.t() - (centre * context).sum(-1)
    square = last.square() @ allowed.t() - 2 * last @ centre.t() + centre.square().sum(-1)
    return along / square.clamp(min=1e-12).sqrt()


def claim(activations: Tensor, thresholds: Tensor, cosines: Tensor, context: float) -> Tensor:
    """How much a sequence is claimed: above 1 where D > epsilon and the cosine is large enough, and then their product.

    D counts up to 1, the full effect; what goes beyond says nothing more about the subject.
    """
    near, fit = activations.clamp(max=1) / thresholds, cosines / context
    least = torch.minimum(near, fit)
    return torch.where(least > 1, near * fit, least)


@dataclass(frozen=True, eq=False)
class FactMemory(SideMemory):
    """W_v' = W_v + delta u^T for one fact.

    Attributes:
        update: the fact's update.
        context: smallest cosine that its context asks for.
        behind: see `SideMemory`.
    """

    update: Update
    context: float
    behind: bool = False

    @classmethod
    def scores(cls, memories: Sequence[Self], keys: Keys) -> Tensor:
        """All memories at once: their readers are stacked, no matrix is formed."""
        updates = [memory.update for memory in memories]
        values = keys.values.to(torch.float32)
        found = (values @ torch.stack([update.reader for update in updates]).t()).abs()
        activations = found.masked_fill(~keys.real[..., None], 0.0).amax(dim=1)
        thresholds = torch.stack([update.threshold for update in updates])
        return claim(activations, thresholds, agreement(keys.last_values, updates), memories[0].context)

    def change(self, keys: Keys, output: Tensor) -> Tensor:
        """(W_v' - W_v) a at every token."""
        return (keys.values.to(torch.float32) @ self.update.reader)[..., None] * self.update.step


@dataclass(frozen=True, eq=False)
class MergedMemory(SideMemory):
    """W_v' = W_v + TIES of several facts' updates.

    Attributes:
        matrix: the merged update, (d_out, d_in).
        scale: mean |delta| of the facts.
        threshold: epsilon for |matrix a| / scale.
        updates: the facts' updates, for their contexts.
        context: smallest cosine that one of them asks for.
        behind: see `SideMemory`.
    """

    matrix: Tensor
    scale: Tensor
    threshold: Tensor
    updates: tuple[Update, ...]
    context: float
    behind: bool = False

    @classmethod
    def of(cls, updates: Sequence[Update], context: float, density: float) -> "MergedMemory":
        """Merge; epsilon is the smallest of the facts', each times what the merge has left of its effect."""
        matrix = ties([torch.outer(update.step, update.reader) for update in updates], density)
        scale = torch.stack([update.step.norm() for update in updates]).mean()
        left = [update.threshold * (matrix @ update.key).norm() / scale for update in updates]
        return cls(matrix, scale, torch.stack(left).min(), tuple(updates), context)

    @classmethod
    def scores(cls, memories: Sequence[Self], keys: Keys) -> Tensor:
        """Memory after memory."""
        values, last, found = keys.values.to(torch.float32), keys.last_values, []
        for memory in memories:
            sizes = (values @ memory.matrix.t()).norm(dim=-1) / memory.scale
            activations = sizes.masked_fill(~keys.real, 0.0).amax(dim=1)
            cosines = agreement(last, memory.updates).amax(dim=1)
            found.append(claim(activations, memory.threshold, cosines, memory.context))
        return torch.stack(found, dim=1)

    def change(self, keys: Keys, output: Tensor) -> Tensor:
        """(W_v' - W_v) a at every token."""
        return keys.values.to(torch.float32) @ self.matrix.t()
