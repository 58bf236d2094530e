"""Signed entries: only the right key over the right content at the right time holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry.digests import canonical_json
from registry.keys import SigningKey
from registry.records import LedgerEntry
from registry.signed import signed_problems

AT = datetime(2026, 3, 1, tzinfo=UTC)
CONTENT, OTHER = "c" * 64, "d" * 64
KEYS = {name: SigningKey.generate() for name in ("ada", "bob", "eve", "joe")}


@dataclass
class Log:
    """Entries as a log would hold them."""

    entries: list[LedgerEntry] = field(default_factory=list)
    at: datetime = AT

    def add(self, kind: str, **payload: Any) -> None:
        self.at += timedelta(minutes=1)
        self.entries.append(LedgerEntry(len(self.entries), kind, "x", self.at, payload, ""))

    def user(self, name: str, roles: tuple[str, ...] = ("approver",), expires: str | None = None) -> None:
        self.add("user_added", name=name, roles=list(roles), public=KEYS[name].public, expires=expires)

    def made(self, approvals: int = 1, roles: tuple[str, ...] = ("approver",)) -> None:
        needs = {"approvals": approvals, "roles": list(roles)}
        body = {"request": 1, "content": CONTENT, "requester": "ada", "tier": "low", "needs": needs}
        self.add("request_made", **body, **signature("request_made", "ada", self.at))

    def decided(self, name: str, verb: str = "approved", **changes: Any) -> None:
        kind = f"request_{verb}"
        body = {"request": 1, "content": CONTENT, "by": name, **signature(kind, name, self.at), **changes}
        self.add(kind, **body)

    def executed(self, content: str = CONTENT) -> None:
        self.add("request_executed", request=1, content=content, release=1)

    @property
    def problems(self) -> list[str]:
        return list(signed_problems(self.entries))


def signature(
    kind: str, name: str, at: datetime, key: str | None = None, content: str = CONTENT, request: int = 1
) -> Mapping[str, str]:
    said = {"purpose": f"dmmgov/{kind}/v1", "request": request, "content": content, "by": name, "at": at.isoformat()}
    text = canonical_json(said).decode()
    signer = KEYS[key or name]
    return {"signed": text, "public": signer.public, "signature": signer.sign(text.encode())}


@pytest.fixture
def log() -> Log:
    made = Log()
    made.user("ada", ("requester", "approver"))
    made.user("bob")
    made.user("joe", ("viewer",))
    return made


def test_a_request_that_another_approved_may_be_executed(log: Log) -> None:
    log.made()
    log.decided("bob")
    log.executed()
    assert log.problems == []


def test_two_approvals_are_two_people(log: Log) -> None:
    log.user("eve")
    log.made(approvals=2)
    log.decided("bob")
    log.decided("bob")
    log.executed()
    assert log.problems == ["entry 7 (request_executed): request 1 needs 2 approvals that hold, it has 1"]
    log.entries[6] = LedgerEntry(6, "request_approved", "x", AT, {}, "")
    del log.entries[6:]
    log.decided("eve")
    log.executed()
    assert log.problems == []


def forged(log: Log) -> None:
    log.decided("bob", **signature("request_approved", "bob", log.at, key="eve"))


def under_his_name(log: Log) -> None:
    made = signature("request_approved", "bob", log.at, key="eve")
    log.decided("bob", signed=made["signed"], signature=made["signature"], public=KEYS["bob"].public)


def other_content(log: Log) -> None:
    log.decided("bob", content=OTHER, **signature("request_approved", "bob", log.at, content=OTHER))


def signed_other_content(log: Log) -> None:
    log.decided("bob", **signature("request_approved", "bob", log.at, content=OTHER))


def signed_other_request(log: Log) -> None:
    log.decided("bob", **signature("request_approved", "bob", log.at, request=2))


def signed_truth(log: Log) -> None:
    text = canonical_json({**loads(signature("request_approved", "bob", log.at)["signed"]), "request": True}).decode()
    log.decided("bob", signed=text, signature=KEYS["bob"].sign(text.encode()))


def rejection_as_approval(log: Log) -> None:
    log.decided("bob", **signature("request_rejected", "bob", log.at))


def self_approval(log: Log) -> None:
    log.decided("ada")


def stranger(log: Log) -> None:
    log.decided("eve")


def revoked(log: Log) -> None:
    log.add("user_revoked", name="bob")
    log.decided("bob")


def expired(log: Log) -> None:
    log.user("bob", expires=log.at.isoformat())
    log.decided("bob")


def backdated(log: Log) -> None:
    log.user("bob", expires=(AT + timedelta(minutes=2)).isoformat())
    log.decided("bob", **signature("request_approved", "bob", AT))


def wrong_role(log: Log) -> None:
    log.decided("joe")


def not_canonical(log: Log) -> None:
    text = signature("request_approved", "bob", log.at)["signed"].replace(":", ": ")
    log.decided("bob", signed=text, signature=KEYS["bob"].sign(text.encode()))


def unsigned(log: Log) -> None:
    log.add("request_approved", request=1, content=CONTENT, by="bob")


def loads(text: str) -> Any:
    import json

    return json.loads(text)


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (forged, "signed with another key than bob"),
        (under_his_name, "the signature is not one of bob"),
        (other_content, "it is about content dddd"),
        (signed_other_content, "what bob signed says content"),
        (signed_other_request, "what bob signed says request 2"),
        (signed_truth, "what bob signed says request True"),
        (rejection_as_approval, "what bob signed says purpose"),
        (self_approval, "ada approves what ada asked for"),
        (stranger, "eve was no user then"),
        (revoked, "their key was revoked"),
        (expired, "the key of bob had expired"),
        (backdated, "the key of bob had expired"),
        (wrong_role, "joe holds none of the roles approver"),
        (not_canonical, "not in canonical form"),
        (unsigned, "it cannot be read"),
    ],
)
def test_no_approval_but_a_right_one_holds(log: Log, forge: Callable[[Log], None], words: str) -> None:
    log.made()
    forge(log)
    log.executed()
    first, second = log.problems
    assert words in first
    assert first.startswith(f"entry {log.entries[-2].seq} (request_approved)")
    assert second.startswith(f"entry {log.entries[-1].seq} (request_executed): request 1 needs 1 approvals")


@pytest.mark.parametrize("verb", ["rejected", "withdrawn"])
def test_what_had_ended_is_not_executed(log: Log, verb: str) -> None:
    log.made()
    log.decided("bob")
    log.decided("ada" if verb == "withdrawn" else "bob", verb)
    log.executed()
    assert log.problems == [f"entry 6 (request_executed): request 1 had ended before (request_{verb})"]


def test_what_is_executed_is_what_was_approved_and_once(log: Log) -> None:
    log.made()
    log.decided("bob")
    log.executed(OTHER)
    log.executed()
    log.executed()
    assert [problem.split(":")[0] for problem in log.problems] == [
        "entry 5 (request_executed)",
        "entry 7 (request_executed)",
    ]


def test_a_request_is_made_once_and_by_its_requester(log: Log) -> None:
    log.made()
    log.made()
    assert log.problems == ["entry 4 (request_made): request 1 was made before"]
    log.entries[3] = LedgerEntry(3, "request_made", "x", AT, {**log.entries[3].payload, "requester": "bob"}, "")
    assert log.problems[0].startswith("entry 3 (request_made): it is signed with another key")


def broken(log: Log, *names: str, **changes: Any) -> None:
    signatures = [{"by": name, **signature("break_glass", name, log.at)} for name in names]
    log.add("break_glass", **{"request": 1, "content": CONTENT, "signatures": signatures, **changes})


def test_two_people_break_the_glass(log: Log) -> None:
    log.made(approvals=3)
    broken(log, "ada", "bob")
    log.executed()
    assert log.problems == []


@pytest.mark.parametrize(
    ("names", "changes", "words"),
    [
        (("bob",), {}, "it takes 2 people"),
        (("bob", "bob"), {}, "it takes 2 people"),
        (("bob", "eve"), {}, "eve was no user"),
        (("ada", "bob"), {"content": OTHER}, "it is about content"),
    ],
)
def test_one_person_or_a_stranger_does_not(
    log: Log, names: tuple[str, ...], changes: Mapping[str, Any], words: str
) -> None:
    log.made(approvals=3)
    broken(log, *names, **changes)
    log.executed()
    assert words in log.problems[0]
    assert "needs 3 approvals" in log.problems[1]


def test_decisions_on_nothing_are_named(log: Log) -> None:
    log.decided("bob")
    log.executed()
    log.add("user_revoked", name="nobody")
    assert log.problems == [
        "entry 3 (request_approved): there is no request 1",
        "entry 4 (request_executed): there is no request 1",
        "entry 5 (user_revoked): nobody is no user",
    ]
