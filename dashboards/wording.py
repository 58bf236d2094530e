"""The report's verdict in words, and the names that people use for what the records call by short names."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboards.charts import percent
from registry.records import Release

_QUOTED = re.compile(r"(['\"\u201c\u2018]).*?(['\"\u201d\u2019])")
_NUMBER = re.compile(r"\d[\d.,:/-]*")
_FAULT_CHARS = 90


def memory_phrase(memory: str | None) -> str:
    """Where a fact lives, for people."""
    if not memory:
        return "\u2013"
    return "index" if memory == "rag" else f"weights ({memory})"


def fault_of(row: Mapping[str, Any]) -> set[str]:
    """The kinds of fault of a row: the rules' names where they were recorded, its reasons without their values else."""
    rules = row.get("rules")
    if rules:
        return {str(rule).replace("_", " ") for rule in rules}
    kinds = set()
    for reason in row.get("reasons") or ():
        if isinstance(reason, Mapping):
            kinds.add(str(reason.get("rule") or reason.get("words") or "no reason recorded").replace("_", " "))
            continue
        problem = _QUOTED.sub("\u2026", str(reason)).split(";")[0]
        kinds.add(_NUMBER.sub("\u2026", problem).strip()[:_FAULT_CHARS])
    return kinds or {"no reason recorded"}


def words_of(reasons: Iterable[Any]) -> list[str]:
    """Reasons as words, whether they were recorded as words or with their parts."""
    return [str(one.get("words", one)) if isinstance(one, Mapping) else str(one) for one in reasons]


def verdict(
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    release: Release,
    champion: int | None,
    problems: tuple[str, ...] | None,
) -> list[str]:
    """The release in a paragraph, one sentence each; what was not recorded is left out.

    Args:
        rows: what came in.
        summary: what the run recorded about itself.
        release: what came of it.
        champion: number of the release that answers now.
        problems: what the audit found, None when none was made.
    """
    sentences = [
        _asked(summary.get("request")),
        _came_in(rows),
        _lives(rows),
        _fresh(summary),
        _gates(release.gates),
        _stands(release, champion),
        _sound(problems),
    ]
    return [sentence for sentence in sentences if sentence]


def _count(count: int, one: str, many: str) -> str:
    """A number with its word."""
    return f"{count} {one if count == 1 else many}"


def _came_in(rows: Sequence[Mapping[str, Any]]) -> str:
    """What came in and what became of it."""
    if not rows:
        return "No feed rows are recorded for this release."
    counts = Counter(str(row.get("decision")) for row in rows)
    accepted = sum(counts[name] for name in ("ADD", "UPDATE", "DELETE"))
    parts = [
        (accepted, f"{accepted} accepted"),
        (counts["NOOP"], f"{counts['NOOP']} known already"),
        (counts["refused"], f"{counts['refused']} refused"),
        (counts["quarantined"], f"{counts['quarantined']} held in quarantine"),
    ]
    return f"{_count(len(rows), 'row', 'rows')} came in: {_listed([words for count, words in parts if count])}."


def _asked(request: object) -> str:
    """Who asked for it and who allowed it, where it comes from a request."""
    if not isinstance(request, Mapping):
        return ""
    allowed = _listed([str(name) for name in request.get("approvers") or ("nobody",)])
    how = f"{allowed} broke the glass for it" if request.get("glass_broken") else f"{allowed} approved it"
    return f"Request {request.get('request')} was made by {request.get('requester')}; {how}."


def _lives(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where the accepted facts went."""
    counts = Counter(memory_phrase(str(row["memory"])) for row in rows if row.get("memory"))
    if not counts:
        return ""
    (first, number), *others = counts.most_common()
    parts = [f"{number} of the accepted facts {'lives' if number == 1 else 'live'} in the {first}"]
    return f"{_listed([*parts, *(f'{count} in the {name}' for name, count in others)])}."


def _fresh(summary: Mapping[str, Any]) -> str:
    """How the answers changed, and what did not."""
    before, after, kept = (_share(summary.get(name)) for name in ("freshness_before", "freshness_after", "locality"))
    if before is None or after is None:
        return ""
    moved = f"Questions about what changed are answered rightly in {percent(after)} of cases, against {percent(before)}"
    held = f"; of what did not change, {percent(kept)} is still answered as before" if kept is not None else ""
    return f"{moved} before{held}."


def _share(values: object) -> float | None:
    """The share in a recorded figure."""
    share = values.get("share") if isinstance(values, Mapping) else values
    return float(share) if isinstance(share, int | float) else None


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    """Whether the gates passed."""
    if not gates:
        return "No gates are recorded."
    failed = [str(gate.get("guard")) for gate in gates if gate.get("decision") != "pass"]
    if failed:
        return f"{_count(len(failed), 'gate', 'gates')} of {len(gates)} did not pass: {_listed(failed)}."
    return {1: "The one gate passed.", 2: "Both gates passed."}.get(len(gates), f"All {len(gates)} gates passed.")


def _stands(release: Release, champion: int | None) -> str:
    """Which release answers."""
    if champion is None:
        return "No release answers yet."
    if champion == release.number:
        return f"Release {release.number} is the one that answers."
    return f"Release {champion} is the one that answers, not this one."


def _sound(problems: tuple[str, ...] | None) -> str:
    """What the audit found."""
    if problems is None:
        return ""
    if problems:
        return f"The audit found {_count(len(problems), 'problem', 'problems')}: see Proof."
    return "Every record and every kept file is as it was recorded."


def _listed(parts: Sequence[str]) -> str:
    """Parts with commas and a final and."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
