"""Signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature): a short text with lines of signatures below it.

    dmmgov/3f2a90c1d4e5b678
    1204
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — dmmgov/3f2a90c1d4e5b678 kN0bZ1...

The text names the log (its origin), how many entries it has, and their Merkle root. The first line below is the log's
own, every further one a witness's: it says when the witness saw this checkpoint, and that no earlier one contradicted
it. Other tools for transparency logs read and check these files as they are.
"""

import base64
import binascii
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Literal, Self

from registry.errors import InputError
from registry.keys import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verify

SIGNATURE_TYPE: Final = 0x01
COSIGNATURE_TYPE: Final = 0x04
KeyType = Literal[0x01, 0x04]
KEY_ID_BYTES, TIME_BYTES, ROOT_BYTES = 4, 8, 32
LONGEST_NOTE = 100_000
MARK = "\u2014 "
NAME = re.compile(r"[^\s+\u0000-\u001f]+")
SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
TODO = "take the file as the log wrote it"


@dataclass(frozen=True)
class SignatureLine:
    """One line of signature.

    Attributes:
        name: of the key.
        key_id: first bytes of the digest of the key's name, type and public part.
        value: what follows them: the signature, of a witness its time and its signature.
    """

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        """The line as it stands in a note, without its end."""
        return f"{MARK}{self.name} {base64.b64encode(self.key_id + self.value).decode()}"


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself at one moment.

    Attributes:
        origin: which log.
        size: number of entries.
        root: Merkle root over them, hexadecimal.
        signatures: lines below the text; the log's own and those of its witnesses.
    """

    origin: str
    size: int
    root: str
    signatures: tuple[SignatureLine, ...] = ()

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(bytes.fromhex(self.root)).decode()}\n"

    def __str__(self) -> str:
        """The whole note."""
        return self.text + "\n" + "".join(f"{line}\n" for line in self.signatures)

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a note, and nothing that is almost one.

        Raises:
            InputError: says which line is not as it must be.
        """
        if len(note) > LONGEST_NOTE:
            raise InputError(f"a checkpoint of at most {LONGEST_NOTE} characters", str(len(note)), TODO)
        text, blank, below = note.partition("\n\n")
        lines = text.split("\n")
        if len(lines) != 3 or not blank:
            raise InputError("three lines (origin, size, root), a blank one and signatures", f"{len(lines)}", TODO)
        origin, size, root = lines
        if not NAME.fullmatch(origin):
            raise InputError("an origin without spaces on line 1", repr(origin), TODO)
        if not SIZE.fullmatch(size):
            raise InputError("a number of entries on line 2", repr(size), TODO)
        hashed = _decoded(root, "the root on line 3")
        if len(hashed) != ROOT_BYTES:
            raise InputError(f"a root of {ROOT_BYTES} bytes on line 3", f"{len(hashed)}", TODO)
        if not below.endswith("\n"):
            raise InputError("signature lines that each end", repr(below[-20:]), TODO)
        signatures = tuple(_signature(line) for line in below[:-1].split("\n"))
        return cls(origin, int(size), hashed.hex(), signatures)

    def signed(self, key: SigningKey) -> Self:
        """The checkpoint with the log's own signature, the name of its key being its origin."""
        value = bytes.fromhex(key.sign(self.text.encode()))
        line = SignatureLine(self.origin, key_id(self.origin, key.public, SIGNATURE_TYPE), value)
        return replace(self, signatures=(line, *self.signatures))

    def signed_by(self, public: str) -> bool:
        """Whether the log's key `public` signed it."""
        wanted = key_id(self.origin, public, SIGNATURE_TYPE)
        lines = [line for line in self.signatures if (line.name, line.key_id) == (self.origin, wanted)]
        return any(verify(public, self.text.encode(), line.value.hex()) for line in lines)

    def witnessed(self, key: SigningKey, name: str, at: datetime) -> Self:
        """The checkpoint with a witness's countersignature (cosignature/v1).

        Raises:
            InputError: the name cannot stand in a note.
        """
        if not NAME.fullmatch(name) or name == self.origin:
            raise InputError("a name of the witness without spaces or +, and not the log's", repr(name), "name another")
        seconds = int(at.timestamp())
        value = bytes.fromhex(key.sign(self._statement(seconds)))
        line = SignatureLine(
            name, key_id(name, key.public, COSIGNATURE_TYPE), seconds.to_bytes(TIME_BYTES, "big") + value
        )
        return self.with_line(line)

    def with_line(self, line: SignatureLine) -> Self:
        """The checkpoint with one more line below."""
        return self if line in self.signatures else replace(self, signatures=(*self.signatures, line))

    def witnessed_by(self, name: str, public: str) -> datetime | None:
        """When the witness `name` with the key `public` countersigned it, None when it did not."""
        wanted = key_id(name, public, COSIGNATURE_TYPE)
        for line in self.signatures:
            if (line.name, line.key_id) != (name, wanted) or len(line.value) != TIME_BYTES + SIGNATURE_BYTES:
                continue
            seconds = int.from_bytes(line.value[:TIME_BYTES], "big")
            if verify(public, self._statement(seconds), line.value[TIME_BYTES:].hex()):
                return datetime.fromtimestamp(seconds, UTC)
        return None

    def of_witness(self, name: str) -> SignatureLine | None:
        """The line of a witness."""
        return next((line for line in self.signatures if line.name == name), None)

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Names below the text other than the log's own."""
        return tuple(dict.fromkeys(line.name for line in self.signatures if line.name != self.origin))

    def _statement(self, seconds: int) -> bytes:
        """What a witness signs."""
        return f"cosignature/v1\ntime {seconds}\n{self.text}".encode()


def key_id(name: str, public: str, kind: KeyType) -> bytes:
    """The short id of a key in a note."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + bytes.fromhex(public)).digest()[:KEY_ID_BYTES]


def verifier_key(name: str, public: str, kind: KeyType = SIGNATURE_TYPE) -> str:
    """A public key as other tools for signed notes take it: `name+id+base64`."""
    coded = base64.b64encode(bytes([kind]) + bytes.fromhex(public)).decode()
    return f"{name}+{key_id(name, public, kind).hex()}+{coded}"


def public_of(text: str) -> str:
    """The public key in `text`: 64 hexadecimal characters, or a verifier key.

    Raises:
        InputError: it is neither.
    """
    text = text.strip()
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return text.lower()
    name, _, rest = text.partition("+")
    shown, _, coded = rest.partition("+")
    if shown and coded:
        raw = _decoded(coded, "the key behind the second +")
        kinds: tuple[KeyType, ...] = (SIGNATURE_TYPE, COSIGNATURE_TYPE)
        for kind in kinds:
            public = raw[1:].hex()
            if raw[:1] == bytes([kind]) and len(raw) == 1 + PUBLIC_BYTES and key_id(name, public, kind).hex() == shown:
                return public
    raise InputError("a public key of 64 hexadecimal characters or name+id+base64", repr(text[:80]), "check it")


def _decoded(text: str, what: str) -> bytes:
    """Bytes of strict base64.

    Raises:
        InputError: it is no base64, or not the one way of writing it.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"base64 in {what}", repr(text[:80]), TODO) from error
    if base64.b64encode(raw).decode() != text:
        raise InputError(f"canonical base64 in {what}", repr(text[:80]), TODO)
    return raw


def _signature(line: str) -> SignatureLine:
    """Read one line of signature.

    Raises:
        InputError: it is none.
    """
    name, space, coded = line.removeprefix(MARK).partition(" ")
    if not line.startswith(MARK) or not space or not NAME.fullmatch(name):
        raise InputError(f"a signature line `{MARK}name base64`", repr(line[:80]), TODO)
    raw = _decoded(coded, f"the signature of {name}")
    if len(raw) < KEY_ID_BYTES + SIGNATURE_BYTES:
        raise InputError(f"a whole signature of {name}", f"{len(raw)} bytes", TODO)
    return SignatureLine(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])
