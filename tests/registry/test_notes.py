"""Signed notes: read strictly, signed, countersigned, and as other tools know them."""

import base64
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from registry.errors import InputError
from registry.keys import SigningKey, verify
from registry.notes import COSIGNATURE_TYPE, Checkpoint, key_id, public_of, verifier_key

ROOT = "09ca58a9a0669803ba1d90c8201a8daa6fad7e8dee1dbc7e30f0378e3da3c62a"
AT = datetime(2026, 3, 12, 10, 0, 0, 500, tzinfo=UTC)
KEY, OTHER, WITNESS = (SigningKey.generate() for _ in range(3))
PLAIN = Checkpoint("dmmgov/0123456789abcdef", 1204, ROOT)
SIGNED = PLAIN.signed(KEY)

# The note of the Go checksum database's documentation: a log that others wrote and signed.
GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_the_text_is_origin_size_and_root() -> None:
    assert SIGNED.text == f"dmmgov/0123456789abcdef\n1204\n{base64.b64encode(bytes.fromhex(ROOT)).decode()}\n"
    assert str(SIGNED).startswith(SIGNED.text + "\n\u2014 dmmgov/0123456789abcdef ")
    assert Checkpoint.parse(str(SIGNED)) == SIGNED


def test_the_key_of_another_log_is_read() -> None:
    public = public_of(GO_KEY)
    assert verifier_key("sum.golang.org", public) == GO_KEY
    with pytest.raises(InputError, match="public key"):
        public_of(GO_KEY.replace("033de0ae", "033de0af"))


def test_a_key_is_read_as_text_and_as_a_verifier_key() -> None:
    assert public_of(f" {KEY.public.upper()}\n") == KEY.public
    assert public_of(verifier_key("dmmgov/x", KEY.public)) == KEY.public
    assert public_of(verifier_key("w", KEY.public, COSIGNATURE_TYPE)) == KEY.public
    for bad in ("", "xyz", KEY.public[:-1], f"a+b+{KEY.public}", "name+00000000+AAAA"):
        with pytest.raises(InputError):
            public_of(bad)


def test_a_signature_is_over_the_text_and_by_its_key_alone() -> None:
    raw = base64.b64decode(str(SIGNED).splitlines()[-1].split(" ")[2])
    name = SIGNED.origin.encode() + b"\n" + b"\x01" + bytes.fromhex(KEY.public)
    assert raw[:4] == sha256(name).digest()[:4]
    assert verify(KEY.public, SIGNED.text.encode(), raw[4:].hex())
    assert SIGNED.signed_by(KEY.public)
    assert not SIGNED.signed_by(OTHER.public)
    assert not PLAIN.signed_by(KEY.public)
    for text in (str(SIGNED).replace("1204", "1205"), str(SIGNED).replace("dmmgov/01", "dmmgov/11")):
        assert not Checkpoint.parse(text).signed_by(KEY.public)


def test_a_witness_says_when_it_saw_the_checkpoint() -> None:
    seen = SIGNED.witnessed(WITNESS, "witness.example", AT)
    assert seen.witnesses == ("witness.example",)
    assert seen.witnessed_by("witness.example", WITNESS.public) == AT.replace(microsecond=0)
    assert Checkpoint.parse(str(seen)) == seen
    assert seen.signed_by(KEY.public)
    line = seen.of_witness("witness.example")
    assert line is not None
    assert line.key_id == key_id("witness.example", WITNESS.public, COSIGNATURE_TYPE)
    seconds = int(AT.timestamp())
    signed = f"cosignature/v1\ntime {seconds}\n{SIGNED.text}".encode()
    assert verify(WITNESS.public, signed, line.value[8:].hex())


def test_a_countersignature_holds_for_its_key_name_time_and_text_alone() -> None:
    seen = SIGNED.witnessed(WITNESS, "w", AT)
    assert seen.witnessed_by("w", OTHER.public) is None
    assert seen.witnessed_by("v", WITNESS.public) is None
    assert SIGNED.witnessed_by("w", WITNESS.public) is None
    assert Checkpoint.parse(str(seen).replace("1204", "1205")).witnessed_by("w", WITNESS.public) is None
    line = seen.of_witness("w")
    assert line is not None
    later = (int(AT.timestamp()) + 1).to_bytes(8, "big") + line.value[8:]
    moved = str(seen).replace(str(line), f"\u2014 w {base64.b64encode(line.key_id + later).decode()}")
    assert Checkpoint.parse(moved).witnessed_by("w", WITNESS.public) is None


def test_a_witness_cannot_take_the_logs_name() -> None:
    for name in (SIGNED.origin, "two words", "a+b", ""):
        with pytest.raises(InputError, match="name of the witness"):
            SIGNED.witnessed(WITNESS, name, AT)


NOTE = str(SIGNED)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "three lines"),
        (NOTE.replace("\n\n", "\n"), "three lines"),
        (NOTE.replace("1204\n", "1204\nmore\n"), "three lines"),
        (NOTE.replace("1204", "01204"), "number of entries"),
        (NOTE.replace("1204", "-1"), "number of entries"),
        (NOTE.replace("1204", "12 04"), "number of entries"),
        (NOTE.replace("1204", "\u0661"), "number of entries"),
        (NOTE.replace("dmmgov/0", "dmm gov/0", 1), "origin"),
        (NOTE.replace("CcpY", "CcpY\r", 1), "base64"),
        (NOTE.replace("CcpY", "CcpYAAAA", 1), "32 bytes"),
        (NOTE.replace("Kg==", "K*==", 1) if "Kg==" in NOTE else NOTE.replace("xio=", "xi*=", 1), "base64"),
        (NOTE.replace("xio=", "xip=", 1), "canonical base64"),
        (NOTE[:-1], "signature lines"),
        (NOTE + "\n", "signature line"),
        (NOTE + "more\n", "signature line"),
        (NOTE.replace("\u2014", "-"), "signature line"),
        (SIGNED.text + "\n", "signature lines"),
        (SIGNED.text + "\n\u2014 name AAAA\n", "whole signature"),
        (SIGNED.text + "\n\u2014 name\n", "signature line"),
        (NOTE + "x" * 100_000, "at most"),
    ],
)
def test_what_is_almost_a_note_is_refused(bad: str, words: str) -> None:
    assert bad != NOTE
    with pytest.raises(InputError, match=words):
        Checkpoint.parse(bad)
