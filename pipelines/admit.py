"""Admission: what becomes of each row of a feed, with the reasons in words.

Order of the chain, for every row:

    shape of the row -> structure (Great Expectations) -> what was forgotten -> lessons -> provenance -> dates ->
    relation -> declared sensitivity -> personal data -> instructions -> types -> what it does to what is known ->
    consensus of its sources

A row that a rule blocks is refused, one that a rule escalates is quarantined, and neither stops any other. Rows are
decided in the order of the feed, so a row sees what the rows before it brought.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from guards.admission import (
    AdmissionPolicy,
    DeclaredSensitivityGuard,
    ProvenanceGuard,
    Reason,
    RelationGuard,
    TimeGuard,
    judge_all,
)
from guards.base import Guard, Verdict
from guards.candidates import Candidate, CandidateReader
from guards.forgotten import ForgottenGuard
from guards.known import KnownIndex
from guards.lessons import LessonGuard, Lessons
from guards.membership import Membership, TypeGuard
from guards.names import Names
from guards.sensitivity import InstructionGuard, PersonalDataGuard
from guards.sources import Sources
from pipelines.admission.expectations import GUARD as STRUCTURE
from pipelines.admission.expectations import check_structure
from pipelines.admission.feed import Feed
from pipelines.admission.weigh import ACCEPTED, Court, Judged, Outcome, RowOutcome, waived
from registry.catalogue import Catalogue
from registry.events import RowRelease
from registry.forgotten import Tombstones
from registry.progress import track
from registry.records import Fact, KnownFact

__all__ = ["Admission", "Outcome", "Reason", "RowOutcome", "admit"]


@dataclass(frozen=True)
class Admission:
    """What became of a feed.

    Attributes:
        feed: its name.
        digest: of its bytes.
        rows: one outcome per row, in order.
        notes: what a person should know about the feed as a whole.
        header: as of the feed.
        released: as of the feed.
    """

    feed: str
    digest: str
    rows: tuple[RowOutcome, ...]
    notes: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    released: Mapping[int, RowRelease] = field(default_factory=dict)

    @property
    def accepted(self) -> tuple[RowOutcome, ...]:
        """The rows that go on: ADD, UPDATE, DELETE."""
        return tuple(row for row in self.rows if row.decision in ACCEPTED)

    def counts(self) -> dict[str, int]:
        """How many rows became what."""
        return dict(Counter(row.decision for row in self.rows))


def admit(
    feed: Feed,
    known: Sequence[KnownFact],
    catalogue: Catalogue,
    policy: AdmissionPolicy,
    at: datetime,
    sources: Sources,
    lessons: Lessons | None = None,
    forgotten: Tombstones | None = None,
) -> Admission:
    """Decide on every row of a feed.

    Args:
        feed: the rows.
        known: what is known, with what has ended.
        catalogue: relations, aliases, types.
        policy: thresholds.
        at: the moment of admission; its day is "today".
        sources: who is trusted how far.
        lessons: what was found false before.
        forgotten: what was forgotten before.
    """
    names = Names(catalogue, policy.spelling)
    structure = check_structure(feed, policy, () if STRUCTURE in policy.skipped else None)
    notes = [*feed.notes, *(f"a check did not run: {problem}" for problem in structure.failed_to_run)]
    reader = CandidateReader.of(catalogue, at)
    cases = {row: reader.read(row, cells) for row, cells in _rows(feed) if row not in feed.broken}
    membership = Membership.of(
        (each.fact for each in known), _trusted(cases.values(), structure.findings, sources), catalogue, names
    )
    guards: tuple[Guard[Candidate], ...] = (
        ForgottenGuard(names, forgotten or Tombstones()),
        LessonGuard.of(lessons or Lessons(), names, sources),
        ProvenanceGuard(),
        TimeGuard(),
        RelationGuard(catalogue, policy.max_prompt_chars),
        DeclaredSensitivityGuard(policy.refused_sensitivities),
        PersonalDataGuard(),
        InstructionGuard(),
        TypeGuard(catalogue, names, membership, policy.min_members),
    )
    guards = tuple(guard for guard in guards if guard.name not in policy.skipped)
    if policy.skipped:
        notes.append(f"rules that were not asked: {', '.join(policy.skipped)}")
    judged = {}
    with track("admission", total=len(cases)) as advance:
        for row, case in cases.items():
            verdicts = (*structure.findings.get(row, ()), *judge_all(guards, case))
            release = feed.released.get(row)
            judged[row] = Judged(case, tuple(waived(verdict, release) for verdict in verdicts), release)
            advance(1)
    index = KnownIndex(names, known)
    court = Court(judged, index, policy, sources, at.date(), _day(catalogue.as_of))
    outcomes = [court.decide(row, raw, feed.broken.get(row)) for row, raw in enumerate(feed.raw, 1)]
    return Admission(feed.name, feed.digest, tuple(outcomes), tuple(notes), feed.header, feed.released)


def _rows(feed: Feed) -> Iterator[tuple[int, dict[str, str]]]:
    """Row numbers and cells."""
    names = feed.table.column_names
    columns = [feed.table.column(name).to_pylist() for name in names]
    for row, cells in enumerate(zip(*columns, strict=True), 1):
        yield row, dict(zip(names, cells, strict=True))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _trusted(
    cases: Iterable[Candidate], findings: Mapping[int, tuple[Verdict, ...]], sources: Sources
) -> Iterator[Fact]:
    """Statements of authoritative sources of sound structure: they tell which names belong to which types."""
    for case in cases:
        source = sources.find(case.cell("source"), case.cell("source_url"))
        if source.tier == "authoritative" and case.relation is not None and not findings.get(case.row):
            yield Fact(case.cell("subject"), case.name, case.cell("object"))
