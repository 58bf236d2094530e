"""The report on one release: one HTML file that asks nobody for anything, for the screen and for paper.

`render` takes plain values that the ledger holds and returns the page. What was not recorded is said to be so; nothing
is made up. Every text is escaped by the template engine: a feed's cells are shown, never obeyed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dashboards.card import sections
from dashboards.charts import Interval, Part, bars, number, percent, stacked, strip
from dashboards.freshness import freshness_page
from dashboards.gates import drawn
from dashboards.memories import described
from dashboards.wording import fault_of, memory_phrase, verdict, words_of
from registry.records import KnownFact, Release

PAGES = Path(__file__).parent / "pages"
DECISIONS = ("ADD", "UPDATE", "DELETE", "NOOP", "refused", "quarantined")
STEPS = ("read", "admit", "route", "write", "guard", "publish")
ACCEPTED = ("ADD", "UPDATE", "DELETE")
MEANING = {
    "ADD": "nothing was known, or the relation takes several objects",
    "UPDATE": "replaces what was known, from its day on",
    "DELETE": "ends what was known",
    "NOOP": "known already",
    "refused": "a rule forbids it",
    "quarantined": "waits for evidence or a person",
}
TONES = {"ADD": "good", "UPDATE": "good2", "DELETE": "good3", "NOOP": "quiet", "refused": "bad", "quarantined": "wait"}
BLANK_ROW: Mapping[str, Any] = {
    **dict.fromkeys(("row", "decision", "subject", "relation", "object", "raw", "memory", "why_there", "fact_id"), ""),
    "reasons": (),
}
BLANK_SAMPLE = dict.fromkeys(("question", "before", "after", "right_before", "right_after", "memory", "source"))


@dataclass(frozen=True)
class FeedRecord:
    """One feed that led to the release.

    Attributes:
        name: its file name.
        digest: of its bytes.
        status: how its run ended.
        rows: its rows as recorded: row, decision, subject, relation, object, reasons, raw, memory, why_there, fact_id.
    """

    name: str
    digest: str
    status: str
    rows: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ReportData:
    """All that the report shows.

    Attributes:
        release: the release it is about.
        champion: number of the release that answers now, None while none does.
        lineage: the releases it is built on, the first ancestor first, itself last.
        feeds: what was fed into it.
        facts: every fact that it knows, with its memory.
        ledger_size: entries in the ledger.
        ledger_root: root of the ledger's Merkle tree.
        problems: what an audit found, None when none was made.
        checked: what the audit looked at, by kind.
        made_at: when the report was made.
        leakage: verdicts of the leakage audit, none when none was made.
        freshness: what the freshness audit found, nothing when none was made.
        expectations: what the structural suite expected of the rows and found (`pipelines.admission.data_docs`).
        rules: every change of thresholds in the log: entry, at, by, section, before, after, keys (old and new).
        card: the evaluation card of the release, nothing when none was made.
        unrecorded: thresholds in force that the log does not know yet: as recorded, and now.
        checkpoint: the log's newest signed checkpoint (size, root, key, witnesses, note), nothing where there is none.
    """

    release: Release
    champion: int | None
    lineage: tuple[Release, ...]
    feeds: tuple[FeedRecord, ...]
    facts: tuple[KnownFact, ...]
    ledger_size: int
    ledger_root: str
    problems: tuple[str, ...] | None
    checked: Mapping[str, int] = field(default_factory=dict)
    made_at: datetime | None = None
    leakage: tuple[Mapping[str, Any], ...] = ()
    freshness: Mapping[str, Any] = field(default_factory=dict)
    expectations: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()
    unrecorded: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of all feeds of the release."""
        return tuple({**BLANK_ROW, **row} for feed in self.feeds for row in feed.rows)

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the run that made the release recorded about itself."""
        return self.release.summary


def render(report: ReportData) -> str:
    """The page.

    Args:
        report: what to show.

    Returns:
        HTML with its style and plots in it, without scripts and without outside requests.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    engine = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters |= {"number": number, "percent": percent, "link": web_link, "day": _day, "words": words_of}
    page = engine.get_template("report.html.j2")
    return page.render(
        data=report,
        release=report.release,
        verdict=verdict(report.rows, report.summary, report.release, report.champion, report.problems),
        figures=_figures(report.summary),
        decisions=_decisions(report.rows),
        decisions_plot=_decisions_plot(report.rows),
        faults=_faults(report.rows),
        stopped=_rows(report.rows, ("refused", "quarantined")),
        accepted=_rows(report.rows, ACCEPTED),
        known_already=_rows(report.rows, ("NOOP",)),
        memories=_memories(report.facts),
        memories_plot=_memories_plot(report.facts),
        facts=sorted(report.facts, key=lambda one: (one.fact.relation, one.fact.subject)),
        gates=[drawn(gate) for gate in report.release.gates],
        leakage=[drawn(verdict) for verdict in report.leakage],
        freshness=freshness_page(report.freshness),
        expectations=report.expectations,
        card=sections(report.card) if report.card else {},
        samples=_samples(report),
        moved=_moved(report),
        cost=_cost(report.summary),
        meaning=MEANING,
        memory_phrase=memory_phrase,
    )


def web_link(url: object) -> str:
    """The address when it is one of the web, nothing otherwise (no `javascript:` gets a link)."""
    text = str(url or "")
    return text if text.startswith(("https://", "http://")) else ""


def _day(value: object) -> str:
    """A date or time for people, a dash when there is none."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M UTC")
    return str(value) if value else "\u2013"


def _rows(rows: Sequence[Mapping[str, Any]], decisions: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows with one of these decisions."""
    return [row for row in rows if row.get("decision") in decisions]


def _decisions(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many rows per decision, in the order of `DECISIONS`; unknown ones at the end."""
    counts = Counter(str(row.get("decision", "not recorded")) for row in rows)
    names = [*(name for name in DECISIONS if name in counts), *sorted(set(counts) - set(DECISIONS))]
    return [{"name": name, "count": counts[name], "tone": TONES.get(name, "quiet")} for name in names]


def _decisions_plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same as one bar."""
    parts = [Part(one["name"], one["count"], one["tone"]) for one in _decisions(rows)]
    return stacked(parts, "; ".join(f"{part.label} {part.value:.0f}" for part in parts))


def _faults(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many rows each rule stopped; a row that breaks several rules counts for each."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in _rows(rows, ("refused", "quarantined")):
        counts.update({(str(row["decision"]), fault) for fault in fault_of(row)})
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [{"decision": decision, "fault": fault, "count": count} for (decision, fault), count in ordered]


def _share(name: str, values: object) -> dict[str, Any] | None:
    """A share with its interval and plot, None when it was not recorded."""
    if not isinstance(values, Mapping) or not isinstance(values.get("share"), int | float):
        return None
    value = float(values["share"])
    low, high = float(values.get("low") or 0.0), float(values.get("high") or value)
    words = f"{name}: {percent(value)}, interval {percent(low)} to {percent(high)}"
    return {
        "name": name,
        "value": value,
        "low": low,
        "high": high,
        "right": values.get("right"),
        "n": values.get("n"),
        "plot": strip(Interval(value, low, high), words),
    }


def _figures(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures that open the report, those that were recorded."""
    after = summary.get("freshness_after")
    found = [
        _share("changed facts right, before", summary.get("freshness_before")),
        _share("changed facts right, after", after),
        _share("untouched facts still right", summary.get("locality")),
    ]
    agreement = after.get("reader_agreement") if isinstance(after, Mapping) else None
    if isinstance(agreement, int | float):
        single = {"name": "the model\u2019s own words hold the fact", "value": float(agreement), "plot": ""}
        found.append({**single, "low": None, "high": None, "right": None, "n": None})
    return [one for one in found if one is not None]


def _memories(facts: Sequence[KnownFact]) -> list[dict[str, Any]]:
    """The memories in use, the fullest first, each with its quadruple."""
    counts = Counter(one.memory for one in facts)
    return [
        {"key": name, "count": count, "is": described(name), "tone": "rag" if name == "rag" else "weights"}
        for name, count in counts.most_common()
    ]


def _memories_plot(facts: Sequence[KnownFact]) -> str:
    """The same as one bar."""
    parts = [Part(one["is"].name, one["count"], one["tone"]) for one in _memories(facts)]
    return stacked(parts, "; ".join(f"{part.label} {part.value:.0f}" for part in parts))


def _samples(report: ReportData) -> list[dict[str, Any]]:
    """The sample questions, each with the fact behind it where it is known by id."""
    by_id = {one.fact.id: one for one in report.facts}
    return [
        {**BLANK_SAMPLE, **sample, "known": by_id.get(str(sample.get("fact_id")))}
        for sample in report.summary.get("samples") or ()
    ]


def _moved(report: ReportData) -> list[dict[str, Any]]:
    """Facts that were meant for the weights and live in the index, with the reason."""
    moved = report.summary.get("moved") or report.summary.get("moved_to_rag") or ()
    by_id = {one.fact.id: one.fact for one in report.facts}
    blank = {"fact_id": "", "reason": ""}
    return [{**blank, **one, "fact": by_id.get(str(one.get("fact_id")))} for one in moved]


def _cost(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds per step and memory, where they were recorded."""
    recorded = {str(name): float(value) for name, value in (summary.get("seconds") or {}).items()}
    steps = [*(step for step in STEPS if step in recorded), *(name for name in recorded if name not in STEPS)]
    seconds = {name: recorded[name] for name in steps}
    return {
        "seconds": seconds,
        "total": sum(seconds.values()),
        "plot": bars([Part(name, value, "quiet") for name, value in seconds.items()], "Seconds per step", "s"),
        "peak_rss_mb": summary.get("peak_rss_mb"),
    }
