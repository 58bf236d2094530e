"""Numbers of MEND; `conf/mend.yaml` holds those of the editor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from editors.config import read_config
from editors.mend.network import MendNetwork
from registry.ranges import Amount, Count, Positive, Share, Some


@dataclass(frozen=True)
class MendConfig:
    """How MEND writes.

    Attributes:
        rate: factor on the network's own learned rates; 1 is what it was trained for.
        prefixes: seeded natural beginnings under which the prompt is read too.
        paraphrases: most fitting phrasings read.
        stop_probability: a fact whose object's tokens all have this probability in every context is not written again.
        seed: of the beginnings.
        network: the trained network, or the folder that holds it; without one nothing can be written.
    """

    rate: Positive = 1.0
    prefixes: Count = 1
    paraphrases: Count = 2
    stop_probability: Share = 0.9
    seed: int = 0
    network: MendNetwork | Path | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused.

        A key `network` names the network's folder, from the file's own folder on.
        """
        return read_config(cls, path, folder="network")


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained.

    Attributes:
        layers: edited blocks, rising; none takes the last `spread` of the model.
        spread: how many blocks to edit when `layers` is empty.
        rank: rank of the network's matrices.
        steps: training steps.
        lr: Adam's step for the network.
        rate_lr: Adam's step for the logarithms of the rates.
        locality: c_loc, what the divergence on other facts weighs against the loss of the edits.
        edits: most edits of one step; their number is drawn anew each step, so that batches are learned too.
        others: other facts of one step, on which the model is to stay as it is.
        start: norm of the first edits' change relative to that of the matrix.
        clip: largest norm of a step's gradient.
        prefixes: natural beginnings per edit.
        paraphrases: most fitting phrasings that an edit reads; the loss is taken on one that it did not read.
        objects: counterfactual objects per fact of the catalogue.
        first_token: whether the first token of a text takes part: it is the model's attention sink, which all texts
            share.
        seed: of every choice.
    """

    layers: tuple[int, ...] = ()
    spread: Some = 3
    rank: Some = 64
    steps: Some = 1000
    lr: Positive = 5e-4
    rate_lr: Positive = 2e-2
    locality: Amount = 1.0
    edits: Some = 4
    others: Count = 6
    start: Positive = 0.002
    clip: Positive = 1.0
    prefixes: Count = 1
    paraphrases: Count = 2
    objects: Some = 1
    first_token: bool = False
    seed: int = 0
