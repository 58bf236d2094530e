"""Data docs of the structural suite: what was expected of each column of a release's feeds, and which rows failed it.

Great Expectations renders such pages itself, with styles and scripts from the network; here the same is plain values
for the audit report. Everything is read from the recorded rows, so that the page tells of the run, not of a second one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guards.admission import AdmissionPolicy
from guards.patterns import PERSONAL
from guards.sensitivity import PERSONAL_DATA, find, folded, masked
from pipelines.admission.expectations import GUARD, Check, checks, told_column

EXPECTED = {
    "ExpectColumnValuesToNotBeNull": "is filled in",
    "ExpectColumnValueLengthsToBeBetween": "has at most {max_value} characters",
    "ExpectColumnValuesToMatchRegex": "matches {regex}",
    "ExpectColumnValuesToBeInSet": "is one of {value_set}",
}
"""What each kind of expectation says of a cell, in words; empty cells are looked at by the first alone."""
ROWS_SHOWN, EXAMPLES_SHOWN = 20, 3
_VALUE = re.compile(r"^\w+ (['\"])(.*)\1: ")


def data_docs(rows: Sequence[Mapping[str, Any]], policy: AdmissionPolicy) -> dict[str, Any]:
    """The suite beside what it found in recorded rows.

    Args:
        rows: as they were recorded, with `row`, `rules` and `reasons`.
        policy: thresholds in force.

    Returns:
        rows (looked at), broken (rows without cells), untold (rows of which only a personal datum is told), checks
        (column, expected, remedy, failed, not_run, rows, examples), other (findings of checks no longer in force).
    """
    broken = sum("shape" in (row.get("rules") or ()) for row in rows)
    untold = sum(PERSONAL_DATA in (row.get("rules") or ()) for row in rows)
    found = list(_findings(rows))
    told, matched = [], 0
    for check in checks(policy):
        failed = [(row, words) for row, words in found if _about(check, words, check.problem)]
        not_run = sum(_about(check, words, "the check did not run") for _, words in found)
        matched += len(failed)
        told.append(_told(check, failed, not_run))
    skipped = sum(": the check did not run" in words for _, words in found)
    return {
        **{"rows": len(rows) - broken, "broken": broken, "untold": untold},
        "checks": told,
        "other": len(found) - matched - skipped,
    }


def _findings(rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[int, str]]:
    """Every recorded finding of the suite: row and words."""
    for row in rows:
        for rule, words in zip(row.get("rules") or (), row.get("reasons") or (), strict=False):
            if rule == GUARD:
                yield int(row["row"]), str(words)


def _about(check: Check, words: str, problem: str) -> bool:
    """Whether a finding is of this check's column and problem."""
    return words.startswith(f"{told_column(check)} ") and f": {problem}" in words


def _told(check: Check, failed: Sequence[tuple[int, str]], not_run: int) -> dict[str, Any]:
    """One check with its failing rows."""
    given = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in check.arguments.items()
    }
    examples = [hit.group(2) for _, words in failed if (hit := _VALUE.match(words)) is not None]
    return {
        "column": check.column.replace("_or_", " or "),
        "expected": EXPECTED.get(check.expectation, check.expectation).format(**given),
        "remedy": check.remedy,
        "failed": len(failed),
        "not_run": not_run,
        "rows": [row for row, _ in failed[:ROWS_SHOWN]],
        "examples": [_shown(value) for value in dict.fromkeys(examples) if value][:EXAMPLES_SHOWN],
    }


def _shown(value: str) -> str:
    """An example as it may be shown: masked where it holds personal data."""
    return masked(value) if find(PERSONAL, folded(value)) else value
