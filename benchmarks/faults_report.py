"""The section of RESULTS.md on kills and changed bytes."""

from collections.abc import Mapping
from typing import Any

from benchmarks.changed_bytes import HARMLESS

FATES = ("found", "found by a kept checkpoint", "harmless", "missed")


def section(found: Mapping[str, Any]) -> str:
    """Both tables, with how many of those asked for were reached in the time."""
    parts = ["`python -m benchmarks.faults`; a model is loaded for the commands alone."]
    for name, words in (("kills", _kills), ("commands", _commands)):
        for where in ("", " on Postgres"):
            if f"{name}{where}" in found:
                parts += [words(found[f"{name}{where}"], where)]
    if "changes" in found:
        parts += [_changes(found["changes"])]
    return "### Faults\n\n" + "\n\n".join(parts)


def _kills(part: Mapping[str, Any], where: str) -> str:
    """What the next run came to, by operation."""
    lines = ["| killed | tries | at named points | died | ended as undisturbed | half published |", "|" + " --- |" * 6]
    for name, one in part["operations"].items():
        counts = [str(one.get(key, 0)) for key in ("tries", "named", "killed", "same", "half")]
        lines.append(f"| {' | '.join([name, *counts])} |")
    words = (
        f"{part['count']} kills{where} of {part['asked']} asked for, in {part['seconds']} s; {len(part['bad'])} ended"
        " badly."
    )
    what = "Of update, revoke and an approved request it is the writing end."
    return f"{words} {what}\n\n" + "\n".join(lines)


def _commands(part: Mapping[str, Any], where: str) -> str:
    """What giving a killed command again came to, by command."""
    lines = ["| killed | tries | at named points | died | ended as undisturbed |", "|" + " --- |" * 5]
    for name, one in part["operations"].items():
        points = f"{one.get('named', 0)} ({part['points'][name]} points)"
        counts = [str(one.get("tries", 0)), points, *(str(one.get(key, 0)) for key in ("killed", "same"))]
        lines.append(f"| {' | '.join([f'`{name}`', *counts])} |")
    words = (
        f"{part['count']} kills of whole commands{where} of {part['asked']} asked for, in {part['seconds']} s, with a"
        f" tiny random model, an index and two facts in the weights; {len(part['bad'])} ended badly. The command is"
        " given again; an approval that was acknowledged is carried out by `dmmgov request run`, and a key that the log"
        " has is not rotated again. The same means: all digests of all releases, facts, aliases, folders, each act in"
        " the log once, and an audit without a finding."
    )
    return f"{words}\n\n" + "\n".join(lines)


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
        " `checkpoint.note` beside the ledger tells. Of MLflow's database the definitions of all tables are compared"
        " with those that the log notes, and of the rows whatever publishing wrote. One of this home's three releases"
        " has a certificate."
    )
    return f"{words} Not looked for: {why}. {rest}\n\n" + "\n".join(lines)
