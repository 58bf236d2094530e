"""Sparse spectral training (arXiv 2405.15481) of attention and MLP projections.

Where this differs from the paper: it starts from a trained model and gives a change of it; vectors are drawn anew after
a few steps already, since a domain is learnt in hundreds of steps, not in hundreds of thousands; steps are relative
to each matrix's length. What the decomposition of W loses by rounding is put back: new weight = W + (U diag(S) V^T now
- U diag(S) V^T at the start), so that without a step the change is exactly nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.sst.config import SstConfig
from editors.sst.module import SpectralLinear
from editors.sst.solve import composed, decomposed
from editors.trained import Method, Result, fit_trained
from editors.trained_delta import TrainedDelta
from editors.training import Matrix
from registry.progress import track
from registry.records import EditRequest, Scope

Parts = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class SstDelta(TrainedDelta):
    """New weights by SST, kept whole: the change is of full rank."""

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        return "sst"


class _Method:
    """SST on one twin."""

    def __init__(
        self, copy: Any, model: Any, matrices: Sequence[Matrix], parts: dict[str, Parts], config: SstConfig
    ) -> None:
        """Put a spectral projection in the place of every matrix of `copy`; `model` is what it is a copy of."""
        self.model, self.matrices, self.parts, self.config = model, matrices, parts, config
        self.layers: dict[str, SpectralLinear] = {}
        for index, matrix in enumerate(matrices):
            generator = torch.Generator().manual_seed(config.training.seed * 1_000_003 + index)
            layer = SpectralLinear(parts[matrix.parameter], copy.get_submodule(matrix.module), config.rank, generator)
            parent, _, name = matrix.module.rpartition(".")
            setattr(copy.get_submodule(parent), name, layer)
            self.layers[matrix.parameter] = layer

    def scaled(self) -> list[tuple[Tensor, float]]:
        """See `editors.training.Trainee`: relative to the matrix for S, to a vector's length for U and V."""
        found: list[tuple[Tensor, float]] = []
        for layer in self.layers.values():
            found.append((layer.values, layer.length / len(layer.values) ** 0.5))
            found += [(part, part.shape[0] ** -0.5) for part in (layer.u, layer.v)]
        return found

    def begin(self, step: int) -> bool:
        """See `editors.training.Trainee`: every `period` steps others are drawn; when all had their turn, re-SVD."""
        if step % self.config.period:
            return False
        for layer in self.layers.values():
            turns = -(-len(layer.values) // layer.rank)
            if step and step // self.config.period % turns == 0:
                layer.decompose_again()
            layer.redraw()
        return True

    def end(self) -> None:
        """See `editors.training.Trainee`."""
        for layer in self.layers.values():
            layer.settle()

    def result(self) -> Result:
        """See `editors.trained.Method`."""
        tensors: dict[str, Tensor] = {}
        trained = 0
        for index, matrix in enumerate(self.matrices):
            layer, weight = self.layers[matrix.parameter], matrix.weight(self.model)
            change = layer.product() - composed(*self.parts[matrix.parameter])
            new = (weight.to(torch.float64) + change).to(weight.dtype)
            tensors[f"{index}.weight"] = (new.t() if matrix.transposed else new).contiguous()
            trained += layer.values.numel() + layer.u.numel() + layer.v.numel()
        return Result(tensors, {}, {"trained_parameters": trained, "rank": self.config.rank})


class SstEditor:
    """Trains a model's projections in the space of their singular values and vectors."""

    name = "sst"
    scope: Scope = "weights"
    load = staticmethod(SstDelta.load)
    config_type = SstConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: SstConfig | None = None
    ) -> SstDelta:
        """Compute the delta that writes `requests` and learns `config.texts`; see `editors.base.Editor.fit`."""
        config = config or SstConfig()
        parts: dict[str, Parts] = {}

        def start(copy: Any, matrices: Sequence[Matrix]) -> Method:
            if not parts:
                with track("decompositions", len(matrices)) as advance:
                    for matrix in matrices:
                        parts[matrix.parameter] = decomposed(matrix.weight(model))
                        advance(1)
            return _Method(copy, model, matrices, parts, config)

        with torch.no_grad():
            return fit_trained(SstDelta, start, model, tokenizer, requests, config)
