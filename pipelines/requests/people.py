"""Add and revoke users. The first one is an admin, whom nobody vouches for; after that an admin's signature counts.

`dmmgov users add ann --role admin` makes `keys/ann.pem`, sealed by a passphrase; `dmmgov users add bob --role approver
--as ann` is signed with it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.requests.signing import enter, key_of, key_path, made_key, stamp_log
from registry.approvals import Approvals
from registry.errors import InputError, UnknownNameError
from registry.home import Home
from registry.keys import fingerprint
from registry.ledger import Ledger
from registry.statements import Statement
from registry.users import ROLES, USER_ADDED, USER_REVOKED, User, content_of, user_name


def users_of(home: Home) -> list[User]:
    """Everybody who was ever added, by name."""
    with Ledger.open(home) as ledger:
        return Approvals.read(ledger).users.current()


def add_user(
    home: Home,
    name: str,
    roles: Sequence[str],
    *,
    by: str = "",
    public: str | None = None,
    expires: datetime | None = None,
    key: Path | None = None,
    at: datetime | None = None,
) -> User:
    """Add a user to the ledger.

    Args:
        home: which home.
        name: of the user.
        roles: what the user may do.
        by: the admin who signs; nobody for the first user.
        public: the user's public key; where it is not given, a key is made in the home folder.
        expires: when the key stops to hold.
        key: file of the signing admin's private key; the home folder's otherwise.
        at: when; now where it is not given.

    Raises:
        InputError: the name, the roles or the key cannot be used.
        BlockedError: it is against a rule of `registry.users`.
    """
    user_name(name)
    for role in roles:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    with Ledger.open(home) as ledger:
        users, moment = Approvals.read(ledger).users, at or datetime.now(UTC)
        first = not users.history
        if first and by not in ("", name):
            raise InputError("the first user, who signs alone", f"--as {by}", "leave --as out")
        if first and public is not None:
            raise InputError("the first user's own key", "a public key alone", "leave --public out, or sign with --key")
        admin = name if first else by
        if not admin:
            raise InputError("the admin who signs", "nobody", "pass --as NAME")
        if not first:
            users.with_role(admin, users.now(moment), ("admin",))
        signer = None if first else key_of(home, admin, key)
        if public is None:
            own = key_of(home, name, key) if first and key is not None else made_key(home, name)
            signer, public = signer or own, own.public
        assert signer is not None, "the first user comes without --public"
        body = _body(name, roles, public, expires)
        values: dict[str, Any] = {**body, "by": admin}
        word = Statement(USER_ADDED, users.accepted + 1, content_of(body), admin, moment).signed(signer)
        values |= {"signed": word.text, "signer": word.public, "signature": word.signature}
        with ledger.transaction() as txn:
            marked = {**values, "bootstrap": True, "note": "first user; nobody vouches for it"} if first else values
            book = enter(ledger, txn, USER_ADDED, marked, admin, moment)
    stamp_log(home)
    return book.users.history[name][-1]


def _body(name: str, roles: Sequence[str], public: str, expires: datetime | None) -> dict[str, Any]:
    """What is signed about a user.

    Raises:
        InputError: the public key is none.
    """
    try:
        fingerprint(public)
    except ValueError as error:
        raise InputError("a public key of 64 hexadecimal digits", repr(public), "check it") from error
    ends = expires.astimezone(UTC).isoformat() if expires else None
    return {"name": name, "roles": list(dict.fromkeys(roles)), "public": public.lower(), "expires": ends}


def revoke_user(home: Home, name: str, *, by: str, key: Path | None = None, at: datetime | None = None) -> User:
    """Revoke a user: nothing that the key signs counts from then on, nor do approvals that are not executed yet.

    Raises:
        InputError: the admin's key cannot be used.
        BlockedError: it is against a rule of `registry.users`.
    """
    body = {"name": user_name(name)}
    with Ledger.open(home) as ledger:
        users, moment = Approvals.read(ledger).users, at or datetime.now(UTC)
        signer = key_of(home, by, key)
        word = Statement(USER_REVOKED, users.accepted + 1, content_of(body), by, moment).signed(signer)
        told = {"signed": word.text, "signer": word.public, "signature": word.signature}
        with ledger.transaction() as txn:
            book = enter(ledger, txn, USER_REVOKED, {**body, "by": by, **told}, by, moment)
    stamp_log(home)
    revoked = book.users.history[name][-1]
    path = key_path(home, name)
    if path.exists():  # a new key may be made under the name
        path.rename(path.with_name(f"{name}.revoked-{fingerprint(revoked.public)}.pem"))
    return revoked
