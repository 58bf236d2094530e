"""Who may do what: people, their roles and their keys, as the log tells it.

`user_added` {"name", "roles", "public", "expires", "by", "signed", "signer", "signature"} and
`user_revoked` {"name", "by", "signed", "signer", "signature"} are signed statements (`registry.statements`) about the
digest of {"name", "roles", "public", "expires"} and of {"name"}; their number counts the accepted entries about users
from 1 on, so that none can be put in a second time. Rules:

1. The first user is an admin, signs with the own key, and is marked as the one whom nobody vouches for.
2. After that an admin signs, whose key holds at that time.
3. A name has one holder at a time; a key belongs to one person for good.
4. Whoever is revoked, or whose key has expired, can sign nothing any more. The last admin cannot be revoked.

    users = Users.of(entries)
    users.who("ann", at)        # the person, or an error that says why not
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self, get_args

from registry.digests import digest_json
from registry.errors import BlockedError, InputError
from registry.keys import fingerprint
from registry.records import LedgerEntry
from registry.statements import Signed, Statement

Role = Literal["viewer", "requester", "approver", "auditor", "admin"]
"""What a person may do.

viewer: look. requester: ask for changes. approver: allow or refuse what others ask for. auditor: check everything.
admin: add and revoke people.
"""
ROLES: tuple[Role, ...] = get_args(Role)
USER_ADDED, USER_REVOKED = "user_added", "user_revoked"
USER_KINDS = (USER_ADDED, USER_REVOKED)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED = ("log", "witness")
"""Names of keys that are nobody's."""


@dataclass(frozen=True)
class User:
    """A person under one key.

    Attributes:
        name: by which the person signs.
        roles: what the person may do.
        public: the public key, hexadecimal.
        added_at: since when.
        expires: when the key stops to hold; None is never.
        revoked_at: when the person was revoked; None is not.
    """

    name: str
    roles: tuple[Role, ...]
    public: str
    added_at: datetime
    expires: datetime | None = None
    revoked_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the key's fingerprint."""
        times = {"added_at": self.added_at, "expires": self.expires, "revoked_at": self.revoked_at}
        told = {name: when.isoformat() if when else None for name, when in times.items()}
        own = {"name": self.name, "roles": list(self.roles), "public": self.public}
        return {**own, "fingerprint": fingerprint(self.public), **told}

    def barrier(self, at: datetime) -> str | None:
        """Why the person's word does not count at a moment, None where it does."""
        if at < self.added_at:
            return f"{self.name} was no user yet"
        if self.revoked_at is not None and self.revoked_at <= at:
            return f"{self.name} was revoked on {self.revoked_at.isoformat()}"
        if self.expires is not None and self.expires <= at:
            return f"the key of {self.name} expired on {self.expires.isoformat()}"
        return None


@dataclass(frozen=True)
class Refusal:
    """An entry that counts for nothing.

    Attributes:
        seq: its position in the log.
        kind: its kind.
        why: in words.
    """

    seq: int
    kind: str
    why: str


@dataclass
class Users:
    """Everybody who was ever added; `of` folds it from the log.

    Attributes:
        history: every person under every key, by name, the latest last.
        accepted: number of entries about users that count.
        clock: the latest moment that a signed entry bears; an entry that claims to be older is taken to be of it.
        refused: entries that count for nothing.
    """

    history: dict[str, tuple[User, ...]] = field(default_factory=dict)
    accepted: int = 0
    clock: datetime = BEGINNING
    refused: list[Refusal] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> Self:
        """Fold entries in the order of the log; those of other kinds are passed over, those against a rule refused."""
        users = cls()
        for entry in entries:
            if entry.kind in USER_KINDS:
                try:
                    users.apply(entry)
                except BlockedError as error:
                    users.refused.append(Refusal(entry.seq, entry.kind, str(error)))
        return users

    def current(self) -> list[User]:
        """Everybody under the latest key, by name."""
        return [self.history[name][-1] for name in sorted(self.history)]

    def who(self, name: str, at: datetime) -> User:
        """The person who signs by `name` at a moment.

        Raises:
            BlockedError: there is none then: never added, revoked, or the key has expired.
        """
        held = self.history.get(name, ())
        if not held:
            raise BlockedError(f"{name!r} is no user; an admin adds users with `dmmgov users add`")
        user = next((one for one in reversed(held) if one.added_at <= at), held[0])
        if (barrier := user.barrier(at)) is not None:
            raise BlockedError(barrier)
        return user

    def now(self, at: datetime) -> datetime:
        """The moment at which an entry of `at` counts: time in the log does not go back."""
        return max(self.clock, at)

    def with_role(self, name: str, at: datetime, roles: Iterable[str]) -> User:
        """The person who signs by `name`, who has one of the roles.

        Raises:
            BlockedError: there is none, or the role is missing.
        """
        user, wanted = self.who(name, at), tuple(roles)
        if not set(user.roles) & set(wanted):
            raise BlockedError(f"{name} is {_and(user.roles)}; {' or '.join(wanted)} is needed")
        return user

    def apply(self, entry: LedgerEntry) -> None:
        """Take one entry in.

        Raises:
            BlockedError: it is against a rule.
        """
        payload = entry.payload
        try:
            name, by = str(payload["name"]), str(payload["by"])
            content = content_of(payload)
            signed = Signed.of({**payload, "public": payload["signer"]})
        except (KeyError, TypeError, ValueError) as error:
            raise BlockedError(f"it is not complete: {error}") from error
        at = self.now(entry.recorded_at)
        statement = Statement(entry.kind, self.accepted + 1, content, by, entry.recorded_at)
        if entry.kind == USER_ADDED:
            user = _user(payload, at)
            self._vouched(user, statement, signed, at, bool(payload.get("bootstrap")))
            self.history[name] = (*self.history.get(name, ()), user)
        else:
            statement.check(signed, self.with_role(by, at, ("admin",)).public)
            user = self.who(name, at)
            if "admin" in user.roles and len(self._admins(at)) == 1:
                raise BlockedError(f"{name} is the last admin; add another one first")
            self.history[name] = (*self.history[name][:-1], replace(user, revoked_at=at))
        self.accepted += 1
        self.clock = at

    def _vouched(self, user: User, statement: Statement, signed: Signed, at: datetime, bootstrap: bool) -> None:
        """Check that a new user may be added.

        Raises:
            BlockedError: says why not.
        """
        first = not self.history
        if bootstrap != first:
            words = "the first user vouches for the own key" if first else "there are users already"
            raise BlockedError(f"{words}, so it is {'not ' * (not first)}marked as the first one")
        if first:
            if "admin" not in user.roles or statement.by != user.name:
                raise BlockedError("the first user is an admin, who signs with the own key")
            statement.check(signed, user.public)
            return
        statement.check(signed, self.with_role(statement.by, at, ("admin",)).public)
        before = self.history.get(user.name, ())
        if before and before[-1].barrier(at) is None:
            raise BlockedError(f"{user.name} is a user already; revoke the old key first")
        holders = [one.name for held in self.history.values() for one in held if one.public == user.public]
        if holders:
            raise BlockedError(f"the key is that of {holders[0]}; a key belongs to one person for good")

    def _admins(self, at: datetime) -> list[User]:
        """Admins whose keys hold."""
        return [one for one in self.current() if "admin" in one.roles and one.barrier(at) is None]


def user_name(text: str) -> str:
    """A name that can be a user's: letters, digits, `.`, `_` and `-`, never a path.

    Raises:
        InputError: it is none.
    """
    if not _NAME.fullmatch(text) or text.lower() in RESERVED or text.endswith("."):
        todo = "letters, digits, . _ -, beginning with a letter or digit, at most 64"
        raise InputError("the name of a user", repr(text), f"use {todo}; {' and '.join(RESERVED)} are taken")
    return text


def content_of(payload: Mapping[str, Any]) -> str:
    """Digest of what an entry about a user says."""
    fields = ("name", "roles", "public", "expires") if "roles" in payload else ("name",)
    return digest_json({name: payload[name] for name in fields})


def _user(payload: Mapping[str, Any], at: datetime) -> User:
    """The user that an entry adds.

    Raises:
        BlockedError: it names none.
    """
    try:
        name, roles = user_name(payload["name"]), tuple(payload["roles"])
        fingerprint(payload["public"])
        expires = datetime.fromisoformat(payload["expires"]) if payload["expires"] else None
        if expires is not None and expires.tzinfo is None:
            raise ValueError("a time without its zone")
        if not roles or not set(roles) <= set(ROLES) or len(set(roles)) != len(roles):
            raise ValueError(f"roles are {', '.join(ROLES)}, each once, got {list(roles)}")
    except (InputError, ValueError, TypeError) as error:
        raise BlockedError(f"it adds no user: {error}") from error
    if expires is not None and expires <= at:
        raise BlockedError(f"the key would have expired on {expires.isoformat()}")
    return User(name, roles, payload["public"], at, expires)


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)
