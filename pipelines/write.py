"""Write: hand each request to the editor that its route names, and collect what they made of it.

The model comes out bit for bit as it went in: editors return frozen deltas. A fact that its editor could not write is
moved to the index, with the editor's own explanation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from editors import EditDelta, get_editor
from pipelines.route import RAG
from registry.progress import track
from registry.records import EditRequest, Route

if TYPE_CHECKING:
    from editors.base import FactEffect
    from editors.load import LoadedModel


@dataclass(frozen=True)
class WritePolicy:
    """How the editors write.

    Attributes:
        moments: folder of ready key moments, relative to the folder above the conf folder; used for the model that
            they were measured on.
        vectors: folder of ready vectors of sentences, likewise; used with the encoder that made them.
    """

    moments: str = "examples/atlas/moments"
    vectors: str = "examples/atlas/vectors"


@dataclass(frozen=True)
class Written:
    """What the editors made of the requests.

    Attributes:
        delta: the new weight delta; None when nothing went into the weights.
        effects: what the fit did, by fact id.
        memory: the memory in which each accepted fact lives, by fact id.
        moved: why a fact that was routed to the weights lives in the index instead, by fact id.
        eased: what share of its length an edit keeps that gave some back, by fact id.
    """

    delta: EditDelta | None
    effects: Mapping[str, "FactEffect"] = field(default_factory=dict)
    memory: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    eased: Mapping[str, float] = field(default_factory=dict)

    def why_there(self, fact_id: str, routed: str) -> str:
        """Why a fact lives where it does: why it was moved, or the route's reason and what its edit gave back."""
        if fact_id in self.eased:
            kept = f"{self.eased[fact_id]:.2f} of its edit's length"
            return f"{routed}; kept at {kept}, so that another answer about its subject stays right"
        return self.moved.get(fact_id, routed)

    @property
    def notes(self) -> tuple[str, ...]:
        """How many edits gave something back, in words; nothing where none did."""
        if not self.eased:
            return ()
        least, most = (f"{bound(self.eased.values()):.2f}" for bound in (min, max))
        lengths = least if least == most else f"{least} to {most}"
        kept = f"{len(self.eased)} of the facts in the weights: {lengths} of the edit's length was kept"
        return (f"{kept}, so that other answers about their subjects stay right",)


def write(
    loaded: "LoadedModel | None", requests: Sequence[EditRequest], routes: Sequence[Route], config: Any = None
) -> Written:
    """Fit the delta of all requests that are routed to the weights.

    Args:
        loaded: the model, as the parent release left it; may be None when every route is the index.
        requests: what to write.
        routes: one per request, in the same order.
        config: the weight editor's config; None takes its defaults.

    Raises:
        EditError: the routes name more than one weight editor, or its fit fails as a whole.
    """
    from registry.errors import EditError

    names = sorted({item.editor for item in routes} - {RAG})
    memory = {request.fact.id: item.editor for request, item in zip(requests, routes, strict=True)}
    if not names:
        return Written(None, memory=memory)
    if len(names) > 1:
        raise EditError(f"one run writes with one weight editor, the routes name {', '.join(names)}; split the run")
    if loaded is None:
        raise EditError(f"{names[0]} writes into weights, and no model was loaded; load one")
    chosen = [request for request, item in zip(requests, routes, strict=True) if item.editor == names[0]]
    with track(f"{names[0]}: fit {len(chosen)} facts"):
        delta = get_editor(names[0]).fit(loaded.model, loaded.tokenizer, chosen, config)
    held = set(delta.fact_ids)
    effects = {effect.fact_id: effect for effect in delta.effects}
    moved = {
        request.fact.id: f"{names[0]} could not write it: {effects[request.fact.id].explanation}"
        for request in chosen
        if request.fact.id not in held
    }
    return Written(delta if held else None, effects, {**memory, **dict.fromkeys(moved, RAG)}, moved)


def moved_to_index(written: Written, reasons: Mapping[str, str]) -> Written:
    """The same with some facts taken out of the weights; facts that share their column with one of them go too.

    Args:
        written: what was written.
        reasons: why, by fact id.
    """
    if written.delta is None or not reasons:
        return written
    delta = written.delta.without(tuple(reasons))
    gone = set(written.delta.fact_ids) - set(delta.fact_ids)
    words = {
        fact_id: reasons.get(fact_id, "shares one edit of its subject with a fact that was taken out")
        for fact_id in gone
    }
    return Written(
        delta if delta.fact_ids else None,
        written.effects,
        {**written.memory, **dict.fromkeys(gone, RAG)},
        {**written.moved, **words},
        {name: share for name, share in written.eased.items() if name not in gone},
    )
