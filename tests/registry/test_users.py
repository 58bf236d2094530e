"""Who may do what, as the log tells it: the first user, the admins after it, and what counts for nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry.errors import BlockedError, InputError
from registry.keys import SigningKey
from registry.records import LedgerEntry
from registry.statements import Statement
from registry.users import USER_ADDED, USER_REVOKED, Users, content_of, user_name

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = timedelta(hours=1)
ANN, BOB, CLEO, EVE = (SigningKey.generate() for _ in range(4))


def entry(seq: int, kind: str, payload: Mapping[str, Any], at: datetime | None = None) -> LedgerEntry:
    return LedgerEntry(seq, kind, "tester", at or AT + seq * LATER, payload, "")


def signed(seq: int, number: int, kind: str, body: Mapping[str, Any], by: str, key: SigningKey) -> LedgerEntry:
    at = AT + seq * LATER
    word = Statement(kind, number, content_of(body), by, at).signed(key)
    told = {"signed": word.text, "signer": word.public, "signature": word.signature}
    return entry(seq, kind, {**body, "by": by, **told}, at)


def person(name: str, key: SigningKey, *roles: str, expires: datetime | None = None) -> dict[str, Any]:
    ends = expires.isoformat() if expires else None
    return {"name": name, "roles": list(roles), "public": key.public, "expires": ends}


def first(seq: int = 0) -> LedgerEntry:
    found = signed(seq, 1, USER_ADDED, person("ann", ANN, "admin"), "ann", ANN)
    return replace(found, payload={**found.payload, "bootstrap": True})


def added(seq: int, number: int, body: Mapping[str, Any], by: str = "ann", key: SigningKey = ANN) -> LedgerEntry:
    return signed(seq, number, USER_ADDED, body, by, key)


def why(*entries: LedgerEntry) -> str:
    """The reason for which the last of the entries counts for nothing; the others count."""
    users = Users.of(entries)
    assert [one.seq for one in users.refused] == [entries[-1].seq]
    return users.refused[0].why


def test_the_first_user_is_an_admin_who_signs_with_the_own_key_and_says_so() -> None:
    users = Users.of([first()])
    assert users.who("ann", AT + LATER).roles == ("admin",)
    assert users.refused == []
    assert "marked" in why(signed(0, 1, USER_ADDED, person("ann", ANN, "admin"), "ann", ANN))
    plain = signed(0, 1, USER_ADDED, person("bob", BOB, "approver"), "bob", BOB)
    assert "admin" in why(replace(plain, payload={**plain.payload, "bootstrap": True}))
    other = signed(0, 1, USER_ADDED, person("ann", ANN, "admin"), "ann", EVE)
    assert "not that of ann" in why(replace(other, payload={**other.payload, "bootstrap": True}))


def test_after_that_only_an_admin_adds_and_revokes() -> None:
    bob = added(1, 2, person("bob", BOB, "approver"))
    assert Users.of([first(), bob]).with_role("bob", AT + 2 * LATER, ["approver"]).public == BOB.public
    assert "admin is needed" in why(first(), bob, added(2, 3, person("eve", EVE, "admin"), "bob", BOB))
    assert "no user" in why(first(), added(1, 2, person("eve", EVE, "admin"), "eve", EVE))
    assert "not that of ann" in why(first(), added(1, 2, person("eve", EVE, "admin"), "ann", EVE))
    again = first(1)
    assert "not marked" in why(first(), again)
    second = added(1, 2, person("eve", EVE, "admin"), "eve", EVE)
    assert "not marked" in why(first(), replace(second, payload={**second.payload, "bootstrap": True}))


def test_roles_keys_and_expiry_that_were_changed_after_signing_count_for_nothing() -> None:
    bob = added(1, 2, person("bob", BOB, "viewer"))
    for change in ({"roles": ["viewer", "admin"]}, {"public": EVE.public}, {"name": "eve"}):
        assert "is not this user_added" in why(first(), replace(bob, payload={**bob.payload, **change}))
    for change in ({"signature": "00" * 64}, {"signer": BOB.public}):
        assert why(first(), replace(bob, payload={**bob.payload, **change}))
    assert "is not this" in why(first(), replace(bob, recorded_at=AT + 9 * LATER))


def test_an_entry_about_users_cannot_be_put_in_again() -> None:
    bob = added(1, 2, person("bob", BOB, "approver"))
    gone = signed(2, 3, USER_REVOKED, {"name": "bob"}, "ann", ANN)
    users = Users.of([first(), bob, gone])
    assert users.refused == []
    with pytest.raises(BlockedError, match="revoked"):
        users.who("bob", AT + 3 * LATER)
    assert users.who("bob", AT + 1.5 * LATER).public == BOB.public, "what was said before stands"
    assert "is not this user_added of 4" in why(first(), bob, gone, replace(bob, seq=3))
    assert "one person for good" in why(first(), bob, gone, added(3, 4, person("rob", BOB, "approver")))
    new = Users.of([first(), bob, gone, added(3, 4, person("bob", CLEO, "viewer"))])
    assert new.who("bob", AT + 4 * LATER).public == CLEO.public


def test_an_expired_key_signs_nothing_also_when_its_entry_claims_to_be_older() -> None:
    soon = AT + 1.5 * LATER
    cleo = added(1, 2, person("cleo", CLEO, "admin", expires=soon))
    assert Users.of([first(), cleo]).who("cleo", AT + LATER).expires == soon
    assert "expired" in why(first(), cleo, added(2, 3, person("eve", EVE, "admin"), "cleo", CLEO))
    bob = added(2, 3, person("bob", BOB, "viewer"))
    dated = added(1, 4, person("eve", EVE, "admin"), "cleo", CLEO)
    assert "expired" in why(first(), cleo, bob, replace(dated, seq=3))
    assert "would have expired" in why(first(), added(1, 2, person("dan", BOB, "viewer", expires=AT)))


def test_the_last_admin_stays() -> None:
    assert "last admin" in why(first(), signed(1, 2, USER_REVOKED, {"name": "ann"}, "ann", ANN))
    cleo = added(1, 2, person("cleo", CLEO, "admin"))
    users = Users.of([first(), cleo, signed(2, 3, USER_REVOKED, {"name": "ann"}, "cleo", CLEO)])
    assert users.refused == []


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"name": "bob"},
        {"name": ["bob"], "roles": [{}], "public": 3, "expires": 4, "by": "ann", "signer": 1, "signed": 2},
        {
            "name": "b/../c",
            "roles": "admin",
            "public": "zz",
            "expires": "soon",
            "by": None,
            "signed": "{}",
            "signer": "",
        },
    ],
)
def test_what_somebody_wrote_into_the_log_by_hand_counts_for_nothing(payload: dict[str, Any]) -> None:
    assert why(first(), entry(1, USER_ADDED, payload))
    assert why(first(), entry(1, USER_REVOKED, payload))


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".pem", "log", "Log", "a b", "a\n", "x" * 65, "ä", "con."])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(InputError, match="name of a user"):
        user_name(name)


def test_usual_names_are_names() -> None:
    assert [user_name(name) for name in ("ann", "A.B-c_9", "7")] == ["ann", "A.B-c_9", "7"]
