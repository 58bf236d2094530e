"""Requests as the log tells them: what counts, what is void, and that nobody gains by writing into the log by hand."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry.approvals import Approvals
from registry.errors import BlockedError
from registry.keys import SigningKey
from registry.records import LedgerEntry
from registry.requests import (
    APPROVED,
    BREAK_GLASS,
    CHANGED,
    COMMENTED,
    EXECUTED,
    EXPIRED,
    MADE,
    REJECTED,
    WITHDRAWN,
    Needs,
)
from registry.statements import Statement
from registry.users import USER_ADDED, USER_REVOKED, content_of

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CONTENT, OTHER = "c" * 64, "d" * 64
PEOPLE = {
    "ann": ("admin",),
    "rita": ("requester", "approver"),
    "bob": ("approver",),
    "cleo": ("approver", "auditor"),
    "vic": ("viewer",),
    "soon": ("approver",),
}
KEYS = {name: SigningKey.generate() for name in (*PEOPLE, "eve")}


class Log:
    """A log that is written by hand, one entry an hour."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.users = 0
        for name, roles in PEOPLE.items():
            expires = (AT + 14 * HOUR).isoformat() if name == "soon" else None
            body = {"name": name, "roles": list(roles), "public": KEYS[name].public, "expires": expires}
            self.user(USER_ADDED, body, **({} if self.users else {"bootstrap": True}))

    @property
    def now(self) -> datetime:
        return AT + len(self.entries) * HOUR

    def put(self, kind: str, payload: Mapping[str, Any], at: datetime | None = None) -> LedgerEntry:
        entry = LedgerEntry(len(self.entries), kind, "anybody", at or self.now, payload, "")
        self.entries.append(entry)
        return entry

    def user(self, kind: str, body: Mapping[str, Any], **more: Any) -> None:
        self.users += 1
        word = Statement(kind, self.users, content_of(body), "ann", self.now).signed(KEYS["ann"])
        told = {"signed": word.text, "signer": word.public, "signature": word.signature}
        self.put(kind, {**body, "by": "ann", **told, **more})

    def say(self, kind: str, by: str, content: str = CONTENT, number: int = 1, key: str = "") -> LedgerEntry:
        word = Statement(kind, number, content, by, self.now).signed(KEYS[key or by])
        return self.put(kind, {"request": number, "content": content, "by": by, **word.to_dict()})

    def ask(
        self, by: str = "rita", content: str = CONTENT, number: int = 1, revision: int = 1, **change: Any
    ) -> LedgerEntry:
        kind = MADE if revision == 1 else CHANGED
        word = Statement(kind, number, content, by, self.now).signed(KEYS[by])
        body = {"request": number, "revision": revision, "content": content, "requester": by, "tier": "medium"}
        needs = {"approvals": 1, "roles": ["approver"]}
        body |= {"needs": needs, "expires": (AT + 2 * DAY).isoformat(), **word.to_dict()}
        return self.put(kind, {**body, **change})

    def done(self, release: int | None = 4, content: str = CONTENT) -> LedgerEntry:
        return self.put(EXECUTED, {"request": 1, "content": content, "release": release, "status": "published"})

    def book(self) -> Approvals:
        return Approvals.of(self.entries)

    def state(self, number: int = 1) -> str:
        return self.book().state(number, self.now)

    def why(self) -> str:
        """Why the last entry counts for nothing; all others count."""
        book = self.book()
        assert [one.seq for one in book.refused] == [len(self.entries) - 1]
        before = Approvals.of(self.entries[:-1])
        assert book.requests == before.requests, "nothing is changed"
        with pytest.raises(BlockedError):
            before.apply(self.entries[-1])
        return book.refused[0].why


@pytest.fixture
def log() -> Log:
    log = Log()
    log.ask()
    return log


def test_a_request_is_made_approved_by_another_and_executed_once(log: Log) -> None:
    assert log.state() == "open"
    log.say(APPROVED, "bob")
    assert log.state() == "approved"
    log.done()
    book = log.book()
    assert book.refused == []
    assert (book.get(1).state, book.get(1).release, book.get(1).status) == ("executed", 4, "published")
    log.done(5)
    assert "is executed" in log.why()


def test_nothing_is_executed_without_enough_approvals(log: Log) -> None:
    log.done()
    assert "1 approvals missing" in log.why()
    two = Log()
    two.ask(needs={"approvals": 2, "roles": ["approver"]})
    two.say(APPROVED, "bob")
    assert two.state() == "open"
    two.done()
    assert "1 approvals missing" in two.why()


def test_two_people_are_two_people(log: Log) -> None:
    two = Log()
    two.ask(needs={"approvals": 2, "roles": ["approver"]})
    two.say(APPROVED, "bob")
    two.say(APPROVED, "bob")
    assert "approved this content of request 1 before" in two.why()
    two.entries.pop()
    two.say(APPROVED, "cleo")
    assert two.state() == "approved"


def test_who_asks_does_not_approve(log: Log) -> None:
    log.say(APPROVED, "rita")
    assert "somebody else approves" in log.why()
    assert log.state() == "open"


@pytest.mark.parametrize(("name", "words"), [("vic", "approver is needed"), ("ann", "approver"), ("eve", "no user")])
def test_who_lacks_the_role_or_is_unknown_does_not_approve(log: Log, name: str, words: str) -> None:
    log.say(APPROVED, name)
    assert words in log.why()


def test_a_forged_approval_does_not_pass(log: Log) -> None:
    log.say(APPROVED, "bob", key="eve")
    assert "not that of bob" in log.why()
    forged = log.entries.pop()
    log.put(APPROVED, {**forged.payload, "public": KEYS["bob"].public})
    assert "signature is not that of bob" in log.why()
    log.entries.pop()
    log.put(APPROVED, {"request": 1, "content": CONTENT, "by": "bob"})
    assert "not signed" in log.why()


def test_an_approval_of_other_content_does_not_pass(log: Log) -> None:
    log.say(APPROVED, "bob", OTHER)
    assert f"asks for {CONTENT}" in log.why()
    other = log.entries.pop()
    log.put(APPROVED, {**other.payload, "content": CONTENT})
    assert "is not this request_approved" in log.why()


def test_a_change_voids_what_was_approved(log: Log) -> None:
    old = log.say(APPROVED, "bob")
    log.ask(content=OTHER, revision=2)
    assert log.state() == "open"
    log.done(content=OTHER)
    assert "approvals missing" in log.why()
    log.entries.pop()
    log.put(APPROVED, old.payload, at=old.recorded_at)
    assert f"asks for {OTHER} now" in log.why()
    log.entries.pop()
    log.say(APPROVED, "bob", OTHER)
    assert log.state() == "approved"
    assert log.book().refused == []


def test_an_approval_cannot_be_put_in_again_elsewhere(log: Log) -> None:
    word = log.say(APPROVED, "bob")
    log.ask(number=2)
    log.put(APPROVED, {**word.payload, "request": 2}, at=word.recorded_at)
    assert "is not this request_approved of 2" in log.why()
    assert log.state(2) == "open"
    log.entries.pop()
    log.put(APPROVED, {**word.payload, "request": 2})
    assert "is not this" in log.why()
    log.entries.pop()
    rejected = log.say(REJECTED, "bob", number=2)
    log.entries.pop()
    log.put(APPROVED, rejected.payload, at=rejected.recorded_at)
    assert "is not this request_approved" in log.why()


def test_an_expired_key_does_not_approve_and_no_longer_counts(log: Log) -> None:
    log.say(APPROVED, "soon")
    assert log.state() == "approved"
    while log.now < AT + 14 * HOUR:
        log.say(COMMENTED, "vic")
    assert log.state() == "open", "the approval stood on a key that has expired since"
    log.done()
    assert "1 approvals missing" in log.why()
    late = Log()
    while late.now < AT + 14 * HOUR:
        late.put("other", {})
    late.ask()
    late.say(APPROVED, "soon")
    assert "expired" in late.why()
    late.entries.pop()
    back = Statement(APPROVED, 1, CONTENT, "soon", AT + 6 * HOUR).signed(KEYS["soon"])
    late.put(APPROVED, {"request": 1, "content": CONTENT, "by": "soon", **back.to_dict()}, at=AT + 6 * HOUR)
    assert "expired" in late.why(), "an entry that claims to be older is taken to be of the log's own time"


def test_who_was_revoked_does_not_count_any_more(log: Log) -> None:
    log.say(APPROVED, "bob")
    log.user(USER_REVOKED, {"name": "bob"})
    assert log.state() == "open"
    log.say(APPROVED, "bob")
    assert "revoked" in log.why()
    log.entries.pop()
    log.say(APPROVED, "cleo")
    log.done()
    assert log.state() == "executed"


def test_what_has_ended_stays_ended(log: Log) -> None:
    ends: dict[str, Callable[[Log], Any]] = {
        "rejected": lambda one: one.say(REJECTED, "bob"),
        "withdrawn": lambda one: one.say(WITHDRAWN, "rita"),
        "expired": lambda one: one.put(EXPIRED, {"request": 1}, at=AT + 2 * DAY),
    }
    for state, end in ends.items():
        one = Log()
        one.ask()
        end(one)
        assert one.state() == state
        for kind, by in ((APPROVED, "cleo"), (REJECTED, "cleo"), (WITHDRAWN, "rita")):
            one.say(kind, by)
            assert f"is {state}" in one.why()
            one.entries.pop()
        one.ask(content=OTHER, revision=2)
        assert f"is {state}" in one.why()
        one.entries.pop()
        one.done()
        assert f"is {state}" in one.why()


def test_a_request_expires_on_its_day_and_not_before(log: Log) -> None:
    log.put(EXPIRED, {"request": 1})
    assert "does not expire before" in log.why()
    log.entries.pop()
    assert log.book().state(1, AT + 2 * DAY) == "expired"
    while log.now < AT + 2 * DAY:
        log.put("other", {})
    log.say(APPROVED, "bob")
    assert "expired on" in log.why()


def test_only_the_requester_changes_and_withdraws(log: Log) -> None:
    log.say(WITHDRAWN, "bob")
    assert "who alone withdraws" in log.why()
    log.entries.pop()
    log.say(REJECTED, "rita")
    assert "withdraws it" in log.why()
    log.entries.pop()
    log.ask(by="bob", content=OTHER, revision=2)
    assert "requester is needed" in log.why()
    log.entries.pop()
    log.ask(revision=2)
    assert "another content" in log.why()
    log.entries.pop()
    log.ask(content=OTHER, revision=3)
    assert "revision 2" in log.why()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"needs": {"approvals": 0, "roles": ["approver"]}}, "at least one approval"),
        ({"needs": {"approvals": True, "roles": ["approver"]}}, "whole numbers"),
        ({"needs": {"approvals": 1, "roles": []}}, "at least one approval"),
        ({"needs": {"approvals": 1, "roles": ["king"]}}, "at least one approval"),
        ({"tier": "none"}, "a tier"),
        ({"expires": AT.isoformat()}, "would have expired"),
        ({"request": 3}, "is not this request_made of 3"),
    ],
)
def test_a_request_that_asks_for_no_approval_is_none(change: dict[str, Any], words: str) -> None:
    log = Log()
    log.ask(**change)
    assert words in log.why()


def glass(log: Log, names: Sequence[str], reason: str = "the site is down", keys: Sequence[str] = ()) -> LedgerEntry:
    signatures = [
        {"by": name, **Statement(BREAK_GLASS, 1, CONTENT, name, log.now).signed(KEYS[key]).to_dict()}
        for name, key in zip(names, keys or names, strict=True)
    ]
    payload = {"request": 1, "content": CONTENT, "reason": reason, "signatures": signatures}
    return log.put(BREAK_GLASS, payload)


def test_two_people_break_the_glass(log: Log) -> None:
    glass(log, ("bob", "ann"))
    assert log.state() == "approved"
    assert [one.by for one in log.book().counting(1, log.now)] == ["bob", "ann"]
    log.done()
    assert log.state() == "executed"
    assert log.book().get(1).reason == "the site is down"


@pytest.mark.parametrize(
    ("names", "reason", "keys", "words"),
    [
        (("bob",), "why", (), "2 people"),
        (("bob", "bob"), "why", (), "2 people"),
        (("bob", "vic"), "why", (), "is needed"),
        (("bob", "cleo"), " ", (), "says why"),
        (("bob", "cleo"), "why", ("bob", "bob"), "not that of cleo"),
        (("bob", "cleo", "ann"), "why", (), "2 people"),
    ],
)
def test_the_glass_is_not_broken_by_less(
    log: Log, names: Sequence[str], reason: str, keys: Sequence[str], words: str
) -> None:
    glass(log, names, reason, keys)
    assert words in log.why()
    assert log.state() == "open"


def test_a_change_mends_the_glass(log: Log) -> None:
    glass(log, ("bob", "cleo"))
    log.ask(content=OTHER, revision=2)
    assert log.state() == "open"


def test_an_approval_is_no_half_of_a_broken_glass(log: Log) -> None:
    word = log.say(APPROVED, "bob")
    own = {name: word.payload[name] for name in ("by", "signed", "public", "signature")}
    mine = {"by": "ann", **Statement(BREAK_GLASS, 1, CONTENT, "ann", log.now).signed(KEYS["ann"]).to_dict()}
    log.put(BREAK_GLASS, {"request": 1, "content": CONTENT, "reason": "why", "signatures": [own, mine]})
    assert "is not this break_glass" in log.why()


@pytest.mark.parametrize(
    "kind", [MADE, CHANGED, COMMENTED, APPROVED, REJECTED, WITHDRAWN, EXPIRED, EXECUTED, BREAK_GLASS]
)
@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"request": "1"},
        {"request": 99, "content": CONTENT, "by": "bob", "requester": "rita", "release": 1, "status": "published"},
        {
            "request": 1,
            "content": [],
            "by": {},
            "requester": [],
            "signed": 1,
            "needs": 3,
            "signatures": "ab",
            "reason": 1,
        },
    ],
)
def test_what_is_written_by_hand_changes_nothing(log: Log, kind: str, payload: dict[str, Any]) -> None:
    log.put(kind, payload)
    assert log.why()


def test_stricter_rules_than_those_of_the_request_can_be_asked_for(log: Log) -> None:
    log.say(APPROVED, "bob")
    book = log.book()
    assert book.lacking(1, log.now) == 0
    assert book.lacking(1, log.now, Needs(2, ("approver",))) == 1
    assert book.lacking(1, log.now, Needs(1, ("admin",))) == 1


def test_entries_of_other_kinds_are_passed_over(log: Log) -> None:
    log.put("published", {"request": 1})
    assert log.book().refused == []
    assert replace(log.entries[0], kind="x") not in log.entries


def rich() -> Log:
    """A log in which two requests go through nearly everything."""
    log = Log()
    log.ask(needs={"approvals": 2, "roles": ["approver"]})
    log.say(APPROVED, "bob")
    log.ask(content=OTHER, revision=2, needs={"approvals": 2, "roles": ["approver"]})
    log.ask(number=2)
    log.say(APPROVED, "cleo", OTHER)
    log.say(APPROVED, "bob", OTHER)
    log.say(REJECTED, "cleo", number=2)
    log.done(content=OTHER)
    log.user(USER_REVOKED, {"name": "bob"})
    return log


def test_entries_that_are_replayed_reordered_or_left_out_let_nothing_in() -> None:
    log, draw, executed = rich(), random.Random(7), 0
    assert log.book().refused == []
    assert log.book().get(1).state == "executed"
    for _ in range(400):
        entries = list(log.entries)
        for _ in range(draw.randint(1, 4)):
            change = draw.choice(("again", "out", "swap"))
            place = draw.randrange(len(entries))
            if change == "again":
                entries.insert(draw.randint(place, len(entries)), entries[place])
            elif change == "out":
                del entries[place]
            else:
                other = draw.randrange(len(entries))
                entries[place], entries[other] = entries[other], entries[place]
        book = Approvals.of([replace(entry, seq=seq) for seq, entry in enumerate(entries)])
        request = book.requests.get(1)
        if request is None or request.state != "executed":
            continue
        executed += 1
        people = {one.by for one in request.approvals}
        assert request.content == OTHER
        assert people == {"bob", "cleo"}
        # No more is known than what was signed, and in an order in which each entry could follow.
        assert 2 not in book.requests or book.requests[2].state in ("open", "rejected")
    assert executed > 20, "many changes do not touch what counts"
