"""`dmmgov users add | list | revoke`: who may do what."""

from datetime import UTC, datetime, time
from typing import Annotated

import typer

from pipelines import console
from pipelines.commands.asking import KeyFile
from pipelines.commands.options import AsJson, day_of, home_of

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, . _ -")]
Admin = Annotated[str, typer.Option("--as", metavar="ADMIN", help="The admin who signs; nobody for the first user.")]


def add(
    context: typer.Context,
    name: Name,
    role: Annotated[
        list[str],
        typer.Option(
            "--role", metavar="ROLE", help="viewer, requester, approver, auditor or admin; may be given again."
        ),
    ],
    public: Annotated[
        str | None,
        typer.Option("--public", metavar="HEX", help="The user's public key; without it a key is made here."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DATE", help="First day on which the key no longer holds.")
    ] = None,
    by: Admin = "",
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a user; the first one is an admin, after that an admin signs.

    A new key is sealed by a passphrase, asked for or taken from DMMGOV_PASSPHRASE.
    """
    from pipelines.requests.people import add_user

    day = day_of(expires, "--expires")
    ends = datetime.combine(day, time(), UTC) if day else None
    user = add_user(home_of(context), name, role, by=by, public=public, expires=ends, key=key)
    console.show(user, as_json, lambda: console.figures(f"{name} is added", user.to_dict()))


def list_users(context: typer.Context, as_json: AsJson = False) -> None:
    """List everybody who was ever added, with roles and the fingerprint of the key."""
    from pipelines.requests.people import users_of

    users = users_of(home_of(context))
    rows = [
        {
            "name": one.name,
            "roles": " ".join(one.roles),
            "key": one.to_dict()["fingerprint"],
            "state": one.barrier(datetime.now(UTC)) or "may sign",
        }
        for one in users
    ]
    empty = "nobody is added yet; `dmmgov users add NAME --role admin` adds the first one"
    console.show(users, as_json, lambda: console.records("users", rows, empty))


def revoke(context: typer.Context, name: Name, by: Admin = "", key: KeyFile = None, as_json: AsJson = False) -> None:
    """Revoke a user; what the key signs from now on counts for nothing."""
    from pipelines.requests.people import revoke_user

    user = revoke_user(home_of(context), name, by=by, key=key)
    console.show(user, as_json, lambda: console.figures(f"{name} is revoked", user.to_dict()))
