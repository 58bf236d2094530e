"""WISE's delta: the updates of single facts, of which memories are made when it is switched on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from editors.base import taken_out
from editors.side import SideMemory
from editors.side_delta import SideDelta
from editors.wise.memory import Update, memories_of


@dataclass(frozen=True, eq=False)
class WiseDelta(SideDelta):
    """Updates trained one by one; row i of every tensor is that of fact i.

    Tensors, float32: `steps` (n, d_out), `readers`, `centres` and `contexts` (n, rho d_in), `thresholds` (n,), and
    `keys` (n, d_in) where facts share memories. Record: `layer`, `width` (d_in), `mask` (rho), `masks` (the seed of
    each fact's mask), `context`, `capacity`, `density`, and `behind` where updates are added behind a norm.
    """

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        return "wise"

    def memories(self, model: Any) -> Sequence[SideMemory]:
        """One for each fact, or for each few that share one."""
        updates = Update.all_of(self.tensors, self.record, model.get_input_embeddings().weight.device)
        return memories_of(updates, self.record)

    def without(self, fact_ids: Collection[str]) -> "WiseDelta":
        """The other facts' updates, as they are; memories are merged from those alone."""
        gone = set(fact_ids) & set(self.fact_ids)
        if not gone:
            return self
        kept = [index for index, fact_id in enumerate(self.fact_ids) if fact_id not in gone]
        return replace(
            self,
            fact_ids=tuple(self.fact_ids[index] for index in kept),
            record={**self.record, "masks": [self.record["masks"][index] for index in kept]},
            tensors={name: tensor[kept].contiguous() for name, tensor in self.tensors.items()} if kept else {},
            effects=taken_out(self.effects, gone),
        )
