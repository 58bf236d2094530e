"""Facts in a CSV file, read with the standard library alone; for files that are known to be good.

What arrives from outside goes through `pipelines.admission.feed`, which keeps bad rows with their reasons.
"""

import csv
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from registry.errors import InputError
from registry.records import Fact

COLUMNS = ("subject", "relation", "object")


def read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, by column; empty cells are empty strings.

    Raises:
        InputError: the file is missing, not UTF-8 text, or lacks one of `columns`.
    """
    if not path.is_file():
        raise InputError("a CSV file", f"{path}, which is none", "name an existing file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = tuple(reader.fieldnames or ())
            rows = [{name: value or "" for name, value in row.items() if name} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"CSV text in UTF-8 in {path}", " ".join(str(error).split()), "mend the file") from None
    missing = [name for name in columns if name not in header]
    if missing:
        found = ", ".join(header) or "none"
        raise InputError(f"the columns {', '.join(columns)} in {path}", found, f"add {', '.join(missing)}")
    return rows


def fact_of(row: Mapping[str, str]) -> Fact:
    """The fact in a row.

    Raises:
        ValueError: a cell that must hold something is empty, a date is none, or a confidence is no number.
    """
    if not all(row[name].strip() for name in COLUMNS):
        raise ValueError("subject, relation and object must hold something")
    days = {name: date.fromisoformat(row[name]) if row.get(name) else None for name in ("valid_from", "valid_to")}
    return Fact(
        row["subject"].strip(),
        row["relation"].strip(),
        row["object"].strip(),
        valid_from=days["valid_from"],
        valid_to=days["valid_to"],
        source=row.get("source", ""),
        source_url=row.get("source_url", ""),
        confidence=float(row.get("confidence") or 1.0),
    )


def read_facts(path: Path) -> list[Fact]:
    """The facts of a CSV file, all of them.

    Raises:
        InputError: the file or one of its rows cannot be used; names the row.
    """
    facts = []
    for number, row in enumerate(read_rows(path), start=1):
        try:
            facts.append(fact_of(row))
        except ValueError as error:
            raise InputError(f"a fact in row {number} of {path}", str(error), "mend the row") from None
    return facts
