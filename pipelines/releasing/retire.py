"""Retire: take facts that a run ends out of the weights of the release that it builds on.

A fact in the weights knows no dates. When its successor arrives, its edit is taken out of its delta (`without`, which
solves the rest anew with the same targets), and the deltas that were fitted after it are put onto the changed weights
as they are. The model of the run is then put together again from the base. A fact that was merged into a checkpoint is
taken out of the deltas that the checkpoint was made from, and the run stands on the base below it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.route import RAG
from pipelines.workplace import Workplace
from registry.artifacts import checked, store
from registry.compactions import CompactionStore
from registry.errors import InputError
from registry.progress import track
from registry.records import EditRequest

if TYPE_CHECKING:
    from editors.load import LoadedModel


def ended_in_weights(place: Workplace, requests: Sequence[EditRequest]) -> tuple[str, ...]:
    """Ids of the facts that the requests end and that live in the weights."""
    ended = {old for request in requests for old in request.replaces}
    return tuple(item.fact.id for item in place.known if item.fact.id in ended and item.memory != RAG)


def retire(place: Workplace, fact_ids: Sequence[str]) -> tuple[str, ...]:
    """Put the workplace's model together without these facts; nothing happens where there are none.

    Facts that share one edit of their subject with one of them cannot be told apart from it and leave the weights too.

    Returns:
        Ids of all facts that left the weights.

    Raises:
        InputError: one was merged into a checkpoint whose deltas are not kept.
        IntegrityError: the base or a delta is not as recorded.
    """
    if not fact_ids or place.parent is None:
        return ()
    from editors.delta import load_delta, parameters_digest
    from editors.load import load_model, weights_digest
    from pipelines.releasing.bases import base_place

    unmerge(place, fact_ids)
    with track(f"take {len(fact_ids)} ended facts out of the weights", total=len(place.deltas)) as advance:
        loaded: LoadedModel = load_model(
            base_place(place.home, replace(place.parent, base_digest=place.base_digest)), device="cpu"
        )
        kept: list[str] = []
        gone: list[str] = []
        for digest in place.deltas:
            whole = load_delta(checked(place.home.deltas, digest))
            rest = whole.without(fact_ids)
            gone += [fact_id for fact_id in whole.fact_ids if fact_id not in set(rest.fact_ids)]
            if rest.fact_ids:
                anchored = replace(rest, base_digest=parameters_digest(loaded.model, rest.parameters))
                kept.append(store(place.home.deltas, anchored.save).digest)
                anchored.apply(loaded.model)
            advance(1)
    place.deltas = tuple(kept)
    place.loaded = replace(loaded, digest=weights_digest(loaded.model))
    return tuple(gone)


def unmerge(place: Workplace, fact_ids: Sequence[str]) -> None:
    """Let the run stand on the base model again where one of these facts was merged into a checkpoint.

    Raises:
        InputError: a delta that was merged is not kept any more, so that nothing can be taken out of it.
    """
    if place.parent is None or place.origin is None or place.base_digest == place.origin_digest:
        return
    merged = place.origin.deltas[: len(place.origin.deltas) - len(place.parent.deltas)]
    below = CompactionStore(place.ledger).below(place.parent)
    if not {fact_id for one in below for fact_id in one.facts} & set(fact_ids):
        return
    lost = [digest for digest in merged if not (place.home.deltas / digest).is_dir()]
    if lost:
        got = f"delta {lost[0][:12]}, merged into a checkpoint and not kept"
        todo = "single facts cannot leave that checkpoint; roll back to a release before it, or let retention keep them"
        raise InputError("the delta of every fact in the weights", got, todo)
    place.deltas = (*merged, *place.deltas)
    place.base_digest = place.origin_digest
