"""Where the parts of a transformer live, as data: one `Layout` per family of architectures."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from registry.errors import ModelError

Orientation = Literal["linear", "conv1d"]
"""How a projection stores its matrix.

linear: (d_out, d_in), as `torch.nn.Linear` does.
conv1d: (d_in, d_out), as GPT-2's `Conv1D` does.
"""


@dataclass(frozen=True)
class Layout:
    """Names of the modules that editing touches, for one family.

    Most blocks add their MLP's output to the residual stream, so that a change of the MLP's output is the same change
    of the block's output. Where a norm lies in between, `post` names it; `editors.norms` says what follows from it.

    Attributes:
        family: name of the family.
        model_types: values of `config.model_type` that it covers.
        blocks: path of the list of blocks.
        attention: path inside a block of its attention.
        up: path inside a block of the projection into the MLP (the gate's too where both are one matrix).
        down: path inside a block of the projection out of the MLP: the matrix that is edited.
        norm: path of the final normalisation.
        head: path of the projection onto the vocabulary.
        orientation: how `up` and `down` store their matrices.
        post: path inside a block of the norm between the MLP's output and the residual stream; empty where none lies.
        softcap: attribute of the config that bounds logits, c tanh(logits / c); empty where none does.
        bos: whether the family's published tokenizers put a token before every text. Positions are found from character
            offsets whether they do or not.
        chat: whether the family has published models with a chat template.
    """

    family: str
    model_types: tuple[str, ...]
    blocks: str
    attention: str
    up: str
    down: str
    norm: str
    head: str
    orientation: Orientation = "linear"
    post: str = ""
    softcap: str = ""
    bos: bool = False
    chat: bool = False

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

    def post_norm(self, model: Any, layer: int) -> nn.Module | None:
        """The norm between the MLP of block `layer` and the residual stream; None where none lies."""
        found: nn.Module | None = model.get_submodule(f"{self.blocks}.{layer}.{self.post}") if self.post else None
        return found

    def logits(self, model: Any, hidden: Tensor) -> Tensor:
        """Logits (n, vocabulary) of hidden states (n, d) that come out of the last block."""
        return self.project(model, model.get_submodule(self.norm)(hidden))

    def project(self, model: Any, normed: Tensor) -> Tensor:
        """Logits (n, vocabulary) of hidden states (n, d) that come out of the final norm, as the model's own."""
        logits: Tensor = model.get_submodule(self.head)(normed)
        cap = getattr(model.config, self.softcap) if self.softcap else None
        return logits if cap is None else (logits / cap).tanh() * cap

    def check(self, model: Any) -> None:
        """Refuse a model whose parts are not where the layout says.

        Raises:
            ModelError: names the part that is missing, or the matrix that has another shape.
        """
        width = model.get_input_embeddings().weight.shape[1]
        parts = [part for part in (self.attention, self.up, self.down, self.post) if part]
        paths = [self.norm, self.head, *(f"{self.blocks}.0.{part}" for part in parts)]
        for path in paths:
            try:
                model.get_submodule(path)
            except AttributeError as error:
                raise ModelError(
                    f"a {self.family} model with a module {path!r}",
                    f"{type(model).__name__} without it ({error})",
                    "load the model through transformers, without wrappers, or write a layout with its own names",
                ) from error
        try:
            shape = tuple(self.down_weight(model, 0).shape)
        except AttributeError as error:
            raise ModelError(
                f"{self.down_name(0)} as a plain parameter", f"none ({error})", "load without quantisation"
            ) from error
        if len(shape) != 2 or shape[0] != width:
            raise ModelError(
                f"{self.down_name(0)} of shape ({width}, d_in), stored as {self.orientation!r}",
                f"{shape}",
                "load without quantisation, or set the layout's orientation",
            )
