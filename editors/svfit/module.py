"""`SvfitModel`: SVFit around any model, in the manner of peft: train, save and load, merge and unmerge, take off.

    tuned = SvfitModel(model, SvfitConfig())
    optimiser = torch.optim.Adam(tuned.parameters())       # the changes of the singular values, nothing else
    ...                                                    # train `model` as usual
    tuned.save(folder)                                     # r numbers a matrix
    tuned.merge()                                          # into the weights; tuned.unmerge() restores every bit
    tuned.remove()                                         # hooks off, flags as before

The change is added by hooks, so that the names of the model's parameters stay as they are. The saved form holds no
singular vectors: `load` decomposes the same base again, whose vectors another machine gives to about seven digits. What
must be the same bits everywhere is the editor's delta.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from editors.delta import parameters_digest
from editors.factors import tensor_digest
from editors.layouts import layout_of
from editors.svfit.config import SvfitConfig
from editors.svfit.solve import Directions, added_output, changed, directions
from editors.training import Matrix, check_finite, projections
from registry.digests import digest_json
from registry.errors import EditError, IntegrityError
from registry.progress import track

TENSORS, RECORD = "svfit.safetensors", "svfit.json"
FORMAT = 1


class SvfitModel:
    """Trainable changes of the leading singular values of a model's projections.

    Attributes:
        model: the model, its own parameters frozen until `remove`.
        config: which matrices, and how many singular values of each.
        directions: singular directions by parameter name.
        deltas: the trained changes by parameter name, (r,) float32.
    """

    def __init__(
        self, model: Any, config: SvfitConfig | None = None, *, known: Mapping[str, Directions] | None = None
    ) -> None:
        """Decompose the matrices and hook the model; its outputs are the same bits until a delta is trained.

        Args:
            model: a Hugging Face causal LM whose family has a layout.
            config: None takes the defaults.
            known: directions of the same weights, found before.

        Raises:
            ModelError: the family has no layout.
            EditError: a weight is not finite, or a layer does not exist.
        """
        self.model, self.config = model, config or SvfitConfig()
        self.matrices = projections(model, layout_of(model), self.config.layers)
        check_finite(model, self.matrices)
        self.directions = dict(known) if known is not None else decompose(model, self.matrices, self.config)
        self.deltas: dict[str, nn.Parameter] = {}
        self._handles: list[Any] = []
        self._before: dict[str, Tensor] = {}
        self._flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        for parameter, _ in self._flags:
            parameter.requires_grad_(False)
        for matrix in self.matrices:
            device = model.get_parameter(matrix.parameter).device
            found = self.directions[matrix.parameter]
            delta = nn.Parameter(torch.zeros(len(found.values), device=device))
            self.deltas[matrix.parameter] = delta
            hook = self._hook(found.left.to(device), delta, found.right.to(device))
            self._handles.append(model.get_submodule(matrix.module).register_forward_hook(hook))

    def _hook(self, left: Tensor, delta: Tensor, right: Tensor) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        """Adds the change to a projection's output, unless it is merged."""

        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            return output if self._before else output + added_output(args[0], left, delta, right)

        return hook

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained."""
        return iter(self.deltas.values())

    def state_dict(self) -> dict[str, Tensor]:
        """The trained changes by parameter name, (r,) each."""
        return {name: delta.detach().cpu().clone() for name, delta in self.deltas.items()}

    def new_weights(self, base: Any | None = None) -> dict[str, Tensor]:
        """The changed weights as stored, from those of `base` (the model itself where None)."""
        found = {}
        for matrix in self.matrices:
            known, weight = self.directions[matrix.parameter], matrix.weight(base or self.model)
            delta = self.deltas[matrix.parameter].detach()
            new = changed(weight, known.left.to(weight.device), delta, known.right.to(weight.device))
            found[matrix.parameter] = (new.t() if matrix.transposed else new).contiguous()
        return found

    def merge(self) -> None:
        """Write the changes into the weights.

        Raises:
            EditError: they are merged already, or a value is not finite.
        """
        if self._before:
            raise EditError("expected a model whose changes are not merged, got one where they are; unmerge it first")
        new = self.new_weights()
        for name, value in new.items():
            if not bool(torch.isfinite(value).all()):
                raise EditError(f"{name}: the changed weight is not finite; train with smaller steps")
        self._before = {name: self.model.get_parameter(name).detach().clone() for name in new}
        for name, value in new.items():
            self.model.get_parameter(name).data.copy_(value)

    def unmerge(self) -> None:
        """Put the original weights back, bit for bit; nothing happens where nothing is merged."""
        for name, original in self._before.items():
            self.model.get_parameter(name).data.copy_(original)
        self._before = {}

    def remove(self) -> None:
        """Take everything off: weights, hooks and flags are as before."""
        self.unmerge()
        for handle in self._handles:
            handle.remove()
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)
        self._handles, self._flags = [], []

    def save(self, folder: Path) -> None:
        """Write svfit.safetensors (r numbers a matrix) and svfit.json into an empty (or new) folder.

        Raises:
            EditError: the folder holds something, or the changes are merged.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EditError(f"expected an empty folder, got {folder} with content; name another")
        if self._before:
            raise EditError("expected changes that are not merged, got merged ones; unmerge them first")
        state = self.state_dict()
        save_file(state, str(folder / TENSORS))
        record = {
            "format": FORMAT,
            "layers": list(self.config.layers),
            "base_digest": parameters_digest(self.model, list(state)),
            "tensors": {name: tensor_digest(tensor) for name, tensor in state.items()},
        }
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, model: Any, folder: Path) -> Self:
        """Put what `save` wrote around the same base.

        Raises:
            EditError: there is nothing of the kind in the folder.
            IntegrityError: the base is another, or the content was changed.
        """
        from safetensors.torch import load_file

        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            state = load_file(str(folder / TENSORS))
            wanted, base, layers = record["tensors"], record["base_digest"], tuple(record["layers"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EditError(f"expected {RECORD} and {TENSORS}, got {folder} ({error}); name another folder") from error
        found = {name: tensor_digest(tensor) for name, tensor in state.items()}
        if found != wanted:
            raise IntegrityError(f"the numbers in {folder}", digest_json(wanted), digest_json(found))
        own = parameters_digest(model, list(state))
        if own != base:
            raise IntegrityError("the parameters that the changes were trained on", base, own)
        ranks = {name: len(tensor) for name, tensor in state.items()}
        config = SvfitConfig(layers=layers)
        matrices = projections(model, layout_of(model), layers)
        known = {m.parameter: directions(m.weight(model), 1.0, ranks[m.parameter]) for m in matrices}
        tuned = cls(model, config, known=known)
        for name, delta in tuned.deltas.items():
            delta.data.copy_(state[name])
        return tuned


def decompose(model: Any, matrices: Sequence[Matrix], config: SvfitConfig) -> dict[str, Directions]:
    """The directions of every matrix, by parameter name."""
    found = {}
    with track("decompositions", len(matrices)) as advance:
        for matrix in matrices:
            found[matrix.parameter] = directions(matrix.weight(model), config.energy, config.rank)
            advance(1)
    return found
