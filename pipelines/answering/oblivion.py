"""Questions about what was forgotten: recognised by keyed digests, answered with "not known"."""

from collections.abc import Iterator
from dataclasses import replace

from pipelines.answering.about import key_of, tokens
from pipelines.answering.resolve import Resolution
from registry.catalogue import Catalogue
from registry.forgotten import Tombstones

FORGOTTEN_WORDS = "it was forgotten on request"
LONGEST = 8
"""Words of the longest name that is looked for in a question that names nobody who is known."""


def marked(one: Resolution, forgotten: Tombstones, catalogue: Catalogue) -> Resolution:
    """The resolution, or that it asks for what was forgotten; what is found in the facts is an answer all the same."""
    if not forgotten or (one.status == "found" and one.facts):
        return one
    if any(forgotten.holds_question(subject, relation) for subject, relation in _asked(one, catalogue)):
        return replace(one, status="no_fact", facts=(), why=FORGOTTEN_WORDS)
    return one


def _asked(one: Resolution, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Subjects and relations that a question may be about."""
    relations = [one.relation] if one.relation is not None else [*catalogue.relations]
    if one.subject is not None:
        yield from ((key_of(catalogue, one.subject), relation) for relation in relations)
        return
    words = tokens(one.question)
    for start in range(len(words)):
        for stop in range(start + 1, min(start + LONGEST, len(words)) + 1):
            subject = key_of(catalogue, " ".join(words[start:stop]))
            yield from ((subject, relation) for relation in relations)


def is_clear(one: Resolution) -> bool:
    """Whether subject and relation of a question are clear, so that the weights can be asked its cloze prompt.

    How sure a model is of an open question says nothing: it is as fluent about what does not exist.
    """
    return (
        one.status in ("found", "no_fact")
        and one.why != FORGOTTEN_WORDS
        and one.subject is not None
        and not one.reversed
    )
