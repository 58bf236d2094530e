"""Signed statements: the one form in which a person's word lies in the ledger.

What is signed is TEXT, the canonical JSON of

    {"purpose": "dmmgov/<kind of the entry>/v1", "request": N, "content": DIGEST, "by": NAME, "at": TIME}

by Ed25519 over its UTF-8 bytes. TEXT follows from the entry that carries it (its kind, its payload, its time), so that
a statement says nothing of another kind, request, content, person or moment than its entry does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from registry.digests import canonical_json
from registry.errors import BlockedError
from registry.keys import SigningKey, verify

VERSION = "v1"


@dataclass(frozen=True)
class Statement:
    """What somebody says about one content at one moment.

    Attributes:
        kind: kind of the entry that carries it.
        number: of the request; for entries about users their serial number.
        content: digest of what it is about.
        by: name of who says so.
        at: when.
    """

    kind: str
    number: int
    content: str
    by: str
    at: datetime

    @property
    def text(self) -> str:
        """TEXT: what is signed."""
        values = {
            "purpose": f"dmmgov/{self.kind}/{VERSION}",
            "request": self.number,
            "content": self.content,
            "by": self.by,
            "at": self.at.astimezone(UTC).isoformat(),
        }
        return canonical_json(values).decode()

    def signed(self, key: SigningKey) -> "Signed":
        """The statement with the signature of `key`."""
        return Signed(self.text, key.public, key.sign(self.text.encode()))

    def check(self, signed: "Signed", public: str) -> None:
        """Hold a signature against this statement and the key of who makes it.

        Raises:
            BlockedError: it is of another statement, by another key, or no signature of it.
        """
        if signed.text != self.text:
            raise BlockedError(f"what {self.by} signed is not this {self.kind} of {self.number}: {signed.text!r}")
        if signed.public != public:
            raise BlockedError(f"it is signed with a key that is not that of {self.by}")
        if not verify(public, signed.text.encode(), signed.signature):
            raise BlockedError(f"the signature is not that of {self.by}")


@dataclass(frozen=True)
class Signed:
    """A signed text.

    Attributes:
        text: what was signed.
        public: the public key, hexadecimal.
        signature: over its UTF-8 bytes, hexadecimal.
    """

    text: str
    public: str
    signature: str

    def to_dict(self) -> dict[str, str]:
        """As it lies in the payload of an entry."""
        return {"signed": self.text, "public": self.public, "signature": self.signature}

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Self:
        """Read it from the payload of an entry.

        Raises:
            BlockedError: the entry is not signed.
        """
        try:
            text, public, signature = (payload[name] for name in ("signed", "public", "signature"))
        except KeyError as error:
            raise BlockedError(f"it is not signed: {error} is missing") from error
        if not all(isinstance(one, str) for one in (text, public, signature)):
            raise BlockedError("it is not signed: texts are expected")
        return cls(text, public, signature)
