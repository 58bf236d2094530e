"""Requests: ask for a change, say yes or no to it, take it back, talk about it, break the glass.

Every act is a signed entry that the log's own rules check before it is appended (`registry.approvals`). What carries an
approved request out is `pipelines.requests.running`; what tries one out is `pipelines.requests.dry_run`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.requests.approving import record_rules, tier_of
from pipelines.requests.asked import relations_of
from pipelines.requests.signing import enter, key_of, signed, stamp_log
from pipelines.requests.words import told_request
from pipelines.settings import Settings
from registry.approvals import Approvals
from registry.contents import GONE, Split
from registry.errors import BlockedError, InputError, UnknownNameError
from registry.home import Home
from registry.ledger import Ledger
from registry.requests import (
    APPROVED,
    BREAK_GLASS,
    CHANGED,
    COMMENTED,
    EXPIRED,
    MADE,
    REJECTED,
    TRIED,
    WITHDRAWN,
    Request,
    RequestStore,
)
from registry.shredding import sealed_words

if TYPE_CHECKING:
    from registry.keys import SigningKey
    from registry.ledger import Transaction

Verb = Literal["approve", "reject", "withdraw"]
KIND_OF: Mapping[Verb, str] = {"approve": APPROVED, "reject": REJECTED, "withdraw": WITHDRAWN}


def add_request(
    home: Home, content: Mapping[str, Any], *, by: str, key: Path | None = None, at: datetime | None = None
) -> Request:
    """Ask for a change.

    Args:
        home: which home.
        content: of `pipelines.requests.asked.content_of`.
        by: the requester, who signs.
        key: file of the requester's private key; the home folder's otherwise.
        at: when; now where it is not given.

    Raises:
        InputError: the key cannot be used.
        BlockedError: it is against a rule of `registry.approvals`.
    """
    return _ask(home, content, by, key, at or datetime.now(UTC), None)


def change_request(
    home: Home, number: int, content: Mapping[str, Any], *, by: str, key: Path | None = None, at: datetime | None = None
) -> Request:
    """Ask for something else under the same number; whatever was approved is void.

    Raises:
        InputError: the key cannot be used.
        BlockedError: it is against a rule of `registry.approvals`.
    """
    return _ask(home, content, by, key, at or datetime.now(UTC), number)


def _ask(
    home: Home, content: Mapping[str, Any], by: str, file: Path | None, at: datetime, changed: int | None
) -> Request:
    """Keep a content and append the entry that asks for it."""
    settings, key = Settings.load(), key_of(home, by, file)
    policy = settings.policy.approval
    with Ledger.open(home) as ledger:
        tier = tier_of(content, relations_of(ledger, content["facts"]), settings.catalogue)
        expires = (at + timedelta(days=policy.rule(tier).days)).isoformat()
        needs = {"tier": tier, "needs": policy.needs(tier).to_dict(), "expires": expires}
        with ledger.transaction() as txn:
            record_rules(ledger, txn, policy, by, at)
            book = Approvals.read(ledger)
            number = changed or len(book.requests) + 1
            revision = book.get(number).revision + 1 if changed else 1
            body = {**content, **needs, "log": RequestStore(ledger).log()}
            split = Split.of(body)
            digest = split.digest
            kind = CHANGED if changed else MADE
            payload = {"request": number, "revision": revision, "content": digest, "requester": by, **needs}
            book = enter(ledger, txn, kind, payload | signed(key, kind, number, digest, by, at), by, at)
            RequestStore(ledger).keep(txn, number, revision, split)
    stamp_log(home)
    return book.get(number)


def decide(
    home: Home,
    number: int,
    verb: Verb,
    *,
    by: str,
    key: Path | None = None,
    words: str = "",
    at: datetime | None = None,
) -> Request:
    """Approve or reject a request, or withdraw the own one, with a comment where there are words.

    What is signed is the digest of the content as it is now, after it has been held against the content itself.

    Raises:
        InputError: the key cannot be used.
        BlockedError: it is against a rule of `registry.approvals` (a request whose day has come is noted as expired),
            or it is to be approved and a part of it was forgotten.
        IntegrityError: the content is not what was asked for.
    """
    moment, kind, signer = at or datetime.now(UTC), KIND_OF[verb], key_of(home, by, key)
    with Ledger.open(home) as ledger:
        _note_expiry(ledger, number, moment)
        with ledger.transaction() as txn:
            record_rules(ledger, txn, Settings.load().policy.approval, by, moment)
            request, store = Approvals.read(ledger).get(number), RequestStore(ledger)
            (store.content if verb == "approve" else store.kept)(request)
            payload = {"request": number, "content": request.content, "by": by}
            word = signed(signer, kind, number, request.content, by, moment)
            book = enter(ledger, txn, kind, payload | word, by, moment)
            if words.strip():
                book = _comment(ledger, txn, number, words.strip(), by, signer, moment)
    stamp_log(home)
    return book.get(number)


def comment(
    home: Home, number: int, words: str, *, by: str, key: Path | None = None, at: datetime | None = None
) -> Request:
    """Say something about a request.

    Raises:
        InputError: there are no words, or the key cannot be used.
        BlockedError: it is against a rule of `registry.approvals`.
    """
    if not words.strip():
        raise InputError("words", "none", "say something")
    moment, signer = at or datetime.now(UTC), key_of(home, by, key)
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        book = _comment(ledger, txn, number, words.strip(), by, signer, moment)
    stamp_log(home)
    return book.get(number)


def _comment(
    ledger: Ledger, txn: "Transaction", number: int, words: str, by: str, key: "SigningKey", at: datetime
) -> Approvals:
    """Keep the words and append their entry."""
    digest = RequestStore(ledger).comment(txn, number, words)
    payload = {"request": number, "content": digest, "by": by}
    return enter(ledger, txn, COMMENTED, payload | signed(key, COMMENTED, number, digest, by, at), by, at)


def break_glass(
    home: Home,
    number: int,
    people: Sequence[tuple[str, Path | None]],
    reason: str,
    *,
    at: datetime | None = None,
) -> Request:
    """Let two people stand in for the approvals of a request, which is told aloud and for good.

    `people` are the two, each with the file of the private key (the home folder's where it is None).

    Raises:
        InputError: a key cannot be used.
        BlockedError: it is against a rule of `registry.approvals`.
    """
    moment, keys = at or datetime.now(UTC), [(name, key_of(home, name, file)) for name, file in people]
    with Ledger.open(home) as ledger:
        _note_expiry(ledger, number, moment)
        with ledger.transaction() as txn:
            request = Approvals.read(ledger).get(number)
            content = request.content
            RequestStore(ledger).content(request)
            words = [{"by": name, **signed(key, BREAK_GLASS, number, content, name, moment)} for name, key in keys]
            payload = {"request": number, "content": content, "reason": sealed_words(txn, reason), "signatures": words}
            book = enter(ledger, txn, BREAK_GLASS, payload, people[0][0], moment)
    stamp_log(home)
    return book.get(number)


def _note_expiry(ledger: Ledger, number: int, at: datetime) -> None:
    """Put into the log that a request's day has come, where it has."""
    book = Approvals.read(ledger)
    if number in book.requests and book.get(number).state == "open" and book.state(number, at) == "expired":
        with ledger.transaction() as txn:
            enter(ledger, txn, EXPIRED, {"request": number}, "dmmgov", at)


def state_of(home: Home, number: int, at: datetime | None = None) -> str:
    """State of a request as the ledger has it now: open, approved, rejected, withdrawn, expired or executed.

    Raises:
        UnknownNameError: there is none of this number.
    """
    moment = at or datetime.now(UTC)
    with Ledger.open(home) as ledger:
        _note_expiry(ledger, number, moment)
        return book_with(ledger, number).state(number, moment)


def expiry_of(home: Home, number: int) -> datetime:
    """From when on nobody can approve a request any more.

    Raises:
        UnknownNameError: there is none of this number.
    """
    with Ledger.open(home) as ledger:
        return book_with(ledger, number).get(number).expires


def open_requests(home: Home, at: datetime | None = None) -> list[int]:
    """Numbers of the requests that nothing has ended."""
    moment = at or datetime.now(UTC)
    with Ledger.open(home) as ledger:
        book = Approvals.read(ledger)
    return [number for number in sorted(book.requests) if book.state(number, moment) in ("open", "approved")]


def list_requests(home: Home, state: str | None = None, at: datetime | None = None) -> list[dict[str, Any]]:
    """Every request, or those in one state, with what it asks for in words."""
    moment = at or datetime.now(UTC)
    with Ledger.open(home) as ledger:
        book = Approvals.read(ledger)
        every = [told_request(book, ledger, number, moment) for number in sorted(book.requests)]
    return [one for one in every if state in (None, one["state"])]


def show_request(home: Home, number: int, at: datetime | None = None) -> dict[str, Any]:
    """A request with its content, who has said what, and the reports of its dry runs.

    Raises:
        UnknownNameError: there is none of this number.
    """
    with Ledger.open(home) as ledger:
        book = book_with(ledger, number)
        request, store = book.get(number), RequestStore(ledger)
        words = store.comments(number)
        void = {one.seq for one in book.refused}
        comments = [
            {
                "by": one.payload["by"],
                "at": one.recorded_at.isoformat(),
                "words": words.get(one.payload["content"], GONE),
            }
            for one in ledger.entries(COMMENTED)
            if one.seq not in void and one.payload["request"] == number
        ]
        tried = [one.payload["digest"] for one in ledger.entries(TRIED) if one.payload["request"] == number]
        values = told_request(book, ledger, number, at or datetime.now(UTC))
        content = store.kept(request).content
    return {**values, "content": content, "digest": request.content, "comments": comments, "dry_runs": tried}


def book_with(ledger: Ledger, number: int) -> Approvals:
    """All requests, among which there is this one."""
    book = Approvals.read(ledger)
    if number not in book.requests:
        raise UnknownNameError("request", str(number), map(str, book.requests))
    return book


def ready(home: Home, number: int, at: datetime | None = None) -> bool:
    """Whether a request may be carried out now, by its own needs and by the rules in force."""
    from pipelines.requests.mandate import Mandate

    with Ledger.open(home) as ledger:
        try:
            Mandate.take(ledger, number, Settings.load(), at or datetime.now(UTC))
        except BlockedError:
            return False
    return True
