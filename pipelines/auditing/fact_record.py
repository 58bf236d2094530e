"""The whole record of one fact: where it comes from, its versions in both times, where it lives, who asked, how long.

The shape is that of a MemCube (provenance, version chain, access, expiry); each memory that holds it is described by
DMM-Gov's quadruple. What nobody records is said to be not recorded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any

from registry.approvals import Approvals
from registry.compactions import CompactionStore
from registry.errors import InputError, UnknownNameError
from registry.events import FactEvent, view
from registry.facts import FactStore
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.records import Fact
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN

ID_CHARS = 6
"""So many characters of an id name a fact, if no other one begins with them."""
NOT_RECORDED = "not recorded"
READ = "delta_read"
INDEX = "rag"
"""The memory that is an index; every other one is a delta."""
MEMORIES = "dashboards.memories"
"""The module that describes memories; the floors are peers, so it is found by name."""


def fact_record(home: Home, text: str, today: date | None = None) -> dict[str, Any]:
    """Everything that is recorded of one fact, as plain values.

    Args:
        home: which home.
        text: its id, or the first characters of it.
        today: the day on which it is looked at; the present one where it is not given.

    Raises:
        InputError: several facts have ids that begin like that, or it was forgotten.
        UnknownNameError: no release ever knew such a fact.
    """
    day = today or datetime.now(UTC).date()
    with Ledger.open(home) as ledger:
        events = FactStore(ledger).events()
        fact = _named(ledger, events, text)
        chain = [one for one in events if (one.fact.subject, one.fact.relation) == (fact.subject, fact.relation)]
        own = [one for one in chain if one.fact.id == fact.id]
        lives = _lives(home, ledger, own, day)
        memories = list(dict.fromkeys(one.memory for one in own if one.kind == "assert"))
        return {
            "fact": fact.to_dict(),
            "origin": _origin(ledger, fact, own),
            "versions": _versions(chain, fact.id),
            "releases": lives,
            "access": _access(ledger, [one["delta"] for one in lives if one["delta"]]),
            "expiry": _expiry(own, fact, day),
            "quadruple": {memory: _quadruple(memory) for memory in memories},
        }


def fact_list(home: Home, subject: str = "", relation: str = "", release: str = "champion") -> list[dict[str, Any]]:
    """The facts of a release, one row each.

    Args:
        home: which home.
        subject: only those whose subject holds this text.
        relation: only this relation.
        release: number or alias.

    Raises:
        InputError: there is no such release.
    """
    with Ledger.open(home) as ledger:
        releases = ReleaseStore(ledger)
        known = view(FactStore(ledger).events(releases.lineage(releases.get(release).number)))
    wanted = subject.casefold()
    return [
        {
            "id": one.fact.id,
            "subject": one.fact.subject,
            "relation": one.fact.relation,
            "object": one.fact.object,
            "from": _day(one.fact.valid_from),
            "until": _day(one.fact.valid_to),
            "memory": one.memory,
            "since": one.release,
        }
        for one in known
        if wanted in one.fact.subject.casefold() and relation in ("", one.fact.relation)
    ]


def _named(ledger: Ledger, events: Sequence[FactEvent], text: str) -> Fact:
    """The fact that an id, or its first characters, names."""
    start = text.strip().lower()
    known = {one.fact.id: one.fact for one in events if one.kind == "assert"}
    fits = [key for key in known if len(start) >= ID_CHARS and key.startswith(start)]
    if len(fits) > 1:
        raise InputError("an id that names one fact", f"{text!r}, which names {len(fits)}", "give more of it")
    if fits:
        return known[fits[0]]
    for entry in ledger.entries(FORGOTTEN):
        if len(start) >= ID_CHARS and any(str(one).startswith(start) for one in entry.payload["facts"]):
            got = f"{text!r}, forgotten on {entry.recorded_at.date().isoformat()} (entry {entry.seq})"
            raise InputError("a fact that is still there", got, "`dmmgov audit forgotten` tells what is kept of it")
    raise UnknownNameError("fact (an id, from `dmmgov facts list` or `dmmgov ask`)", text, known)


def _origin(ledger: Ledger, fact: Fact, own: Sequence[FactEvent]) -> dict[str, Any]:
    """Who says so, in which row of which feed it came, who let it in, and on whose word."""
    first = next(one for one in own if one.kind == "assert")
    runs = {run.id: run for run in FeedStore(ledger).runs()}
    rows = [
        {
            "feed": runs[row["feed"]].name,
            "run": row["feed"],
            "row": row["row"],
            "decision": row["decision"],
            "at": runs[row["feed"]].recorded_at.isoformat(),
            "raw": row.get("raw", ""),
        }
        for row in FeedStore(ledger).rows()
        if fact.id in (row.get("fact_id"), row.get("confirms"))
    ]
    release = next((one for one in ReleaseStore(ledger).all() if one.number == first.release), None)
    approvals = [
        {
            "request": one.number,
            "requester": one.requester,
            "approvers": [voice.by for voice in one.glass or one.approvals],
        }
        for one in Approvals.read(ledger).requests.values()
        if one.release == first.release
    ]
    return {
        "source": fact.source,
        "source_url": fact.source_url,
        "confidence": fact.confidence,
        "sensitivity": fact.sensitivity,
        "recorded_at": first.recorded_at.isoformat(),
        "release": first.release,
        "by": release.created_by if release is not None else NOT_RECORDED,
        "rows": rows,
        "requests": approvals,
    }


def _versions(chain: Sequence[FactEvent], fact_id: str) -> list[dict[str, Any]]:
    """Every event about the subject and relation, as recorded: what held when, and when that was known."""
    return [
        {
            "recorded_at": one.recorded_at.isoformat(),
            "event": one.kind,
            "object": one.fact.object,
            "valid_from": _day(one.fact.valid_from),
            "valid_to": _day(one.valid_to if one.kind == "close" else one.fact.valid_to),
            "source": one.fact.source,
            "release": one.release,
            "memory": one.memory,
            "reason": one.reason,
            "id": one.fact.id,
            "this": one.fact.id == fact_id,
        }
        for one in chain
    ]


def _lives(home: Home, ledger: Ledger, own: Sequence[FactEvent], day: date) -> list[dict[str, Any]]:
    """Where each release has the fact, and whether it holds on the day as that release knows it."""
    releases, compactions, pruned = ReleaseStore(ledger), CompactionStore(ledger), PruningStore(ledger).releases
    read: dict[str, Mapping[str, Any]] = {}
    rows = []
    for release in releases.all():
        lineage = set(releases.lineage(release.number))
        seen = [one for one in own if one.release in lineage]
        known = view(seen)
        whole = compactions.expanded(release)
        delta = next((one for one in whole.deltas if own[0].fact.id in _held(home, one, read)), "")
        memory = known[0].memory if known else ""
        rows.append(
            {
                "release": release.number,
                "memory": memory,
                "state": _state(known[0].fact, day) if known else ("taken back" if seen else "not known"),
                "index": release.index_snapshot if memory == INDEX else "",
                "delta": delta,
                **_place(read.get(delta, {})),
                "merged": bool(delta) and delta not in release.deltas,
                "pruned": release.number in pruned,
            }
        )
    return rows


def _state(fact: Fact, day: date) -> str:
    """Whether a known fact holds on a day."""
    if fact.holds_on(day):
        return "holds"
    return "ended" if fact.valid_to is not None and fact.valid_to <= day else "does not hold yet"


def _held(home: Home, digest: str, read: dict[str, Mapping[str, Any]]) -> frozenset[str]:
    """The facts that a delta holds which is there, of whatever editor; one that is gone is not known to hold any."""
    if digest not in read:
        path = home.deltas / digest / "delta.json"
        try:
            read[digest] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            read[digest] = {}
    columns = [one for column in read[digest].get("columns") or () for one in column]
    return frozenset((*columns, *(read[digest].get("fact_ids") or ())))


def _place(record: Mapping[str, Any]) -> dict[str, Any]:
    """Who made a delta, and where it acts: the matrices that it changes or was fitted on, the block it lies beside."""
    layers = [one["parameter"] for one in record.get("layers") or ()]
    beside = (record.get("record") or {}).get("layer")
    return {
        "editor": record.get("editor", ""),
        "parameters": layers or list(record.get("parameters") or ()),
        "beside_block": beside,
    }


def _access(ledger: Ledger, deltas: Sequence[str]) -> dict[str, Any]:
    """How often it was read: answers are not counted, deltas that leave the home are."""
    reads = [
        {"at": entry.recorded_at.isoformat(), "by": entry.actor, "for": entry.payload.get("for", "")}
        for entry in ledger.entries(READ)
        if set(entry.payload["digests"]) & set(deltas)
    ]
    return {"answered": NOT_RECORDED, "delta_read": reads}


def _expiry(own: Sequence[FactEvent], fact: Fact, day: date) -> dict[str, Any]:
    """Until when it holds as recorded, how long facts of its kind are expected to, and whether that is over."""
    from pipelines.settings import Settings

    known = view(own)
    ends = known[0].fact.valid_to if known else None
    relation = Settings.load().catalogue.relations.get(fact.relation)
    lifetime = relation.lifetime_days if relation is not None else None
    begun = fact.valid_from or own[0].recorded_at.date()
    due = begun + timedelta(days=lifetime) if lifetime is not None else None
    return {
        "valid_to": _day(ends),
        "taken_back": not known,
        "lifetime_days": lifetime if relation is not None else NOT_RECORDED,
        "expected_until": _day(due),
        "overdue": bool(due and due <= day and known and (ends is None or ends > day)),
    }


def _quadruple(memory: str) -> Mapping[str, str]:
    """Location, persistence, path and control of a memory."""
    described: Mapping[str, str] = asdict(import_module(MEMORIES).described(memory))
    return described


def _day(day: date | None) -> str | None:
    """A day as text."""
    return day.isoformat() if day is not None else None
