"""The trained network as an artefact: numbers in safetensors, everything else in JSON, a digest over both."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from editors.factors import tensor_digest
from editors.layouts import Layout
from editors.mend.solve import MATRICES, MODES, NORMS, transform
from registry.digests import digest_json
from registry.errors import EditError, InputError, IntegrityError

TENSORS, RECORD = "network.safetensors", "network.json"
FORMAT = 1
HOW = "python -m editors.mend.train MODEL OUT --catalogue relations.yaml --facts facts.csv"
MARK_ROWS, MARK_TOLERANCE = 1024, 0.02

Kind = Literal["up", "down"]
KINDS: tuple[Kind, ...] = ("up", "down")


@dataclass(frozen=True)
class Site:
    """One edited matrix.

    Attributes:
        layer: its block.
        kind: whether it projects into the MLP or out of it; matrices of one kind have one shape.
        module: path of the module.
    """

    layer: int
    kind: Kind
    module: str

    @property
    def parameter(self) -> str:
        """Name of the edited parameter."""
        return f"{self.module}.weight"


def sites_of(layout: Layout, layers: tuple[int, ...]) -> tuple[Site, ...]:
    """The edited matrices of some blocks, from below."""
    return tuple(
        Site(layer, kind, f"{layout.blocks}.{layer}.{getattr(layout, kind)}") for layer in layers for kind in KINDS
    )


def base_mark(model: Any) -> Tensor:
    """What tells a base model from others: the mean of the input embedding's first rows, (d,), float32.

    It stays when facts are written into projections, and nearly so when the model is loaded in half precision.
    """
    rows: Tensor = model.get_input_embeddings().weight[:MARK_ROWS]
    return rows.detach().to("cpu", torch.float32).mean(0)


def factors(
    tensors: Mapping[str, Tensor], position: int, kind: Kind, inputs: Tensor, deltas: Tensor
) -> tuple[Tensor, Tensor]:
    """The change of one matrix as `left @ right`: (d_out, tokens) and (tokens, d_in); equations 3 and 4.

    Args:
        tensors: those of a `MendNetwork`.
        position: position of the matrix's block among the network's layers.
        kind: which of the block's matrices.
        inputs: u, (tokens, d_in).
        deltas: delta, (tokens, d_out).
    """
    own = {name: tensors[f"{kind}.{name}"].to(inputs.device, inputs.dtype) for name in (*MATRICES, *MODES, *NORMS)}
    new_inputs, new_deltas = transform(inputs, deltas, own, position)
    rate = tensors["log_rate"][position * len(KINDS) + KINDS.index(kind)].to(inputs.device, inputs.dtype).exp()
    return -rate * new_deltas.t(), new_inputs


@dataclass(frozen=True, eq=False)
class MendNetwork:
    """A trained editor network.

    Attributes:
        layers: the edited blocks.
        first_token: whether the first token of a text takes part.
        tensors: "KIND.NAME" for every kind and every name of `editors.mend.solve`; "log_rate" (matrices,), the
            logarithm of alpha in the order of `sites_of`; "mark", `base_mark` of the model that it was trained for.
        notes: where it comes from (config, digests of the base parameters and of the training data), as plain values.
    """

    layers: tuple[int, ...]
    first_token: bool
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no network.

        Raises:
            EditError: a tensor is missing or not finite.
        """
        names = {f"{kind}.{name}" for kind in KINDS for name in (*MATRICES, *MODES, *NORMS)}
        names |= {"log_rate", "mark"}
        if names != set(self.tensors):
            raise EditError(f"expected the tensors {sorted(names)}, got {sorted(self.tensors)}; train the network anew")
        for name, tensor in self.tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise EditError(f"expected finite numbers, got NaN or infinity in {name}; train with a smaller step")

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides what it does."""
        return digest_json(
            {
                "layers": self.layers,
                "first_token": self.first_token,
                "tensors": {name: tensor_digest(tensor) for name, tensor in sorted(self.tensors.items())},
            }
        )

    def check(self, model: Any) -> None:
        """Refuse another base model.

        Raises:
            EditError: it is not the one that the network was trained for.
        """
        mark, found = self.tensors["mark"], base_mark(model)
        if mark.shape != found.shape or not float((found - mark).norm()) <= MARK_TOLERANCE * float(mark.norm()):
            raise EditError(
                f"expected the model that the network was trained for, got another (its embedding differs); train one"
                f" for it: {HOW}"
            )

    def save(self, folder: Path) -> None:
        """Write network.safetensors and network.json."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        save_file(tensors, str(folder / TENSORS))
        record: dict[str, Any] = {
            "format": FORMAT,
            "digest": self.digest,
            "layers": list(self.layers),
            "first_token": self.first_token,
            "notes": dict(self.notes),
        }
        record["record_digest"] = digest_json(record)
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "MendNetwork":
        """Read what `save` wrote.

        Raises:
            InputError: there is no network in the folder, or one of another format.
            IntegrityError: the content does not have the digests that it names.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = folder / RECORD
        if not path.is_file():
            raise InputError(f"a folder with {RECORD}", str(folder), f"train a network first: {HOW}")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            recorded, found = record.pop("record_digest"), digest_json(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(str(path), "a JSON record", f"unreadable content ({error})") from error
        if recorded != found:
            raise IntegrityError(str(path), str(recorded), found)
        if record["format"] != FORMAT:
            raise InputError(f"a network of format {FORMAT}", repr(record["format"]), "train one with this version")
        try:
            tensors = load_file(str(folder / TENSORS))
            network = cls(tuple(record["layers"]), record["first_token"], tensors, record["notes"])
        except (SafetensorError, OSError, EditError) as error:
            raise IntegrityError(str(folder / TENSORS), record["digest"], f"unreadable content ({error})") from error
        if network.digest != record["digest"]:
            raise IntegrityError(f"the network in {folder}", record["digest"], network.digest)
        return network
