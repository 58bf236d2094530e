from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from guards.lessons import Lesson, Lessons
from guards.reliability import Record
from guards.sources import Source, Sources
from pipelines import steps
from pipelines.admission.feed import read_feed
from pipelines.admission.learning import learn, records_of, trusted_now
from pipelines.settings import Settings
from pipelines.workplace import Workplace
from registry.facts import FactEvent, view
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, KnownFact

AT = datetime(2026, 1, 2, tzinfo=UTC)
LIMA = Fact("Peru", "capital", "Lima", source="Reuters")
CUSCO = Fact("Peru", "capital", "Cusco", source="Blog")
SOURCES = Sources.of([Source("Reuters", "established", ("reuters.com",))])


def event(kind: Any, fact: Fact, days: int = 0, reason: str = "") -> FactEvent:
    return FactEvent(0, kind, fact, None, AT + timedelta(days=days), "rag", 1, reason)


def taken_back(fact: Fact, days: int = 1) -> list[FactEvent]:
    return [event("assert", fact), event("retract", fact, days, "corrected by the Gazette: it was never true")]


def place_after(folder: Path, events: list[FactEvent]) -> Workplace:
    """A workplace whose lineage brought these events."""
    at = AT + timedelta(days=30)
    home = Home.at(folder / "home")
    place = Workplace(home, Ledger.open(home), Settings.load(), "tiny", "tester", at, None)
    vars(place).update(events=tuple(events), known=tuple(view(events)))
    return place


def test_what_was_taken_back_is_not_admitted_again(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text("subject,relation,object,source,source_url\nPeru,capital,Cusco,Blog,https://blog.example/1\n")
    feed = read_feed(path)
    believed = place_after(tmp_path, [event("assert", CUSCO)])
    assert [row.decision for row in steps.admit(believed, feed).rows] == ["NOOP"]
    assert not believed.home.lessons.exists()
    corrected = place_after(tmp_path, [*taken_back(CUSCO), event("assert", LIMA, 1)])
    (row,) = steps.admit(corrected, feed).rows
    assert (row.decision, row.reasons[0].rule) == ("refused", "lessons")
    assert "corrected by the Gazette" in row.reasons[0].words
    (lesson,) = Lessons.read(corrected.home.lessons).entries
    assert (lesson.subject, lesson.object, lesson.source) == ("Peru", "Cusco", "Blog")


def test_lessons_are_appended_once_and_others_stay(tmp_path: Path) -> None:
    home = SimpleNamespace(lessons=tmp_path / "lessons.jsonl")
    own = Lesson("A", "r", "b", "a person looked", "", AT)
    Lessons.append(home.lessons, [own])
    first = learn(home, taken_back(CUSCO), [])  # type: ignore[arg-type]
    assert learn(home, taken_back(CUSCO), []) == first  # type: ignore[arg-type]
    assert [lesson.object for lesson in first.entries] == ["b", "Cusco"]
    assert len(home.lessons.read_text().splitlines()) == 2


def test_a_lesson_against_what_is_known_again_is_void(tmp_path: Path) -> None:
    home = SimpleNamespace(lessons=tmp_path / "lessons.jsonl")
    assert learn(home, taken_back(CUSCO), [KnownFact(CUSCO, "rag", 1)]) == Lessons()  # type: ignore[arg-type]
    assert len(learn(home, taken_back(CUSCO), []).entries) == 1  # type: ignore[arg-type]


def test_a_sources_record_is_what_stood_and_what_was_taken_back() -> None:
    ends = replace(event("assert", LIMA), kind="close", valid_to=AT.date())
    events = [event("assert", LIMA), *taken_back(replace(LIMA, object="Cusco")), ends]
    assert records_of(events, SOURCES, AT + timedelta(days=29)) == {"Reuters": Record(0, 1)}
    assert records_of(events, SOURCES, AT + timedelta(days=30)) == {"Reuters": Record(1, 1)}


def test_who_bears_anothers_name_does_not_spoil_his_record() -> None:
    false = [replace(LIMA, object=f"City {n}", source_url="https://reuters.example/") for n in range(5)]
    events = [one for fact in false for one in taken_back(fact)]
    after = AT + timedelta(days=2)
    assert records_of(events, SOURCES, after) == {"reuters.example": Record(0, 5)}
    found = trusted_now(SOURCES, events, after)
    assert found.find("Reuters", "https://reuters.com/1").tier == "established"
    assert not found.find("", "https://reuters.example/9").votes


def test_a_source_that_was_wrong_twice_falls_and_comes_back() -> None:
    events = [one for n in range(2) for one in taken_back(replace(LIMA, object=f"City {n}"))]
    assert trusted_now(SOURCES, events, AT + timedelta(days=2)).find("Reuters").tier == "weak"
    assert trusted_now(SOURCES, events, AT + timedelta(days=400)).find("Reuters").tier == "established"
