"""Replay one history month by month through the admission, carrying what is known from month to month.

Each month's rows are one feed, admitted on the first day of the next month. What a correction takes back is learnt as a
lesson, as an update does. A quarantined row is handed in again with every later month until its source says otherwise;
nobody releases any by hand.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from benchmarks.history_said import ALIASES, SOURCES, History, Said
from guards.admission import AdmissionPolicy
from guards.lessons import Lesson, Lessons
from guards.sources import Source, Sources, Tier
from pipelines.admission.feed import read_feed
from pipelines.admission.learning import LESSON_DAYS
from pipelines.admission.weigh import ACCEPTED, CORRECTION
from pipelines.admit import RowOutcome, admit
from registry.catalogue import Catalogue, Relation
from registry.records import Fact, KnownFact

PERSON = (("chief_of_state", "chief of state"), ("head_of_government", "head of government"))
TYPES = {
    "currency": "[A-Z]{3}",
    "land": "[A-Z]{3}",
    "symbol": r"[A-Z]{1,5}(?:[.-][A-Z])?",
    "city": r"[^\W\d_].*",
    "language": r"[^\W\d_][^\[\]{}\n]*",
    "title": r"[^\[\]{}\n]+",
    "region": "[A-Z][A-Za-z ]+",
}
"""ISO 4217 and ISO 3166 codes have three letters; names have no footnote marks, braces or line ends."""


@dataclass(frozen=True)
class Fate:
    """What became of one row.

    Attributes:
        row: the row.
        decision: of the last time when it was handed in.
        rule: the first reason's rule of the first time.
        words: that reason.
        first_seen: moment at which it was admitted first.
        published: moment at which it passed; None when it never did.
    """

    row: Said
    decision: str
    rule: str
    words: str
    first_seen: datetime
    published: datetime | None

    @property
    def delay_hours(self) -> float:
        """From the first admission to the one that let it pass; 0 for a row that passed at once."""
        return (self.published - self.first_seen).total_seconds() / 3600 if self.published else 0.0


def catalogue() -> Catalogue:
    """The bench's relations."""
    one, many = "one", "many"
    rows = [
        *((name, label, one, "country", "person", 1500) for name, label in PERSON),
        ("capital", "capital", one, "land", "city", 36500),
        ("common_name", "common name", one, "land", "title", 18250),
        ("official_name", "official name", one, "land", "title", 18250),
        ("region", "region", one, "land", "region", 36500),
        ("currency", "currency", many, "land", "currency", 18250),
        ("language", "language", many, "land", "language", 18250),
        ("border", "border", many, "land", "land", 36500),
        ("member_of", "index", one, "symbol", "index", 3650),
        ("company_name", "company name", one, "symbol", "company", 3650),
        ("sector", "sector", one, "symbol", "sector", 3650),
    ]
    return Catalogue({row[0]: _relation(*row) for row in rows}, ALIASES, TYPES)


def _relation(name: str, label: str, cardinality: str, subject_type: str, object_type: str, days: int) -> Relation:
    starts = ("The {} of {{subject}} is", "{{subject}} has as {}", "As {} {{subject}} has", "{} of {{subject}}:")
    cloze = [start.format(label) for start in (*starts, "For {{subject}}, the {} is", "{{subject}}'s {} is")]
    several: Literal["one", "many"] = "many" if cardinality == "many" else "one"
    return Relation(
        *(name, label, cloze[0], f"What is the {label} of {{subject}}?", tuple(cloze[1:4]), tuple(cloze[4:])),
        *(f"The {label} of {{subject}} is {{object}}.", several, subject_type, object_type, days, "low"),
    )


def months(rows: Iterable[Said]) -> Iterator[tuple[datetime, list[Said]]]:
    """The rows of each month, with the moment at which they are admitted: the first of the next one."""
    by_month: dict[date, list[Said]] = {}
    for row in rows:
        following = (row.observed.replace(day=1) + timedelta(days=32)).replace(day=1)
        by_month.setdefault(following, []).append(row)
    for day, found in sorted(by_month.items()):
        yield datetime(day.year, day.month, day.day, tzinfo=UTC), found


def replay(history: History, policy: AdmissionPolicy, tier: Tier = "authoritative") -> list[Fate]:
    """What becomes of every row of a history, in the order of the rows.

    Args:
        history: the rows and what was known before them.
        policy: thresholds, and rules that are skipped.
        tier: how far the history's one source is trusted.
    """
    source = SOURCES[history.name]
    sources, relations = Sources.of([Source(source, tier)]), catalogue()
    known = _before(history, source)
    lessons, fates, waiting = Lessons(), dict[int, Fate](), list[Said]()
    with TemporaryDirectory(prefix="dmmgov-history-") as folder:
        path = Path(folder) / "month.jsonl"
        for at, new in months(history.rows):
            rows = [*(row for row in waiting if not _overtaken(row, new)), *new]
            _write(path, rows, source)
            admission = admit(read_feed(path), list(known.values()), relations, policy, at, sources, lessons)
            for row, outcome in zip(rows, admission.rows, strict=True):
                fates[row.place] = _fate(row, outcome, at, fates.get(row.place))
                lessons = lessons.learn(_carry(known, row, outcome, at))
            waiting = [row for row, found in zip(rows, admission.rows, strict=True) if found.decision == "quarantined"]
    return [fates[row.place] for row in history.rows]


def _before(history: History, source: str) -> dict[str, KnownFact]:
    """What was known before the first row, said by the history's source."""
    found = {}
    for row in history.before:
        day = datetime(row.observed.year, row.observed.month, row.observed.day, tzinfo=UTC) - timedelta(days=1)
        fact = Fact(row.subject, row.relation, row.object, None, None, day, source)
        found[fact.id] = KnownFact(fact, "rag", 0)
    return found


def _overtaken(row: Said, new: Sequence[Said]) -> bool:
    """Whether the source has said something else about the same matter since."""
    several = row.relation in ("currency", "language", "border")
    about = (each for each in new if (each.subject, each.relation) == (row.subject, row.relation))
    return any(not several or each.object == row.object for each in about)


def _write(path: Path, rows: Sequence[Said], source: str) -> None:
    """The rows as a feed."""
    lines = (
        {
            **{"subject": row.subject, "relation": row.relation, "object": row.object, "op": row.op},
            **{"valid_from": row.start, "observed_at": row.observed.isoformat(), "source": source, "title": row.title},
        }
        for row in rows
    )
    path.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines), encoding="utf-8")


def _fate(row: Said, outcome: RowOutcome, at: datetime, before: Fate | None) -> Fate:
    """What became of a row by now."""
    passed = at if outcome.decision in ("NOOP", *ACCEPTED) else None
    if before is not None:
        return replace(before, decision=outcome.decision, published=passed)
    first = outcome.reasons[0]
    return Fate(row, outcome.decision, first.rule, first.words, at, passed)


def _carry(known: dict[str, KnownFact], row: Said, outcome: RowOutcome, at: datetime) -> list[Lesson]:
    """Let what is known follow an accepted row; the lessons of what it takes back."""
    if outcome.decision not in ACCEPTED or outcome.fact is None:
        return []
    corrects = outcome.reasons[0].rule == CORRECTION
    lessons = []
    for old in outcome.replaces:
        fact = known[old].fact
        if corrects:
            end = (at + timedelta(days=LESSON_DAYS)).date()
            lessons.append(Lesson(fact.subject, fact.relation, fact.object, "taken back", fact.source, at, end))
            del known[old]
        else:
            known[old] = _ended(known[old], outcome.fact.valid_from or row.observed)
    if outcome.decision != "DELETE":
        known[outcome.fact.id] = KnownFact(outcome.fact, "rag", 1)
    return lessons


def _ended(item: KnownFact, day: date) -> KnownFact:
    """The fact with its end, under the id that it had."""
    fact = replace(item.fact, valid_to=day)
    vars(fact)["id"] = item.fact.id
    return replace(item, fact=fact)
