"""Check a bundle of a dmm-gov log, with nothing of dmm-gov: Python and `cryptography` alone.

    python -I verify.py --key PUBLIC [--checkpoint OLD.note] [DIR]

PUBLIC (hexadecimal, or name+id+base64) and OLD.note, a checkpoint kept from before, come from elsewhere than DIR. Exit
code 0 when nothing was changed and all signatures hold; 1 otherwise, and the first bad entry is named first.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TYPES, NOWHERE = [str, str, dict, str, int], -1  # of actor, kind, payload, recorded_at, seq; of no entry
ROLES = ("viewer", "requester", "auditor", "approver", "admin")  # the last two may break the glass
VERBS = ("made", "changed", "approved", "rejected", "withdrawn", "expired", "executed")
KINDS = {"user_added", "user_revoked", "break_glass", *(f"request_{verb}" for verb in VERBS)}
WRONG = (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError)
NOTE = re.compile("((\\S+)\n(0|[1-9][0-9]{0,17})\n(\\S{44})\n)\n((?:\u2014 \\S+ \\S+\n)+)")
Entry = dict[str, Any]


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _files(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash(path.read_bytes()).hex() for path in files}


def _signed(public: str, content: bytes, signature: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), content)
        return True
    except (InvalidSignature, ValueError, TypeError):
        return False


def _public_key(text: str) -> str:
    parts = text.strip().split("+", 2)
    raw = base64.b64decode(parts[2], validate=True)[1:] if parts[2:] else bytes.fromhex(parts[0])
    return Ed25519PublicKey.from_public_bytes(raw).public_bytes_raw().hex()


class Note:
    """A signed checkpoint: which log (origin), its size, its Merkle root, and the signatures below."""

    def __init__(self, name: str, text: str, mine: bool) -> None:
        """Read one; `mine` says that the caller kept it."""
        found = NOTE.fullmatch(text)
        if not found:
            raise ValueError("it is no checkpoint of three lines with signatures below")
        self.name, self.mine, self.text, self.origin, self.size = name, mine, found[1], found[2], int(found[3])
        self.root, lines = base64.b64decode(found[4], validate=True), [one.split() for one in found[5].splitlines()]
        self.lines = [(signer, base64.b64decode(coded, validate=True)) for _, signer, coded in lines]

    def holds(self, name: str, public: str, kind: bytes) -> bool:
        """Whether a key signed it: the log's (kind 1), or a witness's with its time (kind 4)."""
        wanted = (name, _hash(name.encode() + b"\n" + kind + bytes.fromhex(public))[:4])
        for value in (value[4:] for line, value in self.lines if (line, value[:4]) == wanted):
            seen = f"cosignature/v1\ntime {int.from_bytes(value[:8], 'big')}\n" if kind == b"\4" else ""
            if _signed(public, (seen + self.text).encode(), value[8 if seen else 0 :].hex()):
                return True
        return False


class Bundle:
    """A bundle, and what is wrong with it: the last and the first entry concerned, and words."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet."""
        self.problems, self.entries = list[tuple[int, int, str]](), list[Entry]()
        self.users, self.requests, self.accepted = dict[str, Entry](), dict[int, Entry](), 0
        self.root, self.leaves, self.clock = root, bytearray(), datetime.fromtimestamp(0, UTC)
        self.counts = dict.fromkeys(("checkpoints", "countersignatures", "signatures"), 0)

    def _bad(self, words: str, first: int = NOWHERE, last: int = NOWHERE) -> None:
        span = f"entries {first} to {last}: " if last > first else f"entry {first}: " if first != NOWHERE else ""
        self.problems.append((max(first, last), first, span + words))

    def _of(self, kind: str) -> list[Entry]:
        return [{**one["payload"], "seq": one["seq"]} for one in self.entries if one["kind"] == kind]

    def read_entries(self) -> None:
        """Every file is a plain one; every line is the canonical content of the entry whose turn it is."""
        for path in sorted(self.root.rglob("*")):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ValueError(f"{path.relative_to(self.root)} is no plain file or folder")
        for place, line in enumerate((self.root / "entries.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")):
            try:
                entry = json.loads(line)
                if _canonical(entry).encode() != line or [type(entry[key]) for key in sorted(entry)] != TYPES:
                    raise ValueError("it is not an entry in canonical form")
                if entry["seq"] != place:
                    raise ValueError(f"it is missing or out of its order: entry {entry['seq']} is in its place")
            except WRONG as error:
                return self._bad(str(error), place)
            self.entries.append(entry)
            self.leaves += _hash(b"\0" + line)

    def _roots(self, sizes: set[int]) -> dict[int, bytes]:
        peaks, found = list[bytes](), {0: _hash(b"")}
        for size in range(1, len(self.entries) + 1):
            leaf, height = bytes(self.leaves[32 * size - 32 : 32 * size]), size - 1
            while height & 1:
                leaf, height = _hash(b"\1" + peaks.pop() + leaf), height >> 1
            peaks.append(leaf)
            if size in sizes:
                found[size] = reduce(lambda root, peak: _hash(b"\1" + peak + root), reversed(peaks))
        return found

    def log_keys(self, pinned: str) -> dict[str, int]:
        """The given key and those for which it vouches later, with the entry of each."""
        keys = dict[str, int]()
        for one in self._of("log_key"):
            said = _canonical({"purpose": "dmmgov/log_key/v1", "public": one["public"]}).encode()
            if one["public"] == pinned or any(_signed(key, said, one.get("signature", "")) for key in keys):
                keys.setdefault(one["public"], one["seq"])
            elif keys:
                self._bad("a further key of the log for which no earlier one vouches", one["seq"])
        if not keys:
            self._bad("the log is signed with another key than the one given")
        return keys

    def _notes(self, old: Sequence[str]) -> Iterator[Note]:
        paths = [(path.name, path, False) for path in sorted((self.root / "checkpoints").glob("*"))]
        for name, path, mine in [*paths, *((f"of yours, {name},", Path(name), True) for name in old)]:
            try:
                yield Note(name, path.read_bytes().decode(), mine)
            except WRONG as error:
                self._bad(f"checkpoint {name}: {error}")

    def check_checkpoints(self, pinned: str, old: Sequence[str]) -> None:
        """Every checkpoint is signed, the last one covers every entry, and the log has the root that each signs."""
        keys, notes = self.log_keys(pinned), sorted(self._notes(old), key=lambda note: (note.size, note.mine))
        roots, agreed, covered = self._roots({note.size for note in notes}), {True: 0, False: 0}, 0
        witnesses = {one["name"]: one["public"] for one in reversed(self._of("witness_key"))}
        for note in notes:
            due = note.mine or note.size > min(keys.values(), default=0)
            if due and not any(note.holds(note.origin, public, b"\1") for public in {pinned, *keys}):
                self._bad(f"checkpoint {note.name}: the log's key did not sign it")
            for name in {line for line, _ in note.lines if line != note.origin and not note.mine}:
                self.counts["countersignatures"] += 1
                if not note.holds(name, witnesses.get(name, ""), b"\4"):
                    self._bad(f"checkpoint {note.name}: the countersignature of {name} does not hold")
            if note.size > len(self.entries):
                self._bad(f"it is missing: checkpoint {note.name} covers {note.size} entries", len(self.entries))
            elif roots[note.size] != note.root:
                words = f"rewritten, removed or put in: checkpoint {note.name} signs another root over them"
                self._bad(words, agreed[note.mine], note.size - 1)
            else:
                agreed[note.mine] = note.size
            covered = covered if note.mine else note.size
        self.counts["checkpoints"] = sum(not note.mine for note in notes)
        if covered < len(self.entries):
            self._bad("no checkpoint covers it", covered)

    def check_signatures(self) -> None:
        """Users, requests, decisions and executions: the right keys, over the right content, at the right time."""
        for entry in (one for one in self.entries if one["kind"] in KINDS):
            try:
                at = max(self.clock, datetime.fromisoformat(entry["recorded_at"]))
                check = self.check_user if entry["kind"].startswith("user") else self.check_request
                check(entry["kind"], entry["payload"], entry, at)
            except WRONG as error:
                self._bad(f"{entry['kind']}: {error}", entry["seq"])

    def check_user(self, kind: str, said: Entry, entry: Entry, at: datetime) -> None:
        """A user added or revoked by an admin; the first one vouches for the own key."""
        told: Entry = {name: said[name] for name in ("name", "roles", "public", "expires") if name in said}
        if not self.accepted and said["by"] == said["name"]:
            self.users[said["name"]] = told
        about = {"request": self.accepted + 1, "content": _hash(_canonical(told).encode()).hex()}
        self.voice({**entry, "payload": about}, {**said, "public": said["signer"]}, said["by"], ("admin",), at)
        self.users[said["name"]] = told if kind == "user_added" else {"roles": ()}
        self.accepted += 1

    def check_request(self, kind: str, said: Entry, entry: Entry, at: datetime) -> None:
        """A request, a decision on it, or its execution."""
        number, asked = said["request"], self.requests.get(said["request"])
        over = asked is not None and datetime.fromisoformat(asked["expires"]) <= at
        fits = kind != "request_made" and asked and not asked["ended"] and over == (kind == "request_expired")
        if not fits and (asked or kind != "request_made"):
            raise ValueError(f"request {number} is not open for that")
        if asked is None or kind == "request_changed":
            by = (asked or said)["requester"]
            self.requests[number] = {**said, "requester": by, "approved": {}, "glass": {}, "ended": ""}
            return self.voice(entry, said, by, ("requester",), at)
        if kind != "request_expired" and said["content"] != asked["content"]:
            raise ValueError(f"it is about other content than request {number} asks for")
        own, needs = kind == "request_withdrawn", (asked["needs"]["roles"], max(1, asked["needs"]["approvals"]))
        if kind in ("request_approved", "request_rejected", "request_withdrawn"):
            if (said["by"] == asked["requester"]) != own:
                raise ValueError(f"{said['by']} may not: {asked['requester']} asked for it")
            self.voice(entry, said, said["by"], ROLES if own else needs[0], at)
        if kind == "request_approved":
            asked["approved"][said["by"]] = said["public"]
        elif kind == "break_glass":
            for one in said["signatures"]:
                self.voice(entry, one, one["by"], ROLES[-2:], at)
            asked["glass"] = {one["by"]: one["public"] for one in said["signatures"]}
            if len(asked["glass"]) != 2:
                raise ValueError("two people break the glass")
        else:
            asked["ended"] = kind
        if kind == "request_executed":
            voices, roles, least = (asked["glass"], ROLES[-2:], 2) if asked["glass"] else (asked["approved"], *needs)
            count = sum(self.barrier(name, public, roles, at) is None for name, public in voices.items())
            if count < least:
                raise ValueError(f"request {number} needs {least} approvals that hold, it has {count}")

    def barrier(self, name: str, public: str, roles: Sequence[str], at: datetime) -> str | None:
        """Why somebody's word under a key does not count at a moment."""
        user = self.users.get(name, {"roles": ()})
        if user.get("public") != public:
            return f"{public[:16]} was not the key of {name} then"
        if user["expires"] and datetime.fromisoformat(user["expires"]) <= at:
            return f"the key of {name} had expired"
        return None if set(user["roles"]) & set(roles) else f"{name} is none of {', '.join(roles)}"

    def voice(self, entry: Entry, part: Entry, by: str, roles: Sequence[str], at: datetime) -> None:
        """Check that somebody who may signed exactly what an entry says."""
        self.counts["signatures"] += 1
        if words := self.barrier(by, part["public"], roles, at):
            raise ValueError(words)
        about = {name: entry["payload"][name] for name in ("request", "content")} | {"by": by}
        about["at"] = datetime.fromisoformat(entry["recorded_at"]).astimezone(UTC).isoformat()
        text = _canonical({**about, "purpose": f"dmmgov/{entry['kind']}/v1"})
        if part["signed"] != text or not _signed(part["public"], text.encode(), part["signature"]):
            raise ValueError(f"what {by} signed is something else, or the signature is not theirs")
        self.clock = at

    def check_files(self) -> None:
        """Every delta that is here is the one that a release was published with, byte for byte; certificates too."""
        named = {digest: one for one in reversed(self._of("published")) for digest in one["body"]["deltas"]}
        there = sorted((self.root / "artifacts").glob("*"))
        for folder in there:
            one = named.get(folder.name, {"release": "none", "seq": NOWHERE})
            if words := self.changed(folder) if folder.name in named else "the log does not name it":
                self._bad(f"delta {folder.name[:64]} of release {one['release']}: {words}", one["seq"])
        self.counts["deltas"], self.counts["deltas in the log"] = len(there), len(named)
        found = _files(self.root / "certificates")
        listed = [{}, *(one["certificates"] for one in self._of("bundle_exported"))][-1]
        for name in sorted(dict(found.items() ^ listed.items())):
            self._bad(f"certificate {name[:99]}: it is not the one that the log names")

    def changed(self, folder: Path) -> str | None:
        """The first file of a folder that its manifest, whose digest is the folder's name, does not vouch for."""
        found = _files(folder)
        if found.get("MANIFEST.json") != folder.name:
            return "its manifest is missing or changed"
        listed = json.loads((folder / "MANIFEST.json").read_bytes()) | {"MANIFEST.json": folder.name}
        for name in listed:
            if not name or set(name) & set("\\:\0") or {"", ".", ".."} & set(name.split("/")):
                raise ValueError(f"{name!r} is no safe name")
        wrong = sorted(dict(found.items() ^ listed.items()))
        return f"{wrong[0]} is missing, changed or not listed" if wrong else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a bundle; the exit code."""
    parser = argparse.ArgumentParser(description="Check a bundle of a dmm-gov log.")
    parser.add_argument("--key", required=True, type=_public_key, metavar="PUBLIC", help="the log's public key")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="OLD.note", help="kept from before")
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR")
    given = parser.parse_args(arguments)
    bundle = Bundle(Path(given.folder))
    try:
        bundle.read_entries()
        bundle.check_signatures()
        bundle.check_checkpoints(given.key, given.checkpoint)
        bundle.check_files()
    except WRONG as error:
        bundle._bad(f"the bundle is refused: {type(error).__name__}: {error}")
    found = sorted(bundle.problems, key=lambda one: (one[1] == NOWHERE, one))
    counts = ", ".join(f"{name}: {count}" for name, count in {"entries": len(bundle.entries), **bundle.counts}.items())
    more = "" if given.checkpoint else "\nno old checkpoint was given: what was removed at the end would not be seen"
    lines = list(dict.fromkeys(words for _, _, words in found)) or [f"all is well; {counts}{more}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
