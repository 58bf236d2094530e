"""A bundle, and what an outsider with the key and an old checkpoint finds in one that was tampered with."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.auditing.bundle import Bundle, export_bundle, script
from pipelines.auditing.witness import Witness, make_checkpoint, witness
from pipelines.publish import publish
from pipelines.standalone.verify_bundle import main
from registry.approvals import Approvals
from registry.checkpoints import CheckpointStore, stamp
from registry.digests import canonical_json, digest_bytes
from registry.errors import InputError
from registry.home import Home
from registry.keys import SigningKey, log_key
from registry.ledger import Ledger
from registry.merkle import leaf_hash, tree_root
from registry.notes import Checkpoint
from registry.statements import Statement
from registry.users import content_of

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROLES = {"ann": ["admin"], "ada": ["requester", "approver"], "bob": ["approver"], "vic": ["viewer"]}
PEOPLE = {name: SigningKey.generate() for name in (*ROLES, "eve")}
CONTENT, OTHER = "c" * 64, "d" * 64
MADE, APPROVED, EXECUTED = "request_made", "request_approved", "request_executed"
LONGEST = 300


def signed(kind: str, name: str, key: str = "", content: str = CONTENT, number: int = 1) -> dict[str, str]:
    return Statement(kind, number, content, name, AT).signed(PEOPLE[key or name]).to_dict()


def add(ledger: Ledger, kind: str, at: datetime = AT, **payload: Any) -> None:
    with ledger.transaction() as txn:
        ledger.append(txn, kind, payload, "x", at)


def user(ledger: Ledger, kind: str, by: str = "ann", at: datetime = AT, **body: Any) -> None:
    """An entry about a user, signed by an admin."""
    number = 1 + len(ledger.entries("user_added")) + len(ledger.entries("user_revoked"))
    word = Statement(kind, number, content_of(body), by, at).signed(PEOPLE[by])
    told = {"signed": word.text, "signer": word.public, "signature": word.signature}
    add(ledger, kind, at, **body, by=by, **told, **({"bootstrap": True} if number == 1 else {}))


def person(ledger: Ledger, name: str, roles: list[str], expires: str | None = None) -> None:
    user(ledger, "user_added", name=name, roles=roles, public=PEOPLE[name].public, expires=expires)


def made(ledger: Ledger, revision: int = 1, content: str = CONTENT, **changes: Any) -> None:
    kind = MADE if revision == 1 else "request_changed"
    needs = {"approvals": 1, "roles": ["approver"]}
    body = {"request": 1, "revision": revision, "content": content, "requester": "ada", "tier": "low", "needs": needs}
    body |= {"expires": (AT + timedelta(days=9)).isoformat(), **signed(kind, "ada", content=content)}
    add(ledger, kind, AT, **{**body, **changes})


def people(ledger: Ledger) -> None:
    """Users, and a request that one of them makes."""
    for name, roles in ROLES.items():
        person(ledger, name, roles)
    made(ledger)


def approve(ledger: Ledger, by: str = "bob", **changes: Any) -> None:
    add(ledger, APPROVED, AT, **{"request": 1, "content": CONTENT, "by": by, **signed(APPROVED, by), **changes})


def executed(ledger: Ledger, content: str = CONTENT, at: datetime = AT) -> None:
    add(ledger, EXECUTED, at, request=1, content=content, release=1, status="published")


@dataclass
class Taken:
    """A bundle of a home and what the outsider has from elsewhere."""

    home: Home
    folder: Path
    key: str
    old: Path

    def check(self, *more: str) -> tuple[int, list[str]]:
        """What the script says, run alone."""
        command = [sys.executable, "-I", str(self.folder / "verify.py"), "--key", self.key, "--checkpoint"]
        run = subprocess.run(
            [*command, str(self.old), *more, str(self.folder)], capture_output=True, text=True, check=False, timeout=120
        )
        assert run.stderr == ""
        return run.returncode, run.stdout.splitlines()

    @property
    def lines(self) -> list[bytes]:
        return (self.folder / "entries.jsonl").read_bytes().splitlines()

    def write(self, lines: list[bytes]) -> None:
        (self.folder / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))

    def resigned(self, key: SigningKey) -> None:
        """Make every checkpoint again over the entries as they are now, signed by `key`."""
        leaves = [leaf_hash(line) for line in self.lines]
        for path in sorted((self.folder / "checkpoints").iterdir()):
            note = Checkpoint.parse(path.read_text())
            path.unlink()
            size = min(note.size, len(leaves))
            again = Checkpoint(note.origin, size, tree_root(leaves[:size]).hex()).signed(key)
            (path.parent / f"{size:012d}.note").write_text(str(again))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, mlflow_ready: Path, publishing: Any) -> Path:
    """A home with two releases, a request that was approved, and a checkpoint from between."""
    root = tmp_path_factory.mktemp("bundled")
    home = Home.at(root / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
    drafts = publishing(home)
    with Ledger.open(home) as ledger:
        publish(home, ledger, drafts.of(drafts.brings(drafts.france)), drafts.at)
        people(ledger)
        (root / "old.note").write_text(str(make_checkpoint(home).checkpoint))
        approve(ledger)
        executed(ledger)
        publish(home, ledger, drafts.of(drafts.brings(drafts.nauru), parent=1), drafts.at)
    return root


@pytest.fixture
def taken(original: Path, tmp_path: Path) -> Taken:
    """A fresh bundle of a copy."""
    shutil.copytree(original, tmp_path / "there")
    home = Home.at(tmp_path / "there" / "home")
    made = export_bundle(home, tmp_path / "bundle", "auditor")
    return Taken(home, tmp_path / "bundle", made.key, tmp_path / "there" / "old.note")


def test_a_bundle_that_nobody_touched_is_well(taken: Taken) -> None:
    code, said = taken.check()
    assert code == 0, said
    with Ledger.open(taken.home) as ledger:
        assert len(taken.lines) == ledger.head().size
        read = ledger.entries("delta_read")
    assert said[0].startswith(f"all is well; entries: {len(taken.lines)}, checkpoints: 4, ")
    assert "signatures: 6, deltas: 1, deltas in the log: 1" in said[0]
    assert [(one.actor, one.payload["digests"]) for one in read] == [
        ("auditor", [path.name for path in taken.home.deltas.iterdir()])
    ]
    hexadecimal = Taken(taken.home, taken.folder, log_key(taken.home).public, taken.old)
    assert hexadecimal.check()[0] == 0


def test_the_script_is_the_repositorys_and_short(taken: Taken) -> None:
    source = script().read_text()
    assert (taken.folder / "verify.py").read_text() == source
    assert len(source.splitlines()) < LONGEST
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_without_an_old_checkpoint_it_says_what_it_cannot_see(taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--key", taken.key, str(taken.folder)]) == 0
    assert "no old checkpoint was given" in capsys.readouterr().out


def test_keys_are_told(taken: Taken) -> None:
    keys = json.loads((taken.folder / "keys.json").read_bytes())
    assert keys["verifier"] == taken.key
    assert set(keys["users"]) == set(ROLES)
    assert [one["public"] for one in keys["log"]] == [log_key(taken.home).public]


def test_no_private_key_is_in_it(taken: Taken) -> None:
    secret = (taken.home.keys / "log.pem").read_text().splitlines()[1].encode()
    assert all(secret not in path.read_bytes() for path in taken.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("place", [0, 5, -2])
def test_a_removed_entry(taken: Taken, place: int) -> None:
    lines = taken.lines
    place %= len(lines)
    taken.write(lines[:place] + lines[place + 1 :])
    code, said = taken.check()
    assert (code, said[0]) == (
        1,
        f"entry {place}: it is missing or out of its order: entry {place + 1} is in its place",
    )


def test_entries_removed_at_the_end_with_their_checkpoints(taken: Taken) -> None:
    notes = sorted((taken.folder / "checkpoints").iterdir())
    for path in notes[1:]:
        path.unlink()
    size = Checkpoint.parse(notes[0].read_text()).size
    taken.write(taken.lines[:size])
    shutil.rmtree(taken.folder / "artifacts")
    assert main(["--key", taken.key, str(taken.folder)]) == 0
    code, said = taken.check()
    assert code == 1
    assert said[0].startswith(f"entry {size}: it is missing: checkpoint of yours")


def test_entries_that_no_checkpoint_covers(taken: Taken) -> None:
    last = sorted((taken.folder / "checkpoints").iterdir())[-1]
    last.unlink()
    code, said = taken.check()
    assert code == 1
    assert said[0].endswith("no checkpoint covers it")


def numbered(lines: list[bytes]) -> list[bytes]:
    return [canonical_json(json.loads(line) | {"seq": place}) for place, line in enumerate(lines)]


def test_a_rewritten_entry(taken: Taken) -> None:
    lines = taken.lines
    taken.write([lines[0].replace(b'"actor":"', b'"actor":"x'), *lines[1:]])
    code, said = taken.check()
    assert code == 1
    assert said[0].startswith("entries 0 to ")
    assert "rewritten, removed or put in" in said[0]


def test_an_entry_rewritten_with_all_hashes_and_checkpoints(taken: Taken) -> None:
    """Who has the log's key can sign another history; the old checkpoint gives it away."""
    lines = taken.lines
    taken.write([lines[0].replace(b'"actor":"', b'"actor":"x'), *lines[1:]])
    taken.resigned(log_key(taken.home))
    size = Checkpoint.parse(taken.old.read_text()).size
    assert main(["--key", taken.key, str(taken.folder)]) == 0
    code, said = taken.check()
    assert code == 1
    words = f"rewritten, removed or put in: checkpoint of yours, {taken.old}, signs another root over them"
    assert said == [f"entries 0 to {size - 1}: {words}"]


def test_a_removed_entry_with_all_made_again(taken: Taken) -> None:
    lines = taken.lines
    taken.write(numbered(lines[:3] + lines[4:]))
    taken.resigned(log_key(taken.home))
    code, said = taken.check()
    assert code == 1
    assert "signs another root over them" in "".join(said)


def test_a_log_signed_again_with_another_key(taken: Taken) -> None:
    lines, other = taken.lines, SigningKey.generate()
    own = log_key(taken.home).public.encode()
    taken.write([line.replace(own, other.public.encode()) for line in lines])
    taken.resigned(other)
    code, said = taken.check()
    assert code == 1
    assert "the log is signed with another key than the one given" in said
    assert any(line.startswith("entries ") for line in said)


def test_another_key_slipped_under_the_given_one(taken: Taken) -> None:
    """A forger's key comes first and vouches for the real one, which anybody can do."""
    other, public = SigningKey.generate(), log_key(taken.home).public
    said = canonical_json({"purpose": "dmmgov/log_key/v1", "public": public})
    mine = canonical_json({"public": other.public})
    forged = []
    for line in taken.lines:
        entry = json.loads(line)
        if entry["kind"] == "log_key":
            forged.append(canonical_json(entry | {"payload": json.loads(mine)}))
            entry["payload"] = {"public": public, "signature": other.sign(said)}
        forged.append(canonical_json(entry))
    taken.write(numbered(forged))
    leaves = [leaf_hash(line) for line in taken.lines]
    for path in sorted((taken.folder / "checkpoints").iterdir()):
        path.unlink()
    origin = Checkpoint.parse(taken.old.read_text()).origin
    note = Checkpoint(origin, len(leaves), tree_root(leaves).hex()).signed(other)
    (taken.folder / "checkpoints" / "1.note").write_text(str(note))
    assert main(["--key", taken.key, str(taken.folder)]) == 1
    assert "the log's key did not sign it" in "".join(taken.check()[1])


def test_a_further_key_that_none_vouches_for(taken: Taken) -> None:
    with Ledger.open(taken.home) as ledger:
        add(ledger, "log_key", public=SigningKey.generate().public)
        stamp(taken.home, ledger)
        place = ledger.entries("log_key")[-1].seq
    code, said = again(taken).check()
    assert (code, said) == (1, [f"entry {place}: a further key of the log for which no earlier one vouches"])


def again(taken: Taken) -> Taken:
    """A new bundle of the home."""
    shutil.rmtree(taken.folder)
    export_bundle(taken.home, taken.folder, "auditor")
    return taken


def test_reordered_entries(taken: Taken) -> None:
    lines = taken.lines
    taken.write([*lines[:2], lines[3], lines[2], *lines[4:]])
    assert taken.check()[1][0].startswith("entry 2: it is missing or out of its order: entry 3")
    taken.write(numbered([*lines[:2], lines[3], lines[2], *lines[4:]]))
    code, said = taken.check()
    assert code == 1
    assert said[0].startswith("entries 0 to ")


def test_an_entry_put_in_or_doubled(taken: Taken) -> None:
    lines = taken.lines
    taken.write([*lines, lines[-1]])
    assert taken.check()[1][0].startswith(f"entry {len(lines)}: it is missing or out of its order")
    taken.write(numbered([*lines, lines[-1]]))
    assert taken.check() == (1, [f"entry {len(lines)}: no checkpoint covers it"])


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'","kind"', b'", "kind"'),
        lambda line: line.replace(b'"seq":2', b'"seq":2.0'),
        lambda line: line.replace(b'"actor":', b'"actor":"a","actor":'),
        lambda line: line[:-1],
        lambda line: b"[]",
        lambda line: b'{"actor":1,"kind":"","payload":{},"recorded_at":"","seq":2}',
    ],
)
def test_a_line_that_is_no_entry(taken: Taken, change: Callable[[bytes], bytes]) -> None:
    lines = taken.lines
    assert change(lines[2]) != lines[2]
    taken.write([*lines[:2], change(lines[2]), *lines[3:]])
    code, said = taken.check()
    assert code == 1
    assert said[0].startswith("entry 2: ")


def test_a_swapped_delta_byte(taken: Taken) -> None:
    path = next((taken.folder / "artifacts").glob("*/delta.json"))
    path.write_bytes(path.read_bytes().replace(b"{", b"["))
    code, said = taken.check()
    with Ledger.open(taken.home) as ledger:
        first = ledger.entries("published")[0].seq
    assert code == 1
    assert said == [
        f"entry {first}: delta {path.parent.name} of release 1: delta.json is missing, changed or not listed"
    ]


@pytest.mark.parametrize("what", ["removed", "more", "manifest", "both", "stranger"])
def test_a_delta_that_is_not_the_one(taken: Taken, what: str) -> None:
    folder = next((taken.folder / "artifacts").iterdir())
    if what == "removed":
        (folder / "delta.json").unlink()
    elif what == "more":
        (folder / "more.json").write_text("{}")
    elif what == "manifest":
        (folder / "MANIFEST.json").write_text("{}")
    elif what == "both":
        (folder / "delta.json").write_text("[9]")
        (folder / "MANIFEST.json").write_bytes(canonical_json({"delta.json": digest_bytes(b"[9]")}))
    else:
        folder.rename(folder.with_name("0" * 64))
    code, said = taken.check()
    assert code == 1
    assert said[0].startswith("delta 000" if what == "stranger" else "entry ")


@pytest.mark.parametrize("name", ["../../outside", "/etc/hostname", "a/../../b", "..\\b", "", "c:x", "./a", "a//b"])
def test_a_name_that_leads_out_is_refused(taken: Taken, name: str) -> None:
    folder = next((taken.folder / "artifacts").iterdir())
    listed = json.loads((folder / "MANIFEST.json").read_bytes()) | {name: "0" * 64}
    data = canonical_json(listed)
    (folder / "MANIFEST.json").write_bytes(data)
    moved = folder.rename(folder.with_name(digest_bytes(data)))
    lines = [line.replace(folder.name.encode(), moved.name.encode()) for line in taken.lines]
    taken.write(lines)
    taken.resigned(log_key(taken.home))
    code, said = taken.check()
    assert (code, said[-1]) == (1, f"the bundle is refused: ValueError: {name!r} is no safe name")


def test_a_link_is_refused(taken: Taken, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (taken.folder / "certificates").mkdir()
    (taken.folder / "certificates" / "a").symlink_to(tmp_path / "outside")
    code, said = taken.check()
    assert (code, said) == (1, ["the bundle is refused: ValueError: certificates/a is no plain file or folder"])


def approved_by(name: str, **changes: Any) -> Callable[[Ledger], None]:
    return lambda ledger: approve(ledger, name, **changes)


def revoked(ledger: Ledger) -> None:
    user(ledger, "user_revoked", name="bob")
    approve(ledger)


def expired(ledger: Ledger) -> None:
    person(ledger, "eve", ["approver"], (AT + timedelta(days=1)).isoformat())
    late = AT + timedelta(days=2)
    word = Statement(APPROVED, 1, CONTENT, "eve", late).signed(PEOPLE["eve"]).to_dict()
    add(ledger, APPROVED, late, request=1, content=CONTENT, by="eve", **word)


def backdated(ledger: Ledger) -> None:
    """The log has passed the day of the key; an entry says that it is older."""
    person(ledger, "eve", ["approver"], (AT + timedelta(days=1)).isoformat())
    user(ledger, "user_revoked", at=AT + timedelta(days=2), name="vic")
    approve(ledger, "eve")


def of_no_day(ledger: Ledger) -> None:
    """Signed for another moment than the entry's."""
    word = Statement(APPROVED, 1, CONTENT, "bob", AT - timedelta(days=1)).signed(PEOPLE["bob"]).to_dict()
    approve(ledger, "bob", **word)


def smuggled(ledger: Ledger) -> None:
    """A user whom no admin added approves."""
    body = {"name": "eve", "roles": ["approver"], "public": PEOPLE["eve"].public, "expires": None}
    word = Statement("user_added", 5, content_of(body), "ann", AT).signed(PEOPLE["eve"])
    told = {"signed": word.text, "signer": PEOPLE["ann"].public, "signature": word.signature}
    add(ledger, "user_added", AT, **body, by="ann", **told)
    approve(ledger, "eve")


def changed(ledger: Ledger) -> None:
    """The request was changed after its approval, which is void."""
    approve(ledger)
    made(ledger, 2, OTHER)


def taken_over(ledger: Ledger) -> None:
    """Somebody else changes the request, so as to approve it afterwards."""
    made(ledger, 2, OTHER, requester="bob", **signed("request_changed", "bob", content=OTHER))


def gone(ledger: Ledger) -> None:
    """Who approved is revoked before the execution."""
    approve(ledger)
    user(ledger, "user_revoked", name="bob")


def nobody(_: Ledger) -> None:
    """No approval at all."""


FORGED: Mapping[str, tuple[Callable[[Ledger], None], str]] = {
    "wrong key": (approved_by("bob", **signed(APPROVED, "bob", "eve")), "was not the key of bob then"),
    "wrong signature": (approved_by("bob", signature="00" * 64), "what bob signed is something else"),
    "other content": (
        approved_by("bob", **signed(APPROVED, "bob", content=OTHER)),
        "what bob signed is something else",
    ),
    "other request": (approved_by("bob", **signed(APPROVED, "bob", number=2)), "what bob signed is something else"),
    "changed entry": (approved_by("bob", content=OTHER), "it is about other content than request 1"),
    "self": (approved_by("ada"), "ada may not: ada asked for it"),
    "stranger": (approved_by("eve"), "was not the key of eve then"),
    "another purpose": (approved_by("bob", **signed("request_rejected", "bob")), "what bob signed is something else"),
    "unsigned": (lambda ledger: add(ledger, APPROVED, request=1, content=CONTENT, by="bob"), "'public'"),
    "role": (approved_by("vic"), "vic is none of approver"),
    "revoked": (revoked, "was not the key of bob then"),
    "expired": (expired, "the key of eve had expired"),
    "backdated": (backdated, "the key of eve had expired"),
    "of no day": (of_no_day, "what bob signed is something else"),
    "smuggled": (smuggled, "what ann signed is something else"),
    "taken over": (taken_over, "was not the key of ada then"),
    "changed": (changed, "it is about other content than request 1"),
    "gone": (gone, "needs 1 approvals that hold, it has 0"),
    "none": (nobody, "needs 1 approvals that hold, it has 0"),
}


def bundled(home: Home, tmp_path: Path) -> tuple[int, list[str]]:
    """What the script says of a fresh bundle of a home."""
    exported = export_bundle(home, tmp_path / "bundle", "auditor")
    taken = Taken(home, tmp_path / "bundle", exported.key, tmp_path / "old.note")
    taken.old.write_text(str(make_checkpoint(home).checkpoint))
    return taken.check()


@pytest.mark.parametrize("name", sorted(FORGED))
def test_a_forged_approval(home: Home, tmp_path: Path, name: str) -> None:
    forge, words = FORGED[name]
    with Ledger.open(home) as ledger:
        people(ledger)
        forge(ledger)
        executed(ledger)
        stamp(home, ledger)
        book = Approvals.read(ledger)
        refused = sorted(one.seq for one in [*book.refused, *book.users.refused])
    code, said = bundled(home, tmp_path)
    assert code == 1
    assert words in said[0], said
    assert [int(line.split(":")[0].removeprefix("entry ")) for line in said] == refused


def broken(*names: str) -> list[dict[str, str]]:
    return [{"by": name, **signed("break_glass", name)} for name in names]


def test_the_glass_is_broken_by_two(home: Home, tmp_path: Path) -> None:
    with Ledger.open(home) as ledger:
        people(ledger)
        add(ledger, "break_glass", request=1, content=CONTENT, reason="fire", signatures=broken("ann", "bob"))
        executed(ledger)
        stamp(home, ledger)
        assert Approvals.read(ledger).refused == []
    assert bundled(home, tmp_path)[0] == 0


@pytest.mark.parametrize("names", [("bob",), ("bob", "bob"), ("bob", "vic"), ("bob", "eve")])
def test_one_person_or_a_stranger_breaks_no_glass(home: Home, tmp_path: Path, names: tuple[str, ...]) -> None:
    with Ledger.open(home) as ledger:
        people(ledger)
        add(ledger, "break_glass", request=1, content=CONTENT, reason="fire", signatures=broken(*names))
        stamp(home, ledger)
        (one,) = Approvals.read(ledger).refused
    code, said = bundled(home, tmp_path)
    assert code == 1
    assert said[0].startswith(f"entry {one.seq}: break_glass: ")


@pytest.mark.parametrize("verb", ["rejected", "withdrawn"])
def test_what_had_ended_is_not_executed(home: Home, tmp_path: Path, verb: str) -> None:
    kind, by = f"request_{verb}", "ada" if verb == "withdrawn" else "bob"
    with Ledger.open(home) as ledger:
        people(ledger)
        approve(ledger)
        add(ledger, kind, AT, request=1, content=CONTENT, by=by, **signed(kind, by))
        executed(ledger)
        stamp(home, ledger)
        (one,) = Approvals.read(ledger).refused
    assert bundled(home, tmp_path) == (1, [f"entry {one.seq}: request_executed: request 1 is not open for that"])


def test_a_changed_request_that_is_approved_again_is_executed(home: Home, tmp_path: Path) -> None:
    with Ledger.open(home) as ledger:
        people(ledger)
        changed(ledger)
        approve(ledger, content=OTHER, **signed(APPROVED, "bob", content=OTHER))
        executed(ledger, OTHER)
        stamp(home, ledger)
        assert Approvals.read(ledger).refused == []
    assert bundled(home, tmp_path)[0] == 0


def test_a_request_whose_day_has_come(home: Home, tmp_path: Path) -> None:
    late = AT + timedelta(days=9)
    with Ledger.open(home) as ledger:
        people(ledger)
        approve(ledger)
        add(ledger, "request_expired", late, request=1)
        stamp(home, ledger)
        assert Approvals.read(ledger).refused == []
    assert bundled(home, tmp_path)[0] == 0
    shutil.rmtree(tmp_path / "bundle")
    with Ledger.open(home) as ledger:
        executed(ledger, at=late)
        stamp(home, ledger)
        (one,) = Approvals.read(ledger).refused
    assert bundled(home, tmp_path)[1][0].startswith(f"entry {one.seq}: request_executed: ")


def test_a_countersignature_goes_along_and_is_checked(taken: Taken, tmp_path: Path) -> None:
    file = tmp_path / "c.note"
    file.write_text(str(make_checkpoint(taken.home).checkpoint))
    witness(taken.home, file, Witness("w", tmp_path / "w.pem", fresh=True))
    assert "countersignatures: 1" in again(taken).check()[1][0]
    path = next(one for one in (taken.folder / "checkpoints").iterdir() if "\u2014 w " in one.read_text())
    other = Checkpoint.parse(file.read_text()).witnessed(SigningKey.generate(), "w", AT).of_witness("w")
    own = Checkpoint.parse(path.read_text()).of_witness("w")
    path.write_text(path.read_text().replace(str(own), str(other)))
    code, said = taken.check()
    assert (code, said) == (1, [f"checkpoint {path.name}: the countersignature of w does not hold"])


@pytest.mark.parametrize("text", ["", "x", "a\n1\n\n\n"])
def test_a_checkpoint_that_is_none(taken: Taken, text: str) -> None:
    (taken.folder / "checkpoints" / "more.note").write_text(text)
    code, said = taken.check()
    assert (code, said) == (1, ["checkpoint more.note: it is no checkpoint of three lines with signatures below"])


def test_certificates_go_along_and_are_checked(taken: Taken) -> None:
    (taken.home.root / "certificates").mkdir()
    (taken.home.root / "certificates" / "r1.yaml").write_text("a: 1\n")
    assert again(taken).check()[0] == 0
    (taken.folder / "certificates" / "r1.yaml").write_text("a: 2\n")
    code, said = taken.check()
    assert (code, said) == (1, ["certificate r1.yaml: it is not the one that the log names"])


def test_without_deltas_none_is_taken_out(taken: Taken, tmp_path: Path) -> None:
    with Ledger.open(taken.home) as ledger:
        before = ledger.head()
        made = export_bundle(taken.home, tmp_path / "bare", "auditor", deltas=False)
        assert ledger.head() == before
    assert (made.deltas, made.absent) == (0, ())
    assert list((tmp_path / "bare" / "artifacts").iterdir()) == []
    assert main(["--key", taken.key, "--checkpoint", str(taken.old), str(tmp_path / "bare")]) == 0


def test_a_delta_that_is_gone_is_told(taken: Taken, tmp_path: Path) -> None:
    (digest,) = (path.name for path in taken.home.deltas.iterdir())
    shutil.rmtree(taken.home.deltas)
    assert export_bundle(taken.home, tmp_path / "less", "auditor").absent == (digest,)


def test_a_folder_with_something_in_it_is_left_alone(taken: Taken) -> None:
    with pytest.raises(InputError, match="an empty folder"):
        export_bundle(taken.home, taken.folder, "auditor")
    assert taken.check()[0] == 0


def test_an_empty_log_has_no_bundle(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        export_bundle(home, tmp_path / "none", "auditor")
    assert not (tmp_path / "none").exists()


def test_the_bundle_ends_with_its_own_checkpoint(taken: Taken) -> None:
    with Ledger.open(taken.home) as ledger:
        latest = CheckpointStore(ledger).latest()
    assert latest is not None
    assert latest.size == len(taken.lines)
    assert base64.b64encode(bytes.fromhex(latest.root)).decode() in latest.text
    assert isinstance(Bundle("f", 1, 1, (), "k", "r"), Bundle)
