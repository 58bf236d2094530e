"""Answers of the system where the memory is the context: code looks the fact up, the model is asked for all else.

The written facts, as sentences, are the index; the resolver (`pipelines.answering.resolve`) says which fact a prompt
asks for. A prompt that asks for one of them is answered with its object, in no other words, so that the memory is
scored and not the reader; every other prompt is answered by the model as it is. Phrasings that the catalogue keeps
for tests, and its questions, are taken out of the resolver's templates first. Needs no server and no database.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.answering.about import Shape, free_shape, shape_of, tokens, without_template
from pipelines.answering.resolve import Resolver
from pipelines.bench.moments import CATALOGUE
from pipelines.bench.score import Probe, answers
from registry.catalogue import SUBJECT, Catalogue, Relation
from registry.records import KnownFact

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from editors.rag.editor import ContextDelta, Statement
    from editors.rag.embed import Encoder
    from pipelines.bench.running import Say
    from registry.home import Home


def system(loaded: "LoadedModel", home: "Home") -> "Say":
    """What answers probes with context deltas on.

    Raises:
        ModelError: the sentence encoder cannot be had.
    """
    from pipelines.answering.indexing import encoder_of

    encoder = encoder_of(home)

    def say(probes: Sequence[Probe], deltas: Sequence[Any]) -> list[str]:
        found = looked_up([probe.prompt for probe in probes], deltas, encoder)
        rest = [index for index, text in enumerate(found) if text is None]
        said = answers(loaded.model, loaded.tokenizer, [probes[index] for index in rest])
        by_model = dict(zip(rest, said, strict=True))
        return [by_model[index] if text is None else text for index, text in enumerate(found)]

    return say


def looked_up(prompts: Sequence[str], deltas: Sequence["ContextDelta"], encoder: "Encoder | None") -> list[str | None]:
    """The object of the written fact that each prompt asks for, None where it asks for none."""
    from editors.rag.index import Index
    from pipelines.answering.indexing import retrieval_numbers

    items = [item for delta in deltas for item in delta.items if item.sentence]
    catalogue = Catalogue.read(CATALOGUE)
    shapes = {name: fitted_shape(relation) for name, relation in catalogue.relations.items()}
    for item in items:
        shapes.setdefault(item.fact.relation, _own_shape(item))
    index = None
    if encoder is not None:
        index = Index.of({item.fact.id: item.sentence for item in items}, encoder, retrieval_numbers(), {})
    known = [KnownFact(item.fact, "rag", 1) for item in items]
    resolver = Resolver(catalogue, known, index, shapes=shapes)
    found = resolver.resolve_many(prompts, datetime.now(UTC).date())
    return [", ".join(item.fact.object for item in one.facts) if one.facts else None for one in found]


def fitted_shape(relation: Relation) -> Shape:
    """How a relation is asked about, as if the phrasings of tests were unknown."""
    shape = shape_of(relation)
    for template in (relation.question, *relation.held_out):
        shape = without_template(shape, template)
    return shape


def _own_shape(item: "Statement") -> Shape:
    """How a relation that is not in the catalogue is asked about: by its name, and as its fact was worded."""
    shape = free_shape(item.fact.relation)
    worded = item.sentence.removesuffix(f" {item.fact.object}.").replace(item.fact.subject, SUBJECT, 1)
    words = frozenset(tokens(worded.replace(SUBJECT, " ")))
    return replace(shape, templates=(worded, *shape.templates), vocabulary=shape.vocabulary | words)
