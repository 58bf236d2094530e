"""Numbers of SST; `conf/sst.yaml` holds the same."""

from dataclasses import dataclass, field

from editors.trained import TrainedConfig
from editors.training import TrainingConfig
from registry.ranges import Some


@dataclass(frozen=True)
class SstConfig(TrainedConfig):
    """How SST trains; see `TrainedConfig` for the rest. `training.warmup` counts from each drawing.

    Attributes:
        rank: singular vectors of each side that are trained at a time, in each matrix.
        period: steps for which the same vectors are trained (the paper's T3); then others are drawn.
    """

    rank: Some = 32
    period: Some = 5
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(lr=0.01))
