"""Requests and their approval as the log tells it: a state machine, folded from entries, that believes nothing else.

    request_made       {"request", "revision": 1, "content", "requester", "tier", "needs", "expires", SIGNED}
    request_changed    the same with the next revision and another content
    request_approved, request_rejected, request_withdrawn      {"request", "content", "by", SIGNED}
    request_commented  {"request", "content": digest of the words, "by", SIGNED}
    request_expired    {"request"}
    request_executed   {"request", "content", "release", "status"}
    break_glass        {"request", "content", "reason", "signatures": [{"by", SIGNED}, {"by", SIGNED}]}

SIGNED is "signed", "public", "signature" of `registry.statements`. Rules, each of which refuses an entry by name:

1. A request is made and changed by a requester's signature; numbers go on by one, so do revisions. It names the
   approvals that it needs (one or more) and the day on which it expires.
2. Whoever changes it voids every approval: approvals are of a content's digest, and of no other.
3. An approval counts when it is signed by a key that the log says is that person's at that time, the person has a role
   that is asked for, is not the requester, has not approved this content before, and the request is open.
4. One rejection by such a person ends a request; so does its withdrawal by the requester, and its day.
5. It is executed once, and only while enough approvals count at that moment: not those of people who were revoked
   since, or whose keys have expired.
6. Breaking the glass stands in for approvals: two people who are approvers or admins sign, one of them not the
   requester; the reason is kept. It opens nothing that has ended.

What is put into the log by hand without the right signatures changes nothing: `Approvals.of` keeps it in `refused`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from registry.errors import BlockedError
from registry.records import LedgerEntry
from registry.requests import (
    APPROVED,
    BREAK_GLASS,
    CHANGED,
    COMMENTED,
    EXECUTED,
    EXPIRED,
    GLASS_PEOPLE,
    GLASS_ROLES,
    MADE,
    REJECTED,
    REQUEST_KINDS,
    WITHDRAWN,
    Needs,
    Request,
    Voice,
    number_of,
)
from registry.statements import Signed, Statement
from registry.users import ROLES, USER_KINDS, Refusal, Users

if TYPE_CHECKING:
    from registry.ledger import Ledger

KINDS = (*USER_KINDS, *REQUEST_KINDS)


@dataclass
class Approvals:
    """Every request and everybody who has a word in it; `of` folds both from the log.

    Attributes:
        users: who may do what.
        requests: by number.
        refused: entries about requests or users that count for nothing.
    """

    users: Users = field(default_factory=Users)
    requests: dict[int, Request] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> Self:
        """Fold entries in the order of the log; what is against a rule is refused by name and changes nothing."""
        book = cls()
        for entry in entries:
            if entry.kind in KINDS:
                try:
                    book.apply(entry)
                except BlockedError as error:
                    book.refused.append(Refusal(entry.seq, entry.kind, str(error)))
        return book

    @classmethod
    def read(cls, ledger: "Ledger") -> Self:
        """Fold what the log of `ledger` holds now; inside a writing transaction it stands still until that ends."""
        import json

        from sqlalchemy import select

        from registry import tables

        statement = select(tables.entries).where(tables.entries.c.kind.in_(KINDS)).order_by(tables.entries.c.seq)
        with ledger.read() as connection:
            rows = connection.execute(statement).all()
        return cls.of(
            LedgerEntry(
                *(row.seq, row.kind, row.actor, datetime.fromisoformat(row.recorded_at)),
                payload=json.loads(row.payload),
                leaf=row.leaf,
            )
            for row in rows
        )

    def apply(self, entry: LedgerEntry) -> None:
        """Take one entry in.

        Raises:
            BlockedError: it is out of order or against a rule; nothing is changed.
        """
        if entry.kind in USER_KINDS:
            self.users.apply(entry)
            return
        try:
            _STEPS[entry.kind](self, entry, entry.payload)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BlockedError(f"it is not complete: {error}") from error

    def get(self, number: int) -> Request:
        """A request.

        Raises:
            BlockedError: there is none of this number.
        """
        if number not in self.requests:
            there = f"there are 1 to {len(self.requests)}" if self.requests else "none is made yet"
            raise BlockedError(f"there is no request {number}; {there}")
        return self.requests[number]

    def state(self, number: int, at: datetime) -> str:
        """State of a request at a moment, with "approved" for an open one that may be executed, and expiry."""
        request = self.get(number)
        if request.state != "open":
            return request.state
        if request.expires <= self.users.now(at):
            return "expired"
        return "approved" if self.lacking(number, at) == 0 else "open"

    def counting(self, number: int, at: datetime) -> tuple[Voice, ...]:
        """The approvals (or, where the glass was broken, its breakers) that count at a moment."""
        request = self.get(number)
        roles = GLASS_ROLES if request.glass else request.needs.roles
        return tuple(one for one in request.glass or request.approvals if self._speaks(one, roles, at))

    def lacking(self, number: int, at: datetime, needs: Needs | None = None) -> int:
        """How many people are still missing; `needs` stands in for those of the request where they are stricter."""
        request = self.get(number)
        count = len(self.counting(number, at))
        if request.glass:
            return max(0, GLASS_PEOPLE - count)
        wanted = request.needs.approvals
        if needs is not None:
            fitting = [one for one in request.approvals if self._speaks(one, needs.roles, at)]
            count, wanted = min(count, len(fitting)), max(wanted, needs.approvals)
        return max(0, wanted - count)

    def _speaks(self, voice: Voice, roles: Iterable[str], at: datetime) -> bool:
        """Whether a person's signature still counts at a moment: same key, not revoked, not expired, a role."""
        try:
            return self.users.with_role(voice.by, self.users.now(at), roles).public == voice.public
        except BlockedError:
            return False

    def _open(self, payload: Mapping[str, Any], at: datetime, *, content: bool = True) -> Request:
        """The open request that an entry is about.

        Raises:
            BlockedError: it has ended, or the entry is about another content.
        """
        request = self.get(number_of(payload))
        if request.state != "open":
            raise BlockedError(f"request {request.number} is {request.state}")
        if request.expires <= at:
            raise BlockedError(f"request {request.number} expired on {request.expires.isoformat()}")
        if content and payload["content"] != request.content:
            raise BlockedError(
                f"it is about {payload['content']}; request {request.number} asks for {request.content} now"
            )
        return request

    def _signer(
        self, entry: LedgerEntry, part: Mapping[str, Any], by: str, roles: Iterable[str], content: str | None = None
    ) -> Voice:
        """Whoever signed `part` of an entry, with one of the roles.

        Raises:
            BlockedError: the signature, the person or the role is wrong.
        """
        at = self.users.now(entry.recorded_at)
        user = self.users.with_role(by, at, roles)
        digest = entry.payload["content"] if content is None else content
        statement = Statement(entry.kind, number_of(entry.payload), digest, by, entry.recorded_at)
        statement.check(Signed.of(part), user.public)
        return Voice(by, user.public, at, entry.seq)

    def _keep(self, request: Request, at: datetime | None = None) -> None:
        """Take the new state of a request; a signed entry moves the clock."""
        self.requests[request.number] = request
        if at is not None:
            self.users.clock = max(self.users.clock, at)


def _make(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    voice = book._signer(entry, payload, payload["requester"], ("requester",))
    request = Request.asked(payload, voice.at)
    if (request.number, request.revision) != (len(book.requests) + 1, 1):
        raise BlockedError(f"the next request is {len(book.requests) + 1}, revision 1")
    book._keep(request, voice.at)


def _change(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    voice = book._signer(entry, payload, payload["requester"], ("requester",))
    before, request = book._open(payload, voice.at, content=False), Request.asked(payload, voice.at)
    if request.requester != before.requester:
        raise BlockedError(f"request {before.number} is {before.requester}'s, who alone changes it")
    if request.revision != before.revision + 1 or request.content == before.content:
        raise BlockedError(f"a change has revision {before.revision + 1} and another content")
    book._keep(request, voice.at)


def _approve(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    request = book._open(payload, book.users.now(entry.recorded_at))
    voice = book._signer(entry, payload, payload["by"], request.needs.roles)
    if voice.by == request.requester:
        raise BlockedError(f"{voice.by} made request {request.number}; somebody else approves it")
    if voice.by in (one.by for one in request.approvals if book._speaks(one, request.needs.roles, voice.at)):
        raise BlockedError(f"{voice.by} has approved this content of request {request.number} before")
    others = tuple(one for one in request.approvals if one.by != voice.by)
    book._keep(replace(request, approvals=(*others, voice)), voice.at)


def _reject(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    request = book._open(payload, book.users.now(entry.recorded_at))
    voice = book._signer(entry, payload, payload["by"], request.needs.roles)
    if voice.by == request.requester:
        raise BlockedError(f"{voice.by} made request {request.number}, and withdraws it")
    book._keep(replace(request, state="rejected", ended_by=voice.by), voice.at)


def _withdraw(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    request = book._open(payload, book.users.now(entry.recorded_at))
    voice = book._signer(entry, payload, payload["by"], ROLES)
    if voice.by != request.requester:
        raise BlockedError(f"request {request.number} is {request.requester}'s, who alone withdraws it")
    book._keep(replace(request, state="withdrawn", ended_by=voice.by), voice.at)


def _comment(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    book.get(number_of(payload))
    voice = book._signer(entry, payload, payload["by"], ROLES)
    book.users.clock = max(book.users.clock, voice.at)


def _expire(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    request = book.get(number_of(payload))
    if request.state != "open":
        raise BlockedError(f"request {request.number} is {request.state}")
    if book.users.now(entry.recorded_at) < request.expires:
        raise BlockedError(f"request {request.number} does not expire before {request.expires.isoformat()}")
    book._keep(replace(request, state="expired"))


def _execute(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    at = book.users.now(entry.recorded_at)
    request = book._open(payload, at)
    if missing := book.lacking(request.number, at):
        raise BlockedError(f"request {request.number} was executed with {missing} approvals missing")
    release = payload["release"]
    if not (release is None or type(release) is int):
        raise ValueError(f"a release has a number, got {release!r}")
    book._keep(replace(request, state="executed", release=release, status=str(payload["status"])))


def _break(book: Approvals, entry: LedgerEntry, payload: Mapping[str, Any]) -> None:
    request = book._open(payload, book.users.now(entry.recorded_at))
    voices = [book._signer(entry, one, one["by"], GLASS_ROLES) for one in payload["signatures"]]
    reason = payload["reason"]
    if not isinstance(reason, str) or not reason.strip():
        raise BlockedError("who breaks the glass says why")
    people = {one.by for one in voices}
    if len(voices) != GLASS_PEOPLE or len(people) != GLASS_PEOPLE:
        raise BlockedError(f"the glass is broken by {GLASS_PEOPLE} people, got {sorted(people)}")
    book._keep(replace(request, glass=tuple(voices), reason=reason), voices[0].at)


_STEPS: Mapping[str, Callable[[Approvals, LedgerEntry, Mapping[str, Any]], None]] = {
    MADE: _make,
    CHANGED: _change,
    COMMENTED: _comment,
    APPROVED: _approve,
    REJECTED: _reject,
    WITHDRAWN: _withdraw,
    EXPIRED: _expire,
    EXECUTED: _execute,
    BREAK_GLASS: _break,
}
