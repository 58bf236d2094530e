"""How the results of the loop are told to people: rows of name and text for `pipelines.console.pairs`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.console import told

if TYPE_CHECKING:
    from pipelines.demo import DemoResult
    from pipelines.outcome import UpdateResult
    from registry.records import Release

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
    rows += [("moved to the index", f"{one.get('fact', one['fact_id'])}: {one['reason']}") for one in result.moved]
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
            "admission": _admission(result.admission),
            "accepted facts live in": dict(update.memories),
        }
    )
    rows += [("moved to the index", f"{one.get('fact', one['fact_id'])}: {one['reason']}") for one in update.moved]
    rows += _measured(update)
    rows += [("note", note) for note in update.notes]
    for asked in result.dated:
        where = f"{asked.source or 'no source'}, {asked.memory or 'no memory'}"
        rows.append((f"as of {asked.as_of}", f"{asked.question} {asked.answer} ({where})"))
    rows.append(("rollback", _rollback(result.rollback)))
    rows += told({"champion": f"r{update.release}", "report": result.report})
    return rows + _cost(result.seconds, result.peak_rss_mb)


def release_rows(release: "Release") -> Rows:
    """What a release is made of, its gates, and the figures of its summary that fit on a line."""
    apart = ("gates", "summary")
    rows = told({name: value for name, value in release.to_dict().items() if name not in apart})
    rows += _gates(release.gates)
    summary = {name: release.summary.get(name) for name in ("request", "feed", "decisions", "memories")}
    rows += told(summary)
    shares = (
        ("freshness_before", "answered before"),
        ("freshness_after", "answered after"),
        ("locality", "untouched facts"),
    )
    for name, words in shares:
        text = _share(release.summary.get(name) or {})
        rows += [(words, text)] if text else []
    return rows


def _gates(gates: Sequence[Mapping[str, Any]]) -> Rows:
    """One row per gate."""
    return [(f"gate {gate.get('guard', '')}", f"{gate.get('decision')}: {gate.get('explanation')}") for gate in gates]


def _admission(score: Mapping[str, Any]) -> str:
    """How admission compares with the truth that comes with the feed."""
    accepted = score["falsehoods_accepted"]
    return (
        f"{score['right']} of {score['rows']} rows as they should be; good rows let in: {score['good_recall']:.3f} of "
        f"{score['good_rows']}; falsehoods let in: {len(accepted)} of {score['falsehoods']}"
    )


def _rollback(rollback: Mapping[str, Any]) -> str:
    """What the way back gave."""
    digests = "the weights' digest equals the recorded one" if rollback["equal"] else "the weights' digest DIFFERS"
    answers = "all as before" if rollback["answers_as_before"] else "NOT all as before"
    return (
        f"to r{rollback['to']}: {digests}; {rollback['answers_asked']} answers {answers}; {rollback['seconds']:.1f} s"
    )


def _measured(update: "UpdateResult") -> Rows:
    """Freshness, locality and gates."""
    rows = [
        ("answered before", _share(update.freshness_before)),
        ("answered after", _share(update.freshness_after)),
        ("untouched facts", _share(update.locality)),
        ("in the chat form", _share(update.chat)),
    ]
    return [(name, text) for name, text in rows if text] + _gates(update.gates)


def _share(measured: Mapping[str, Any]) -> str:
    """A share with its interval, how many it rests on, and the model's own words; empty when nothing was measured."""
    if measured.get("share") is None:
        return ""
    words = f"{measured['share']:.3f} [{measured['low']:.3f}, {measured['high']:.3f}] of {measured['n']}"
    for memory, part in measured.get("by_memory", {}).items():
        words += f"; {memory} {part['right']} of {part['n']}"
    agreement = measured.get("reader_agreement")
    return words if agreement is None else f"{words}; the model's own words hold the fact: {agreement:.3f}"


def _cost(seconds: Mapping[str, float], peak_rss_mb: float) -> Rows:
    """Time by step, and memory."""
    return told({"seconds": dict(seconds), "memory": f"{peak_rss_mb:.0f} MB at most" if peak_rss_mb else ""})
