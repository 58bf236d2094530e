"""Certify: every published release gets its change-audit certificate, derived from the ledger and the artefacts alone.

It is issued after the release is published and MLflow knows it, and again by the next run where that was cut off. A
release that lacks what a certificate needs gets none; the ledger says what it lacks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.approvals import Approvals
from registry.artifacts import write_whole
from registry.certificate import Certificate
from registry.checkpoints import log_keys, log_signer
from registry.compactions import CompactionStore
from registry.digests import digest_bytes
from registry.errors import BlockedError, InputError
from registry.events import FactEvent
from registry.facts import FactStore
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.records import LedgerEntry, Release
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN

CERTIFIED, REFUSED = "certified", "certificate_refused"
REGRESSION = (
    *("neighbourhood", "same_subject", "drawdown", "capability", "fluency", "entropy"),
    *("alias", "reversal", "two_hop", "negation", "consistency", "retrieval"),
)
"""Gates on what must not move, or must move along; all others verify the change itself."""
FALLBACK = "every fact in the weights is in the index as well; a question whose memory fails is answered from there"
FRAMEWORKS = {
    "NIST AI RMF GOVERN 1.4, 2.1": "F7: rules, roles, approvals and who ran it, as entries of a signed log",
    "NIST AI RMF MEASURE 2.5, 2.6": "F4, F5: gates declared before they were judged, on the bound of an interval",
    "NIST AI RMF MANAGE 2.4, 4.1": "F6: the release to go back to, and its digest",
    "OWASP LLM04 data and model poisoning": "F1: sources; admission and its reasons are in the log",
    "OWASP LLM08 vector and embedding weaknesses": "F1: digest of the index; F5: what it still finds",
    "OWASP LLM09 misinformation": "F4: answers by free generation; every answer names its fact and source",
}


def certify(home: Home, ledger: Ledger) -> None:
    """Issue what certificates are missing; each release is certified, or refused one, once."""
    done = {entry.payload["release"] for kind in (CERTIFIED, REFUSED) for entry in ledger.entries(kind)}
    for release in ReleaseStore(ledger).all():
        if release.number in done:
            continue
        try:
            certificate = Certificate.issue(body_of(home, ledger, release), log_signer(home, ledger))
        except BlockedError as error:
            told = {"release": release.number, "why": str(error)}
            kind = REFUSED
        else:
            text = certificate.text.encode()
            write_whole(path_of(home, release.number), text)
            told, kind = {"release": release.number, "digest": digest_bytes(text)}, CERTIFIED
        with ledger.transaction() as txn:
            ledger.append(txn, kind, told, "dmmgov", datetime.now(UTC))


def path_of(home: Home, number: int) -> Path:
    """Where the certificate of a release lies."""
    return home.certificates / f"r{number}.yaml"


def read_certificate(home: Home, ledger: Ledger, ref: str) -> Certificate:
    """The certificate of a release.

    Raises:
        InputError: there is no such release.
        BlockedError: it was refused one; the message says what it lacks.
    """
    number = ReleaseStore(ledger).get(ref).number
    for entry in ledger.entries(REFUSED):
        if entry.payload["release"] == number:
            raise BlockedError(f"release {number} has {entry.payload['why']}")
    try:
        return Certificate.parse(path_of(home, number).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the certificate of release {number}", str(error), "run `dmmgov audit verify`") from error


def write_page(home: Home, ref: str) -> tuple[Path, Path]:
    """Draw the certificate of a release; returns the signed file and the page.

    Raises:
        InputError: there is no such release, or its certificate is not there.
        BlockedError: it was refused one.
    """
    from dataclasses import asdict
    from importlib import import_module

    with Ledger.open(home) as ledger:
        certificate = read_certificate(home, ledger, ref)
        events = FactStore(ledger).events()
    words = {one.fact.id: f"{one.fact.subject} · {one.fact.relation} · {one.fact.object}" for one in events}
    number = int(certificate.body["release"])
    page = home.reports / f"certificate-r{number}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    # The floors are peers, so the page is found by name when it is asked for.
    page.write_text(import_module("dashboards.certificate").render(asdict(certificate), words), encoding="utf-8")
    return path_of(home, number), page


def certificate_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """Certificates that are gone, changed, not the log's, or not what ledger and artefacts say of their release.

    What was forgotten or pruned since cannot be derived any more; the certificates of its releases are held by their
    digests.
    """
    releases = {release.number: release for release in ReleaseStore(ledger).all()}
    entries = {entry.payload["release"]: entry for entry in ledger.entries(CERTIFIED)}
    publics = list(log_keys(ledger)) if entries else []
    changed = {one["release"]: entry.seq for entry in ledger.entries(FORGOTTEN) for one in entry.payload["releases"]}
    gone = {digest for digest in PruningStore(ledger).gone("deltas") if not (home.deltas / digest).is_dir()}
    for number, entry in entries.items():
        path = path_of(home, number)
        if not path.is_file():
            yield f"release {number}: its certificate {path} is missing (entry {entry.seq})"
            continue
        data = path.read_bytes()
        if digest_bytes(data) != entry.payload["digest"]:
            yield f"release {number}: its certificate {path} differs from entry {entry.seq}"
            continue
        certificate = Certificate.parse(data.decode())
        found = [certificate.problems(public) for public in publics] or [
            ["the log has no key that could have signed it"]
        ]
        yield from (f"release {number}: its certificate: {words}" for words in min(found, key=len))
        if changed.get(number, -1) > entry.seq or set(releases[number].deltas) & gone:
            continue
        derived = json.loads(json.dumps(body_of(home, ledger, releases[number])))
        wrong = [name for name, value in derived.items() if certificate.body.get(name) != value]
        if wrong:
            yield f"release {number}: section {wrong[0]} of its certificate is not what the ledger says"
    for path in sorted(home.certificates.iterdir()) if home.certificates.is_dir() else ():
        if path not in {path_of(home, number) for number in entries}:
            yield f"{path}: no entry certifies it"


def body_of(home: Home, ledger: Ledger, release: Release) -> dict[str, Any]:
    """What the certificate of a release says, without its signature."""
    releases = ReleaseStore(ledger)
    parent = releases.get(release.parent) if release.parent is not None else None
    events = FactStore(ledger).events([release.number])
    brought = [event for event in events if event.kind == "assert"]
    ended = [event for event in events if event.kind != "assert"]
    entries = _entries(ledger, release)
    gates = [_gate(verdict) for verdict in release.gates]
    return {
        "release": release.number,
        "F1": {
            "brought": [{"fact": one.fact.id, "relation": one.fact.relation} for one in brought],
            "ended": [{"fact": one.fact.id, "how": one.kind} for one in ended],
            "sources": sorted({one.fact.source for one in brought if one.fact.source}),
            "snapshots": {"facts": release.facts_snapshot, "index": release.index_snapshot},
        },
        "F2": {
            "recorded_at": release.created_at.isoformat(),
            "holds": {one.fact.id: [_day(one.fact.valid_from), _day(one.fact.valid_to)] for one in _dated(brought)},
        },
        "F3": {
            "base": release.base_digest,
            "weights": release.weights_digest,
            "changes_weights": _changes_weights(ledger, release, parent),
            "deltas": [_delta(home, digest) for digest in release.deltas],
            "memories": _counted(brought),
            "paths": {one.fact.id: one.memory for one in brought if one.memory != "rag"},
            "rules": release.summary.get("rules") or "not recorded",
        },
        "F4": {"gates": _verifying(gates)},
        "F5": {"gates": [gate for gate in gates if gate["gate"] in REGRESSION]},
        "F6": {
            "rollback": {"release": parent.number, "weights": parent.weights_digest}
            if parent
            else {"release": None, "weights": release.base_digest},
            "impact": {"brought": len(brought), "ended": len(ended), "in_weights": sum(map(_weighty, brought))},
            "fallback": FALLBACK,
        },
        "F7": {
            "release": release.number,
            "by": release.created_by,
            "approvals": _approvals(ledger, release.number),
            "family": release.summary.get("family", ""),
            "entries": [entries[0].seq, entries[-1].seq],
            "leaf": entries[-1].leaf,
            "frameworks": FRAMEWORKS,
        },
    }


def _changes_weights(ledger: Ledger, release: Release, parent: Release | None) -> bool:
    """Whether a release has other deltas than its parent, whether or not those were merged since."""
    before, now = (CompactionStore(ledger).expanded(one).deltas if one else () for one in (parent, release))
    return bool(release.deltas) and now != before


def _entries(ledger: Ledger, release: Release) -> Sequence[LedgerEntry]:
    """The first entry of the run that published a release, and the one that published it."""
    published = next(entry for entry in ledger.entries("published") if entry.payload["release"] == release.number)
    declared = [entry for entry in ledger.entries("declared") if entry.seq < published.seq]
    own = [entry for entry in declared if entry.payload["digest"] == release.summary.get("family")]
    return (own[-1] if own else published, published)


def _verifying(gates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Gates that verify a change; where nothing changed that could be asked, what is known is still found."""
    own = [gate for gate in gates if gate["gate"] not in REGRESSION]
    return own or [gate for gate in gates if gate["gate"] == "retrieval"]


def _gate(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict with its scores; its words may quote answers, which are content, and stay in the ledger."""
    scores = [
        {key: one[key] for key in ("name", "value", "low", "high", "n", "threshold") if key in one}
        for one in verdict.get("scores") or ()
    ]
    return {"gate": verdict["guard"], "decision": verdict["decision"], "scores": scores}


def _delta(home: Home, digest: str) -> dict[str, Any]:
    """A delta with what its editor notes about its method."""
    try:
        values = json.loads((home.deltas / digest / "delta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"digest": digest, "editor": "not readable"}
    notes = values.get("notes") or {}
    return {
        "digest": digest,
        "editor": values.get("editor", ""),
        "facts": sum(map(len, values.get("columns") or ())),
        **{key: notes[key] for key in ("layers", "objective", "weight", "moments") if key in notes},
    }


def _approvals(ledger: Ledger, number: int) -> list[dict[str, Any]]:
    """The requests that a release carries out, with who asked and who approved."""
    return [
        {
            "request": request.number,
            "content": request.content,
            "requester": request.requester,
            "approvers": [voice.by for voice in request.glass or request.approvals],
            "glass": bool(request.glass),
        }
        for request in Approvals.read(ledger).requests.values()
        if request.release == number
    ]


def _counted(events: Sequence[FactEvent]) -> dict[str, int]:
    """Number of facts by memory."""
    return {name: sum(event.memory == name for event in events) for name in sorted({event.memory for event in events})}


def _weighty(event: FactEvent) -> bool:
    """Whether a fact lives in the weights."""
    return event.memory != "rag"


def _dated(events: Sequence[FactEvent]) -> Iterator[FactEvent]:
    """Events whose fact says since when or until when it holds."""
    return (event for event in events if event.fact.valid_from or event.fact.valid_to)


def _day(day: Any) -> str | None:
    """A day as text."""
    return day.isoformat() if day else None
