"""Numbers of MEMIT; `conf/memit.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from editors.config import read_config
from editors.moments import Moments
from editors.targets import TargetConfig


@dataclass(frozen=True)
class MemitConfig:
    """How MEMIT writes.

    Attributes:
        layers: edited blocks, rising; none chooses `spread` of them by depth.
        spread: how many blocks to edit when `layers` is empty.
        weight: lambda of equation 15: how much the keys of ordinary text count against the facts' own.
        targets: how targets are optimised.
        moments: second moments of the edit layers' keys, or the folder that holds them; None measures them on `texts`
            and on the requests' own sentences, which is enough for a trial and too little for use.
        texts: ordinary running text, used when `moments` is None.
    """

    layers: tuple[int, ...] = ()
    spread: int = 4
    weight: float = 1000.0
    targets: TargetConfig = field(default_factory=TargetConfig)
    moments: Moments | Path | None = None
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
