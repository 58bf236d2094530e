"""The section of RESULTS.md on kills and changed bytes."""

from collections.abc import Mapping
from typing import Any

from benchmarks.changed_bytes import HARMLESS

FATES = ("found", "found by a kept checkpoint", "harmless", "missed")


def section(found: Mapping[str, Any]) -> str:
    """Both tables, with how many of those asked for were reached in the time."""
    parts = ["`python -m benchmarks.faults`; no model is loaded."]
    if "kills" in found:
        parts += [_kills(found["kills"])]
    if "changes" in found:
        parts += [_changes(found["changes"])]
    return "### Faults\n\n" + "\n\n".join(parts)


def _kills(part: Mapping[str, Any]) -> str:
    """What the next run came to, by operation."""
    lines = ["| killed | tries | at named points | died | ended as undisturbed | half published |", "|" + " --- |" * 6]
    for name, one in part["operations"].items():
        counts = [str(one.get(key, 0)) for key in ("tries", "named", "killed", "same", "half")]
        lines.append(f"| {' | '.join([name, *counts])} |")
    words = (
        f"{part['count']} kills of {part['asked']} asked for, in {part['seconds']} s; {len(part['bad'])} ended badly."
    )
    what = "Of update, revoke and an approved request it is the writing end."
    return f"{words} {what}\n\n" + "\n".join(lines)


def _changes(part: Mapping[str, Any]) -> str:
    """What became of a changed byte, by kind of file."""
    lines = [f"| one byte changed in | files | {' | '.join(FATES)} |", "|" + " --- |" * (2 + len(FATES))]
    for name, one in part["kinds"].items():
        lines.append(f"| {' | '.join([name, *(str(one.get(key, 0)) for key in ('files', *FATES))])} |")
    why = "; ".join(f"{name}: {words}" for name, words in HARMLESS.items())
    missed = ", ".join(f"{name} ({number})" for name, number in part["missed"].items()) or "none"
    words = f"{part['count']} changes of {part['asked']} asked for, in {part['seconds']} s. Missed: {missed}."
    rest = (
        "In a database a change is harmless where no row that can be read differs; that includes pages of which the"
        " write-ahead log holds a newer copy. What was never copied out of that log can be cut off by one byte there;"
        " only a checkpoint that was kept elsewhere tells. Where that too says nothing (missed: checkpoints) the log"
        " is whole, and the newest checkpoint alone is gone. What is missed in MLflow's database are pages and tags"
        " that the audit does not read. This home's releases were refused certificates (no gates), so none was changed."
    )
    return f"{words} Not looked for: {why}. {rest}\n\n" + "\n".join(lines)
