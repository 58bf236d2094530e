"""`StoredDelta`: what every delta has in common that is not a sum of rank-one edits (for those: `editors.delta`).

A delta is tensors and a record of plain values; both together decide what it does. Its kind says how it is switched on
in a model, and that gives back how it is switched off: hooks beside the weights (`StoredDelta` itself), or other
weights (`PatchDelta`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from editors.base import FactEffect
from editors.delta import parameters_digest
from editors.factors import tensor_digest
from editors.store import TENSORS, read_record, write_parts
from registry.digests import digest_json
from registry.errors import EditError, IntegrityError
from registry.records import Scope

Undo = Callable[[], None]
"""Switches a delta off again."""


@dataclass(frozen=True, eq=False)
class StoredDelta(ABC):
    """A frozen change of a model; see `editors.base.EditDelta`.

    Attributes:
        fact_ids: the facts that it holds, in the order of the requests.
        parameters: names of the parameters that it was fitted on.
        base_digest: `parameters_digest` of those as they were before.
        record: plain JSON values that decide what it does.
        tensors: numbers that decide what it does, by name.
        effects: what the fit did for every fact.
        notes: where it comes from, as plain values.
    """

    fact_ids: tuple[str, ...]
    parameters: tuple[str, ...]
    base_digest: str
    record: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    effects: tuple[FactEffect, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)
    _on: WeakKeyDictionary[Any, Undo] = field(default_factory=WeakKeyDictionary, repr=False, init=False)

    def __post_init__(self) -> None:
        """Refuse values that are not finite.

        Raises:
            EditError: names the tensor.
        """
        for name, tensor in self.tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise EditError(f"expected finite numbers, got NaN or infinity in {name}; refit")

    @property
    @abstractmethod
    def editor(self) -> str:
        """Name of the editor that made it."""

    @property
    @abstractmethod
    def scope(self) -> Scope:
        """Where it writes."""

    @abstractmethod
    def switch_on(self, model: Any) -> Undo:
        """Make `model` behave as edited.

        Raises:
            EditError: the result would not be finite; the model is then as it was.
        """

    @abstractmethod
    def without(self, fact_ids: Collection[str]) -> "StoredDelta":
        """The delta that holds all but these facts; see `editors.base.EditDelta`."""

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides its effect; reports in `effects` and `notes` are not in it."""
        return digest_json(
            {
                "editor": self.editor,
                "facts": self.fact_ids,
                "parameters": self.parameters,
                "base": self.base_digest,
                "record": dict(self.record),
                "tensors": {name: tensor_digest(tensor) for name, tensor in sorted(self.tensors.items())},
            }
        )

    @contextmanager
    def applied(self, model: Any) -> Iterator[Any]:
        """The model with the delta on, inside the block; afterwards every bit is as before, also after an error.

        Raises:
            IntegrityError: the parameters are not those that it was fitted on.
            EditError: the result is not finite, or the delta is on already.
        """
        self.apply(model)
        try:
            yield model
        finally:
            self._on.pop(model)()

    def apply(self, model: Any) -> None:
        """Put the delta on for good; see `applied` for what it refuses."""
        if model in self._on:
            raise EditError(f"expected a model without delta {self.digest[:12]}, got one that has it; revert it first")
        found = parameters_digest(model, self.parameters)
        if found != self.base_digest:
            raise IntegrityError("the parameters that the delta was fitted on", self.base_digest, found)
        self._on[model] = self.switch_on(model)

    def revert(self, model: Any) -> None:
        """Take the delta off again; every bit is then as before `apply`.

        Raises:
            EditError: this delta is not on.
        """
        if model not in self._on:
            raise EditError(
                f"expected a model that delta {self.digest[:12]} was applied to, got another; apply it first"
            )
        self._on.pop(model)()

    def save(self, folder: Path) -> None:
        """Write delta.safetensors and delta.json into an empty (or new) folder.

        Raises:
            EditError: the folder holds something already.
        """
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.tensors.items()
        }
        record = {
            "digest": self.digest,
            "editor": self.editor,
            "fact_ids": list(self.fact_ids),
            "parameters": list(self.parameters),
            "base_digest": self.base_digest,
            "record": dict(self.record),
            "effects": [asdict(effect) for effect in self.effects],
            "notes": dict(self.notes),
        }
        write_parts(folder, tensors, record)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            EditError: there is no delta in the folder, or one of another editor or format.
            IntegrityError: the content does not have the digests that it names.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        record = read_record(folder)
        try:
            delta = cls(
                fact_ids=tuple(record["fact_ids"]),
                parameters=tuple(record["parameters"]),
                base_digest=record["base_digest"],
                record=record["record"],
                tensors=load_file(str(folder / TENSORS)),
                effects=tuple(FactEffect(**effect) for effect in record["effects"]),
                notes=record["notes"],
            )
        except (SafetensorError, OSError, KeyError, TypeError, EditError) as error:
            raise IntegrityError(f"{folder / TENSORS}", record["digest"], f"unreadable content ({error})") from error
        if delta.editor != record["editor"]:
            raise EditError(
                f"expected a delta of {delta.editor}, got one of {record['editor']}; load it with its editor"
            )
        if delta.digest != record["digest"]:
            raise IntegrityError(f"the delta in {folder}", record["digest"], delta.digest)
        return delta


@dataclass(frozen=True, eq=False)
class PatchDelta(StoredDelta):
    """A change that is on when some parameters have other values; the originals are kept and put back."""

    _after: WeakKeyDictionary[Any, str] = field(default_factory=WeakKeyDictionary, repr=False, init=False)

    @property
    def scope(self) -> Scope:
        """Where it writes."""
        return "weights"

    @abstractmethod
    def new_weights(self, model: Any) -> Mapping[str, Tensor]:
        """The edited values of `parameters`, as stored, from `model`'s; the same bits on every machine.

        Raises:
            EditError: a value is not finite.
        """

    def switch_on(self, model: Any) -> Undo:
        """Copy the edited values in."""
        new = self.new_weights(model)
        before = {name: model.get_parameter(name).detach().clone() for name in new}
        for name, value in new.items():
            model.get_parameter(name).data.copy_(value)
        self._after[model] = parameters_digest(model, self.parameters)

        def undo() -> None:
            del self._after[model]
            for name, original in before.items():
                model.get_parameter(name).data.copy_(original)

        return undo

    def revert(self, model: Any) -> None:
        """Put the saved originals back; the weights are then bit for bit those from before `apply`.

        Raises:
            EditError: this delta is not on, or something else has changed its parameters since.
        """
        if model in self._after and parameters_digest(model, self.parameters) != self._after[model]:
            raise EditError(
                "expected the weights as `apply` left them, got changed ones; revert the later change first"
            )
        super().revert(model)
