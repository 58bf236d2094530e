"""Numbers of SST; `conf/sst.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from editors.config import read_config
from editors.training import TrainingConfig


@dataclass(frozen=True)
class SstConfig:
    """How SST trains.

    Attributes:
        rank: singular vectors of each side that are trained at a time, in each matrix.
        period: steps for which the same vectors are trained (the paper's T3); then others are drawn.
        layers: blocks whose matrices are trained; none means all.
        training: how they are trained; `warmup` counts from each drawing.
        texts: ordinary running text to train on, beside the facts or alone.
    """

    rank: int = 32
    period: int = 25
    layers: tuple[int, ...] = ()
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(lr=0.01))
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
