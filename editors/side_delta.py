"""`SideDelta`: what the deltas of side memories have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from editors.side import SideMemory, Station
from editors.stored import StoredDelta, Undo
from registry.records import Scope


@dataclass(frozen=True, eq=False)
class SideDelta(StoredDelta):
    """Memories beside the down-projection of the block that `record` names as `layer`."""

    @property
    def scope(self) -> Scope:
        """Where it writes."""
        return "side_memory"

    @abstractmethod
    def memories(self, model: Any) -> Sequence[SideMemory]:
        """The memories that it holds, on the model's device."""

    def switch_on(self, model: Any) -> Undo:
        """Put the memories beside the down-projection."""
        if not self.fact_ids:
            return lambda: None
        return Station.add(model, int(self.record["layer"]), self.memories(model))
