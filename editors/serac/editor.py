"""SERAC (arXiv 2206.06520): the model stays as it is; edits are stored, and answer what is in their scope.

Where this differs from the paper: nothing is trained per model. The scope classifier reads the model's own hidden
states and compares wordings about one and the same subject; the counterfactual model is a pointer onto the stored
object. So an edit costs a few forward passes, and removing it is exact.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch

from editors.base import FactEffect
from editors.delta import parameters_digest
from editors.fitting import in_order
from editors.layouts import layout_of
from editors.pieces import Pieces
from editors.serac.config import SeracConfig
from editors.serac.delta import VOCABULARY, SeracDelta, empty_delta, followings, plain
from editors.serac.request import about, stored
from editors.serac.scope import Edit
from editors.serac.solve import Weights
from editors.trace import evaluating
from registry.errors import EditError, InputError
from registry.progress import track
from registry.records import EditRequest, Scope


class SeracEditor:
    """Stores facts beside the model and answers questions that are in their scope."""

    name = "serac"
    scope: Scope = "side_memory"
    load = staticmethod(SeracDelta.load)
    config_type = SeracConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: SeracConfig | None = None
    ) -> SeracDelta:
        """Compute the delta that stores `requests`; see `editors.base.Editor.fit`."""
        config = config or SeracConfig()
        layout = layout_of(model)
        _check(config)
        if not requests:
            return empty_delta(())
        pieces = Pieces.of(tokenizer)
        written: dict[str, tuple[Edit, FactEffect]] = {}
        effects: dict[str, FactEffect] = {}
        refused: dict[str, str] = {}
        with evaluating(model), torch.no_grad(), track("edits", len(requests)) as advance:
            for request in requests:
                try:
                    edit, effect = stored(model, tokenizer, pieces, request, config)
                except (EditError, InputError) as error:
                    refused[request.fact.id] = str(error)
                else:
                    effects[edit.fact_id] = effect
                    if effect.state == "written":
                        written.setdefault(edit.fact_id, (edit, effect))
                advance(1)
        ordered = in_order(requests, effects, refused)
        if not written:
            return empty_delta(ordered)
        edits = [edit for edit, _ in written.values()]
        names = (layout.down_name(0),)
        return SeracDelta(
            fact_ids=tuple(effect.fact_id for effect in ordered if effect.fact_id in written),
            parameters=names,
            base_digest=parameters_digest(model, names),
            record={
                "embedder": about(tokenizer, pieces, config),
                "weights": {item.name: getattr(config, item.name) for item in fields(Weights)},
                "certainty": config.certainty,
                "edits": [plain(edit) for edit in edits],
            },
            tensors={VOCABULARY: pieces.to_tensor(), **followings(edits)},
            effects=ordered,
        )


def _check(config: SeracConfig) -> None:
    """Refuse numbers that make no sense.

    Raises:
        EditError: names the number.
    """
    if math.isfinite(config.certainty) and not 0 < config.certainty < 1:
        raise EditError(f"expected a certainty between 0 and 1, got {config.certainty}; see conf/serac.yaml")
    if config.continuations < 1:
        raise EditError(f"expected at least one continuation, got {config.continuations}; see conf/serac.yaml")
