"""The types that all packages share: facts, requests, routes, beliefs, releases, ledger entries.

Standard library only, so that `editors/` can use them on a bare GPU node. All are frozen; all dates are `date`, all
times are UTC-aware `datetime`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal, Self

from registry.digests import digest_json

Operation = Literal["ADD", "UPDATE", "DELETE", "FORGET"]
"""What a request does to what is known.

ADD: nothing was known for this subject and relation, or the relation takes several objects.
UPDATE: replaces what was known from `valid_from` on; the old fact stays readable, with its end.
DELETE: what was known ends, with nothing in its place.
FORGET: what was known is removed so that it cannot be recalled.
"""

Sensitivity = Literal["public", "internal", "personal", "secret"]
RiskTier = Literal["low", "medium", "high"]
ProbeKind = Literal["neighbourhood", "same_subject", "negation", "reversal", "multi_hop"]
Scope = Literal["context", "side_memory", "weights"]
"""Where an editor writes: text given to the model, memory beside its weights, or the weights themselves."""

FACT_ID_CHARS = 24


@dataclass(frozen=True)
class Fact:
    """One statement about the world, with the time for which it holds and where it comes from.

    Attributes:
        subject: whom or what it is about, as written by the source.
        relation: name of a relation of the catalogue (or free, when a row brings its own prompt).
        object: what is said.
        valid_from: first day on which it holds; None when the source does not say.
        valid_to: first day on which it no longer holds; None while it holds.
        recorded_at: when this system came to know it; not part of the identity.
        source: name of who says so.
        source_url: where it says so.
        confidence: the source's own, 0 to 1.
        sensitivity: how it may be handled.
    """

    subject: str
    relation: str
    object: str
    valid_from: date | None = None
    valid_to: date | None = None
    recorded_at: datetime | None = field(default=None, compare=False)
    source: str = ""
    source_url: str = ""
    confidence: float = 1.0
    sensitivity: Sensitivity = "public"

    @cached_property
    def id(self) -> str:
        """Digest of the content without `recorded_at`: the same row gives the same id whenever it arrives."""
        content = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "recorded_at"}
        return digest_json(content)[:FACT_ID_CHARS]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the id; `from_dict` is its inverse."""
        values: dict[str, Any] = asdict(self)
        for name in ("valid_from", "valid_to", "recorded_at"):
            values[name] = values[name].isoformat() if values[name] else None
        return {"id": self.id, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a fact from `to_dict`'s form; a stored `id` is ignored, since it follows from the content."""
        known = {name: value for name, value in values.items() if name != "id"}
        for name in ("valid_from", "valid_to"):
            known[name] = date.fromisoformat(known[name]) if known.get(name) else None
        known["recorded_at"] = datetime.fromisoformat(known["recorded_at"]) if known.get("recorded_at") else None
        return cls(**known)

    def holds_on(self, day: date) -> bool:
        """Whether `day` lies in [valid_from, valid_to); an open end counts as unbounded."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class Probe:
    """A prompt asked of the model around an edit, and the answers that count as right."""

    kind: ProbeKind
    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class EditRequest:
    """A fact to be written, with all the prompts that it is fitted on and judged by.

    Attributes:
        fact: what to write.
        operation: what it does to what is known.
        prompt: cloze text that holds `fact.subject` and ends where the object begins (no trailing space).
        answers: the object and its aliases; any of them is right.
        question: the same as a question, for the chat form.
        paraphrases: other cloze prompts, which fitting may use.
        held_out: other cloze prompts, which fitting must never see.
        probes: what must not move, or must move along.
        risk_tier: decides the gates.
        requester: who asked for it.
        replaces: ids of the known facts that this one supersedes.
    """

    fact: Fact
    operation: Operation
    prompt: str
    answers: tuple[str, ...]
    question: str = ""
    paraphrases: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    risk_tier: RiskTier = "low"
    requester: str = "feed"
    replaces: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The text that the edited model shall continue `prompt` with, with its leading space."""
        return f" {self.fact.object}"


BeliefState = Literal["known", "wrong", "unknown"]


@dataclass(frozen=True)
class Belief:
    """What a model answers about one fact before anything is written, asked without any context.

    Attributes:
        fact_id: the fact that was asked about.
        state: "known" when every phrasing is answered rightly, "wrong" when none is and the model is sure of
            something else, "unknown" otherwise.
        answers: what it said, one per phrasing.
        right: which of them were right.
        certainty: geometric mean of the token probabilities of the answers, 0 to 1.
    """

    fact_id: str
    state: BeliefState
    answers: tuple[str, ...]
    right: tuple[bool, ...]
    certainty: float


@dataclass(frozen=True)
class Route:
    """Which memory a request goes to, and why.

    Attributes:
        editor: name of a registered editor ("rag", "rome", "memit", ...).
        reason: in words, for a person.
        evidence: what the decision rests on.
    """

    editor: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownFact:
    """A fact as the registry holds it at some point of valid and recorded time.

    Attributes:
        fact: with `valid_to` narrowed by whatever ended it, and `recorded_at` set.
        memory: name of the editor in whose memory it lives.
        release: number of the release that brought it.
        reason: why it lives there.
    """

    fact: Fact
    memory: str
    release: int
    reason: str = ""


@dataclass(frozen=True)
class Release:
    """One published state of what a model knows; everything in it is named by digest.

    Attributes:
        number: 1, 2, 3, ... in the order of publishing.
        parent: number of the release that it was built on, None for the first.
        model: name or path by which the base was asked for.
        base_digest: digest of the base model's weights.
        deltas: digests of the weight deltas, in the order in which they are applied.
        weights_digest: digest of the weights with all deltas applied.
        facts_snapshot: digest of the facts snapshot.
        index_snapshot: digest of the retrieval index.
        mlflow_version: version of the registered model in MLflow.
        created_at: when it was published.
        created_by: who ran it.
        gates: verdicts of the gates, as plain values.
        summary: counts and figures for people.
    """

    number: int
    parent: int | None
    model: str
    base_digest: str
    deltas: tuple[str, ...]
    weights_digest: str
    facts_snapshot: str
    index_snapshot: str
    mlflow_version: str
    created_at: datetime
    created_by: str
    gates: tuple[Mapping[str, Any], ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is its inverse."""
        return {
            **asdict(self),
            "created_at": self.created_at.isoformat(),
            "deltas": list(self.deltas),
            "gates": list(self.gates),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a release from `to_dict`'s form."""
        return cls(
            **{
                **values,
                "created_at": datetime.fromisoformat(values["created_at"]),
                "deltas": tuple(values["deltas"]),
                "gates": tuple(values["gates"]),
            }
        )

    def with_version(self, version: str) -> Self:
        """The same release with its MLflow version filled in."""
        return replace(self, mlflow_version=version)


@dataclass(frozen=True)
class LedgerEntry:
    """One leaf of the ledger's Merkle tree (RFC 6962).

    Attributes:
        seq: position in the log, from 0.
        kind: what happened ("admitted", "refused", "published", ...).
        actor: who did it.
        recorded_at: when.
        payload: what, as plain JSON values; digests rather than content.
        leaf: Merkle leaf hash of the canonical encoding.
    """

    seq: int
    kind: str
    actor: str
    recorded_at: datetime
    payload: Mapping[str, Any]
    leaf: str
