"""Everything in a home that is no artefact of a release and may still speak of what is forgotten, place by place.

Caches lose the answers, lessons and logs the lines, reports are removed whole (they can be rendered again), and texts
in the databases of Prefect and MLflow are overwritten. Cleaning again changes nothing more.
"""

import html
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.forgetting.plan import Plan, text_of
from registry.artifacts import write_whole
from registry.digests import digest_json
from registry.home import Home
from registry.sealed import is_sealed, sealed

REPORT_SUFFIXES = (".html", ".yaml", ".yml", ".json", ".md", ".txt", ".csv")
GONE = "(forgotten)"
BUSY_S = 10.0
ROOMS = range(1, 65)
"""Answer lengths under which a belief may be kept."""
KEY_CHARS = 32


@dataclass(frozen=True)
class Place:
    """What was done in one place.

    Attributes:
        place: where, relative to the home.
        done: what, in words that hold no content.
        count: how many things.
    """

    place: str
    done: str
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"place": self.place, "done": self.done, "count": self.count}


def clean(home: Home, plan: Plan) -> list[Place]:
    """Clean every place; places in which there was nothing are told as well."""
    return [
        _beliefs(home, plan),
        _lines(home, "lessons", [home.lessons], plan),
        _lines(home, "logs", _logs(home), plan),
        _files(home, "reports", home.reports, plan),
        _files(home, "staging", home.staging, plan),
        _database(home.prefect / "prefect.db", "prefect", plan),
        _database(home.mlflow / "mlflow.db", "mlflow/mlflow.db", plan),
    ]


def _beliefs(home: Home, plan: Plan) -> Place:
    """Take out what a model said to prompts about it, and every kept answer that names it."""
    asked = {digest_json([prompt, room])[:KEY_CHARS] for prompt in prompts_of(plan) for room in ROOMS}
    objects = [normal for _, normal in plan.pairs]
    gone = 0
    for path in sorted(home.beliefs.glob("*.json")) if home.beliefs.is_dir() else ():
        data = path.read_bytes()
        if not is_sealed(data):
            continue
        record = json.loads(data)
        answers = record.get("answers", {})
        kept = {
            key: value
            for key, value in answers.items()
            if key not in asked and not plan.spoken_of(text_of(value)) and not _said(text_of(value), objects)
        }
        if len(kept) != len(answers):
            gone += len(answers) - len(kept)
            write_whole(path, sealed({**record, "answers": kept}))
    return Place("beliefs", "answers taken out; they are asked again when needed", gone)


def _said(text: str, objects: Iterable[str]) -> bool:
    """Whether an answer is one of the objects: it is about nobody knows whom, and can be asked again."""
    from registry.text import holds_answer

    return holds_answer(text, list(objects))


def prompts_of(plan: Plan) -> list[str]:
    """Every prompt of the catalogue about the facts."""
    found: dict[str, None] = {}
    for fact in plan.facts:
        if fact.relation not in plan.catalogue.relations:
            continue
        request = plan.catalogue.request(fact, "FORGET")
        found |= dict.fromkeys((request.prompt, request.question, *request.paraphrases, *request.held_out))
    return [prompt for prompt in found if prompt]


def _lines(home: Home, name: str, files: Iterable[Path], plan: Plan) -> Place:
    """Take lines out of text files."""
    gone = 0
    for path in files:
        if not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        kept = [line for line in lines if not plan.spoken_of(_unescaped(line))]
        if len(kept) != len(lines):
            gone += len(lines) - len(kept)
            write_whole(path, "\n".join(kept).encode())
    return Place(name, "lines taken out", gone)


def _logs(home: Home) -> list[Path]:
    """Log files: those of the home's logs folder, and every other one that is called so."""
    found = [path for path in (home.root / "logs").rglob("*") if path.is_file()]
    return sorted({*found, *(path for path in home.root.rglob("*.log*") if home.models not in path.parents)})


def _files(home: Home, name: str, folder: Path, plan: Plan) -> Place:
    """Remove files that speak of it."""
    gone = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and path.suffix in REPORT_SUFFIXES:
            text = html.unescape(path.read_text(encoding="utf-8", errors="replace"))
            if plan.spoken_of(_unescaped(text)):
                path.unlink()
                gone += 1
    return Place(name, "files removed", gone)


def _database(path: Path, name: str, plan: Plan) -> Place:
    """Overwrite texts in a SQLite database that is not ours."""
    if not path.is_file():
        return Place(name, "there is none", 0)
    done = 0
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
            connection.create_function("forgotten_text", 1, _overwritten(plan))
            connection.execute("PRAGMA secure_delete = ON")
            for table, column in _columns(connection):
                statement = (
                    f'UPDATE "{table}" SET "{column}" = forgotten_text("{column}") '
                    f'WHERE typeof("{column}") = \'text\' AND forgotten_text("{column}") <> "{column}"'
                )
                # Triggers and generated columns may forbid it; the search afterwards says what is left.
                with suppress(sqlite3.DatabaseError):
                    done += max(connection.execute(statement).rowcount, 0)
            if done:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("VACUUM")
    except sqlite3.DatabaseError as error:
        return Place(name, f"not cleaned: {error}", done)
    return Place(name, "texts overwritten", done)


def _columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every column of every table."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        (table, row[1])
        for table in tables
        if not table.startswith("sqlite_")
        for row in connection.execute(f'PRAGMA table_info("{table}")')
    ]


def _overwritten(plan: Plan) -> Callable[[str], str]:
    """Overwrites every name in a text that speaks of it."""
    import re

    names = sorted({name for fact in plan.facts for name in (fact.subject, fact.object)} | set(plan.names), key=len)
    written = {form for name in names for form in (name, json.dumps(name)[1:-1], html.escape(name)) if form}
    pattern = re.compile("|".join(map(re.escape, sorted(written, key=len, reverse=True))) or r"(?!)", re.IGNORECASE)

    def overwrite(text: str) -> str:
        return pattern.sub(GONE, text) if isinstance(text, str) and plan.spoken_of(_unescaped(text)) else text

    return overwrite


def _unescaped(text: str) -> str:
    """A text with JSON's escapes resolved as far as they matter for names."""
    if "\\u" not in text:
        return text
    try:
        return json.loads(f'"{text}"') if '"' not in text else text_of(json.loads(text))
    except ValueError:
        return text.encode().decode("unicode_escape", errors="replace")
