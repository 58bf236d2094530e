"""One table of forgeries: who tries what, and what refuses it. None passes.

The forger has the whole home, the log's own key with it, and writes past every command: each row puts its entry into
the log and signs a checkpoint over it. It must let nothing in, and be named by `audit verify` and by an outsider with
the bundle alone. The second table changes the log's own tables, past their triggers, and makes all hashes again.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.auditing.bundle import export_bundle
from pipelines.auditing.log_checks import NO_PINS, Pins, log_problems
from pipelines.auditing.witness import make_checkpoint
from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request, change_request, decide, ready
from pipelines.requests.people import add_user, revoke_user
from pipelines.requests.signing import key_of
from pipelines.standalone.verify_bundle import main
from registry.checkpoints import CheckpointStore, stamp
from registry.consistency import table_problems
from registry.digests import canonical_json
from registry.errors import BlockedError
from registry.home import Home
from registry.keys import SigningKey, fingerprint, log_key
from registry.ledger import Ledger
from registry.merkle import Frontier
from registry.newest_note import NAME
from registry.records import LedgerEntry
from registry.requests import APPROVED, EXECUTED, MADE, REJECTED
from registry.statements import Statement
from registry.users import USER_ADDED
from registry.users import content_of as person_of
from registry.walk import leaf_of

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
ROLES = {"ada": ["requester", "approver"], "bob": ["approver"], "cleo": ["approver"], "vic": ["viewer"]}
STRANGER = SigningKey.generate()
CHAD = {"subject": "Chad", "relation": "currency", "object": "franc", "source": "a letter"}
EURO = {**CHAD, "object": "euro"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with people and a request that nobody has decided on."""
    home = Home.at(tmp_path_factory.mktemp("forged") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DMMGOV_PASSPHRASE", "correct horse")
        add_user(home, "ann", ["admin"], at=AT)
        for name, roles in ROLES.items():
            add_user(home, name, roles, by="ann", at=AT)
        add_user(home, "soon", ["approver"], by="ann", expires=AT + 3 * HOUR, at=AT)
        add_request(home, content_of("facts", "it was missing", rows=[CHAD]), by="ada", at=AT + HOUR)
        yield home


@dataclass
class Forger:
    """Somebody with a copy of the home and everybody's habits."""

    home: Home

    def content(self) -> str:
        """Digest of what the request asks for."""
        with Ledger.open(self.home) as ledger:
            return str(ledger.entries(MADE)[0].payload["content"])

    def put(self, kind: str, payload: Mapping[str, Any], at: datetime = AT + 2 * HOUR) -> None:
        """Append an entry past every rule, and sign a checkpoint over it."""
        with Ledger.open(self.home) as ledger:
            with ledger.transaction() as txn:
                ledger.append(txn, kind, payload, "somebody", at)
            stamp(self.home, ledger, at)

    def word(self, kind: str, by: str, key: SigningKey | None = None, at: datetime = AT + 2 * HOUR) -> dict[str, Any]:
        """What `by` would have signed, under the own key or another."""
        signer = key or key_of(self.home, by)
        about = Statement(kind, 1, self.content(), by, at).signed(signer).to_dict()
        return {"request": 1, "content": self.content(), "by": by, **about}

    def approve(self, by: str, at: datetime = AT + 2 * HOUR, **changes: Any) -> None:
        """An approval as `by` would have given it, with changes."""
        self.put(APPROVED, self.word(APPROVED, by, at=at) | changes, at)

    def entry(self, kind: str) -> LedgerEntry:
        """The last entry of a kind."""
        with Ledger.open(self.home) as ledger:
            return ledger.entries(kind)[-1]


@pytest.fixture
def forger(original: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forger:
    """With a copy."""
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    shutil.copytree(original.root, tmp_path / "home")
    return Forger(Home.at(tmp_path / "home"))


def another_key(forger: Forger) -> None:
    forger.put(APPROVED, forger.word(APPROVED, "bob", STRANGER))


def under_the_right_name(forger: Forger) -> None:
    forger.put(APPROVED, forger.word(APPROVED, "bob", STRANGER) | {"public": key_of(forger.home, "bob").public})


def unsigned(forger: Forger) -> None:
    forger.put(APPROVED, {"request": 1, "content": forger.content(), "by": "bob"})


def other_content(forger: Forger) -> None:
    forger.approve("bob", content="d" * 64)


def content_changed_after_the_approval(forger: Forger) -> None:
    """Approved by the rule; then it asks for something else, and the old approval is put in again over it."""
    decide(forger.home, 1, "approve", by="bob", at=AT + 2 * HOUR)
    old = forger.entry(APPROVED)
    change_request(forger.home, 1, content_of("facts", "it was missing", rows=[EURO]), by="ada", at=AT + 2 * HOUR)
    forger.put(APPROVED, old.payload, old.recorded_at)


def of_another_request(forger: Forger) -> None:
    """An approval of request 2 is put in as one of request 1."""
    add_request(forger.home, content_of("facts", "why", rows=[CHAD]), by="ada", at=AT + 2 * HOUR)
    decide(forger.home, 2, "approve", by="bob", at=AT + 2 * HOUR)
    forger.put(APPROVED, {**forger.entry(APPROVED).payload, "request": 1, "content": forger.content()})


def rejection_as_approval(forger: Forger) -> None:
    forger.put(APPROVED, forger.word(REJECTED, "bob"))


def expired_key_dated_back(forger: Forger) -> None:
    """The log has gone on past the key's day; the entry says that it is older."""
    add_user(forger.home, "late", ["viewer"], by="ann", at=AT + 5 * HOUR)
    forger.approve("soon", AT + 2 * HOUR)


def revoked_key(forger: Forger) -> None:
    kept = key_of(forger.home, "bob")
    revoke_user(forger.home, "bob", by="ann", at=AT + 2 * HOUR)
    forger.put(APPROVED, forger.word(APPROVED, "bob", kept))


def smuggled_user(forger: Forger) -> None:
    """A new approver whom no admin signed for approves."""
    body = {"name": "eve", "roles": ["approver"], "public": STRANGER.public, "expires": None}
    with Ledger.open(forger.home) as ledger:
        number = len(ledger.entries(USER_ADDED)) + 1
    word = Statement(USER_ADDED, number, person_of(body), "ann", AT).signed(STRANGER)
    told = {"signed": word.text, "signer": key_of(forger.home, "ann").public, "signature": word.signature}
    forger.put(USER_ADDED, {**body, "by": "ann", **told}, AT)
    forger.put(APPROVED, forger.word(APPROVED, "eve", STRANGER))


def raised_role(forger: Forger) -> None:
    """The entry that made vic a viewer is put in again with another role."""
    with Ledger.open(forger.home) as ledger:
        (viewer,) = [one for one in ledger.entries(USER_ADDED) if one.payload["name"] == "vic"]
    forger.put(USER_ADDED, {**viewer.payload, "name": "vic2", "roles": ["approver"]}, viewer.recorded_at)


def replayed_request(forger: Forger) -> None:
    again = forger.entry(MADE)
    forger.put(MADE, again.payload, again.recorded_at)


def executed_unapproved(forger: Forger) -> None:
    forger.put(EXECUTED, {"request": 1, "content": forger.content(), "release": None, "status": "published"})


FORGERIES: Mapping[str, tuple[Callable[[Forger], None], str, str]] = {
    "signed with another key": (another_key, "not that of bob", "was not the key of bob"),
    "another key under the right name": (
        under_the_right_name,
        "signature is not that of bob",
        "not theirs",
    ),
    "not signed": (unsigned, "not signed", "'public'"),
    "self-approval": (lambda forger: forger.approve("ada"), "", "ada asked for it"),
    "approval of other content": (other_content, "asks for", "other content"),
    "approval of what was changed since": (content_changed_after_the_approval, "asks for", "other content"),
    "approval of another request": (of_another_request, "is not this request_approved", "signed is something else"),
    "rejection put in as approval": (rejection_as_approval, "is not this request_approved", "signed is something else"),
    "expired key": (lambda forger: forger.approve("soon", AT + 4 * HOUR), "expired", "had expired"),
    "expired key, dated back": (expired_key_dated_back, "expired", "had expired"),
    "revoked key": (revoked_key, "revoked", "was not the key of bob"),
    "wrong role": (lambda forger: forger.approve("vic"), "approver is needed", "vic is none of approver"),
    "wrong role, admin": (lambda forger: forger.approve("ann"), "approver", "ann is none of approver"),
    "user whom nobody added": (smuggled_user, "not that of ann", "ann signed is something else"),
    "user put in again with more": (raised_role, "", "ann signed is something else"),
    "request put in again": (replayed_request, "", "not open for that"),
    "carried out without approval": (executed_unapproved, "approvals missing", "it has 0"),
}
"""Every forgery of a person's word: what is done, what `audit verify` says of it, what the outsider's script says."""


def audited(home: Home, pins: Pins = NO_PINS) -> list[str]:
    """What `audit verify` finds in the log and its tables."""
    with Ledger.open(home) as ledger:
        return [*log_problems(ledger, pins), *table_problems(ledger)]


def outsider(home: Home, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[str]]:
    """What the script says of a bundle of a home."""
    made = export_bundle(home, folder, "auditor")
    capsys.readouterr()
    return main(["--key", made.key, *more, str(folder)]), capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_word_lets_nothing_in_and_is_named(
    forger: Forger, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forge, inside, outside = FORGERIES[name]
    forge(forger)
    assert not ready(forger.home, 1, AT + 6 * HOUR), "nothing may be carried out"
    bad = [line for line in audited(forger.home) if "counts for nothing" in line]
    assert bad, "audit verify names it"
    assert inside in bad[0], bad
    code, said = outsider(forger.home, tmp_path / "bundle", capsys)
    assert code == 1
    assert outside in said[0], said
    assert said[0].split(":")[0] == " ".join(bad[0].split()[:2]), "both name the same entry"


def test_a_true_word_lets_in_and_nothing_is_named(
    forger: Forger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forger.approve("bob")
    assert ready(forger.home, 1, AT + 6 * HOUR)
    assert audited(forger.home) == []
    assert outsider(forger.home, tmp_path / "bundle", capsys)[0] == 0


ASKED: Mapping[str, tuple[str, datetime, str]] = {
    "self-approval": ("ada", AT + 2 * HOUR, "ada"),
    "wrong role": ("vic", AT + 2 * HOUR, "approver is needed"),
    "wrong role, admin": ("ann", AT + 2 * HOUR, "approver"),
    "expired key": ("soon", AT + 4 * HOUR, "expired"),
    "after the request's day": ("bob", AT + 99 * DAY, "expired"),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_command_refuses_it_before_it_is_in_the_log(forger: Forger, name: str) -> None:
    by, at, words = ASKED[name]
    with pytest.raises(BlockedError, match=words):
        decide(forger.home, 1, "approve", by=by, at=at)
    assert not ready(forger.home, 1, at)
    assert audited(forger.home) == []


def test_the_command_refuses_a_key_that_is_not_the_persons(forger: Forger, tmp_path: Path) -> None:
    STRANGER.save(tmp_path / "eve.pem")
    with pytest.raises(BlockedError, match="not that of bob"):
        decide(forger.home, 1, "approve", by="bob", key=tmp_path / "eve.pem", at=AT + 2 * HOUR)
    assert audited(forger.home) == []


def tampered(home: Home, change: Callable[[sqlite3.Connection], None]) -> None:
    """Change the log's tables past their triggers, and make every leaf and head again."""
    with sqlite3.connect(home.root / "ledger.db") as connection:
        connection.row_factory = sqlite3.Row
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        change(connection)
        frontier = Frontier()
        sizes = {size for (size,) in connection.execute("SELECT size FROM heads")}
        connection.execute("DELETE FROM heads")
        rows = connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
        for row in rows:
            leaf = leaf_of(row["seq"], row["kind"], row["actor"], row["recorded_at"], row["payload"])
            connection.execute("UPDATE entries SET leaf = ? WHERE seq = ?", (leaf, row["seq"]))
            frontier = frontier.append(bytes.fromhex(leaf))
            if frontier.size in sizes or frontier.size == len(rows):
                peaks = "".join(peak.hex() for peak in frontier.peaks)
                connection.execute("INSERT INTO heads VALUES (?, ?, ?)", (frontier.size, frontier.root.hex(), peaks))
    connection.close()


def removed(connection: sqlite3.Connection) -> None:
    """The entry that made vic a user goes, and those after it move up."""
    (seq,) = connection.execute("SELECT seq FROM entries WHERE payload LIKE '%\"vic\"%'").fetchone()
    connection.execute("DELETE FROM entries WHERE seq = ?", (seq,))
    for (place,) in connection.execute("SELECT seq FROM entries WHERE seq > ? ORDER BY seq", (seq,)).fetchall():
        connection.execute("UPDATE entries SET seq = seq - 1 WHERE seq = ?", (place,))


def reordered(connection: sqlite3.Connection) -> None:
    """Two entries change places."""
    for old, new in ((3, -1), (4, 3), (-1, 4)):
        connection.execute("UPDATE entries SET seq = ? WHERE seq = ?", (new, old))


def doubled(connection: sqlite3.Connection) -> None:
    """An entry is put in a second time right behind itself."""
    for (place,) in connection.execute("SELECT seq FROM entries WHERE seq > 3 ORDER BY seq DESC").fetchall():
        connection.execute("UPDATE entries SET seq = seq + 1 WHERE seq = ?", (place,))
    columns = "kind, actor, recorded_at, payload, leaf"
    connection.execute(f"INSERT INTO entries (seq, {columns}) SELECT 4, {columns} FROM entries WHERE seq = 3")


def rewritten(connection: sqlite3.Connection) -> None:
    """An entry says that somebody else wrote it."""
    connection.execute("UPDATE entries SET actor = 'nobody' WHERE seq = 2")


def cut_off(connection: sqlite3.Connection) -> None:
    """The last two entries go."""
    connection.execute("DELETE FROM entries WHERE seq > (SELECT max(seq) - 2 FROM entries)")


CHANGES = {one.__name__: one for one in (removed, reordered, doubled, rewritten, cut_off)}


@pytest.mark.parametrize("signed_again", ["", "by the log's key", "by another key"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_log_made_again_contradicts_what_signed_it(forger: Forger, name: str, signed_again: str) -> None:
    home = forger.home
    old, public = make_checkpoint(home).checkpoint, log_key(home).public
    kept = Pins(public, (old,))
    assert audited(home, kept) == []
    tampered(home, CHANGES[name])
    if not signed_again:
        assert any("checkpoint" in line for line in audited(home)), "its own checkpoints tell"
        return
    other = SigningKey.generate()

    def resigned(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM checkpoints")
        if signed_again == "by another key":
            seq, payload = connection.execute("SELECT seq, payload FROM entries WHERE kind = 'log_key'").fetchone()
            body = json.loads(payload) | {"public": other.public, "fingerprint": fingerprint(other.public)}
            connection.execute("UPDATE entries SET payload = ? WHERE seq = ?", (canonical_json(body).decode(), seq))

    tampered(home, resigned)
    (home.root / NAME).unlink()
    if signed_again == "by another key":
        (home.keys / "log.pem").unlink()
        other.save(home.keys / "log.pem")
    with Ledger.open(home) as ledger:
        stamp(home, ledger, AT)
        assert len(CheckpointStore(ledger).all()) == 1
    found = audited(home, kept)
    words = "log key: " if signed_again == "by another key" else "entr"
    assert any(line.startswith(words) for line in found), "an old checkpoint, kept elsewhere, tells"
