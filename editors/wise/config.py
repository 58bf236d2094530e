"""Numbers of WISE; `conf/wise.yaml` holds the same."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from editors.config import read_config
from editors.targets import TargetConfig
from registry.ranges import Amount, Count, Positive, Real, Share, Some


@dataclass(frozen=True)
class WiseConfig:
    """How WISE writes. Activations D are in units of the fact's own full effect |delta|, so that they are scale-free.

    Attributes:
        layers: the block beside whose down-projection the memories lie, as a tuple of one; none chooses it by depth.
        mask: rho, share of the matrix's input neurons that a fact may write to, drawn by seed.
        ridge: weight of |u|^2 in the reader's solution, relative to the mean square of a key's entry.
        alpha: largest D that irrelevant texts may have in the margin loss.
        beta: smallest D that the fact's own texts are to have.
        gamma: smallest distance between the two.
        steps: most steps taken on the margin loss, where the closed form does not meet it.
        lr: length of such a step, relative to the reader.
        threshold: epsilon, relative to the smallest D of the fact's own texts.
        context: smallest cosine between a prompt's last key and the fact's own, both seen from where common relations
            of the subject lie.
        others: how many other subjects, those most like the fact's, are put into its prompt; fewer where the mask is
            narrow.
        room: neurons of the mask for each of the names, most alike first, that are read by themselves; a reader of few
            neurons that is to be quiet at more has nothing left to say.
        capacity: facts of one fit that share a memory, merged by TIES; 1 keeps a memory for each (Retrieve).
        density: share of each update's entries that TIES keeps.
        targets: how values are optimised.
        texts: further irrelevant texts.
    """

    layers: tuple[int, ...] = ()
    mask: Share = 0.5
    ridge: Amount = 0.005
    alpha: Amount = 0.2
    beta: Amount = 0.9
    gamma: Amount = 0.6
    steps: Count = 50
    lr: Positive = 0.05
    threshold: Share = 0.77
    context: Real = 0.55
    others: Count = 64
    room: Some = 6
    capacity: Some = 1
    density: Share = 0.5
    targets: TargetConfig = field(default_factory=lambda: TargetConfig(prefixes=3))
    texts: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused."""
        return read_config(cls, path)
