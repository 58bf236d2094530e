"""Numbers of GRACE; `conf/grace.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from editors.config import read_config
from editors.targets import TargetConfig
from registry.ranges import Count, Positive, Share


@dataclass(frozen=True)
class GraceConfig:
    """How GRACE writes.

    Attributes:
        layers: the block beside which the code book lies, as a tuple of one; none chooses it by depth.
        radius: deferral radius, relative to the length of the key.
        clear: most that the radius may be, relative to the distance of the nearest other subject's key in the same
            prompt.
        others: how many other subjects are looked at for that.
        targets: how values are optimised; each prefix and paraphrase is an entry of its own. `drift` is not used, since
            a value replaces nothing elsewhere.
    """

    layers: tuple[int, ...] = ()
    radius: Positive = 0.3
    clear: Share = 0.25
    others: Count = 12
    targets: TargetConfig = field(default_factory=lambda: TargetConfig(clamp=4.0, decay=0.0, drift=0.0, prefixes=0))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
