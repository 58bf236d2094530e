"""A person's key and signature on this machine, and the one way in which a signed entry gets into the ledger.

Private keys lie in `keys/NAME.pem` of the home folder, sealed by a passphrase, or in a file of the person's own. The
passphrase is taken from DMMGOV_PASSPHRASE_NAME (the name in capitals, `_` for everything but letters and digits) or
DMMGOV_PASSPHRASE where one is set, and asked for on the terminal otherwise. It is never an argument and never kept.
"""

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.approvals import Approvals
from registry.errors import InputError
from registry.home import Home
from registry.keys import SigningKey
from registry.records import LedgerEntry
from registry.statements import Statement
from registry.users import user_name

if TYPE_CHECKING:
    from registry.ledger import Ledger, Transaction

PASSPHRASE_VARIABLE = "DMMGOV_PASSPHRASE"
MIN_PASSPHRASE = 8
_SEALED = b"ENCRYPTED"


def key_path(home: Home, name: str) -> Path:
    """Where the private key of a user lies on this machine.

    Raises:
        InputError: the name cannot be a user's.
    """
    return home.keys / f"{user_name(name)}.pem"


def passphrase_of(name: str, *, new: bool = False) -> str:
    """The passphrase of a user's key: from the environment, or asked for on the terminal.

    Args:
        name: whose.
        new: it seals a new key: it is asked for twice, and must not be short.

    Raises:
        InputError: there is nobody to ask, the two differ, or it is too short.
    """
    own = f"{PASSPHRASE_VARIABLE}_{re.sub('[^A-Z0-9]', '_', name.upper())}"
    given = os.environ.get(own) or os.environ.get(PASSPHRASE_VARIABLE)
    if not given:
        if not sys.stdin.isatty():
            raise InputError(f"the passphrase of {name}", "nobody to ask", f"set {own} or {PASSPHRASE_VARIABLE}")
        from getpass import getpass

        given = getpass(f"passphrase of {name}: ")
        if new and getpass(f"passphrase of {name}, again: ") != given:
            raise InputError("the same passphrase twice", "two", "try again")
    if new and len(given) < MIN_PASSPHRASE:
        raise InputError(f"a passphrase of {MIN_PASSPHRASE} characters", f"{len(given)}", "take a longer one")
    return given


def key_of(home: Home, name: str, file: Path | None = None) -> SigningKey:
    """The private key of a user, from the home folder or from a file of the user's own.

    Raises:
        InputError: there is none here, or its passphrase is another.
    """
    path = file or key_path(home, name)
    if not path.is_file():
        todo = "name the key's file with --key, or ask an admin for `dmmgov users add`"
        raise InputError(f"the private key of {name} in {path}", "no file", todo)
    sealed = _SEALED in path.read_bytes()
    return SigningKey.load(path, passphrase_of(name) if sealed else None)


def made_key(home: Home, name: str) -> SigningKey:
    """A new sealed key for a user in the home folder; one that lies there already is taken.

    Raises:
        InputError: the name or the passphrase cannot be used.
    """
    path = key_path(home, name)
    if path.exists():
        return key_of(home, name)
    key = SigningKey.generate()
    key.save(path, passphrase_of(name, new=True))
    return key


def enter(
    ledger: "Ledger", txn: "Transaction", kind: str, payload: Mapping[str, Any], actor: str, at: datetime
) -> Approvals:
    """Append an entry about users or requests that keeps every rule; returns what holds then.

    Raises:
        BlockedError: it is against a rule, and is not appended.
    """
    book = Approvals.read(ledger)
    book.apply(LedgerEntry(txn.frontier.size, kind, actor, at, payload, ""))
    ledger.append(txn, kind, payload, actor, at)
    return book


def signed(key: SigningKey, kind: str, number: int, content: str, by: str, at: datetime) -> dict[str, str]:
    """The signature of a statement, as it lies in the payload of its entry."""
    return Statement(kind, number, content, by, at).signed(key).to_dict()


def stamp_log(home: Home) -> None:
    """Sign a checkpoint of the log with its own key, as every writing command does at its end.

    Who signs an entry need not hold the log's key: where it is not at hand the next command that has it signs.
    """
    from registry.checkpoints import stamp
    from registry.ledger import Ledger

    with Ledger.open(home) as ledger, suppress(InputError):
        stamp(home, ledger)
