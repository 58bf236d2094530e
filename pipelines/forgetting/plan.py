"""What is to be forgotten, and every sealed text in the ledger that speaks of it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.answering.about import key_of
from pipelines.forgetting.requests import request_keys
from registry.catalogue import Catalogue
from registry.errors import InputError
from registry.facts import FactStore, event_key, view
from registry.feeds import row_key, stored
from registry.forgotten import ANY, question_mark, statement_mark
from registry.ledger import Ledger
from registry.records import Fact, KnownFact
from registry.releases import ReleaseStore
from registry.shredding import Shredded, key_id, keys_of, open_text, sealed_texts
from registry.text import normalise

SHORTEST = 3
"""Letters below which a name is too short to be looked for as a string."""


@dataclass(frozen=True)
class Plan:
    """What is to be forgotten.

    Attributes:
        facts: the facts, each once.
        subject: everything about whom, where a subject was named; empty otherwise.
        relation: only this relation of the subject; empty for all.
        kept: every other fact that the ledger holds.
        catalogue: relations and aliases.
    """

    facts: tuple[Fact, ...]
    subject: str
    relation: str
    kept: tuple[Fact, ...] = field(repr=False)
    catalogue: Catalogue = field(repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the facts."""
        return tuple(fact.id for fact in self.facts)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Subject and object of every statement, in plain words: where both stand, it is spoken of."""
        found = ((_plain(one), _plain(other)) for one, other in self.written)
        return tuple(dict.fromkeys(pair for pair in found if all(pair)))

    @property
    def written(self) -> tuple[tuple[str, str], ...]:
        """Subject and object of every statement, as written, that no kept fact says of another relation."""
        others = {(_plain(fact.subject), _plain(fact.object)) for fact in self.kept}
        found = dict.fromkeys((fact.subject, fact.object) for fact in self.facts)
        return tuple(pair for pair in found if (_plain(pair[0]), _plain(pair[1])) not in others)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names, as written, that no kept fact uses: wherever one stands, it is spoken of."""
        given = [name for fact in self.facts for name in (fact.subject, fact.object)]
        if self.subject and not self.relation:
            given.append(self.subject)
        taken = [f" {_plain(name)} " for fact in self.kept for name in _content(fact)]
        alone = dict.fromkeys(name.strip() for name in given if len(_plain(name)) >= SHORTEST)
        return tuple(name for name in alone if not any(f" {_plain(name)} " in other for other in taken))

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Names that kept facts use too, so that they stay in the home by right."""
        given = dict.fromkeys(name for fact in self.facts for name in (fact.subject, fact.object))
        return tuple(name for name in given if name not in self.names)

    def spoken_of(self, text: str) -> bool:
        """Whether a text speaks of what is to be forgotten: one of `names`, or subject and object of one statement."""
        words = f" {_plain(text)} "
        if any(f" {_plain(name)} " in words for name in self.names):
            return True
        return any(f" {one} " in words and f" {other} " in words for one, other in self.pairs)

    def about(self, row: Mapping[str, Any]) -> bool:
        """Whether the cells of a row speak of it."""
        subject, relation, thing = (str(row.get(name, "")) for name in ("subject", "relation", "object"))
        said = (self._key(subject), relation, self._key(thing))
        if any(said == (self._key(one.subject), one.relation, self._key(one.object)) for one in self.facts):
            return True
        named = bool(self.subject) and said[0] == self._key(self.subject) and self.relation in ("", relation)
        return named or self.spoken_of(text_of(dict(row)))

    def marks(self, key: bytes, known: Iterable[Fact]) -> tuple[list[str], list[str]]:
        """Digests of the statements, and of the questions to which nothing else that is known is an answer."""
        others = {(self._key(fact.subject), fact.relation) for fact in known if fact.id not in self.ids}
        said = [(self._key(fact.subject), fact.relation, self._key(fact.object)) for fact in self.facts]
        statements = {statement_mark(key, *one) for one in said}
        questions = {question_mark(key, *one[:2]) for one in said if one[:2] not in others}
        if self.subject:
            subject = self._key(self.subject)
            if self.relation or all(subject != one for one, _ in others):
                questions.add(question_mark(key, subject, self.relation or ANY))
        return sorted(statements), sorted(questions)

    def _key(self, name: str) -> str:
        return key_of(self.catalogue, name)


def plan_of(
    ledger: Ledger, catalogue: Catalogue, fact_ids: Sequence[str], subject: str = "", relation: str = ""
) -> Plan:
    """Find what is to be forgotten.

    Raises:
        InputError: a fact is not there, was forgotten before, or nothing is recorded about the subject.
    """
    store = FactStore(ledger)
    every = {event.fact.id: event.fact for event in store.events()}
    gone = {row["fact_id"] for row in store.shredded()}
    chosen = {}
    for one in fact_ids:
        found = [fact_id for fact_id in every if fact_id.startswith(one)] if one else []
        if len(found) != 1:
            got = "forgotten already" if one in gone else f"{len(found)} facts with it"
            raise InputError(f"the id of one fact ({one!r})", got, "see `dmmgov ask` or the report for ids")
        chosen[found[0]] = every[found[0]]
    wanted = key_of(catalogue, subject) if subject else ""
    said = {_statement(catalogue, fact) for fact in chosen.values()}
    for fact_id, fact in every.items():
        about = bool(wanted) and key_of(catalogue, fact.subject) == wanted and relation in ("", fact.relation)
        # The same statement from another source, or of other days, is the same thing to know.
        if about or _statement(catalogue, fact) in said:
            chosen[fact_id] = fact
    kept = tuple(fact for fact_id, fact in every.items() if fact_id not in chosen)
    plan = Plan(tuple(chosen.values()), subject, relation, kept, catalogue)
    if not chosen and not any(True for _ in spoken_keys(ledger, plan)):
        raise InputError("somebody about whom something is recorded", repr(subject or fact_ids), "check the spelling")
    return plan


def _statement(catalogue: Catalogue, fact: Fact) -> tuple[str, str, str]:
    return key_of(catalogue, fact.subject), fact.relation, key_of(catalogue, fact.object)


def known_now(ledger: Ledger) -> tuple[KnownFact, ...]:
    """What the champion knows, whenever it holds."""
    releases = ReleaseStore(ledger)
    champion = releases.champion()
    return () if champion is None else tuple(view(FactStore(ledger).events(releases.lineage(champion.number))))


def spoken_keys(ledger: Ledger, plan: Plan) -> Iterator[str]:
    """Ids of the keys of everything sealed that speaks of it: its events, rows of feeds, words of releases and runs."""
    ids = set(plan.ids)
    for event in FactStore(ledger).events():
        if event.fact.id in ids:
            yield event_key(event.fact.id, event.seq)
    with ledger.read() as connection:
        for row, body in stored(connection):
            if not isinstance(body, Shredded) and (_of_fact(body, ids) or plan.spoken_of(text_of(body))):
                yield row_key(row["feed"], row["row"])
    yield from request_keys(ledger, plan)
    with ledger.read() as connection:
        texts = {key_id(one) or "": one for entry in ledger.entries() for one in sealed_texts(entry.payload)}
        keys = keys_of(connection, texts)
    for name, text in texts.items():
        content = open_text(keys, text)
        if not isinstance(content, Shredded) and (plan.spoken_of(text_of(content)) or _names_id(content, ids)):
            yield name


def speaks(ledger: Ledger, number: int, keys: Sequence[str]) -> bool:
    """Whether the words of a release are sealed under one of these keys."""
    entry = next(one for one in ledger.entries("published") if one.payload["release"] == number)
    return bool({key_id(text) for text in sealed_texts(entry.payload)} & set(keys))


def text_of(value: Any) -> str:
    """All texts in plain JSON values, one after the other."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(map(text_of, value.values()))
    if isinstance(value, list | tuple):
        return "\n".join(map(text_of, value))
    return ""


def _of_fact(body: dict[str, Any], ids: Collection[str]) -> bool:
    """Whether a row brought or confirmed one of the facts."""
    return body.get("fact_id") in ids or body.get("confirms") in ids


def _names_id(content: Any, ids: Collection[str]) -> bool:
    """Whether a content names one of the facts by its id."""
    text = json.dumps(content, ensure_ascii=False)
    return any(one in text for one in ids)


def _content(fact: Fact) -> tuple[str, ...]:
    """What of a kept fact may use a name by right."""
    return (fact.subject, fact.object, fact.source, fact.source_url, fact.relation)


def _plain(text: str) -> str:
    """A text in plain words; underscores, slashes and commas part words."""
    return normalise(" ".join(text.replace(",", " ").replace(";", " ").replace("_", " ").split()))
