"""What a source takes back or corrects itself, and what is doubtful whoever says it, through the whole admission."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from guards.admission import AdmissionPolicy
from guards.sources import Source, Sources
from pipelines.admission.feed import Feed, read_feed
from pipelines.admit import RowOutcome, admit
from registry.catalogue import Catalogue, Relation
from registry.records import Fact, KnownFact

AT = datetime(2026, 3, 1, tzinfo=UTC)
CLOZE = tuple(f"{{subject}} has as leader {end}" for end in ("the", "only", "now", "one", "still", "again"))
LEADER = Relation(
    *("leader", "leader", CLOZE[0], "Who leads {subject}?", CLOZE[1:4], CLOZE[4:], "{subject}: leader: {object}."),
    *("one", "country", "person", 1461, "medium"),
)
CATALOGUE = Catalogue({"leader": LEADER})
SOURCES = Sources.of([Source("Gazette", "authoritative"), Source("Wire", "established")])
KNOWN = (KnownFact(Fact("France", "leader", "Ann Able", date(2020, 1, 1), source="Wire"), "rag", 1),)


def feed_of(folder: Path, rows: list[dict[str, str]]) -> Feed:
    path = folder / "feed.jsonl"
    path.write_text("".join(f"{json.dumps({'source': 'Gazette'} | cells)}\n" for cells in rows))
    return read_feed(path)


def run(folder: Path, *rows: dict[str, str]) -> tuple[RowOutcome, ...]:
    return admit(feed_of(folder, list(rows)), KNOWN, CATALOGUE, AdmissionPolicy(), AT, SOURCES).rows


def leader(name: str, start: str, **cells: str) -> dict[str, str]:
    return {"subject": "France", "relation": "leader", "object": name, "valid_from": start, **cells}


def test_what_a_source_takes_back_in_the_same_feed_is_not_published(tmp_path: Path) -> None:
    early = leader("Bob Baker", "2025-01-01", observed_at="2025-01-06")
    late = leader("Cy Coe", "2025-01-01", observed_at="2025-01-20")
    taken, stays = run(tmp_path, early, late)
    assert (taken.decision, stays.decision) == ("refused", "UPDATE")
    assert [reason.rule for reason in taken.reasons] == ["withdrawn"]
    assert "row 2" in taken.reasons[0].words
    kept, follows = run(tmp_path, early, late | {"valid_from": "2025-01-10"})
    assert (kept.decision, follows.decision, follows.replaces) == (
        "UPDATE",
        "UPDATE",
        (kept.fact.id if kept.fact else "",),
    )
    other = run(tmp_path, early, late | {"source": "Wire"})
    assert [outcome.reasons[0].rule for outcome in other] == ["disputed", "disputed"]


def test_a_correction_by_the_source_itself_is_told_apart_from_a_change(tmp_path: Path) -> None:
    known_today = KnownFact(replace(KNOWN[0].fact, recorded_at=datetime(2025, 1, 31, tzinfo=UTC)), "rag", 1)
    cells = {"source": "Wire", "observed_at": "2025-02-10"}
    rows = [leader("Bob Baker", "2020-01-01", **cells)]
    policy = AdmissionPolicy(established_alone=True)
    (found,) = admit(feed_of(tmp_path, rows), [known_today], CATALOGUE, policy, AT, SOURCES).rows
    assert (found.decision, found.reasons[0].rule) == ("UPDATE", "correction")
    skipping = replace(policy, skipped=("revision",))
    (held,) = admit(feed_of(tmp_path, rows), [known_today], CATALOGUE, skipping, AT, SOURCES).rows
    assert (held.decision, held.reasons[0].rule) == ("quarantined", "contradiction")


def test_a_doubtful_change_waits_whoever_says_it(tmp_path: Path) -> None:
    rows = [leader("President-elect Bob Baker", "2025-01-01")]
    feed = feed_of(tmp_path, rows)
    (found,) = admit(feed, KNOWN, CATALOGUE, AdmissionPolicy(), AT, SOURCES).rows
    assert (found.decision, [reason.rule for reason in found.reasons]) == ("quarantined", ["office"])
    skipped = admit(feed, KNOWN, CATALOGUE, AdmissionPolicy(skipped=("office",)), AT, SOURCES)
    assert skipped.rows[0].decision == "UPDATE"
    assert "rules that were not asked: office" in skipped.notes
