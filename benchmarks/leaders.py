"""Who came first, and since when: the leader timeline taken in by admission, and the record held against it.

The feed is the timeline in the order in which it was observed, one feed per year; the truth is its own `since`, which
the product sees as `valid_from` and may refuse or quarantine. What admission does with it is measured elsewhere; here
the record that comes of it is asked for events, days and order (E-MARS+ P1).
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from guards.longmemory import Order, TimePanel, came_first, order_score, time_panel
from guards.stats import mcnemar_exact, wilson
from pipelines.answering.about import key_of
from pipelines.settings import Settings
from registry.records import Fact, KnownFact

if TYPE_CHECKING:
    from editors.load import LoadedModel

RELATIONS = {"chief_of_state": "head_of_state", "head_of_government": "head_of_government"}
WINDOW_DAYS = 365
"""The window of TAE: a day that is a year off counts as wholly wrong."""
SOURCE, URL = "CIA World Factbook", "https://www.cia.gov/the-world-factbook/"

Event = tuple[str, str, str]
"""Subject, relation and object, in normal form."""


@dataclass(frozen=True)
class Pair:
    """Two dated events of one office; `truth` says which began first."""

    one: Event
    other: Event
    words: tuple[str, str, str, str]
    truth: Order | None


def timeline(path: Path) -> list[dict[str, Any]]:
    """The rows of the timeline, in the order in which they were observed."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(rows, key=lambda row: row["observed"])


def recorded(rows: Sequence[dict[str, Any]], settings: Settings) -> list[KnownFact]:
    """What is known after admission took the timeline in, one feed per year of observation."""
    from pipelines.admission.feed import read_feed
    from pipelines.admit import admit

    known: dict[str, KnownFact] = {}
    years = sorted({row["observed"][:4] for row in rows})
    with TemporaryDirectory() as folder:
        for year in years:
            path = Path(folder) / f"{year}.csv"
            _write(path, [row for row in rows if row["observed"].startswith(year)])
            at = datetime(int(year) + 1, 1, 2, tzinfo=UTC)
            admission = admit(
                read_feed(path),
                list(known.values()),
                settings.catalogue,
                settings.policy.admission,
                at,
                settings.sources,
            )
            for row in admission.rows:
                if row.fact is not None and row.decision in ("ADD", "UPDATE"):
                    for old in row.replaces:
                        known[old] = _ended(known[old], row.fact.valid_from or at.date())
                    known[row.fact.id] = KnownFact(row.fact, "rag", 1)
    return list(known.values())


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A feed of the rows."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["subject", "relation", "object", "valid_from", "source", "source_url", "observed_at"])
        for row in rows:
            relation = RELATIONS[row["role"]]
            writer.writerow([row["country"], relation, row["person"], row["since"] or "", SOURCE, URL, row["observed"]])


def _ended(item: KnownFact, day: date) -> KnownFact:
    """The fact with its end."""
    fact = replace(item.fact, valid_to=day)
    vars(fact)["id"] = item.fact.id
    return replace(item, fact=fact)


def whole_day(text: str | None) -> date | None:
    """The day in `text`; None where it names none, or a year or a month alone."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def true_events(rows: Sequence[dict[str, Any]], settings: Settings) -> dict[Event, date]:
    """Every dated event of the timeline; of a person who came back under one office, the first day."""
    events: dict[Event, date] = {}
    for row in rows:
        day = whole_day(row["since"])
        if day is not None:
            fact = Fact(row["country"], RELATIONS[row["role"]], row["person"])
            event = event_of(fact, settings)
            events[event] = min(day, events.get(event, day))
    return events


def event_of(fact: Fact, settings: Settings) -> Event:
    """The event that a fact begins, in normal form."""
    catalogue = settings.catalogue
    return key_of(catalogue, fact.subject), fact.relation, key_of(catalogue, fact.object)


def record_events(known: Sequence[KnownFact], settings: Settings) -> dict[Event, date | None]:
    """The events of a record; of several facts about one event the first day."""
    events: dict[Event, date | None] = {}
    for item in known:
        event, day = event_of(item.fact, settings), item.fact.valid_from
        before = events.get(event)
        events[event] = min(day, before) if day and before else day or before
    return events


def draw_pairs(rows: Sequence[dict[str, Any]], settings: Settings, count: int, seed: int) -> list[Pair]:
    """Pairs of successive holders of one office, each asked in an order that is drawn."""
    draw = Random(seed)
    true = true_events(rows, settings)
    offices: dict[tuple[str, str], dict[Event, tuple[str, str]]] = {}
    for row in rows:
        fact = Fact(row["country"], RELATIONS[row["role"]], row["person"])
        event = event_of(fact, settings)
        if event in true:
            offices.setdefault(event[:2], {})[event] = (row["country"], row["person"])
    pairs = []
    for (_, relation), holders in sorted(offices.items()):
        ordered = sorted(holders, key=lambda event: (true[event], event))
        for both in pairwise(ordered):
            one, other = draw.sample(both, 2)
            label = settings.catalogue.relations[relation].label
            words = (holders[one][1], holders[other][1], label, holders[one][0])
            pairs.append(Pair(one, other, words, came_first(true[one], true[other])))
    pairs = [pair for pair in pairs if pair.truth is not None]
    return draw.sample(pairs, min(count, len(pairs)))


def by_record(pairs: Sequence[Pair], events: dict[Event, date | None]) -> list[Order | None]:
    """The order that the record tells; None where it lacks an event or its day."""
    return [came_first(events.get(pair.one), events.get(pair.other)) for pair in pairs]


def by_model(loaded: "LoadedModel", pairs: Sequence[Pair]) -> list[Order | None]:
    """The order that the model prefers: which of both names it goes on with."""
    from pipelines.auditing.recall import preferences

    asked = [
        (
            f"{one} and {other} were both {label} of {country}, one after the other. The first of the two was",
            (one, other),
        )
        for one, other, label, country in (pair.words for pair in pairs)
    ]
    return ["first" if chosen == 0 else "second" for chosen in preferences(loaded, asked)]


def order_part(path: Path, count: int, seed: int, loaded: "LoadedModel | None") -> dict[str, Any]:
    """P1 of the record, and the order told by the record and by the model."""
    settings = Settings.load()
    rows = timeline(path)
    known = recorded(rows, settings)
    events, true = record_events(known, settings), true_events(rows, settings)
    pairs = draw_pairs(rows, settings, count, seed)
    truth = [pair.truth for pair in pairs]
    told = by_record(pairs, events)
    panel: TimePanel = time_panel(events, true, WINDOW_DAYS, order_score(told, truth))
    answered = [place for place, one in enumerate(told) if one is not None]
    result: dict[str, Any] = {
        "panel": vars(panel),
        "events": {"true": len(true), "recorded": len(events), "facts": len(known)},
        "pairs": len(pairs),
        "record": {"order": order_score(told, truth), "refused": len(pairs) - len(answered)},
        "record_answered": wilson(sum(told[n] == truth[n] for n in answered), len(answered)) if answered else None,
    }
    if loaded is not None:
        said = by_model(loaded, pairs)
        right = [[one == other for one, other in zip(column, truth, strict=True)] for column in (said, told)]
        firsts = sum(one == "first" for one in said)
        result["model"] = {"order": order_score(said, truth), "said_first": wilson(firsts, len(said))}
        result["record_against_model"] = mcnemar_exact(*right)
    return result
