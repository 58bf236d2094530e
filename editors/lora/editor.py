"""LoRA, DoRA and PiSSA through peft, on a twin of the model: peft changes modules, flags and (PiSSA) weights in place.

What comes out is the merged change as factors, in float32 whatever the model's precision. The adapter beside it has
lora_alpha = r, so that its scale is 1 and its factors are the delta's own; PiSSA's is an ordinary LoRA of twice the
rank, which fits the base as it is.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from editors.lora.config import LoraSettings
from editors.lora.delta import LoraDelta
from editors.lora.solve import factors, row_factors, sizes, taken_from
from editors.trained import Method, Result, fit_trained
from editors.training import Matrix
from registry.records import EditRequest, Scope

NAME = "default"
"""peft's name for the one adapter."""


class _Method:
    """peft's adapter on one twin."""

    def __init__(self, copy: Any, model: Any, matrices: Sequence[Matrix], config: LoraSettings) -> None:
        """Inject the adapter into `copy`; `model` is what it is a copy of."""
        from peft import LoraConfig, inject_adapter_in_model

        self.model, self.matrices, self.config = model, matrices, config
        self.adapter = LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=_targets(matrices, config),
            fan_in_fan_out=any(matrix.transposed for matrix in matrices),
            use_dora=config.variant == "dora",
            init_lora_weights="pissa" if config.variant == "pissa" else True,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            inject_adapter_in_model(self.adapter, copy, adapter_name=NAME)
        self.layers: list[Any] = [copy.get_submodule(matrix.module) for matrix in matrices]
        self.scale = float(self.layers[0].scaling[NAME])
        for index, layer in enumerate(self.layers):
            self._seed(layer, index)
        self.start = [self._factors(layer) for layer in self.layers] if config.variant == "pissa" else []

    def _seed(self, layer: Any, index: int) -> None:
        """Draw A as peft does, from a generator of its own; keep DoRA from holding on to its first row lengths."""
        if self.config.variant == "dora":
            layer.lora_magnitude_vector[NAME].train()
        if self.config.variant == "pissa":
            return
        a = layer.lora_A[NAME].weight
        generator = torch.Generator().manual_seed(self.config.training.seed * 1_000_003 + index)
        drawn = torch.rand(a.shape, generator=generator) * 2 - 1
        a.data.copy_(drawn / math.sqrt(a.shape[1]))

    def _factors(self, layer: Any) -> tuple[Tensor, Tensor]:
        """The layer's product as it is now."""
        return factors(layer.lora_A[NAME].weight.cpu(), layer.lora_B[NAME].weight.cpu(), self.scale)

    def scaled(self) -> list[tuple[Tensor, float]]:
        """See `editors.training.Trainee`."""
        found: list[tuple[Tensor, float]] = []
        for matrix, layer in zip(self.matrices, self.layers, strict=True):
            a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
            size_a, size_b = sizes(matrix.weight(self.model), a.detach(), b.detach(), self.scale)
            found += [(a, size_a), (b, size_b)]
            if self.config.variant == "dora":
                magnitude = layer.lora_magnitude_vector[NAME].weight
                found.append((magnitude, float(magnitude.detach().square().mean().sqrt())))
        return found

    def begin(self, step: int) -> bool:
        """See `editors.training.Trainee`."""
        return False

    def end(self) -> None:
        """See `editors.training.Trainee`."""

    def result(self) -> Result:
        """See `editors.trained.Method`."""
        tensors: dict[str, Tensor] = {}
        for index, (matrix, layer) in enumerate(zip(self.matrices, self.layers, strict=True)):
            left, right = self._factors(layer)
            if self.start:
                left, right = taken_from((left, right), self.start[index])
            tensors |= {f"{index}.left": left, f"{index}.right": right}
            if self.config.variant == "dora":
                magnitude = layer.lora_magnitude_vector[NAME].weight.detach().cpu().to(torch.float32)
                tensors[f"{index}.magnitude"] = magnitude
                tensors[f"{index}.rows"] = row_factors(matrix.weight(self.model).cpu(), left, right, magnitude)
        record = {"modules": [matrix.module for matrix in self.matrices], "adapter": self._record(tensors)}
        trained = sum(tensor.numel() for tensor, _ in self.scaled())
        return Result(tensors, record, {"trained_parameters": trained, "variant": self.config.variant})

    def _record(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """The config, as peft has it, of the adapter that is saved, as plain values."""
        rank = len(tensors["0.right"])
        plain = {name: _plain(value) for name, value in self.adapter.to_dict().items()}  # type: ignore[no-untyped-call]
        name = getattr(self.model.config, "_name_or_path", "") or None
        return plain | {
            "r": rank,
            "lora_alpha": rank,
            "init_lora_weights": True,
            "inference_mode": True,
            "base_model_name_or_path": None if name and "/" in name[:1] else name,
        }


def _plain(value: Any) -> Any:
    """A value of peft's config as JSON has it."""
    return sorted(value) if isinstance(value, set) else getattr(value, "value", value)


def _targets(matrices: Sequence[Matrix], config: LoraSettings) -> list[str]:
    """What peft is told to adapt: short names for all blocks, full ones for some."""
    if config.layers:
        return [matrix.module for matrix in matrices]
    return sorted({matrix.module.rpartition(".")[2] for matrix in matrices})


class LoraEditor:
    """Trains low-rank changes of a model's projections."""

    name = "lora"
    scope: Scope = "weights"
    load = staticmethod(LoraDelta.load)
    config_type = LoraSettings

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: LoraSettings | None = None
    ) -> LoraDelta:
        """Compute the delta that writes `requests` and learns `config.texts`; see `editors.base.Editor.fit`."""
        config = config or LoraSettings()

        def start(copy: Any, matrices: Sequence[Matrix]) -> Method:
            return _Method(copy, model, matrices, config)

        with torch.no_grad():
            return fit_trained(LoraDelta, start, model, tokenizer, requests, config)
