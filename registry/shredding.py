"""Content under keys of its own: whoever deletes the key has made the content unreadable, and no proof has changed.

Append-only tables keep content as sealed text (AES-256-GCM). What is hashed into the log is the sealed text, so a proof
over it holds whether or not the key is still there. A sealed text names the id of its key, which is also bound into it:

    sealed:<id>:<base64 of nonce, ciphertext and tag>

Keys lie in `content_keys`, the one table here from which rows are deleted. A row is never changed.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.digests import canonical_json
from registry.errors import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.ledger import Transaction

PREFIX = "sealed:"
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
PAD = 64
"""Content is filled up to a multiple of this many bytes, so that its length says little about it."""
BATCH = 5000
PEPPER = "pepper"
"""Id of the key of `fingerprint`, which is never deleted: without the home, nobody can try guesses against a digest."""

FORGOTTEN = "forgotten"
"""Ledger kind of the entry that says what was forgotten; its payload names the deleted keys and holds no content."""


@dataclass(frozen=True)
class Shredded:
    """What is read in place of content whose key is gone.

    Attributes:
        id: id of the key.
    """

    id: str


def seal(key: bytes, key_id: str, content: Any) -> str:
    """Seal plain JSON values under a key; the id must not hold a colon after which base64 could begin."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    plain = canonical_json(content)
    plain += b" " * (-len(plain) % PAD)
    nonce = os.urandom(NONCE_BYTES)
    data = nonce + AESGCM(key).encrypt(nonce, plain, key_id.encode())
    return f"{PREFIX}{key_id}:{base64.b64encode(data).decode()}"


def unseal(key: bytes, text: str) -> Any:
    """The content of a sealed text.

    Raises:
        IntegrityError: it was changed, or the key is not its own.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    name = key_id(text)
    try:
        data = base64.b64decode(text.rpartition(":")[2], validate=True)
        plain = AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], (name or "").encode())
        return json.loads(plain)
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise IntegrityError(f"the content sealed under {name}", "what its key opens", "something else") from error


def key_id(text: str) -> str | None:
    """The id of the key of a sealed text, None where the text is not sealed."""
    return text[len(PREFIX) :].rpartition(":")[0] if text.startswith(PREFIX) else None


def new_id() -> str:
    """An id for content that has none of its own."""
    return f"told:{secrets.token_hex(12)}"


def keys_of(connection: "Connection", ids: Iterable[str]) -> dict[str, bytes]:
    """The keys that are there, by id."""
    from sqlalchemy import select

    from registry import tables

    columns = tables.content_keys.c
    wanted, found = list(dict.fromkeys(ids)), {}
    for start in range(0, len(wanted), BATCH):
        rows = connection.execute(select(columns.id, columns.key).where(columns.id.in_(wanted[start : start + BATCH])))
        found.update({name: bytes.fromhex(key) for name, key in rows})
    return found


def seal_many(txn: "Transaction", items: Sequence[tuple[str, Any]]) -> list[str]:
    """Seal contents inside a transaction, each under a new key.

    Args:
        txn: the transaction.
        items: id and plain JSON values; an id is used once and never again, also not after its key was deleted.
    """
    from sqlalchemy import insert

    from registry import tables

    if not items:
        return []
    keys = [(name, secrets.token_bytes(KEY_BYTES)) for name, _ in items]
    txn.execute(insert(tables.content_keys), [{"id": name, "key": key.hex()} for name, key in keys])
    return [seal(key, name, content) for (name, key), (_, content) in zip(keys, items, strict=True)]


def told(txn: "Transaction", content: Any) -> str:
    """Seal one content under a new key."""
    return seal_many(txn, [(new_id(), content)])[0]


@dataclass(frozen=True)
class ToSeal:
    """Stands for words that are to be sealed where they come into the log.

    Attributes:
        words: in plain text.
    """

    words: str


def sealed_payload(txn: "Transaction", payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload with what is `ToSeal` in it sealed."""
    return {name: told(txn, one.words) if isinstance(one, ToSeal) else one for name, one in payload.items()}


def sealed_words(txn: "Transaction", words: str) -> str:
    """Words, sealed under a new key; none where there are none."""
    return told(txn, words) if words.strip() else words


def open_text(keys: Mapping[str, bytes], text: str) -> Any:
    """The content of a sealed text, or that its key is gone."""
    name = key_id(text) or ""
    return unseal(keys[name], text) if name in keys else Shredded(name)


def sealed_texts(value: Any) -> Iterator[str]:
    """Every sealed text in plain JSON values."""
    if isinstance(value, str):
        if value.startswith(PREFIX):
            yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from sealed_texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from sealed_texts(one)


def opened(connection: "Connection", value: Any) -> Any:
    """Plain JSON values with every sealed text opened, or `Shredded` in its place."""
    texts = list(sealed_texts(value))
    if not texts:
        return value
    keys = keys_of(connection, (key_id(text) or "" for text in texts))
    return _opened(keys, value)


def _opened(keys: Mapping[str, bytes], value: Any) -> Any:
    """`value` with its sealed texts opened."""
    if isinstance(value, str):
        return open_text(keys, value) if value.startswith(PREFIX) else value
    if isinstance(value, Mapping):
        return {name: _opened(keys, one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_opened(keys, one) for one in value]
    return value


def shred(txn: "Transaction", ids: Collection[str]) -> int:
    """Delete keys inside a transaction; returns how many there were."""
    from sqlalchemy import delete

    from registry import tables

    wanted, gone = sorted(set(ids) - {PEPPER}), 0
    for start in range(0, len(wanted), BATCH):
        chosen = tables.content_keys.c.id.in_(wanted[start : start + BATCH])
        gone += txn.execute(delete(tables.content_keys).where(chosen)).rowcount
    return gone


def pepper(connection: "Connection") -> bytes | None:
    """The key of `fingerprint`, None while nothing was ever forgotten."""
    return keys_of(connection, [PEPPER]).get(PEPPER)


def make_pepper(txn: "Transaction") -> bytes:
    """The key of `fingerprint`, made at its first use."""
    if pepper(txn.connection) is None:
        seal_many(txn, [(PEPPER, None)])
    return keys_of(txn.connection, [PEPPER])[PEPPER]


def fingerprint(key: bytes, *parts: str) -> str:
    """A keyed digest of some texts: equal texts give equal digests, and only who holds the key can try a guess."""
    return hmac.new(key, canonical_json(list(parts)), hashlib.sha256).hexdigest()
