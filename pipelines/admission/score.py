"""How well an admission did, held against a file that says what should have become of each row.

The truth is a CSV file with the columns feed, row, kind, expected, falsehood and why. It is for scoring only: nothing
that admits rows reads it.

    recall of a kind      share of its rows that got the expected outcome
    precision of a kind   of all rows that got the same outcome by the same rules as the rightly handled rows of this
                          kind, the share for which that outcome was expected
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.admission.weigh import RowOutcome
from pipelines.admit import Admission
from registry.errors import InputError

TRUTH_COLUMNS = ("feed", "row", "kind", "expected", "falsehood", "why")
GOOD = ("ADD", "UPDATE", "DELETE", "NOOP")
"""Outcomes that a good row can be expected to get."""


def score_admission(admission: Admission, truth_path: Path) -> dict[str, Any]:
    """Compare an admission with the truth about its feed.

    Returns:
        rows, right (counts), accuracy, good_recall and good_rows (expected to come in or to be known, and did),
        falsehoods, falsehoods_accepted (row numbers), kinds and outcomes (n, recall, precision by name), wrong (one
        entry per row that got another outcome than expected).

    Raises:
        InputError: the truth is missing, of another shape, or does not cover every row of the feed.
    """
    truth = _read(truth_path, admission.feed)
    rows = {outcome.row: outcome for outcome in admission.rows}
    if set(truth) != set(rows):
        got = f"{len(truth)} rows about {admission.feed}, which has {len(rows)}"
        raise InputError(f"one row in {truth_path.name} for each row of the feed", got, "write the missing ones")
    right = {row for row, expected in truth.items() if rows[row].decision == expected["expected"]}
    good = {row for row, expected in truth.items() if expected["expected"] in GOOD}
    false = {row for row, expected in truth.items() if expected["falsehood"].strip().lower() == "true"}
    return {
        "feed": admission.feed,
        "rows": len(rows),
        "right": len(right),
        "accuracy": _share(len(right), len(rows)),
        "good_rows": len(good),
        "good_recall": _share(len(good & right), len(good)),
        "falsehoods": len(false),
        "falsehoods_accepted": sorted(row for row in false if rows[row].decision in GOOD),
        "kinds": {kind: _kind(kind, truth, rows, right) for kind in sorted({each["kind"] for each in truth.values()})},
        "outcomes": {
            name: _outcome(name, truth, rows) for name in sorted({each["expected"] for each in truth.values()})
        },
        "wrong": [_wrong(truth[row], rows[row]) for row in sorted(set(rows) - right)],
    }


def _read(path: Path, feed: str) -> dict[int, dict[str, str]]:
    """The truth about one feed, by row."""
    if not path.is_file():
        raise InputError("a file of truths (CSV)", str(path), "name an existing file")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = set(TRUTH_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise InputError(f"the columns {', '.join(TRUTH_COLUMNS)}", f"no {', '.join(sorted(missing))}", "add them")
        return {int(each["row"]): each for each in reader if each["feed"] == feed}


def _values(truth: Mapping[int, Mapping[str, str]], column: str) -> list[str]:
    return sorted({each[column] for each in truth.values()})


def _share(part: int, whole: int) -> float:
    """A share; 1 when there is nothing to get right."""
    return part / whole if whole else 1.0


def _rule(outcome: RowOutcome) -> str:
    return outcome.reasons[0].rule if outcome.reasons else ""


def _kind(
    kind: str, truth: Mapping[int, Mapping[str, str]], rows: Mapping[int, RowOutcome], right: Iterable[int]
) -> dict[str, Any]:
    """Recall and precision of one kind of rows."""
    own = {row for row, expected in truth.items() if expected["kind"] == kind}
    hit = own.intersection(right)
    marks = {(rows[row].decision, _rule(rows[row])) for row in hit}
    alike = [row for row, outcome in rows.items() if (outcome.decision, _rule(outcome)) in marks]
    fitting = sum(truth[row]["expected"] == rows[row].decision for row in alike)
    return {"n": len(own), "recall": _share(len(hit), len(own)), "precision": _share(fitting, len(alike))}


def _outcome(name: str, truth: Mapping[int, Mapping[str, str]], rows: Mapping[int, RowOutcome]) -> dict[str, Any]:
    """Recall and precision of one outcome."""
    expected = {row for row, each in truth.items() if each["expected"] == name}
    given = {row for row, each in rows.items() if each.decision == name}
    hit = len(expected & given)
    return {"n": len(expected), "recall": _share(hit, len(expected)), "precision": _share(hit, len(given))}


def _wrong(expected: Mapping[str, str], outcome: RowOutcome) -> dict[str, Any]:
    """One row that got another outcome than expected, for a person."""
    counts: dict[str, list[str]] = defaultdict(list)
    for reason in outcome.reasons:
        counts[reason.rule].append(reason.words)
    return {
        "row": outcome.row,
        "kind": expected["kind"],
        "expected": expected["expected"],
        "got": outcome.decision,
        "why_expected": expected["why"],
        "reasons": dict(counts),
    }
