"""How the results of the loop are told to people: rows of name and text for `pipelines.console.pairs`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.console import phrase, told

if TYPE_CHECKING:
    from pipelines.demo import DemoResult
    from pipelines.outcome import UpdateResult

ENDINGS = {
    "published": "published, and the champion now",
    "blocked": "blocked by a gate; nothing was published",
    "nothing_new": "nothing new; nothing was changed",
    "nothing_accepted": "nothing accepted; nothing was changed",
}
SPELT_OUT = 20
"""So many rows that were not accepted are listed with their reasons; JSON has all."""

Rows = list[tuple[str, str]]


def update_title(result: "UpdateResult") -> str:
    """How a run ended, in a headline."""
    release = f"r{result.release}: " if result.release is not None else ""
    return f"{result.feed}: {release}{ENDINGS[result.status]}"


def update_rows(result: "UpdateResult") -> Rows:
    """What a run came to: figures, gates, and each row that was not accepted, with its reasons."""
    rows = told({"rows": dict(result.decisions), "accepted facts live in": dict(result.memories)})
    rows += _measured(result)
    rows += [("moved", phrase(one)) for one in result.moved]
    outside = [row for row in result.rows if row.decision in ("refused", "quarantined")]
    for row in outside[:SPELT_OUT]:
        rows.append((f"row {row.row}", f"{row.decision}: {'; '.join(row.reasons)}"))
    if len(outside) > SPELT_OUT:
        rows.append(("further rows", f"{len(outside) - SPELT_OUT} were not accepted either; --json has them all"))
    rows += [("note", note) for note in result.notes]
    return rows + _cost(result.seconds, result.peak_rss_mb)


def demo_rows(result: "DemoResult") -> Rows:
    """What the demo came to, in the order of the loop."""
    update = result.update
    rows = told(
        {
            "rows of the feed": dict(update.decisions),
            "admission": result.admission,
            "accepted facts live in": dict(update.memories),
            "moved to the index": f"{len(update.moved)} facts that the weights could not hold" if update.moved else "",
        }
    )
    rows += _measured(update)
    for asked in result.dated:
        where = f"{asked.source or 'no source'}, {asked.memory or 'no memory'}"
        rows.append((f"as of {asked.as_of}", f"{asked.question} {asked.answer} ({where})"))
    rows += told({"rollback": result.rollback, "release": update.release, "report": result.report})
    return rows + _cost(result.seconds, result.peak_rss_mb)


def _measured(update: "UpdateResult") -> Rows:
    """Freshness, locality and gates."""
    rows = [
        ("answered before", _share(update.freshness_before)),
        ("answered after", _share(update.freshness_after)),
        ("untouched facts", _share(update.locality)),
    ]
    gates = [
        (f"gate {gate.get('guard', '')}", f"{gate.get('decision')}: {gate.get('explanation')}") for gate in update.gates
    ]
    return [(name, text) for name, text in rows if text] + gates


def _share(measured: Mapping[str, Any]) -> str:
    """A share with its interval and whatever else was measured with it; empty when nothing was."""
    if "share" not in measured:
        return phrase(measured) if measured else ""
    interval = f" [{measured['low']:.3f}, {measured['high']:.3f}]" if {"low", "high"} <= set(measured) else ""
    rest = {name: value for name, value in measured.items() if name not in ("share", "low", "high")}
    return f"{measured['share']:.3f}{interval}" + (f" ({phrase(rest)})" if rest else "")


def _cost(seconds: Mapping[str, float], peak_rss_mb: float) -> Rows:
    """Time by step, and memory."""
    return told({"seconds": dict(seconds), "memory": f"{peak_rss_mb:.0f} MB at most" if peak_rss_mb else ""})
