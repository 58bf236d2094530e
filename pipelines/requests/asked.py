"""What a request asks for, as plain values whose digest is signed, and as the feed that carries it through the loop.

A content has these keys:

    operation  "facts": rows are admitted like those of a feed; "forget", "revoke": the facts named by id
    rows       cells by column, as in a feed (`op` DELETE ends a known fact)
    facts      ids of known facts
    despite    rules that the request overrules by name
    reason     why
    tier, needs, expires    as in its entry, so that they are signed as well
    log        first leaf of the log that it was made in: what was signed for one log counts in no other

`content_of` makes the first five, `pipelines.requests.asking` adds the others.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from registry.contents import GONE_ROW
from registry.digests import digest_bytes
from registry.errors import InputError, UnknownNameError
from registry.events import RowRelease
from registry.facts import FactStore, view
from registry.releases import ReleaseStore
from registry.requests import Request

if TYPE_CHECKING:
    from pipelines.admission.feed import Feed
    from registry.ledger import Ledger
    from registry.records import KnownFact

Operation = Literal["facts", "forget", "revoke"]
WORDED = ("quorum", "disputed", "contradiction", "divergence")
DOUBTS = ("elsewhere", "subject", "joined", "returning", "slip", "office")
"""Rules that ask for more voices or for a person: the approvers are both. Every other rule stands."""
DESPITE = ("personal_data", "instruction", "declared_sensitivity")
"""Rules that a request can overrule by name."""


@dataclass(frozen=True)
class RequestedRow(RowRelease):
    """The word of a request's approvers for one of its rows."""

    @property
    def words(self) -> str:
        """Whose word it is, for the row's reasons."""
        if self.seq < 0:
            return f"request {self.feed}, taken as approved: {self.reason}"
        return f"request {self.feed} was approved by {self.by}: {self.reason}"


def content_of(
    operation: Operation,
    reason: str,
    *,
    rows: Sequence[Mapping[str, str]] = (),
    facts: Sequence[str] = (),
    despite: Sequence[str] = (),
) -> dict[str, Any]:
    """What is asked for, without what it needs.

    Raises:
        InputError: no reason, nothing asked for, or a rule that cannot be overruled.
    """
    if not reason.strip():
        raise InputError("why it is asked for", "no reason", "pass --reason")
    if not rows and not facts:
        raise InputError("something to do", "neither a row nor a fact", "name one")
    for rule in despite:
        if rule not in DESPITE:
            raise UnknownNameError("rule that can be overruled", rule, DESPITE)
    cells = [{name: text for name, text in row.items() if text} for row in rows]
    if "personal_data" in despite:  # what is declared personal is kept out of the weights
        cells = [{**row, "sensitivity": _at_least_personal(row.get("sensitivity", ""))} for row in cells]
    named = {"facts": list(dict.fromkeys(facts)), "despite": sorted(set(despite))}
    return {"operation": operation, "rows": cells, "reason": reason.strip(), **named}


def _at_least_personal(declared: str) -> str:
    return "personal" if declared in ("", "public", "internal") else declared


def rows_of_feed(path: Path) -> list[dict[str, str]]:
    """The rows of a feed file as a batch.

    Raises:
        FeedError: it cannot be read as a whole.
        InputError: one of its rows has the wrong shape; a request is signed as a whole.
    """
    from pipelines.admission.feed import COLUMNS, read_feed

    feed = read_feed(path)
    if feed.broken:
        row, problem = min(feed.broken.items())
        raise InputError("rows of a sound shape", f"row {row}: {problem}", "mend it; a request is signed as a whole")
    return [dict(row) for row in feed.table.select(list(COLUMNS)).to_pylist()]


def known_facts(ledger: "Ledger", ids: Sequence[str]) -> list["KnownFact"]:
    """The facts of these ids that the champion knows.

    Raises:
        InputError: it does not know one of them.
    """
    releases = ReleaseStore(ledger)
    champion = releases.champion()
    lineage = releases.lineage(champion.number) if champion else ()
    known = {one.fact.id: one for one in view(FactStore(ledger).events(lineage))}
    for fact_id in ids:
        if fact_id not in known:
            near = [one for one in known if one.startswith(fact_id[:6])][:3]
            todo = f"did you mean {' or '.join(near)}?" if near else "`dmmgov ask` names the fact behind an answer"
            raise InputError("the id of a fact that the champion knows", repr(fact_id), todo)
    return [known[fact_id] for fact_id in ids]


def relations_of(ledger: "Ledger", ids: Sequence[str]) -> list[str]:
    """The relations of facts that any release knew or knows, by their ids."""
    wanted = set(ids)
    return sorted({one.fact.relation for one in FactStore(ledger).events() if one.fact.id in wanted}) if wanted else []


def ending_rows(facts: Sequence["KnownFact"], source: str, url: str, ends: str) -> list[dict[str, str]]:
    """Rows that end known facts: from `ends` on, the day of the run where it is empty."""
    return [
        {
            **{"subject": one.fact.subject, "relation": one.fact.relation, "object": one.fact.object, "op": "DELETE"},
            **{"source": source, "source_url": url, "valid_to": ends},
        }
        for one in facts
    ]


def feed_of(request: Request, content: Mapping[str, Any], seq: int, approvers: Sequence[str]) -> "Feed":
    """The request as a feed whose rows come in on its approvers' word.

    Args:
        request: which request.
        content: what it asks for.
        seq: position in the log of what allowed it.
        approvers: who did.
    """
    from pipelines.admission.feed import read_feed

    lines = [json.dumps({name: "" for name in ("subject", "relation", "object")} | row) for row in content["rows"]]
    with tempfile.TemporaryDirectory(prefix="dmmgov-request-") as folder:
        path = Path(folder) / f"request-{request.number}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        feed = read_feed(path)
    waives = (*WORDED, *DOUBTS, *content["despite"])
    if "personal_data" in content["despite"]:
        waives = (*waives, "declared_sensitivity")
    by = " and ".join(approvers)
    released = {
        row: RequestedRow(request.number, row, digest_bytes(raw.encode()), by, content["reason"], waives, seq)
        for row, raw in enumerate(feed.raw, 1)
    }
    return replace(feed, released=released)


def told(content: Mapping[str, Any]) -> list[str]:
    """What is asked for, one line per row or fact."""
    lines = [
        f"{row.get('op', '') or 'ADD or UPDATE'}: {row.get('subject')} · {row.get('relation')} · {row.get('object')}"
        for row in content["rows"]
        if row != GONE_ROW
    ]
    lines += ["a row that was forgotten"] * content["rows"].count(GONE_ROW)
    return [*lines, *(f"{content['operation']} fact {fact_id}" for fact_id in content["facts"])]
