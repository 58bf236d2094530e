"""Where the parts of a transformer live, as data: one `Layout` per family of architectures."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

Orientation = Literal["linear", "conv1d"]
"""How a projection stores its matrix.

linear: (d_out, d_in), as `torch.nn.Linear` does.
conv1d: (d_in, d_out), as GPT-2's `Conv1D` does.
"""


@dataclass(frozen=True)
class Layout:
    """Names of the modules that editing touches, for one family.

    The family's blocks add their MLP's output to the residual stream, so that a change of the MLP's output is the same
    change of the block's output; a family that normalises in between needs a layout of its own kind.

    Attributes:
        family: name of the family.
        model_types: values of `config.model_type` that it covers.
        blocks: path of the list of blocks.
        up: path inside a block of the projection into the MLP.
        down: path inside a block of the projection out of the MLP: the matrix that is edited.
        norm: path of the final normalisation.
        head: path of the projection onto the vocabulary.
        orientation: how `up` and `down` store their matrices.
    """

    family: str
    model_types: tuple[str, ...]
    blocks: str
    up: str
    down: str
    norm: str
    head: str
    orientation: Orientation

    def block_list(self, model: Any) -> tuple[nn.Module, ...]:
        """The blocks of `model`, from the embedding upwards."""
        return tuple(model.get_submodule(self.blocks))

    def down_module(self, model: Any, layer: int) -> nn.Module:
        """The MLP's output projection of block `layer`; its input is the key, its output the value."""
        module: nn.Module = model.get_submodule(f"{self.blocks}.{layer}.{self.down}")
        return module

    def down_name(self, layer: int) -> str:
        """Name of the edited parameter of block `layer`."""
        return f"{self.blocks}.{layer}.{self.down}.weight"

    def down_weight(self, model: Any, layer: int) -> Tensor:
        """The edited matrix of block `layer` as a (d_out, d_in) view, whatever its storage."""
        weight: Tensor = model.get_parameter(self.down_name(layer)).detach()
        return weight.t() if self.orientation == "conv1d" else weight

    def logits(self, model: Any, hidden: Tensor) -> Tensor:
        """Logits (n, vocabulary) of hidden states (n, d) that come out of the last block."""
        logits: Tensor = model.get_submodule(self.head)(model.get_submodule(self.norm)(hidden))
        return logits
