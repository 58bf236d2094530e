"""SVFit (arXiv 2409.05926): facts and domains through the leading singular values of attention and MLP projections.

Where this differs from the paper: the number of singular values is chosen by the energy that they are measured to hold
in each matrix, not assumed; the change is added to W instead of composing W anew, so that it starts as the exact
identity; steps are relative to each matrix's length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.svfit.config import SvfitConfig
from editors.svfit.module import SvfitModel, decompose
from editors.svfit.solve import Directions
from editors.trained import Method, Result, fit_trained
from editors.trained_delta import TrainedDelta
from editors.training import Matrix
from registry.records import EditRequest, Scope


@dataclass(frozen=True, eq=False)
class SvfitDelta(TrainedDelta):
    """New weights by SVFit, with the trained changes of the singular values ("i.delta", (r,)).

    A matrix is kept as factors where they are smaller than its new weight.
    """

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        return "svfit"


class _Method:
    """SVFit on one twin."""

    def __init__(self, tuned: SvfitModel, model: Any) -> None:
        """Train `tuned`, whose weights are those of `model`."""
        self.tuned, self.model = tuned, model

    def scaled(self) -> list[tuple[Tensor, float]]:
        """See `editors.training.Trainee`: a unit step moves a value by the root mean square of those trained."""
        known = self.tuned.directions
        return [(delta, float(known[name].values.square().mean().sqrt())) for name, delta in self.tuned.deltas.items()]

    def begin(self, step: int) -> bool:
        """See `editors.training.Trainee`."""
        return False

    def end(self) -> None:
        """See `editors.training.Trainee`."""

    def result(self) -> Result:
        """See `editors.trained.Method`."""
        tensors: dict[str, Tensor] = {}
        new = self.tuned.new_weights(self.model)
        ranks = {}
        for index, matrix in enumerate(self.tuned.matrices):
            name = matrix.parameter
            known, delta, weight = self.tuned.directions[name], self.tuned.deltas[name].detach().cpu(), new[name]
            ranks[name] = [len(delta), known.full, round(known.energy, 6)]
            tensors[f"{index}.delta"] = delta
            if 4 * (known.left.numel() + known.right.numel()) < weight.numel() * weight.element_size():
                tensors[f"{index}.left"] = known.left * delta
                tensors[f"{index}.right"] = known.right.t()
            else:
                tensors[f"{index}.weight"] = weight
        trained = sum(rank for rank, _, _ in ranks.values())
        return Result(tensors, {}, {"trained_parameters": trained, "rank_of_energy": ranks})


class SvfitEditor:
    """Trains the leading singular values of a model's projections."""

    name = "svfit"
    scope: Scope = "weights"
    load = staticmethod(SvfitDelta.load)
    config_type = SvfitConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: SvfitConfig | None = None
    ) -> SvfitDelta:
        """Compute the delta that writes `requests` and learns `config.texts`; see `editors.base.Editor.fit`."""
        config = config or SvfitConfig()
        known: dict[str, Directions] = {}

        def start(copy: Any, matrices: Sequence[Matrix]) -> Method:
            if not known:
                known.update(decompose(model, matrices, config))
            return _Method(SvfitModel(copy, config, known=known), model)

        with torch.no_grad():
            return fit_trained(SvfitDelta, start, model, tokenizer, requests, config)
