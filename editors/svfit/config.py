"""Numbers of SVFit; `conf/svfit.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from editors.config import read_config
from editors.training import TrainingConfig


@dataclass(frozen=True)
class SvfitConfig:
    """How SVFit trains.

    Attributes:
        energy: a matrix trains as many leading singular values as hold this share of the sum of their squares.
        rank: trains this many instead, whatever they hold; 0 goes by `energy`.
        layers: blocks whose matrices are trained; none means all.
        training: how they are trained.
        texts: ordinary running text to train on, beside the facts or alone.
    """

    energy: float = 0.99
    rank: int = 0
    layers: tuple[int, ...] = ()
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(lr=0.03))
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
