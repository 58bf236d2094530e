"""Contents of requests and words of comments, sealed part by part: the reason, every row and every comment on its own.

What is signed is the digest of an *outline*: everything that holds no content as it is, and in place of the reason and
of each row the digest of it beside a random salt. So when the key of a row is deleted, the outline still has the digest
that was signed, every other row can still be held against it, and nobody can try guesses at the one that is gone.

    request:<number>:<revision>:<place>     id of the key of a part; place 0 is the reason, 1, 2, ... the rows
    comment:<request>:<place>               id of the key of a comment
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from registry.digests import digest_bytes, digest_json
from registry.errors import IntegrityError
from registry.shredding import PREFIX, Shredded, key_id, keys_of, open_text, seal_many

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.ledger import Transaction

GONE = "(forgotten)"
"""What stands in place of words that were forgotten."""
GONE_ROW = {"forgotten": "yes"}
"""What stands in place of a row that was forgotten."""
SALT_BYTES = 16
DIFFERS = "a part of it is not what was signed"


@dataclass(frozen=True)
class Split:
    """A content as it is signed and kept.

    Attributes:
        outline: what is signed.
        parts: the reason, then the rows, each beside its salt.
    """

    outline: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Split a content, with new salts."""
        parts = [salted(one) for one in (content.get("reason", ""), *content.get("rows", ()))]
        reason, *rows = [digest_json(one) for one in parts]
        return cls({**content, "reason": reason, "rows": rows}, parts)

    @property
    def digest(self) -> str:
        """What is signed."""
        return digest_json(self.outline)

    def sealed(self, txn: "Transaction", number: int, revision: int) -> dict[str, Any]:
        """What is kept: the outline, and the parts under keys of their own."""
        items = [(part_key(number, revision, place), part) for place, part in enumerate(self.parts)]
        return {"outline": dict(self.outline), "parts": seal_many(txn, items)}


@dataclass(frozen=True)
class Kept:
    """A content as it is kept.

    Attributes:
        digest: of its outline; of its bytes where it is one of an earlier version, which is not sealed.
        parts: the reason, then the rows; `Shredded` where one was forgotten.
        outline: as it was signed.
        sealed: whether its parts have keys; those of earlier versions do not.
    """

    digest: str
    parts: tuple[Any, ...]
    outline: Mapping[str, Any]
    sealed: bool = True

    @classmethod
    def read(cls, connection: "Connection", number: int, revision: int, body: str) -> Self:
        """Open what is kept.

        Raises:
            IntegrityError: a part is not what was signed, or is none.
        """
        what = f"the content of request {number}"
        values = _json(body)
        if "outline" not in values:
            return cls(digest_bytes(body.encode()), (values.get("reason", ""), *values.get("rows", ())), values, False)
        outline, texts = values["outline"], values["parts"]
        names = [part_key(number, revision, place) for place in range(1 + len(outline["rows"]))]
        if [key_id(text) for text in texts] != names:
            raise IntegrityError(what, "its own parts", "others")
        keys = keys_of(connection, names)
        opened = [open_text(keys, text) for text in texts]
        for one, wanted in zip(opened, (outline["reason"], *outline["rows"]), strict=True):
            if not isinstance(one, Shredded) and digest_json(one) != wanted:
                raise IntegrityError(what, "what was signed", DIFFERS)
        return cls(digest_json(outline), tuple(map(_value, opened)), outline)

    @property
    def gone(self) -> bool:
        """Whether a part of it was forgotten."""
        return any(isinstance(one, Shredded) for one in self.parts)

    @property
    def content(self) -> dict[str, Any]:
        """The content; `GONE` and `GONE_ROW` stand for a reason and a row that were forgotten."""
        reason, *rows = self.parts
        shown = [dict(GONE_ROW) if isinstance(one, Shredded) else one for one in rows]
        return {**self.outline, "reason": GONE if isinstance(reason, Shredded) else reason, "rows": shown}


def part_key(number: int, revision: int, place: int) -> str:
    """Id of the key of one part of a content."""
    return f"request:{number}:{revision}:{place}"


def comment_key(number: int, place: int) -> str:
    """Id of the key of a comment."""
    return f"comment:{number}:{place}"


def salted(value: Any) -> dict[str, Any]:
    """A value beside a random salt, so that its digest says nothing about it."""
    return {"salt": secrets.token_hex(SALT_BYTES), "value": value}


def opened_comment(connection: "Connection", number: int, place: int, text: str) -> tuple[str, str]:
    """The digest of a comment and its words.

    The digest is empty where the words were forgotten, since it cannot be made from them any more.

    Raises:
        IntegrityError: it is sealed under another key than its own, or was changed.
    """
    if not text.startswith(PREFIX):
        return digest_bytes(text.encode()), text
    name = comment_key(number, place)
    if key_id(text) != name:
        raise IntegrityError(f"comment {place} on request {number}", "its own words", "others")
    found = open_text(keys_of(connection, [name]), text)
    return ("", GONE) if isinstance(found, Shredded) else (digest_json(found), str(found["value"]))


def sealed_bodies(connection: "Connection") -> Iterator[str]:
    """Every text in which parts of contents and comments are sealed."""
    from sqlalchemy import select

    from registry import tables

    for body in connection.execute(select(tables.requests.c.body)).scalars():
        yield from (text for text in _json(body).get("parts", ()) if isinstance(text, str))
    for words in connection.execute(select(tables.request_comments.c.words)).scalars():
        if words.startswith(PREFIX):
            yield words


def _value(one: Any) -> Any:
    """A part without its salt."""
    return one if isinstance(one, Shredded) else one["value"]


def _json(body: str) -> dict[str, Any]:
    """A body as plain values; nothing where it is no JSON object."""
    try:
        values = json.loads(body)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
