"""Try a request out: what would become of it, on a copy of the home; nothing is published and nothing is decided.

The rows are admitted, routed, written and judged as they would be if everybody whose word is needed gave it. The report
is kept in the home, and the ledger keeps its digest.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import steps
from pipelines.requests.asked import feed_of, known_facts, told
from pipelines.requests.asking import book_with
from pipelines.requests.scratch import scratch_place
from pipelines.requests.signing import stamp_log
from registry.artifacts import write_whole
from registry.digests import canonical_json, digest_bytes
from registry.home import Home
from registry.ledger import Ledger
from registry.progress import track
from registry.requests import TRIED, Request, RequestStore

if TYPE_CHECKING:
    from pipelines.guard import Judged
    from pipelines.workplace import Workplace
    from registry.records import Fact, KnownFact

NEIGHBOURS = 5
"""So many known facts nearest to each accepted row are named as those that a change may touch."""
THOSE = ("those who approve it",)


def dry_run(
    home: Home,
    number: int,
    *,
    actor: str,
    quick: bool = False,
    only: tuple[str, ...] | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """What carrying a request out would come to.

    Args:
        home: which home.
        number: of the request.
        actor: who wants to know.
        quick: as for an update.
        only: names of the editors that may be used; None allows all.
        at: the run's time; now where it is not given.

    Returns:
        The report: `rows` with decisions, reasons and routes, `gates`, `neighbours`, `moved`, and its `digest`.

    Raises:
        UnknownNameError: there is no such request.
        IntegrityError: its content is not what was asked for.
    """
    moment = at or datetime.now(UTC)
    with Ledger.open(home) as ledger:
        book = book_with(ledger, number)
        request = book.get(number)
        content = RequestStore(ledger).content(request)
        named = known_facts(ledger, content["facts"]) if book.state(number, moment) != "executed" else []
    with track(f"try request {number}"), scratch_place(home, actor, moment) as place:
        found = _facts(place, named) if content["facts"] else _rows(place, request, content, quick, only)
    report = {"request": number, "content": request.content, "asks": told(content), "at": moment.isoformat(), **found}
    return {**report, "digest": _keep(home, report, actor, moment)}


def _rows(
    place: "Workplace", request: Request, content: Mapping[str, Any], quick: bool, only: Sequence[str] | None
) -> dict[str, Any]:
    """Take the rows through the loop up to the gates."""
    feed = feed_of(request, content, -1, THOSE)
    admission = steps.admit(place, feed)
    routed = steps.route(place, admission, quick, only)
    neighbours = [
        {"row": row.row, "near": _near(place, row.fact)} for row in admission.accepted if row.fact is not None
    ]
    judged = steps.guard(place, routed, steps.write(place, routed))
    rows = steps.results(feed, admission, routed, judged.written)
    if not routed.requests:
        would = "nothing would change"
    else:
        would = "would be published" if judged.passed else "a gate would block it"
    return {
        "would": would,
        "rows": [
            {
                "row": row.row,
                "decision": row.decision,
                "fact": f"{row.subject} · {row.relation} · {row.object}",
                "reasons": list(row.reasons),
                "memory": row.memory,
                "why_there": row.why_there,
            }
            for row in rows
        ],
        "gates": [{"gate": one.guard, "decision": one.decision, "why": one.explanation} for one in judged.verdicts],
        "neighbours": neighbours,
        "moved": _moved(judged),
        "untouched": dict(judged.locality),
        "seconds": {step: round(seconds, 2) for step, seconds in place.seconds.items()},
    }


def _facts(place: "Workplace", named: Sequence["KnownFact"]) -> dict[str, Any]:
    """What is asked for by id: which facts, where they live, and what lies near them."""
    rows = [
        {
            "fact": f"{one.fact.subject} · {one.fact.relation} · {one.fact.object}",
            "fact_id": one.fact.id,
            "memory": one.memory,
            "release": one.release,
        }
        for one in named
    ]
    near = [{"row": row, "near": _near(place, one.fact)} for row, one in enumerate(named, 1)]
    would = "these facts would go; the gates are asked when that is done"
    return {"would": would, "rows": rows, "gates": [], "neighbours": near, "moved": [], "untouched": {}, "seconds": {}}


def _near(place: "Workplace", fact: "Fact") -> list[dict[str, Any]]:
    """Known facts of the same relation that are nearest in meaning: those that a change in the weights may touch."""
    from pipelines.answering.indexing import open_index

    folder = place.parent_index
    others = {
        one.fact.id: one
        for one in place.current
        if one.fact.relation == fact.relation and one.fact.subject != fact.subject
    }
    if folder is None or not others:
        return []
    hits = open_index(place.home, folder).search(place.settings.catalogue.statement(fact), NEIGHBOURS, allow=others)
    return [
        {
            "fact_id": hit.fact_id,
            "sentence": hit.sentence,
            "cosine": round(hit.cosine, 3),
            "memory": others[hit.fact_id].memory,
        }
        for hit in hits
    ]


def _moved(judged: "Judged") -> list[dict[str, str]]:
    """Sampled questions about other facts that were answered rightly before and would not be afterwards."""
    return [
        {"question": one["question"], "before": one["before"], "after": one["after"]}
        for one in judged.samples
        if not one["changed"] and one["right_before"] and not one["right_after"]
    ]


def _keep(home: Home, report: Mapping[str, Any], actor: str, at: datetime) -> str:
    """Keep the report under its digest, and the digest in the ledger."""
    data = canonical_json(dict(report))
    digest = digest_bytes(data)
    write_whole(report_path(home, digest), data)
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        values = {
            "request": report["request"],
            "content": report["content"],
            "digest": digest,
            "would": report["would"],
        }
        ledger.append(txn, TRIED, values, actor, at)
    stamp_log(home)
    return digest


def report_path(home: Home, digest: str) -> Path:
    """Where the report of a dry run lies."""
    return home.reports / "requests" / f"{digest}.json"
