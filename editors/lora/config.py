"""Numbers of LoRA; `conf/lora.yaml` holds the same."""

from dataclasses import dataclass, field
from typing import Literal

from editors.trained import TrainedConfig
from editors.training import TrainingConfig
from registry.ranges import Some

Variant = Literal["lora", "dora", "pissa"]
"""Which of peft's methods.

lora: W + (alpha / r) B A with B = 0 at the start (arXiv 2106.09685).
dora: the same, and the length of each row trained on its own (arXiv 2402.09353).
pissa: B A starts as the r leading singular components of W, the rest stays frozen (arXiv 2404.02948).
"""


@dataclass(frozen=True)
class LoraSettings(TrainedConfig):
    """How LoRA trains; see `TrainedConfig` for the rest.

    Attributes:
        variant: see `Variant`.
        rank: r.
        alpha: peft's lora_alpha; since steps are relative, it only decides how A and B share the change.
    """

    variant: Variant = "lora"
    rank: Some = 8
    alpha: Some = 16
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(lr=0.003))
