"""The relation catalogue: what each relation means, how it is asked, how long it holds, how risky it is.

A catalogue is a YAML file; its shape is checked when it is read, and an unknown or missing key is refused by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from registry.digests import digest_json
from registry.errors import InputError, UnknownNameError
from registry.records import EditRequest, Fact, Operation, Probe, RiskTier
from registry.safe_yaml import load_yaml
from registry.text import normalise

Cardinality = Literal["one", "many"]

SUBJECT = "{subject}"
OBJECT = "{object}"
MIN_PARAPHRASES, MIN_HELD_OUT = 5, 2


@dataclass(frozen=True)
class Relation:
    """One relation of the catalogue.

    Attributes:
        name: key, lower case with underscores.
        label: for people ("head of state").
        prompt: cloze text with {subject}, ending where the object begins.
        question: question with {subject}.
        paraphrases: further cloze texts that fitting may use.
        held_out: further cloze texts that are never used in fitting.
        statement: sentence with {subject} and {object}, for retrieval and for the reader.
        cardinality: whether a subject has one object at a time, or many.
        subject_type: type of the subject ("country").
        object_type: type of the object ("city").
        lifetime_days: how long a fact of this kind is expected to hold; None for ever.
        risk_tier: decides the gates.
        cues: words in a question that point to this relation.
    """

    name: str
    label: str
    prompt: str
    question: str
    paraphrases: tuple[str, ...]
    held_out: tuple[str, ...]
    statement: str
    cardinality: Cardinality
    subject_type: str
    object_type: str
    lifetime_days: int | None
    risk_tier: RiskTier
    cues: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse templates that lack their slot, and too few of them.

        Raises:
            InputError: names the relation and the template.
        """
        clozes = (self.prompt, *self.paraphrases, *self.held_out)
        for template in (*clozes, self.question, self.statement):
            if SUBJECT not in template:
                raise InputError(f"{SUBJECT} in every template of {self.name}", repr(template), "add it")
        for template in clozes:
            if OBJECT in template or template != template.rstrip():
                raise InputError("cloze texts that end where the object begins", repr(template), "cut it there")
        if len({*self.paraphrases, *self.held_out}) < MIN_PARAPHRASES or len(self.held_out) < MIN_HELD_OUT:
            raise InputError(
                f"at least {MIN_PARAPHRASES} paraphrases, {MIN_HELD_OUT} of them held out",
                f"{len(self.paraphrases)} and {len(self.held_out)} for {self.name}",
                "write more",
            )
        if OBJECT not in self.statement:
            raise InputError(f"{OBJECT} in the statement of {self.name}", repr(self.statement), "add it")


@dataclass(frozen=True)
class Catalogue:
    """All relations, the aliases of names, and the members of types.

    Attributes:
        relations: by name.
        aliases: other ways of writing an object or subject, by its canonical form.
        types: pattern (regular expression) that a text of the type must match, by type name.
        as_of: the day on which the facts that come with it were true.
    """

    relations: Mapping[str, Relation]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    as_of: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a catalogue from YAML.

        Raises:
            InputError: the file is missing or not of this shape.
        """
        import yaml

        if not path.is_file():
            raise InputError("a relation catalogue (YAML)", str(path), "name an existing file")
        try:
            raw = load_yaml(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"YAML in {path}", str(error).replace("\n", " "), "mend the file") from error
        if not isinstance(raw, dict) or not isinstance(raw.get("relations"), dict):
            raise InputError(f"a mapping with the key 'relations' in {path}", type(raw).__name__, "mend the file")
        return cls(
            relations={name: _relation(name, values) for name, values in raw["relations"].items()},
            aliases={str(name): tuple(map(str, others)) for name, others in (raw.get("aliases") or {}).items()},
            types={str(name): str(pattern) for name, pattern in (raw.get("types") or {}).items()},
            as_of=str(raw.get("as_of", "")),
        )

    @cached_property
    def digest(self) -> str:
        """Digest of the content."""
        return digest_json(
            {
                "relations": {name: vars(relation) for name, relation in self.relations.items()},
                "aliases": dict(self.aliases),
                "types": dict(self.types),
                "as_of": self.as_of,
            }
        )

    @cached_property
    def _canonical(self) -> dict[str, str]:
        """Canonical name by normalised name or alias."""
        table: dict[str, str] = {}
        for name, others in self.aliases.items():
            for form in (name, *others):
                table.setdefault(normalise(form), name)
        return table

    def relation(self, name: str) -> Relation:
        """The relation called `name`.

        Raises:
            UnknownNameError: there is none; the message names the nearest.
        """
        if name not in self.relations:
            raise UnknownNameError("relation", name, self.relations)
        return self.relations[name]

    def canonical(self, name: str) -> str:
        """The canonical form of a name: itself when it has no aliases."""
        return self._canonical.get(normalise(name), name)

    def same(self, one: str, other: str) -> bool:
        """Whether two names mean the same thing: equal after normalisation, or aliases of each other."""
        return normalise(self.canonical(one)) == normalise(self.canonical(other))

    def answers(self, name: str) -> tuple[str, ...]:
        """Every way of writing `name` that counts as right, the given one first."""
        canonical = self.canonical(name)
        return tuple(dict.fromkeys((name, canonical, *self.aliases.get(canonical, ()))))

    def statement(self, fact: Fact) -> str:
        """The fact as one sentence, with its time where it has one."""
        relation = self.relations.get(fact.relation)
        if relation is None:
            return f"{fact.subject}: {fact.relation.replace('_', ' ')}: {fact.object}."
        return relation.statement.replace(SUBJECT, fact.subject).replace(OBJECT, fact.object)

    def request(
        self,
        fact: Fact,
        operation: Operation,
        *,
        prompt: str | None = None,
        probes: Iterable[Probe] = (),
        requester: str = "feed",
        replaces: Iterable[str] = (),
    ) -> EditRequest:
        """The edit request for a fact, with the prompts of its relation (or with the row's own `prompt`).

        Raises:
            UnknownNameError: the relation is not in the catalogue and no `prompt` is given.
        """
        common: dict[str, Any] = {"probes": tuple(probes), "requester": requester, "replaces": tuple(replaces)}
        if prompt is not None:
            return EditRequest(fact, operation, prompt, self.answers(fact.object), **common)
        relation = self.relation(fact.relation)

        def fill(template: str) -> str:
            return template.replace(SUBJECT, fact.subject)

        return EditRequest(
            fact,
            operation,
            prompt=fill(relation.prompt),
            answers=self.answers(fact.object),
            question=fill(relation.question),
            paraphrases=tuple(map(fill, relation.paraphrases)),
            held_out=tuple(map(fill, relation.held_out)),
            risk_tier=relation.risk_tier,
            **common,
        )


def _relation(name: str, values: Any) -> Relation:
    """Check the keys of one relation and build it."""
    if not isinstance(values, dict):
        raise InputError(f"a mapping for the relation {name}", type(values).__name__, "mend the catalogue")
    allowed = {item.name for item in fields(Relation)} - {"name"}
    unknown, missing = set(values) - allowed, allowed - set(values) - {"cues"}
    if unknown or missing:
        raise InputError(
            f"the keys {', '.join(sorted(allowed))} for the relation {name}",
            f"unknown {sorted(unknown)}, missing {sorted(missing)}",
            "mend the catalogue",
        )
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Relation(name=str(name), **plain)
