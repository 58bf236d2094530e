"""What was learnt from statements that turned out false: consulted before anything else.

A lesson names one object for one subject and relation that was found false, by whom and when, and until when it is
remembered. Lessons are kept apart from facts, one JSON object per line, and only ever appended. A row is held against
them by its names (`LessonGuard`), an agent's plan by its meaning (`consult`, A-MemGuard's second memory).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

from guards.admission import finding
from guards.base import Verdict
from guards.candidates import Candidate
from guards.names import Names
from guards.sources import Sources
from registry.errors import InputError
from registry.text import normalise

Embed = Callable[[Sequence[str]], Any]
"""Makes vectors of length 1, shape (texts, dimension), of texts; local, and handed in by whoever calls."""
CONSULTED = 4
"""How many of the nearest lessons are looked at (A-MemGuard's top-k)."""
ALIKE = 0.8
"""Cosine from which a lesson is about the plan at hand."""


@dataclass(frozen=True)
class Lesson:
    """A statement that was found false.

    Attributes:
        subject: whom it was about.
        relation: which relation.
        object: what was said falsely.
        reason: how it was found false, in words.
        source: who had said it.
        learned_at: when it was learnt.
        expires: first day on which it is no longer held against a row; None for never.
    """

    subject: str
    relation: str
    object: str
    reason: str
    source: str
    learned_at: datetime
    expires: date | None = None

    @property
    def matter(self) -> str:
        """What it is about, without what was said falsely."""
        return f"{self.subject} \u2192 {self.relation}"

    def holds_at(self, day: date) -> bool:
        """Whether it is still remembered on a day."""
        return self.expires is None or day < self.expires

    def line(self) -> str:
        """The lesson as one line of JSON."""
        values = asdict(self)
        values["learned_at"] = self.learned_at.isoformat()
        values["expires"] = self.expires.isoformat() if self.expires else None
        return json.dumps(values, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Rebuild a lesson from `line`.

        Raises:
            ValueError, KeyError, TypeError: it is no lesson.
        """
        values = json.loads(line)
        values["learned_at"] = datetime.fromisoformat(values["learned_at"])
        values["expires"] = date.fromisoformat(values["expires"]) if values.get("expires") else None
        return cls(**values)


@dataclass(frozen=True)
class Lessons:
    """All lessons, in the order in which they were learnt."""

    entries: tuple[Lesson, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the lessons of a file; none when the file is not there yet.

        Raises:
            InputError: a line is no lesson; names the line.
        """
        if not path.is_file():
            return cls()
        entries = []
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if not line:
                continue
            try:
                entries.append(Lesson.from_line(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"a lesson on line {number} of {path}", repr(line[:80]), "mend that line") from error
        return cls(tuple(entries))

    def learn(self, new: Iterable[Lesson]) -> Self:
        """These lessons and the new ones."""
        return type(self)((*self.entries, *new))

    @staticmethod
    def append(path: Path, new: Iterable[Lesson]) -> None:
        """Append lessons to a file; what it holds stays as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{lesson.line()}\n" for lesson in new)


def consult(
    lessons: Lessons, matter: str, ends: Iterable[str], at: date, embed: Embed, alike: float = ALIKE
) -> Lesson | None:
    """The lesson about a matter that ends as the plan at hand does; None when there is none.

    The `CONSULTED` lessons nearest in meaning are looked at, nearest first; a lesson speaks when its matter is alike
    enough and what it warns of is one of `ends` (normalised).

    Args:
        lessons: what was learnt.
        matter: what the plan is about, in words.
        ends: what it would end in.
        at: the day of the act.
        embed: makes the vectors.
        alike: cosine from which a lesson is about the matter.
    """
    held = [lesson for lesson in lessons.entries if lesson.holds_at(at)]
    if not held:
        return None
    wanted = set(ends)
    vectors = embed([matter, *(lesson.matter for lesson in held)])
    cosines = [float(one) for one in vectors[1:] @ vectors[0]]
    nearest = sorted(range(len(held)), key=lambda place: -cosines[place])[:CONSULTED]
    speaking = (held[place] for place in nearest if cosines[place] >= alike and normalise(held[place].object) in wanted)
    return next(speaking, None)


@dataclass(frozen=True)
class LessonGuard:
    """A statement that was found false before does not come in again by itself."""

    names: Names
    sources: Sources
    by_key: Mapping[tuple[str, str, str], Lesson] = field(default_factory=dict)
    name: str = "lessons"

    @classmethod
    def of(cls, lessons: Lessons, names: Names, sources: Sources) -> "LessonGuard":
        """Index the lessons by canonical subject, relation and canonical object; a later one stands for an earlier."""
        keyed = {(names.key(each.subject), each.relation, names.key(each.object)): each for each in lessons.entries}
        return cls(names, sources, keyed)

    def judge(self, case: Candidate) -> Verdict:
        """Block a statement that a lesson is about; from an authoritative source, a person decides."""
        key = (self.names.key(case.cell("subject")), case.name, self.names.key(case.cell("object")))
        lesson = self.by_key.get(key)
        if lesson is None or not lesson.holds_at(case.at.date()):
            return Verdict(self.name, "pass", "no lesson is about this statement")
        source = self.sources.find(case.cell("source"), case.cell("source_url"))
        problem = f"was found false on {lesson.learned_at.date()} ({lesson.reason})"
        if source.tier == "authoritative":
            remedy = "an authoritative source says it now, so a person has to decide"
            return finding(self.name, "escalate", "object", case.cell("object"), problem, remedy)
        return finding(self.name, "block", "object", case.cell("object"), problem, "bring an authoritative source")
