"""Numbers of ROME; `conf/rome.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from editors.bystanders import BystanderConfig
from editors.config import read_config
from editors.depth import furthest_reaching, one_layer
from editors.moments import Moments
from editors.targets import TargetConfig
from registry.ranges import Positive

DEPTH = 1 / 4
"""About where the edit layer lies, as a share of the depth; the published ones reach from 5 of 32 to 17 of 48."""


@dataclass(frozen=True)
class RomeConfig:
    """How ROME writes.

    Attributes:
        layers: the edited block, as a tuple of one; none chooses it, see `edited`.
        weight: how much the keys of ordinary text count against a bystander's.
        bystanders: how much other subjects and earlier edits are kept clear of.
        targets: how targets are optimised.
        moments: second moments of the edit layer's keys, or the folder that holds them; None measures them on `texts`
            and on the requests' own sentences, which is enough for a trial and too little for use.
        texts: ordinary running text, used when `moments` is None.
    """

    layers: tuple[int, ...] = ()
    weight: Positive = 300.0
    bystanders: BystanderConfig = field(default_factory=BystanderConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    moments: Moments | Path | None = None
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)

    def edited(self, model: Any) -> tuple[int, ...]:
        """The block to edit, as a tuple of one: the one wanted, or that near `DEPTH` which reaches furthest.

        Raises:
            EditError: more than one is wanted, or it does not exist or is the model's last.
        """
        layer = one_layer(self.layers, model, DEPTH, "ROME")
        return (layer if self.layers else furthest_reaching(model, layer),)
