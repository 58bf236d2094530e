"""Numbers of SVFit; `conf/svfit.yaml` holds the same."""

from dataclasses import dataclass, field

from editors.trained import TrainedConfig
from editors.training import TrainingConfig
from registry.ranges import Count, Share


@dataclass(frozen=True)
class SvfitConfig(TrainedConfig):
    """How SVFit trains; see `TrainedConfig` for the rest.

    Attributes:
        energy: a matrix trains as many leading singular values as hold this share of the sum of their squares.
        rank: trains this many instead, whatever they hold; 0 goes by `energy`.
    """

    energy: Share = 0.99
    rank: Count = 0
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(lr=0.015))
