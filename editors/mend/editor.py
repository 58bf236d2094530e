"""MEND (arXiv 2110.11309): one backward pass per fact, whose gradient a trained network turns into the edit.

Where this differs from the authors' code: each fact's gradient is taken on its own and its terms are kept, so that a
fact can be taken out exactly; the first token of a text takes no part by default (the attention sink, which all texts
share); the identity that training starts from is exactly fine-tuning.
"""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editors.base import FactEffect
from editors.delta import WeightDelta, load_delta, parameters_digest
from editors.factors import LayerDelta
from editors.fitting import MOVED, in_order
from editors.layouts import layout_of
from editors.mend.config import MendConfig
from editors.mend.network import HOW, MendNetwork, Site, factors, sites_of
from editors.mend.tail import ROWS, Reading, Tail, readings
from editors.rows import Row, group_requests
from editors.trace import evaluating, replaced
from registry.errors import EditError
from registry.progress import track
from registry.records import EditRequest, Scope

Factors = dict[Site, tuple[Tensor, Tensor]]
"""Left (d_out, n) and right (n, d_in) of every matrix."""


class MendEditor:
    """Writes each fact with one forward and one backward pass, through a network that was trained for the model."""

    name = "mend"
    scope: Scope = "weights"
    load = staticmethod(load_delta)
    config_type = MendConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: MendConfig | None = None
    ) -> WeightDelta:
        """Compute the delta that writes `requests`; see `editors.base.Editor.fit`.

        Raises:
            EditError: the config names no network, or one that was trained for another model.
        """
        config = config or MendConfig()
        layout = layout_of(model)
        network = _network(config)
        network.check(model)
        sites = sites_of(layout, network.layers)
        base = parameters_digest(model, [site.parameter for site in sites])
        rows, refused = _rows(tokenizer, requests, config)
        with evaluating(model), track("facts", len(rows)) as advance:
            tail, effects = Tail(model, layout, sites), {}
            found: dict[str, _Edit] = {}
            for fact_id, own in rows.items():
                edit = _edit(tail, network, own, config.rate)
                advance(1)
                if isinstance(problem := edit.problem(config.stop_probability), FactEffect):
                    effects[fact_id] = problem
                else:
                    found[fact_id] = edit
            changes = _changes(sites, layout.orientation == "conv1d", list(found.values()))
            effects |= _measure(tail, found, changes)
        delta = WeightDelta(
            editor=self.name,
            rule="sum",
            columns=tuple((fact_id,) for fact_id, edit in found.items() for _ in range(edit.terms)),
            layers=changes,
            base_digest=base if found else parameters_digest(None, ()),
            effects=in_order(requests, effects, refused),
            notes={
                "network": network.digest,
                "rate": config.rate,
                "prefixes": config.prefixes,
                "paraphrases": config.paraphrases,
                "seed": config.seed,
                "trained_on_these_weights": network.notes.get("base_digest") == base,
            },
        )
        return delta.restricted([effect.fact_id for effect in delta.effects if effect.state != "written"])


class _Edit:
    """One fact's part of the delta."""

    def __init__(self, row: Row, entry: Tensor, before: Sequence[Reading], factors: Factors) -> None:
        """Keep the plain row, its entry into the tail, how the model took every row, and the factors."""
        self.row, self.entry, self.before, self.factors = row, entry, before, factors

    @property
    def terms(self) -> int:
        """Columns that it has in every matrix."""
        return next(iter(self.factors.values()))[1].shape[0]

    def problem(self, stop_probability: float) -> FactEffect | None:
        """Why there is nothing to write, or nothing that can be."""
        fact_id, loss = self.row.fact_id, self.before[0].nll
        parts = [part for pair in self.factors.values() for part in pair]
        if not math.isfinite(loss) or not all(bool(torch.isfinite(part).all()) for part in parts):
            return FactEffect(fact_id, "failed", "the gradient or its edit holds a value that is not finite", 1)
        if all(0 < reading.sure >= stop_probability for reading in self.before):
            words = "the model gives this object in every context already; nothing to write"
            return FactEffect(fact_id, "no_effect", words, 0, loss)
        return None


def _network(config: MendConfig) -> MendNetwork:
    """The trained network.

    Raises:
        EditError: the config names none.
    """
    if config.network is None:
        raise EditError(f"expected a trained network in MendConfig.network, got none; train one: {HOW}")
    return MendNetwork.load(config.network) if isinstance(config.network, Path) else config.network


def _rows(
    tokenizer: Any, requests: Sequence[EditRequest], config: MendConfig
) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """The contexts of each fact, the plain prompt first, in the order of the requests; reasons for the others."""
    groups, refused = group_requests(
        tokenizer, requests, prefixes=config.prefixes, paraphrases=config.paraphrases, seed=config.seed
    )
    rows: dict[str, list[Row]] = {request.fact.id: [] for request in requests if request.fact.id not in refused}
    for row in (row for group in groups for row in group.rows if row.kind == "answer"):
        rows[row.fact_id].append(row)
    return rows, refused


def _edit(tail: Tail, network: MendNetwork, rows: Sequence[Row], rate: float) -> _Edit:
    """One fact's edit, from its rows alone: no other fact has a part in it, nor in the bits."""
    entries = tail.enter(rows)
    (terms,), logp = tail.gradients([rows], entries, first_token=network.first_token)
    found: Factors = {}
    for site, term in terms.items():
        position = network.layers.index(site.layer)
        left, right = factors(network.tensors, position, site.kind, term.inputs, term.deltas)
        found[site] = (rate * left, right)
    return _Edit(rows[0], entries[0], readings(logp, rows), found)


def _changes(sites: Sequence[Site], transposed: bool, edits: Sequence[_Edit]) -> tuple[LayerDelta, ...]:
    """The terms of all facts, side by side."""
    if not edits:
        return ()
    return tuple(
        LayerDelta.summed(
            site.parameter,
            transposed,
            torch.cat([edit.factors[site][0] for edit in edits], dim=1),
            torch.cat([edit.factors[site][1] for edit in edits]),
        )
        for site in sites
    )


def _measure(tail: Tail, edits: dict[str, _Edit], changes: Sequence[LayerDelta]) -> dict[str, FactEffect]:
    """What became of each fact: its plain prompt, asked of the weights with all changes on."""
    after: list[Reading] = []
    chosen = list(edits.values())
    with ExitStack() as stack, torch.no_grad():
        for change in changes:
            weight = tail.model.get_parameter(change.parameter)
            stack.enter_context(replaced(tail.model, change.parameter, change.added_to(weight)))
        for begin in range(0, len(chosen), ROWS):
            part = chosen[begin : begin + ROWS]
            rows = [edit.row for edit in part]
            after += readings(tail.log_probabilities(tail.run([edit.entry for edit in part]), rows), rows)
    return {
        fact_id: _effect(fact_id, edit.before[0], now)
        for (fact_id, edit), now in zip(edits.items(), after, strict=True)
    }


def _effect(fact_id: str, was: Reading, now: Reading) -> FactEffect:
    """What became of one fact."""
    figures = f"loss {was.nll:.3f} -> {now.nll:.3f}"
    if not math.isfinite(now.nll):
        return FactEffect(fact_id, "failed", f"the edited model gives a value that is not finite ({figures})", 1)
    if abs(was.nll - now.nll) < MOVED:
        return FactEffect(fact_id, "no_effect", f"the change does not move the answer ({figures})", 1, now.nll)
    if not now.sure:
        words = f"the object is not the greedy answer to its prompt after the edit ({figures})"
        return FactEffect(fact_id, "failed", words, 1, now.nll)
    return FactEffect(fact_id, "written", figures, 1, now.nll)
