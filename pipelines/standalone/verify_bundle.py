"""Check a bundle of a dmm-gov log, with nothing of dmm-gov: Python and `cryptography` alone.

    python -I verify.py --key PUBLIC [--checkpoint OLD.note] [DIR]

PUBLIC is the log's public key (hexadecimal, or name+id+base64) and OLD.note a checkpoint kept from before, both from
elsewhere than DIR. Exit code 0 when nothing was changed and all signatures hold; 1 otherwise, first bad entry first.
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

TYPES = [str, str, dict, str, int]  # of actor, kind, payload, recorded_at, seq
KINDS = ("request_made", "request_approved", "request_rejected", "request_withdrawn", "request_executed", "break_glass")
WRONG = (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError)
NOWHERE, NEVER = -1, "9999-12-31"
NOTE = re.compile("((\\S+)\n(0|[1-9][0-9]{0,17})\n(\\S{44})\n)\n((?:\u2014 \\S+ \\S+\n)+)")
Entry = dict[str, Any]


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
        wanted = _hash(name.encode() + b"\n" + kind + bytes.fromhex(public))[:4]
        for value in (value[4:] for line, value in self.lines if (line, value[:4]) == (name, wanted)):
            seen = f"cosignature/v1\ntime {int.from_bytes(value[:8], 'big')}\n" if kind == b"\4" else ""
            if _signed(public, (seen + self.text).encode(), value[8 if seen else 0 :].hex()):
                return True
        return False


class Bundle:
    """A bundle, and what is wrong with it: the last and the first entry concerned, and words."""

    def __init__(self, root: Path) -> None:
        """Refuse anything but plain files and folders."""
        self.problems, self.entries = list[tuple[int, int, str]](), list[Entry]()
        self.root, self.leaves = root, bytearray()
        self.counts = dict.fromkeys(("checkpoints", "countersignatures", "signatures"), 0)
        for path in sorted(root.rglob("*")):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ValueError(f"{path.relative_to(root)} is no plain file or folder")

    def bad(self, words: str, first: int = NOWHERE, last: int = NOWHERE) -> None:
        """Note a problem of an entry, of several, or of none."""
        span = f"entries {first} to {last}: " if last > first else f"entry {first}: " if first != NOWHERE else ""
        self.problems.append((max(first, last), first, span + words))

    def file(self, *names: str) -> Path:
        """A file of the bundle by names that come from within it; never one outside."""
        for name in names:
            if not name or set(name) & set("\\:\0") or {"", ".", ".."} & set(name.split("/")):
                raise ValueError(f"{name!r} is no safe name")
        return self.root.joinpath(*names)

    def of(self, kind: str) -> list[Entry]:
        """The payloads of a kind with their places."""
        return [{**one["payload"], "seq": one["seq"]} for one in self.entries if one["kind"] == kind]

    def read_entries(self) -> None:
        """Every line is the canonical content of the entry whose turn it is."""
        for place, line in enumerate(self.file("entries.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")):
            try:
                entry = json.loads(line)
                if _canonical(entry).encode() != line or [type(entry[key]) for key in sorted(entry)] != TYPES:
                    raise ValueError("it is not an entry in canonical form")
                if entry["seq"] != place:
                    raise ValueError(f"it is missing or out of its order: entry {entry['seq']} is in its place")
            except WRONG as error:
                return self.bad(str(error), place)
            self.entries.append(entry)
            self.leaves += _hash(b"\0" + line)
        return None

    def roots(self, sizes: set[int]) -> dict[int, bytes]:
        """The Merkle root (RFC 6962) over the first entries, for each size."""
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
        for one in self.of("log_key"):
            said = _canonical({"purpose": "dmmgov/log_key/v1", "public": one["public"]}).encode()
            if one["public"] == pinned or any(_signed(key, said, one.get("signature", "")) for key in keys):
                keys.setdefault(one["public"], one["seq"])
            elif keys:
                self.bad("a further key of the log for which no earlier one vouches", one["seq"])
        if not keys:
            self.bad("the log is signed with another key than the one given")
        return keys

    def notes(self, old: Sequence[str]) -> Iterator[Note]:
        """The bundle's checkpoints and those that were kept."""
        paths = [(path.name, path, False) for path in sorted(self.file("checkpoints").glob("*"))]
        for name, path, mine in [*paths, *((f"of yours, {name},", Path(name), True) for name in old)]:
            try:
                yield Note(name, path.read_bytes().decode(), mine)
            except WRONG as error:
                self.bad(f"checkpoint {name}: {error}")

    def check_checkpoints(self, pinned: str, old: Sequence[str]) -> None:
        """Every checkpoint is signed, the last one covers every entry, and the log has the root that each signs."""
        keys, notes = self.log_keys(pinned), sorted(self.notes(old), key=lambda note: (note.size, note.mine))
        roots, agreed, covered = self.roots({note.size for note in notes}), {True: 0, False: 0}, 0
        witnesses = {one["name"]: one["public"] for one in reversed(self.of("witness_key"))}
        for note in notes:
            due = note.mine or note.size > min(keys.values(), default=0)
            if due and not any(note.holds(note.origin, public, b"\1") for public in {pinned, *keys}):
                self.bad(f"checkpoint {note.name}: the log's key did not sign it")
            for name in {line for line, _ in note.lines if line != note.origin and not note.mine}:
                self.counts["countersignatures"] += 1
                if not note.holds(name, witnesses.get(name, ""), b"\4"):
                    self.bad(f"checkpoint {note.name}: the countersignature of {name} does not hold")
            if note.size > len(self.entries):
                self.bad(f"it is missing: checkpoint {note.name} covers {note.size} entries", len(self.entries))
            elif roots[note.size] != note.root:
                words = f"rewritten, removed or put in: checkpoint {note.name} signs another root over them"
                self.bad(words, agreed[note.mine], note.size - 1)
            else:
                agreed[note.mine] = note.size
            covered = covered if note.mine else note.size
        self.counts["checkpoints"] = sum(not note.mine for note in notes)
        if covered < len(self.entries):
            self.bad("no checkpoint covers it", covered)

    def check_signatures(self) -> None:
        """Requests, decisions and executions: the right keys, over the right content, at the right time."""
        users, requests = dict[str, Entry](), dict[int, Entry]()
        for entry in self.entries:
            try:
                if words := self.forged(entry, users, requests):
                    self.bad(f"{entry['kind']}: {words}", entry["seq"])
            except WRONG as error:
                self.bad(f"{entry['kind']}: it cannot be read ({type(error).__name__}: {error})", entry["seq"])

    def forged(self, entry: Entry, users: dict[str, Entry], requests: dict[int, Entry]) -> str | None:
        """What is wrong with an entry that people sign; takes in what it says."""
        kind, said = entry["kind"], entry["payload"]
        if kind in ("user_added", "user_revoked"):
            users[said["name"]] = said  # a revoked one has no key
        if kind not in KINDS:
            return None
        number = said.get("request")
        if (number in requests) == (kind == "request_made") and kind != "break_glass":
            return f"request {number} was made {'before' if number in requests else 'never'}"
        fresh = {"made": said, "approved": set(), "ended": "", "broken": False}
        asked = requests.setdefault(number, fresh) if kind == "request_made" else requests.get(number, fresh)
        if said.get("content") != asked["made"].get("content"):
            return "it is about other content than the request"
        signatures = said["signatures"] if kind == "break_glass" else [{"by": said.get("requester"), **said}]
        for signature in signatures if kind != "request_executed" else ():
            if words := self.unsigned(entry, signature, users):
                return words
        if kind in ("request_made", "break_glass"):
            asked["broken"] = kind == "break_glass" and len({one["by"] for one in signatures}) > 1
            return None if asked["broken"] or kind == "request_made" else "fewer than two people signed"
        return self.out_of_turn(kind, said, asked, users)

    def out_of_turn(self, kind: str, said: Entry, asked: Entry, users: dict[str, Entry]) -> str | None:
        """Why a decision or an execution may not follow what was decided before."""
        needs = {"roles": (), "approvals": 1, **asked["made"].get("needs", {})}
        roles, least = set(needs["roles"]), int(needs["approvals"])
        if asked["ended"]:
            return f"the request had ended before ({asked['ended']})"
        if kind == "request_approved":
            if said["by"] == asked["made"]["requester"]:
                return f"{said['by']} approves what {said['by']} asked for"
            if roles and not roles & set(users[said["by"]].get("roles", ())):
                return f"{said['by']} holds none of the roles {', '.join(sorted(roles))}"
            asked["approved"].add(said["by"])
            return None
        asked["ended"], words = kind, f"it needs {least} approvals that hold, it has {len(asked['approved'])}"
        return words if kind == "request_executed" and not asked["broken"] and len(asked["approved"]) < least else None

    def unsigned(self, entry: Entry, signature: Entry, users: dict[str, Entry]) -> str | None:
        """Why a signature does not hold at its place of the log; None when it holds."""
        self.counts["signatures"] += 1
        name, text = signature["by"], signature["signed"]
        user, said = users.get(name), json.loads(text)
        if user is None or signature["public"] != user.get("public"):
            return f"it is not signed with a key that {name} had then"
        wanted = {"purpose": f"dmmgov/{entry['kind']}/v1", "by": name}
        wanted |= {key: entry["payload"][key] for key in ("request", "content") if key in entry["payload"]}
        if _canonical(said) != text or any(_canonical(said.get(key)) != _canonical(wanted[key]) for key in wanted):
            return f"what {name} signed is about something else"
        if not _signed(user["public"], text.encode(), signature["signature"]):
            return f"the signature is not one of {name}"
        moments = (user.get("expires") or NEVER, entry["recorded_at"], said["at"])
        ends, *at = (one.replace(tzinfo=one.tzinfo or UTC) for one in map(datetime.fromisoformat, moments))
        return f"the key of {name} had expired" if ends <= max(at) else None

    def check_files(self) -> None:
        """Every delta that is here is the one that a release was published with, byte for byte; certificates too."""
        named = {digest: one for one in reversed(self.of("published")) for digest in one["body"]["deltas"]}
        there = sorted(self.file("artifacts").glob("*"))
        for folder in there:
            one = named.get(folder.name, {"release": "none", "seq": NOWHERE})
            if words := self.changed(folder) if folder.name in named else "the log does not name it":
                self.bad(f"delta {folder.name[:64]} of release {one['release']}: {words}", one["seq"])
        self.counts["deltas"], self.counts["deltas in the log"] = len(there), len(named)
        root, found = self.file("certificates"), dict[str, str]()
        for path in (path for path in root.rglob("*") if path.is_file()):
            found[path.relative_to(root).as_posix()] = _hash(path.read_bytes()).hex()
        listed = [{}, *(one["certificates"] for one in self.of("bundle_exported"))][-1]
        for name in sorted(dict(found.items() ^ listed.items())):
            self.bad(f"certificate {name[:99]}: it is not the one that the log names")

    def changed(self, folder: Path) -> str | None:
        """The first file of a folder that its manifest, whose digest is the folder's name, does not vouch for."""
        manifest = folder / "MANIFEST.json"
        if not manifest.is_file() or _hash(manifest.read_bytes()).hex() != folder.name:
            return "its manifest is missing or changed"
        listed = json.loads(manifest.read_bytes()) | {"MANIFEST.json": folder.name}
        paths = {self.file("artifacts", folder.name, name): listed[name] for name in listed}
        for path in sorted({path for path in folder.rglob("*") if path.is_file()} | set(paths)):
            if not path.is_file() or _hash(path.read_bytes()).hex() != paths.get(path):
                return f"{path.relative_to(folder).as_posix()} is missing, changed or not listed"
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a bundle; the exit code."""
    parser = argparse.ArgumentParser(description="Check a bundle of a dmm-gov log.")
    parser.add_argument("--key", required=True, type=_public_key, metavar="PUBLIC", help="the log's public key")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="OLD.note", help="kept from before")
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR")
    given = parser.parse_args(arguments)
    try:
        bundle = Bundle(Path(given.folder))
        bundle.read_entries()
        bundle.check_signatures()
        bundle.check_checkpoints(given.key, given.checkpoint)
        bundle.check_files()
    except WRONG as error:
        sys.stdout.write(f"the bundle is refused: {type(error).__name__}: {error}\n")
        return 1
    if found := sorted(bundle.problems, key=lambda one: (one[1] == NOWHERE, one)):
        sys.stdout.write("".join(f"{line}\n" for line in dict.fromkeys(words for _, _, words in found)))
        return 1
    counts = ", ".join(f"{name}: {count}" for name, count in bundle.counts.items())
    more = "" if given.checkpoint else "\nno old checkpoint was given: what was removed at the end would not be seen"
    sys.stdout.write(f"all is well; entries: {len(bundle.entries)}, {counts}{more}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
