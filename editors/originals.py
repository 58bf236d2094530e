"""The weights from before a delta: a copy of them, or the way back to the nearest copy below.

A release is its base model with the deltas of all releases before it on, one over the other. A copy for each would take
as much memory as the touched weights times the number of deltas. Adding a delta gives the same bits whenever it is done
(`editors.delta`), so that what a delta stood on can be made again from what lies below; only every `SPACING`th keeps a
copy, which bounds both the memory and the time to take one off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from editors.factors import LayerDelta

SPACING = 16
"""A delta whose way back to a copy would be so many deltas long keeps a copy itself."""


@dataclass(frozen=True, eq=False)
class Originals:
    """What takes one delta off one model.

    Attributes:
        after: digest of the touched parameters with the delta on.
        layers: what the delta adds.
        copies: the touched parameters from before, by name; empty where they are those that `below` left.
        below: of the delta underneath.
    """

    after: str
    layers: Sequence[LayerDelta]
    copies: Mapping[str, Tensor]
    below: "Originals | None" = None

    @property
    def distance(self) -> int:
        """How many deltas lie between this one and the nearest copy, this one's own included."""
        return 0 if self.below is None else self.below.distance + 1

    @property
    def is_near(self) -> bool:
        """Whether a delta on top of this one may do without a copy."""
        return self.distance + 1 < SPACING

    def weights(self) -> Mapping[str, Tensor]:
        """The touched parameters from before, by name; not to be changed."""
        if self.below is None:
            return self.copies
        under = self.below.weights()
        return {layer.parameter: layer.added_to(under[layer.parameter]) for layer in self.below.layers}
