from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from guards.candidates import Candidate
from guards.lessons import Lesson, LessonGuard, Lessons
from guards.names import Names
from guards.sources import Source, Sources
from registry.catalogue import Catalogue
from registry.errors import InputError

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = Names(Catalogue({}, {"Czechia": ("Czech Republic",)}))
SOURCES = Sources.of([Source("Gazette", "authoritative")])
LESSON = Lesson("Czechia", "capital", "Brno", "a person looked", "Blog", AT, date(2027, 1, 1))


def decision(subject: str = "Czech Republic", object_: str = "BRNO", source: str = "Blog", at: datetime = AT) -> str:
    cells = {"subject": subject, "relation": "capital", "object": object_, "source": source}
    guard = LessonGuard.of(Lessons().learn([LESSON]), NAMES, SOURCES)
    return guard.judge(Candidate(1, cells, at, "capital", None, None)).decision


def test_what_was_found_false_is_blocked_in_any_spelling() -> None:
    assert decision() == "block"


def test_other_statements_and_expired_lessons_pass() -> None:
    assert decision(object_="Prague") == "pass"
    assert decision(subject="Slovakia") == "pass"
    assert decision(at=datetime(2027, 1, 1, tzinfo=UTC)) == "pass"


def test_an_authoritative_source_brings_it_before_a_person() -> None:
    assert decision(source="Gazette") == "escalate"


def test_lessons_are_appended_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "memory" / "lessons.jsonl"
    assert Lessons.read(path) == Lessons()
    other = Lesson("A", "r", "\u2028b", "why", "", AT)
    Lessons.append(path, [LESSON])
    Lessons.append(path, [other])
    assert Lessons.read(path) == Lessons((LESSON, other))


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lessons.jsonl"
    path.write_text(f"{LESSON.line()}\n{{}}\n")
    with pytest.raises(InputError, match="line 2"):
        Lessons.read(path)
