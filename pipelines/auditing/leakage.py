"""The leakage audit of a home: what can be asked of a release in seconds, without training anything.

Do the feed, the edits' prompts, the index and the test phrasings overlap; do the deltas tell their subjects; does the
model say what is protected or was taken back; and which of the answers shown for the release are evidence of updating
at all. Canaries and membership need a training run of their own: `benchmarks/leakage.py`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guards.base import Verdict
from guards.cutoff import Answered
from guards.leakage import Continued, LeakagePolicy
from guards.overlap import OverlapCase, OverlapGuard
from pipelines.auditing.leakage_ask import Reading, read
from pipelines.auditing.leakage_deltas import revealed
from pipelines.auditing.overlap import Document, overlaps
from pipelines.route import RAG
from pipelines.settings import Settings
from registry.artifacts import checked
from registry.catalogue import SUBJECT, Catalogue
from registry.errors import DmmGovError, InputError
from registry.facts import FactEvent, FactStore, view
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import EditRequest, Fact, KnownFact, Release
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from editors.load import LoadedModel

PAIRS = (("train", "test"), ("edit", "test"), ("index", "test"), ("train", "index"))
"""Sets that are compared: what came in (train), the prompts of edits, the index, the phrasings held out for tests."""

IDS = "ids.json"
"""The index's sentences."""

TO_THE_OBJECT = 0
"""Prefix of an extraction that is given everything but the object."""


@dataclass(frozen=True)
class Audited:
    """What the audit looks at.

    Attributes:
        home: where it lies.
        ledger: its open ledger.
        release: which release.
        settings: the rules.
        events: every fact event of its lineage.
    """

    home: Home
    ledger: Ledger
    release: Release
    settings: Settings
    events: tuple[FactEvent, ...]

    @classmethod
    def of(cls, home: Home, ledger: Ledger, release: Release) -> "Audited":
        """Read what the ledger holds of the release."""
        lineage = ReleaseStore(ledger).lineage(release.number)
        return cls(home, ledger, release, Settings.load(), tuple(FactStore(ledger).events(lineage)))

    @property
    def policy(self) -> LeakagePolicy:
        """The thresholds."""
        return self.settings.policy.leakage

    @property
    def catalogue(self) -> Catalogue:
        """The relations."""
        return self.settings.catalogue

    @property
    def known(self) -> list[KnownFact]:
        """The facts of the release that relations of the catalogue ask for."""
        return [one for one in view(self.events) if one.fact.relation in self.catalogue.relations]


def leakage(home: Home, ledger: Ledger, release: Release, loaded: "LoadedModel | None") -> tuple[Verdict, ...]:
    """Every verdict that a release can be given without training; a check that cannot run escalates.

    Args:
        home: where the release lies.
        ledger: its open ledger.
        release: which release.
        loaded: its model, None where it cannot be rebuilt.
    """
    found = Audited.of(home, ledger, release)
    checks: dict[str, Callable[[], Iterable[Verdict]]] = {
        "overlap": lambda: map(OverlapGuard(found.policy.overlap).judge, overlap_cases(found)),
        "delta_reveals": lambda: delta_verdicts(found, loaded),
        "verbatim_extraction": lambda: [verbatim(found, loaded)],
        "cutoff": lambda: [found.policy.evidence().judge(answers(found))],
    }
    verdicts: list[Verdict] = []
    for name, check in checks.items():
        try:
            verdicts += check()
        except (DmmGovError, OSError, ValueError, KeyError) as error:
            # Files of a damaged home may hold anything; what cannot be looked into is never taken for clean.
            words = f"expected something to look into, got {type(error).__name__}: {error}; mend it and audit again"
            verdicts.append(Verdict(name, "escalate", words))
    return tuple(verdicts)


def overlap_cases(found: Audited) -> tuple[OverlapCase, ...]:
    """The sets of the home, compared."""
    known = found.known
    sets = {
        "train": _feed_rows(found),
        "edit": _prompts(found.catalogue, [one.fact for one in known if one.memory != RAG]),
        "index": _sentences(found),
        "test": _tests(found.catalogue, [one.fact for one in known]),
    }
    written = any(one.memory != RAG for one in known)
    pairs = [pair for pair in PAIRS if written or "edit" not in pair]
    return overlaps(sets, found.policy.overlap, pairs=pairs)


def _feed_rows(found: Audited) -> Iterator[Document]:
    """What the feeds of the lineage brought, as it arrived."""
    lineage = set(ReleaseStore(found.ledger).lineage(found.release.number))
    feeds = FeedStore(found.ledger)
    for run in feeds.runs():
        if run.release in lineage:
            for row in feeds.rows(run=run.id):
                yield Document(f"{run.name} row {row['row']}", str(row.get("raw", "")))


def _prompts(catalogue: Catalogue, facts: Sequence[Fact]) -> Iterator[Document]:
    """Everything that fitting is given, with the object."""
    for fact in facts:
        request = catalogue.request(fact, "ADD")
        for number, prompt in enumerate((request.prompt, *request.paraphrases)):
            yield Document(f"fact {fact.id} prompt {number}", prompt + request.target)


def _sentences(found: Audited) -> Iterator[Document]:
    """The sentences of the retrieval index."""
    folder = checked(found.home.snapshots, found.release.index_snapshot)
    content = json.loads((folder / IDS).read_text(encoding="utf-8"))
    for fact_id, sentence in zip(content["ids"], content.get("sentences", ()), strict=True):
        yield Document(f"fact {fact_id} in the index", sentence)


def _tests(catalogue: Catalogue, facts: Sequence[Fact]) -> Iterator[Document]:
    """The phrasings that are kept for tests, with the object."""
    for fact in facts:
        request = catalogue.request(fact, "ADD")
        for number, prompt in enumerate(request.held_out):
            yield Document(f"fact {fact.id} test {number}", prompt + request.target)


def delta_verdicts(found: Audited, loaded: "LoadedModel | None") -> Iterator[Verdict]:
    """What each delta of the release reveals.

    Raises:
        InputError: there are deltas and no model to ask.
    """
    if found.release.deltas and loaded is None:
        raise InputError("the model of the release", "none that can be rebuilt", "see the problems of this audit")
    facts = {event.fact.id: event.fact for event in found.events}
    others = [fact.subject for fact in facts.values()]
    relations = found.catalogue.relations
    prompts = {
        key: relations[fact.relation].prompt.replace(SUBJECT, "{}")
        for key, fact in facts.items()
        if fact.relation in relations
    }
    for digest in found.release.deltas:
        assert loaded is not None
        folder = checked(found.home.deltas, digest)
        case = revealed(loaded, folder, facts, others, most=found.policy.candidates, prompts=prompts)
        yield found.policy.reveal().judge(case)


def verbatim(found: Audited, loaded: "LoadedModel | None") -> Verdict:
    """Whether the model itself says what is not public or was taken back, given all but the object.

    The same sentences with the object of another fact of the relation are the twins.

    Raises:
        InputError: there is something protected and no model to ask.
    """
    guard = found.policy.extraction()
    held = {one.fact.id for one in view(found.events)}
    facts = {event.fact.id: event.fact for event in found.events}
    secret = [
        fact
        for fact in facts.values()
        if (fact.sensitivity != "public" or fact.id not in held) and fact.relation in found.catalogue.relations
    ]
    if not secret:
        return Verdict(guard.name, "pass", "no fact of the release is protected and none was taken back")
    if loaded is None:
        raise InputError("the model of the release", "none that can be rebuilt", "see the problems of this audit")
    pairs = [(fact, False) for fact in secret]
    pairs += [(twin, True) for twin in _twins(secret, list(facts.values()))]
    requests = [found.catalogue.request(fact, "ADD") for fact, _ in pairs]
    readings = read(loaded, [one.prompt + one.target for one in requests])
    return guard.judge(
        [
            _continued(loaded, fact, request, reading, suspect=not twin)
            for (fact, twin), request, reading in zip(pairs, requests, readings, strict=True)
        ]
    )


def _twins(secret: Sequence[Fact], facts: Sequence[Fact]) -> Iterator[Fact]:
    """Each secret fact with the object of another fact of its relation."""
    from dataclasses import replace

    for number, fact in enumerate(secret):
        others = sorted({one.object for one in facts if one.relation == fact.relation} - {fact.object})
        if others:
            yield replace(fact, object=others[number % len(others)])


def _continued(
    loaded: "LoadedModel", fact: Fact, request: EditRequest, reading: Reading, *, suspect: bool
) -> Continued:
    """Whether greedy decoding gives the object after the fact's prompt."""
    given = len(loaded.tokenizer(request.prompt, verbose=False)["input_ids"])
    wanted = max(1, len(reading.greedy) + 1 - given)
    own = reading.continued(f"fact {fact.id}", given, wanted, suspect=suspect)
    return Continued(own.name, TO_THE_OBJECT, own.matched, own.wanted, suspect)


def answers(found: Audited) -> list[Answered]:
    """The answers about changed facts that the release shows, with the day from which each fact holds."""
    begun: Mapping[str, KnownFact] = {
        found.catalogue.request(one.fact, "ADD").question: one
        for one in found.known
        if one.release == found.release.number
    }
    samples = [row for row in found.release.summary.get("samples", ()) if row.get("changed")]
    return [
        Answered(
            row["question"],
            begun[row["question"]].fact.valid_from if row["question"] in begun else None,
            bool(row["right_after"]),
        )
        for row in samples
    ]
