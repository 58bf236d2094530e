"""C = E[k k^T]: uncentred second moments of the keys that a layer's edited matrix sees on ordinary text.

ROME (arXiv 2202.05262) equation 2 and MEMIT (2210.07229) equation 14 weigh changes by C, so that what an edit does to
other keys stays small. All layers are measured in one pass over the texts; nothing above the last of them is run. The
count is kept, so that more text can be added later: C of both is the mean weighted by counts. Where a norm follows the
MLP, keys count per unit of what they make; see `editors.norms`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editors.delta import parameters_digest
from editors.factors import tensor_digest
from editors.layouts import layout_of
from editors.norms import slopes
from editors.trace import evaluating, inputs_of, padded
from registry.digests import digest_json
from registry.errors import EditError, InputError, IntegrityError
from registry.progress import track

RIDGE = 1e-4
"""Added to C's diagonal, relative to its mean: few texts leave the smallest eigenvalues undetermined."""

MAX_TOKENS, BATCH_TOKENS = 512, 2048
TENSORS, RECORD = "moments.safetensors", "moments.json"


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of the keys of some layers.

    Attributes:
        layers: mean of k k^T over tokens, (d_in, d_in) float64, by layer.
        count: number of tokens.
        model_digest: digest of the matrices that produced the keys' layer (see `measure`).
        text_digest: digest of the texts.
        source: what the texts are, in words.
        ridge: relative ridge added by `regularised`.
        per_output: whether every key was divided by the length of what it makes, for a norm that follows.
    """

    layers: Mapping[int, Tensor]
    count: int
    model_digest: str
    text_digest: str
    source: str = ""
    ridge: float = field(default=RIDGE)
    per_output: bool = False

    @cached_property
    def digest(self) -> str:
        """Digest of the numbers (as stored, in float32) and of where they come from."""
        return digest_json({**self._record(), "tensors": {k: tensor_digest(v) for k, v in self._packed().items()}})

    def _record(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "layers": sorted(self.layers),
            "model_digest": self.model_digest,
            "text_digest": self.text_digest,
            "source": self.source,
            "ridge": self.ridge,
            **({"per_output": True} if self.per_output else {}),
        }

    def _packed(self) -> dict[str, Tensor]:
        """Upper triangles, row by row, float32: half of the numbers say everything."""
        packed = {}
        for layer, moment in sorted(self.layers.items()):
            rows, columns = torch.triu_indices(*moment.shape)
            packed[f"layer.{layer}"] = moment[rows, columns].to(torch.float32)
        return packed

    def regularised(self, layer: int) -> Tensor:
        """C of one layer plus the ridge, (d_in, d_in) float64.

        Raises:
            EditError: the layer was not measured.
        """
        if layer not in self.layers:
            raise EditError(
                f"expected moments of layer {layer}, got those of {sorted(self.layers)}; measure that layer"
            )
        moment = self.layers[layer]
        return moment + torch.eye(len(moment), dtype=moment.dtype) * (self.ridge * moment.diagonal().mean())

    def merged(self, other: "Moments") -> "Moments":
        """The moments over both texts.

        Raises:
            InputError: they are of other layers or of another model.
        """
        alike = self.model_digest == other.model_digest and self.per_output == other.per_output
        if sorted(self.layers) != sorted(other.layers) or not alike:
            raise InputError("moments of the same model and layers", "others", "measure both alike")
        count = self.count + other.count
        return Moments(
            {k: (v * self.count + other.layers[k] * other.count) / count for k, v in self.layers.items()},
            count,
            self.model_digest,
            digest_json([self.text_digest, other.text_digest]),
            "; ".join(dict.fromkeys(part for part in (self.source, other.source) if part)),
            self.ridge,
            self.per_output,
        )

    def save(self, folder: Path) -> None:
        """Write moments.safetensors and moments.json."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._packed(), str(folder / TENSORS))
        text = json.dumps({**self._record(), "digest": self.digest}, indent=1, ensure_ascii=False)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Moments":
        """Read what `save` wrote.

        Raises:
            InputError: there are no moments in the folder.
            IntegrityError: they do not have the digest that they name.
        """
        from safetensors.torch import load_file

        if not (folder / RECORD).is_file():
            raise InputError(f"a folder with {RECORD}", str(folder), "measure moments first (editors.gather)")
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        recorded, names = record.pop("digest"), record.pop("layers")
        packed = load_file(str(folder / TENSORS))
        moments = cls(layers={layer: _unpacked(packed[f"layer.{layer}"]) for layer in names}, **record)
        if moments.digest != recorded:
            raise IntegrityError(f"the moments in {folder}", recorded, moments.digest)
        return moments


def _unpacked(triangle: Tensor) -> Tensor:
    """The symmetric float64 matrix of an upper triangle."""
    size = int(((8 * len(triangle) + 1) ** 0.5 - 1) / 2)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    rows, columns = torch.triu_indices(size, size)
    matrix[rows, columns] = triangle.to(torch.float64)
    return matrix + matrix.triu(1).t()


def measure(
    model: Any, tokenizer: Any, texts: Iterable[str], layers: Sequence[int], *, source: str = "", ridge: float = RIDGE
) -> Moments:
    """Measure the keys of `layers` on `texts`, in one pass.

    Args:
        model: comes out as it went in.
        tokenizer: its tokenizer.
        texts: ordinary running text; long ones are cut into pieces of MAX_TOKENS.
        layers: which blocks.
        source: what the texts are, in words.
        ridge: kept with the numbers.

    Raises:
        InputError: the texts hold no token.
    """
    layout = layout_of(model)
    kept = [text for text in texts if text.strip()]
    pieces = [
        ids[begin : begin + MAX_TOKENS]
        for ids in (tokenizer(text)["input_ids"] for text in kept)
        for begin in range(0, len(ids), MAX_TOKENS)
    ]
    if not pieces:
        raise InputError("texts to measure moments on", "none", "give running text")
    modules = {layer: layout.down_module(model, layer) for layer in sorted(layers)}
    norms = {layer: layout.post_norm(model, layer) for layer in modules}
    sums: dict[int, Tensor] = {}
    count = 0
    with evaluating(model), torch.no_grad(), track("moments", len(pieces)) as advance:
        for batch in _batches(sorted(pieces, key=len)):
            ids, real = padded(batch, model.get_input_embeddings().weight.device)
            with inputs_of(modules) as seen:
                model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
            for layer, keys in seen.items():
                wide = keys[real].to(torch.promote_types(keys.dtype, torch.float32))
                if norms[layer] is not None:
                    wide = wide * slopes(norms[layer], layout.down_weight(model, layer), wide)[:, None]
                sums[layer] = sums.get(layer, 0) + (wide.t() @ wide).to("cpu", torch.float64)
            count += int(real.sum())
            advance(len(batch))
    digest = parameters_digest(model, [layout.down_name(layer) for layer in sorted(layers)])
    return Moments(
        {k: total / count for k, total in sums.items()},
        count,
        digest,
        digest_json(kept),
        source,
        ridge,
        per_output=bool(layout.post),
    )


def _batches(pieces: Sequence[list[int]]) -> Iterable[list[list[int]]]:
    """Runs of pieces of similar length, with at most BATCH_TOKENS tokens each."""
    batch: list[list[int]] = []
    for piece in pieces:
        if batch and (len(batch) + 1) * len(piece) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
