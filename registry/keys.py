"""Ed25519 keys (RFC 8032): who signed what. Private ones lie in PEM files, sealed by a passphrase where one is given.

A signature covers plain bytes; whoever signs puts into them what they are for (a checkpoint's origin, the kind of a
decision), so that no signature can pass for one of another kind.

    key = SigningKey.generate()
    signature = key.sign(content)
    assert verify(key.public, content, signature)
"""

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

from registry.errors import InputError
from registry.home import Home

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LOG_PASSPHRASE_VARIABLE = "DMMGOV_LOG_PASSPHRASE"
"""Environment variable with the passphrase of the log's own key; unset, the key lies in its file unsealed."""
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
FINGERPRINT_CHARS = 16
PRIVATE_MODE = 0o600


@dataclass(frozen=True)
class SigningKey:
    """A private key; its text never appears in a representation or a log."""

    _private: "Ed25519PrivateKey" = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the operating system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> Self:
        """Read a key that `save` wrote.

        Raises:
            InputError: there is no such file, it holds no Ed25519 key, or the passphrase does not open it.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"a private key in {path}", error.strerror or "no file", "name the file of the key"
            ) from error
        secret = passphrase.encode() if passphrase else None
        try:
            private = load_pem_private_key(content, secret)
        except TypeError as error:
            todo = "give its passphrase" if passphrase is None else "leave the passphrase out"
            raise InputError(f"the passphrase of {path.name}, where it has one", "another", todo) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"a PEM key in {path.name} and its passphrase", "another", "check both") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise InputError(
                "an Ed25519 key", type(private).__name__, f"make one with `dmmgov users add`, not {path.name}"
            )
        return cls(private)

    def save(self, path: Path, passphrase: str | None = None) -> None:
        """Write the key as PKCS #8 in PEM, readable by its owner alone, encrypted where a passphrase is given.

        Raises:
            InputError: there is a file already; a key is never written over.
        """
        from cryptography.hazmat.primitives import serialization as form

        seal = form.BestAvailableEncryption(passphrase.encode()) if passphrase else form.NoEncryption()
        content = self._private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, seal)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # a whole file appears under its name, or none does
        except FileExistsError as error:
            raise InputError(f"no key in {path}", "one", "name another file; keys are never written over") from error
        finally:
            draft.unlink()

    @property
    def public(self) -> str:
        """The public key: 32 bytes, hexadecimal."""
        return self._private.public_key().public_bytes_raw().hex()

    def sign(self, content: bytes) -> str:
        """The signature over `content`: 64 bytes, hexadecimal; the same key and content give the same one."""
        return self._private.sign(content).hex()


def remove_drafts(folder: Path) -> list[str]:
    """Remove the drafts of keys that killed processes left in a folder; their names.

    A draft can be a second name of a key that is in use: it would outlive the key that a rotation does away with.
    """
    left = []
    for draft in sorted(folder.glob(".*.pem.*")) if folder.is_dir() else ():
        pid = draft.suffix.removeprefix(".")
        if pid.isdigit() and not _runs(int(pid)):
            draft.unlink(missing_ok=True)
            left.append(draft.name)
    return left


def _runs(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def verify(public: str, content: bytes, signature: str) -> bool:
    """Whether `signature` over `content` was made by the key of `public`; malformed hexadecimal is false."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: str) -> str:
    """A short name of a public key for people: the first 16 characters of its SHA-256.

    Raises:
        ValueError: it is not 32 bytes in hexadecimal.
    """
    raw = bytes.fromhex(public)
    if len(raw) != PUBLIC_BYTES:
        raise ValueError(f"a public key has {PUBLIC_BYTES} bytes, got {len(raw)}")
    return sha256(raw).hexdigest()[:FINGERPRINT_CHARS]


def log_key(home: Home) -> SigningKey:
    """The key with which this home's log signs its checkpoints and certificates; made at its first use.

    Raises:
        InputError: its file does not open with the passphrase of DMMGOV_LOG_PASSPHRASE.
    """
    path, passphrase = home.keys / "log.pem", os.environ.get(LOG_PASSPHRASE_VARIABLE) or None
    if not path.exists():
        try:
            SigningKey.generate().save(path, passphrase)
        except InputError:  # another process made it in the meantime
            if not path.exists():
                raise
    return SigningKey.load(path, passphrase)
