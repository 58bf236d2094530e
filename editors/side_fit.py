"""What fits of side memories share around their equations: what is there already, and what became of each fact."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editors.base import FactEffect
from editors.fitting import split_reached, written_effects
from editors.frame import Output
from editors.layouts import Layout
from editors.rows import Group, Row
from editors.side import SideMemory, Station
from editors.spoken import plain_nll, said_already
from editors.targets import Target, TargetConfig, fit_targets
from editors.trace import inputs_of
from registry.errors import EditError
from registry.records import EditRequest


@dataclass(frozen=True)
class Values:
    """The groups that are worth a memory, with their targets, and what is to be said of all other facts."""

    groups: list[Group]
    targets: list[Target]
    effects: dict[str, FactEffect]


def fact_groups(
    requests: Sequence[EditRequest], rows_of: Callable[[EditRequest], Sequence[Row]]
) -> tuple[dict[str, EditRequest], list[Group], dict[str, str]]:
    """The requests by fact, a group for each, and the reasons for those that cannot be written.

    Args:
        requests: what to write; a fact that comes twice is taken once.
        rows_of: makes a request's contexts, or says by an EditError why there can be none.
    """
    wanted: dict[str, EditRequest] = {}
    groups: list[Group] = []
    refused: dict[str, str] = {}
    for request in requests:
        if request.fact.id in wanted or request.fact.id in refused:
            continue
        try:
            rows = tuple(rows_of(request))
        except EditError as error:
            refused[request.fact.id] = str(error)
            continue
        wanted[request.fact.id] = request
        groups.append(Group(request.fact.subject, (request.fact.id,), rows))
    return wanted, groups, refused


def find_values(
    model: Any,
    layout: Layout,
    groups: Sequence[Group],
    layer: int,
    config: TargetConfig,
    base: Callable[[], Any],
    output: Output = "matrix",
) -> Values:
    """Targets of the groups that the model, with the memories that are on, does not answer already.

    Args:
        model: in evaluation mode.
        layout: its layout.
        groups: whose values to find.
        layer: the block whose output moves.
        config: how values are optimised.
        base: gives a block in which the model is as without side memories.
        output: what the values are added to.
    """
    effects: dict[str, FactEffect] = {}
    words = "the model gives this object in every context already; nothing to write"
    fresh = []
    for group in groups:
        if said_already(model, group, config):
            effects |= {fact_id: FactEffect(fact_id, "no_effect", words) for fact_id in group.fact_ids}
        else:
            fresh.append(group)
    if not fresh:
        return Values([], [], effects)
    if model.get_input_embeddings().weight.device.type == "cpu" and not config.batch:
        config = replace(config, batch=1)  # no fact's numbers then depend on which others are fitted with it
    with base():
        targets = fit_targets(model, layout, fresh, layer, config, output)
    good, others = split_reached(fresh, targets)
    return Values([fresh[i] for i in good], [targets[i] for i in good], effects | others)


def outcome(model: Any, layer: int, values: Values, memories: Sequence[SideMemory]) -> dict[str, FactEffect]:
    """What became of the facts that got a memory, asked with the memories on top of those that are on already."""
    before = plain_nll(model, values.groups)
    undo = Station.add(model, layer, memories)
    try:
        after = plain_nll(model, values.groups)
    finally:
        undo()
    return written_effects(values.groups, values.targets, before, after)


def keys_of(model: Any, layout: Layout, layer: int, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """What the down-projection of block `layer` is given, per text (tokens, d_in), float32, unpadded.

    Texts of one length run together; nothing above the layer is computed.
    """
    device = model.get_input_embeddings().weight.device
    found: dict[int, Tensor] = {}
    lengths: dict[int, list[int]] = {}
    for index, tokens in enumerate(texts):
        lengths.setdefault(len(tokens), []).append(index)
    for indices in lengths.values():
        ids = torch.tensor([list(texts[i]) for i in indices], device=device)
        with torch.no_grad(), inputs_of({0: layout.down_module(model, layer)}) as seen:
            model.base_model(input_ids=ids, use_cache=False)
        values = seen[0].detach().reshape(len(indices), ids.shape[1], -1).to(torch.float32)
        found |= dict(zip(indices, values, strict=True))
    return [found[index] for index in range(len(texts))]
