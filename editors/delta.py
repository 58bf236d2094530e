"""`WeightDelta`: what a fit adds to weights, kept as thin factors.

For every edited matrix W (d_out, d_in) and its n columns (a column is a fact, or several facts of one subject):

    delta W = left @ right,     left = targets R (d_out, n),     right = S(G) U^T (n, d_in)

with U the basis of the solver and G = K^T U its Gram matrix. S is (I + G)^-1 for a batch solved by least squares
("ridge": MEMIT) and T^-1 for edits that each met their constraint in turn ("sequence": ROME), where T is the upper
triangle of G. Both come back from U and G for any subset of the columns, so that facts can be taken out exactly.
Columns that were never solved against each other are only added up ("sum": MEND); there right is kept as it is, without
U and G, and a fact may have several columns.

Applying gives the same bits on every machine and with any number of threads: the rank-one terms are added in fixed
order by separate multiplications and additions in float64 (no BLAS, no fused operations), the sum is added to the
weight in float64, and rounded once. Taking it off puts the original back, kept or made again from what lies below
(`editors.originals`); nothing is ever subtracted.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch

from editors.base import FactEffect, taken_out
from editors.factors import LayerDelta, Rule, tensor_digest
from editors.originals import Originals
from registry.digests import digest_json
from registry.errors import EditError, IntegrityError
from registry.records import Scope

_ON = "_weight_deltas"
"""Attribute of a model that lists the deltas on it; there is none when no delta is."""


@dataclass(frozen=True, eq=False)
class WeightDelta:
    """A frozen low-rank change of weights; see `editors.base.EditDelta`.

    Attributes:
        editor: name of the editor that made it.
        rule: how its columns were solved.
        columns: ids of the facts in each column; facts of one column cannot be told apart and go together.
        layers: the change of each matrix.
        base_digest: `parameters_digest` of the touched parameters as they were before.
        effects: what the fit did for every fact.
        notes: where it comes from (config, digest of the moments), as plain values.
        contexts: the token ids up to the subject in which each column was written, so that later edits can keep clear
            of it; not part of the digest, since they do not change what the delta does.
    """

    editor: str
    rule: Rule
    columns: tuple[tuple[str, ...], ...]
    layers: tuple[LayerDelta, ...]
    base_digest: str
    effects: tuple[FactEffect, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)
    contexts: tuple[tuple[tuple[int, ...], ...], ...] = ()
    _saved: WeakKeyDictionary[Any, Originals] = field(default_factory=WeakKeyDictionary, repr=False)

    def __post_init__(self) -> None:
        """Refuse values that are not finite.

        Raises:
            EditError: names the parameter and the factor.
        """
        for layer in self.layers:
            for name, tensor in layer.tensors().items():
                if not bool(torch.isfinite(tensor).all()):
                    raise EditError(f"{layer.parameter}: expected finite numbers, got NaN or infinity in {name}; refit")

    @property
    def scope(self) -> Scope:
        """Where it writes."""
        return "weights"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the touched parameters."""
        return tuple(layer.parameter for layer in self.layers)

    @property
    def fact_ids(self) -> tuple[str, ...]:
        """The facts that it holds, in the order of the requests."""
        held = {fact_id for column in self.columns for fact_id in column}
        return tuple(effect.fact_id for effect in self.effects if effect.fact_id in held)

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides its effect, also that of `without`; reports in `effects` are not in it."""
        return digest_json(
            {
                "editor": self.editor,
                "rule": self.rule,
                "columns": self.columns,
                "base": self.base_digest,
                "layers": [
                    {
                        "parameter": layer.parameter,
                        "transposed": layer.transposed,
                        **{name: tensor_digest(tensor) for name, tensor in layer.tensors().items()},
                    }
                    for layer in self.layers
                ],
            }
        )

    @contextmanager
    def applied(self, model: Any) -> Iterator[Any]:
        """The model with the delta on, inside the block; afterwards every bit is as before, also after an error.

        Raises:
            IntegrityError: the touched parameters are not those that it was fitted on.
            EditError: the result is not finite, or the delta is on already.
        """
        self._put_on(model, None)
        try:
            yield model
        finally:
            self._restore(model)

    def apply(self, model: Any) -> None:
        """Put the delta on for good; see `applied` for what it refuses."""
        found = (delta._saved.get(model) for delta in reversed(deltas_on(model)))
        below = next((one for one in found if one is not None and one.after == self.base_digest), None)
        self._put_on(model, below if below is not None and below.is_near else None)

    def _put_on(self, model: Any, below: Originals | None) -> None:
        """Put the delta on, over another one that left the touched parameters as they are, or with a copy of them."""
        if model in self._saved:
            raise EditError(f"expected a model without delta {self.digest[:12]}, got one that has it; revert it first")
        if not self.layers:
            self._saved[model] = Originals("", (), {})
            return
        found = parameters_digest(model, self.parameters)
        if found != self.base_digest:
            raise IntegrityError("the parameters that the delta was fitted on", self.base_digest, found)
        weights = {layer.parameter: model.get_parameter(layer.parameter) for layer in self.layers}
        new = {layer.parameter: layer.added_to(weights[layer.parameter].data) for layer in self.layers}
        copies = {name: weight.detach().clone() for name, weight in weights.items()} if below is None else {}
        for name, weight in weights.items():
            weight.data.copy_(new[name])
        self._saved[model] = Originals(parameters_digest(model, self.parameters), self.layers, copies, below)
        model.__dict__.setdefault(_ON, []).append(self)

    def revert(self, model: Any) -> None:
        """Put the originals back; the weights are then bit for bit those from before `apply`.

        Raises:
            EditError: this delta is not on, or something else has changed its parameters since.
        """
        if model not in self._saved:
            raise EditError(
                f"expected a model that delta {self.digest[:12]} was applied to, got another; apply it first"
            )
        after = self._saved[model].after
        if self.layers and parameters_digest(model, self.parameters) != after:
            raise EditError(
                "expected the weights as `apply` left them, got changed ones; revert the later change first"
            )
        self._restore(model)

    def _restore(self, model: Any) -> None:
        """Copy the originals back and forget them."""
        for name, original in self._saved[model].weights().items():
            model.get_parameter(name).data.copy_(original)
        del self._saved[model]
        left = [delta for delta in deltas_on(model) if delta is not self]
        if left:
            model.__dict__[_ON] = left
        else:
            model.__dict__.pop(_ON, None)

    def without(self, fact_ids: Collection[str]) -> "WeightDelta":
        """The delta of all other facts: the same least-squares problem, with the same targets, without their columns.

        Facts that share a column with one that is taken out go too. Ids that it does not hold make no difference.
        """
        smaller = self.restricted(fact_ids)
        gone = set(self.fact_ids) - set(smaller.fact_ids)
        return replace(smaller, effects=taken_out(self.effects, gone), _saved=WeakKeyDictionary()) if gone else self

    def restricted(self, fact_ids: Collection[str]) -> "WeightDelta":
        """`without`, with the effects left as they are."""
        gone = set(fact_ids)
        kept = [i for i, column in enumerate(self.columns) if not gone & set(column)]
        if len(kept) == len(self.columns):
            return self
        return WeightDelta(
            editor=self.editor,
            rule=self.rule,
            columns=tuple(self.columns[i] for i in kept),
            layers=tuple(layer.subset(self.rule, kept) for layer in self.layers) if kept else (),
            base_digest=self.base_digest if kept else parameters_digest(None, ()),
            effects=self.effects,
            notes=self.notes,
            contexts=tuple(self.contexts[i] for i in kept) if self.contexts else (),
        )

    def shortened(self, shares: Mapping[str, float]) -> "WeightDelta":
        """The same problem with the targets of some facts cut to a share of their length, by fact id.

        Facts that share a column are cut alike, to the longest of their shares; one that is not named counts as 1.
        """
        lengths = [max(shares.get(fact_id, 1.0) for fact_id in column) for column in self.columns]
        factors = torch.tensor(lengths, dtype=torch.float64)
        layers = tuple(layer.shortened(factors) for layer in self.layers)
        cut = {name: length for names, length in zip(self.columns, lengths, strict=True) for name in names}
        effects = tuple(
            replace(
                effect,
                explanation=f"{effect.explanation}; cut to {cut[effect.fact_id]:.2f} of its length",
                shift=effect.shift * cut[effect.fact_id],
            )
            if cut.get(effect.fact_id, 1.0) < 1
            else effect
            for effect in self.effects
        )
        return replace(self, layers=layers, effects=effects, _saved=WeakKeyDictionary())

    def save(self, folder: Path) -> None:
        """Write delta.safetensors and delta.json into an empty (or new) folder.

        Raises:
            EditError: the folder holds something already.
        """
        from editors.store import save_delta

        save_delta(self, folder)


def deltas_on(model: Any) -> tuple[WeightDelta, ...]:
    """The weight deltas that are on in `model`, in the order in which they were applied."""
    return tuple(model.__dict__.get(_ON, ()))


def parameters_digest(model: Any, names: Sequence[str]) -> str:
    """Digest of some parameters of a model, by name, dtype, shape and bytes."""
    return digest_json({name: tensor_digest(model.get_parameter(name)) for name in names})


def load_delta(folder: Path) -> WeightDelta:
    """Read what `WeightDelta.save` wrote.

    Raises:
        IntegrityError: the content does not have the digests that it names.
        EditError: there is no delta in the folder.
    """
    from editors.store import read_delta

    return read_delta(folder)
