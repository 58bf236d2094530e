"""Stored edits as a delta: on, they join the model's overlay; taken out, they leave nothing behind."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from editors.base import FactEffect, taken_out
from editors.delta import parameters_digest
from editors.factors import tensor_digest
from editors.layouts import layout_of
from editors.pieces import Pieces
from editors.serac.embed import embedder
from editors.serac.overlay import Overlay
from editors.serac.scope import Edit, Scope
from editors.serac.solve import Weights
from editors.stored import StoredDelta, Undo
from registry.digests import digest_json
from registry.records import Scope as Memory

VOCABULARY, TOKENS, SHARES = "vocabulary", "following.tokens", "following.shares"


@dataclass(frozen=True, eq=False)
class SeracDelta(StoredDelta):
    """Stored edits with what the classifier needs to know of them."""

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        return "serac"

    @property
    def scope(self) -> Memory:
        """Where it writes."""
        return "side_memory"

    def switch_on(self, model: Any) -> Undo:
        """Put the edits on the model's overlay, which is made when there is none."""
        if not self.fact_ids:
            return lambda: None
        layout = layout_of(model)
        overlay = Overlay.on(model, layout)
        name = f"{self.digest}:{id(self)}"
        try:
            overlay.add(name, self._scope(model, overlay))
        except BaseException:
            overlay.remove(name)
            raise
        return lambda: overlay.remove(name)

    def _scope(self, model: Any, overlay: Overlay) -> Scope:
        """The classifier of these edits; vocabulary and background are shared with the deltas that are on already."""
        about = self.record["embedder"]
        shared = digest_json([tensor_digest(self.tensors[VOCABULARY]), about])
        known = next((scope for scope in overlay.scopes.values() if scope.shared == shared), None)
        if known is None:
            pieces = Pieces.from_tensor(self.tensors[VOCABULARY])
            embed = embedder(model, pieces, about)
        else:
            pieces, embed = known.pieces, known.embed
        weights = Weights(**self.record["weights"])
        return Scope(self._edits(), pieces, embed, weights, self.record["certainty"], shared)

    def _edits(self) -> tuple[Edit, ...]:
        """The stored edits."""
        rows = zip(self.record["edits"], self.tensors[TOKENS].tolist(), self.tensors[SHARES].tolist(), strict=True)
        return tuple(
            Edit(
                **{key: value for key, value in one.items() if key not in ("variants", "wordings")},
                variants=tuple(tuple(ids) for ids in one["variants"]),
                wordings=tuple(tuple(ids) for ids in one["wordings"]),
                following=dict(zip(tokens, shares, strict=True)),
            )
            for one, tokens, shares in rows
        )

    def without(self, fact_ids: Collection[str]) -> "SeracDelta":
        """The delta of all other facts: their entries are what they would be in a fit of their own."""
        gone = set(fact_ids) & set(self.fact_ids)
        if not gone:
            return self
        kept = [at for at, fact_id in enumerate(self.fact_ids) if fact_id not in gone]
        if not kept:
            return empty_delta(taken_out(self.effects, gone))
        return replace(
            self,
            fact_ids=tuple(self.fact_ids[at] for at in kept),
            record={**self.record, "edits": [self.record["edits"][at] for at in kept]},
            tensors={**self.tensors, **{name: self.tensors[name][kept] for name in (TOKENS, SHARES)}},
            effects=taken_out(self.effects, gone),
        )


def empty_delta(effects: tuple[FactEffect, ...]) -> SeracDelta:
    """A delta that holds nothing, with the reasons."""
    return SeracDelta((), (), parameters_digest(None, ()), {"edits": []}, {}, effects)


def plain(edit: Edit) -> dict[str, Any]:
    """An edit as plain values, without its numbers."""
    values = {**vars(edit), "variants": [list(ids) for ids in edit.variants]}
    values["wordings"] = [list(ids) for ids in edit.wordings]
    return {item.name: values[item.name] for item in fields(edit) if item.name != "following"}


def followings(edits: Sequence[Edit]) -> dict[str, Tensor]:
    """The next tokens that the base model expects after each edit's prompt, and their probabilities."""
    return {
        TOKENS: torch.tensor([list(edit.following) for edit in edits], dtype=torch.int32),
        SHARES: torch.tensor([list(edit.following.values()) for edit in edits], dtype=torch.float32),
    }
