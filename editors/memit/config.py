"""Numbers of MEMIT; `conf/memit.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from editors.bystanders import BystanderConfig
from editors.config import read_config
from editors.depth import edit_layers
from editors.memit.refine import RefineConfig
from editors.moments import Moments
from editors.targets import TargetConfig
from registry.ranges import Amount, Count, Positive, Some

Objective = Literal["memit", "alphaedit"]

FIRST_DEPTH = 1 / 6
"""Where the first edit layer lies, as a share of the depth; beside it lie the published 3 of 28 and 4 of 32."""


@dataclass(frozen=True)
class MemitConfig:
    """How MEMIT writes.

    Attributes:
        layers: edited blocks, rising; none chooses `spread` of them by depth.
        spread: how many blocks to edit when `layers` is empty.
        objective: "memit" weighs the change of text's keys against the facts (equation 15); "alphaedit" confines the
            change to the directions that text hardly uses (AlphaEdit, arXiv 2410.02355).
        weight: lambda of equation 15: how much the keys of ordinary text count against the facts' own.
        threshold: directions with less than this share of the mean eigenvalue are hardly used ("alphaedit").
        ridge: weight of the change's size, relative to the keys' mean squared length ("alphaedit").
        corrections: how often facts whose object the solved change does not bring are aimed further.
        mentions: places where the subject is merely named, over which its key is averaged as well where a request
            brings no phrasings; see `editors.contexts.MENTIONS`.
        bystanders: how much other subjects and earlier edits are kept clear of.
        targets: how targets are optimised.
        refine: how the solved targets are moved for others' sake.
        moments: second moments of the edit layers' keys, or the folder that holds them; None measures them on `texts`
            and on the requests' own sentences, which is enough for a trial and too little for use.
        texts: ordinary running text, used when `moments` is None.
    """

    layers: tuple[int, ...] = ()
    spread: Some = 4
    objective: Objective = "memit"
    weight: Positive = 300.0
    mentions: Count = 8
    threshold: Amount = 0.1
    ridge: Amount = 0.02
    corrections: Count = 2
    bystanders: BystanderConfig = field(default_factory=BystanderConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    moments: Moments | Path | None = None
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)

    def edited(self, model: Any) -> tuple[int, ...]:
        """The blocks to edit, rising: those wanted, or `spread` of them from `FIRST_DEPTH` on.

        Raises:
            EditError: a wanted block does not exist, is the model's last, or they do not rise.
        """
        return edit_layers(self.layers, model, FIRST_DEPTH, self.spread)
