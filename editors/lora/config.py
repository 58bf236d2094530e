"""Numbers of LoRA; `conf/lora.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from editors.config import read_config
from editors.training import TrainingConfig

Variant = Literal["lora", "dora", "pissa"]
"""Which of peft's methods.

lora: W + (alpha / r) B A with B = 0 at the start (arXiv 2106.09685).
dora: the same, and the length of each row trained on its own (arXiv 2402.09353).
pissa: B A starts as the r leading singular components of W, the rest stays frozen (arXiv 2404.02948).
"""


@dataclass(frozen=True)
class LoraSettings:
    """How LoRA trains.

    Attributes:
        variant: see `Variant`.
        rank: r.
        alpha: peft's lora_alpha; since steps are relative, it only decides how A and B share the change.
        layers: blocks whose matrices are trained; none means all.
        training: how they are trained.
        texts: ordinary running text to train on, beside the facts or alone.
    """

    variant: Variant = "lora"
    rank: int = 8
    alpha: int = 16
    layers: tuple[int, ...] = ()
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(lr=0.01))
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
