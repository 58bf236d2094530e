"""Suppression: where the model without the fact still says it (its base knows it), an edit makes it say "unknown".

That hides; it does not remove. What a model learnt in training stays in its weights in other forms, and the audit
(`pipelines.forgetting.audit`) says how much of it can still be got at.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.answering.about import free_shape
from pipelines.workplace import Workplace
from registry.artifacts import store
from registry.catalogue import SUBJECT, Catalogue
from registry.errors import DmmGovError
from registry.home import Home
from registry.ledger import Ledger
from registry.records import FACT_ID_CHARS, EditRequest, Fact, Release
from registry.text import starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel

EDITOR = "rome"
UNKNOWN = "unknown"
ROOM = 12


@dataclass(frozen=True)
class Suppression:
    """What the model itself knows, and what was done about it.

    Attributes:
        model: the model with the suppression on.
        deltas: digests of the deltas that were added.
        asked: how many statements the model was asked about.
        said: how many of them it still said in one phrasing or more, without the edit.
        suppressed: how many of those an edit holds.
        why: what went wrong, in words; empty where nothing did.
    """

    model: "LoadedModel"
    deltas: tuple[str, ...] = ()
    asked: int = 0
    said: int = 0
    suppressed: int = 0
    why: str = ""


def request_of(catalogue: Catalogue, fact: Fact) -> EditRequest:
    """The prompts about a fact; a relation that the catalogue lacks is asked about by its name."""
    if fact.relation in catalogue.relations:
        return catalogue.request(fact, "FORGET")
    shape = free_shape(fact.relation)
    question, prompt, other = (template.replace(SUBJECT, fact.subject) for template in shape.templates)
    return EditRequest(fact, "FORGET", prompt, catalogue.answers(fact.object), question, (other,))


def still_said(loaded: "LoadedModel", requests: Sequence[EditRequest]) -> list[bool]:
    """Whether the model says the object of each request in one of its phrasings or more."""
    from editors.generate import generate

    asked = [(request, prompt) for request in requests for prompt in (request.prompt, *request.paraphrases)]
    said = generate(loaded.model, loaded.tokenizer, [prompt for _, prompt in asked], max_new_tokens=ROOM)
    right: dict[int, bool] = {}
    for (request, _), words in zip(asked, said, strict=True):
        right[id(request)] = right.get(id(request), False) or starts_with_answer(words.text, request.answers)
    return [right[id(request)] for request in requests]


def suppress(
    home: Home, ledger: Ledger, release: Release, loaded: "LoadedModel", facts: Sequence[Fact], at: datetime
) -> Suppression:
    """Ask the model about each fact; write an edit for those that it still says.

    Args:
        home: where deltas are kept.
        ledger: its open ledger.
        release: the release that `loaded` belongs to.
        loaded: its model, already without the facts; the edit is put on it.
        facts: what is to be forgotten.
        at: the moment of the run.
    """
    from pipelines.settings import Settings

    settings = Settings.load()
    chosen = list({(fact.subject, fact.relation, fact.object): fact for fact in facts}.values())
    requests = [request_of(settings.catalogue, fact) for fact in chosen]
    if not requests:
        return Suppression(loaded)
    said = [request for request, yes in zip(requests, still_said(loaded, requests), strict=True) if yes]
    found = Suppression(loaded, (), len(requests), len(said))
    if not said:
        return found
    place = Workplace(home, ledger, settings, release.model, "dmmgov", at, release)
    place.loaded = loaded
    try:
        return _written(place, found, said)
    except DmmGovError as error:
        return replace(found, why=f"{EDITOR} could not write the suppression: {type(error).__name__}")


def _written(place: Workplace, found: Suppression, said: Sequence[EditRequest]) -> Suppression:
    """Fit the edit, put it on and keep it; it bears no id and no text of what it hides."""
    from editors import get_editor
    from editors.load import weights_digest
    from pipelines.judging.moments import editor_config

    loaded = place.loaded
    config = editor_config(place, EDITOR)
    # An edit for each relation of a subject once: several objects are hidden by the same answer.
    once = {(one.fact.subject, one.fact.relation): hidden(one) for one in said}
    delta: Any = get_editor(EDITOR).fit(loaded.model, loaded.tokenizer, list(once.values()), config)
    held = set(delta.fact_ids)
    if not held:
        return replace(found, why=f"{EDITOR} could not write the suppression")
    bare = replace(delta, contexts=(), effects=tuple(one for one in delta.effects if one.fact_id in held))
    kept = store(place.home.deltas, bare.save).digest
    bare.apply(loaded.model)
    model = replace(loaded, digest=weights_digest(loaded.model))
    hides = {key for key, request in once.items() if request.fact.id in held}
    count = sum((one.fact.subject, one.fact.relation) in hides for one in said)
    return replace(found, model=model, deltas=(kept,), suppressed=count)


def hidden(request: EditRequest) -> EditRequest:
    """A request that makes the model say that it does not know, under an id that says nothing."""
    fact = replace(request.fact, object=UNKNOWN, source="", source_url="")
    vars(fact)["id"] = secrets.token_hex(FACT_ID_CHARS // 2)
    return replace(request, fact=fact, answers=(UNKNOWN,), probes=())
