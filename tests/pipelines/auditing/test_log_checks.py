"""What vouches for the log: checkpoints, witnesses, what was kept from before; and what rests on a bad entry."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import editors
import editors.load
from pipelines.auditing.integrity import verify_home
from pipelines.auditing.log_checks import Pins, dependents, first_bad, log_problems
from pipelines.auditing.witness import Witness, make_checkpoint, witness
from pipelines.publish import publish
from pipelines.releasing.chains import chain_problems
from registry.checkpoints import CheckpointStore, log_keys, stamp
from registry.digests import canonical_json
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.keys import SigningKey, fingerprint, log_key
from registry.ledger import Ledger
from registry.merkle import Frontier
from registry.newest_note import NAME
from registry.notes import Checkpoint, verifier_key
from registry.releases import ReleaseStore
from registry.walk import leaf_of

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def home(two_releases: Path, tmp_path: Path) -> Home:
    """A copy."""
    shutil.copytree(two_releases, tmp_path / "home")
    return Home.at(tmp_path / "home")


def tamper(home: Home, change: Callable[[sqlite3.Connection], None], *, heads: bool = True) -> None:
    """Change the tables past their triggers; then make every leaf and head again, as a thorough forger would."""
    with sqlite3.connect(home.root / "ledger.db") as connection:
        connection.row_factory = sqlite3.Row
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        change(connection)
        if heads:
            frontier = Frontier()
            for row in connection.execute("SELECT * FROM entries ORDER BY seq").fetchall():
                leaf = leaf_of(row["seq"], row["kind"], row["actor"], row["recorded_at"], row["payload"])
                connection.execute("UPDATE entries SET leaf = ? WHERE seq = ?", (leaf, row["seq"]))
                frontier = frontier.append(bytes.fromhex(leaf))
                peaks = "".join(peak.hex() for peak in frontier.peaks)
                values = (frontier.root.hex(), peaks, frontier.size)
                connection.execute("UPDATE heads SET root = ?, peaks = ? WHERE size = ?", values)
            connection.execute("DELETE FROM heads WHERE size > ?", (frontier.size,))
    connection.close()


def rewrite(seq: int) -> Callable[[sqlite3.Connection], None]:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE entries SET actor = 'nobody' WHERE seq = ?", (seq,))

    return change


def checked(home: Home, pins: Pins | None = None) -> list[str]:
    with Ledger.open(home) as ledger:
        return list(log_problems(ledger, pins or Pins()))


def test_every_command_that_wrote_left_a_checkpoint(home: Home) -> None:
    with Ledger.open(home) as ledger:
        kept = CheckpointStore(ledger).all()
        assert len(kept) == 2
        assert kept[-1].size == ledger.head().size
        assert kept[-1].checkpoint().signed_by(log_key(home).public)
    assert checked(home) == []


def test_a_log_rewritten_throughout_contradicts_its_checkpoint(home: Home) -> None:
    with Ledger.open(home) as ledger:
        first, second = (one.size for one in CheckpointStore(ledger).all())
    tamper(home, rewrite(2))
    problems = verify_home(home)
    assert problems[0].startswith(f"entries 0 to {first - 1}: their root is ")
    assert f"the checkpoint of {first} signs" in problems[0]
    assert problems[1].startswith("what rests on entry 0: releases 1, 2")
    assert any(problem.startswith(f"entries 0 to {second - 1}") for problem in problems)


def test_only_what_lies_after_the_last_agreement_is_named(home: Home) -> None:
    with Ledger.open(home) as ledger:
        first, second = (one.size for one in CheckpointStore(ledger).all())
    tamper(home, rewrite(second - 1))
    assert checked(home)[0].startswith(f"entries {first} to {second - 1}: their root is ")


def test_a_log_cut_short_with_its_heads_is_missing_entries(home: Home) -> None:
    with Ledger.open(home) as ledger:
        size = ledger.head().size

    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entries WHERE seq = ?", (size - 1,))

    tamper(home, cut)
    with sqlite3.connect(home.root / "ledger.db") as connection:
        heads = connection.execute("SELECT max(size) FROM heads").fetchone()[0]
    connection.close()
    assert heads < size
    problems = checked(home)
    assert problems[0].startswith(f"entry {heads}: it was put in without") or "is missing" in problems[0]
    assert any(f"a checkpoint covers {size} entries" in problem or "recorded head" in problem for problem in problems)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE checkpoints SET note = replace(note, 'dmmgov/', 'dmmgow/')", "no key of the log signed it"),
        ("UPDATE checkpoints SET note = 'x'", "three lines"),
        ("UPDATE checkpoints SET size = size + 1 WHERE size = (SELECT max(size) FROM checkpoints)", "it says"),
        ("DELETE FROM checkpoints", "no checkpoint is kept"),
        ("INSERT INTO cosignatures SELECT size, 'w', 'x', '' FROM checkpoints LIMIT 1", "signature line"),
    ],
)
def test_a_checkpoint_edited_by_hand_is_named(home: Home, statement: str, words: str) -> None:
    def change(connection: sqlite3.Connection) -> None:
        assert connection.execute(statement).rowcount >= 1

    tamper(home, change, heads=False)
    problems = checked(home)
    assert any(words in problem and "checkpoint" in problem for problem in problems), problems


def test_a_log_signed_again_with_another_key_is_found_by_the_pin(home: Home) -> None:
    pinned = Pins(log_key(home).public)
    old = make_checkpoint(home).checkpoint
    other = SigningKey.generate()

    def change(connection: sqlite3.Connection) -> None:
        """A forger takes out the log's key and signs all checkpoints with its own."""
        seq, payload = connection.execute("SELECT seq, payload FROM entries WHERE kind = 'log_key'").fetchone()
        body = json.loads(payload) | {"public": other.public}
        connection.execute("UPDATE entries SET payload = ? WHERE seq = ?", (canonical_json(body).decode(), seq))
        connection.execute("DELETE FROM checkpoints")

    tamper(home, change)
    (home.root / NAME).unlink()
    (home.keys / "log.pem").unlink()
    other.save(home.keys / "log.pem")
    with Ledger.open(home) as ledger:
        stamp(home, ledger, AT)
    assert checked(home) == []
    assert checked(home, pinned)[0].startswith("log key: ")
    assert checked(home, Pins(None, (old,))) == [
        f"your checkpoint of {old.size} entries: no key of the log signed it",
    ]
    assert any(problem.startswith("entries 0 to ") for problem in checked(home, Pins(pinned.key, (old,))))


def test_a_key_that_vouches_for_the_pinned_one_counts_for_nothing(home: Home) -> None:
    """A forger puts its own key first, and lets it vouch for the real one, which anybody can do."""
    real, other = log_key(home).public, SigningKey.generate()
    said = canonical_json({"purpose": "dmmgov/log_key/v1", "public": real})
    mine = {"public": other.public, "fingerprint": fingerprint(other.public)}

    def change(connection: sqlite3.Connection) -> None:
        (seq,) = connection.execute("SELECT seq FROM entries WHERE kind = 'log_key'").fetchone()
        body = canonical_json({"public": real, "signature": other.sign(said)}).decode()
        connection.execute("UPDATE entries SET payload = ? WHERE seq = ?", (body, seq))
        body = canonical_json(mine).decode()
        connection.execute("UPDATE entries SET kind = 'log_key', payload = ? WHERE seq = 0", (body,))
        connection.execute("DELETE FROM checkpoints")

    tamper(home, change)
    (home.root / NAME).unlink()
    (home.keys / "log.pem").unlink()
    other.save(home.keys / "log.pem")
    with Ledger.open(home) as ledger:
        stamp(home, ledger, AT)
        assert list(log_keys(ledger)) == [other.public, real]
    assert checked(home) == []
    assert [problem.split(": ")[1] for problem in checked(home, Pins(real))] == ["no key of the log signed it"]


def test_a_further_key_without_the_word_of_the_first_is_named(home: Home) -> None:
    with Ledger.open(home) as ledger:
        with ledger.transaction() as txn:
            entry = ledger.append(txn, "log_key", {"public": SigningKey.generate().public}, "x", AT)
        stamp(home, ledger, AT)
    assert checked(home) == [f"entry {entry.seq} (log_key): a further key that no earlier key of the log vouches for"]


def test_what_was_kept_from_before_holds_after_the_log_grew(home: Home, publishing: Any, tmp_path: Path) -> None:
    old = make_checkpoint(home)
    kept = tmp_path / "old.note"
    kept.write_text(str(old.checkpoint))
    drafts = publishing(home)
    with Ledger.open(home) as ledger:
        publish(home, ledger, drafts.of(parent=2), drafts.at)
    (tmp_path / "key").write_text(old.log)
    for key in (old.log, str(tmp_path / "key"), log_key(home).public):
        assert verify_home(home, pins=Pins.read(key, [kept])) == []
    assert checked(home, Pins.read(SigningKey.generate().public, [kept]))[0].startswith("log key")
    tamper(home, rewrite(0))
    with sqlite3.connect(home.root / "ledger.db") as connection:
        connection.execute("DELETE FROM checkpoints")
    connection.close()
    with Ledger.open(home) as ledger:
        with pytest.raises(IntegrityError, match=NAME):
            stamp(home, ledger, AT)
        (home.root / NAME).unlink()
        stamp(home, ledger, AT)
    assert checked(home) == []
    found = checked(home, Pins.read(old.log, [kept]))
    size = old.checkpoint.size
    assert found[0].startswith(f"entries 0 to {size - 1}: ")


def test_a_pin_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="public key"):
        Pins.read("no key", [])
    with pytest.raises(InputError, match="a file of text"):
        Pins.read(None, [tmp_path / "gone"])


def test_a_witness_countersigns_and_sees_the_log_grow(home: Home, publishing: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first.note", tmp_path / "second.note"
    first.write_text(str(make_checkpoint(home).checkpoint))
    made = witness(home, first, Witness("w", tmp_path / "w.pem", fresh=True))
    first.write_text(str(made.checkpoint))
    drafts = publishing(home)
    with Ledger.open(home) as ledger:
        publish(home, ledger, drafts.of(parent=2), drafts.at)
    second.write_text(str(make_checkpoint(home).checkpoint))
    again = witness(home, second, Witness("w", tmp_path / "w.pem"), since=first, log=made.log)
    assert again.witness == made.witness
    assert again.checkpoint.witnesses == ("w",)
    with Ledger.open(home) as ledger:
        kept = [one for one in CheckpointStore(ledger).all() if one.lines]
        assert [one.size for one in kept] == [made.checkpoint.size, again.checkpoint.size]
        assert len(ledger.entries("witness_key")) == 1
    assert checked(home) == []
    with pytest.raises(InputError, match="or more"):
        witness(home, first, Witness("w", tmp_path / "w.pem"), since=second)


def test_a_witness_does_not_sign_what_was_rewritten(home: Home, tmp_path: Path) -> None:
    old, new, pem = tmp_path / "old.note", tmp_path / "new.note", tmp_path / "w.pem"
    old.write_text(str(make_checkpoint(home).checkpoint))
    key = log_key(home)
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        ledger.append(txn, "more", {}, "x", AT)
    tamper(home, rewrite(1))
    with Ledger.open(home) as ledger:
        head = ledger.head()
    forged = Checkpoint(Checkpoint.parse(old.read_text()).origin, head.size, head.root).signed(key)
    new.write_text(str(forged))
    with pytest.raises(IntegrityError):
        witness(home, new, Witness("w", pem, fresh=True), since=old)
    with pytest.raises(IntegrityError, match="the log's key"):
        witness(home, new, Witness("w", pem), log=SigningKey.generate().public)
    stranger = Checkpoint(forged.origin, head.size, head.root).signed(SigningKey.generate())
    new.write_text(str(stranger))
    with pytest.raises(InputError, match="signed by this log"):
        witness(home, new, Witness("w", pem))


def test_a_countersignature_made_elsewhere_is_taken_in(home: Home, tmp_path: Path) -> None:
    file, key = tmp_path / "c.note", SigningKey.generate()
    made = make_checkpoint(home).checkpoint
    file.write_text(str(made.witnessed(key, "w", AT)))
    with pytest.raises(InputError, match="countersignature of w"):
        witness(home, file, Witness("w", public=SigningKey.generate().public))
    taken = witness(home, file, Witness("w", public=verifier_key("w", key.public, 0x04)))
    assert taken.checkpoint.witnessed_by("w", key.public) == AT
    tampered = str(Checkpoint.parse(file.read_text()).of_witness("w"))
    assert checked(home) == []

    def change(connection: sqlite3.Connection) -> None:
        other = made.witnessed(SigningKey.generate(), "w", AT).of_witness("w")
        assert connection.execute("UPDATE cosignatures SET line = ?", (str(other),)).rowcount == 1

    tamper(home, change, heads=False)
    assert tampered not in str(checked(home))
    assert checked(home) == [f"checkpoint of {made.size} entries: the countersignature of w does not hold"]


def test_a_forged_approval_in_the_log_is_named(home: Home) -> None:
    payload = {"request": 1, "content": "c", "by": "bob", "signed": "{}", "public": "", "signature": ""}
    with Ledger.open(home) as ledger:
        with ledger.transaction() as txn:
            entry = ledger.append(txn, "request_approved", payload, "bob", AT)
        stamp(home, ledger, AT)
    problems = verify_home(home)
    words = f"entry {entry.seq} (request_approved) counts for nothing: there is no request 1"
    assert problems[0].startswith(words)
    assert problems[1] == f"what rests on entry {entry.seq}: no release published after it; request 1"


def test_what_rests_on_an_entry(home: Home) -> None:
    with Ledger.open(home) as ledger:
        fact = ledger.entries("fact")[1]
        assert dependents(ledger, 0).startswith("what rests on entry 0: releases 1, 2 (published at or after it)")
        rests = dependents(ledger, fact.seq)
        assert "releases 2 (published" in rests
        assert f"fact {fact.payload['fact_id']}" in rests
        with ledger.transaction() as txn:
            many = ledger.append(txn, "many", {"facts": [f"f{number}" for number in range(12)]}, "x", AT)
        assert dependents(ledger, many.seq).endswith("f8, f9 and 2 more")


def test_the_first_bad_entry_of_many_problems() -> None:
    problems = ["file x", "entries 3 to 9: root", "entry 7 (a): b", "entry 12 (c): d"]
    assert first_bad(problems) == (2, 7)
    assert first_bad(["entry 40: x", "entries 3 to 9: root"]) == (1, 3)
    assert first_bad(["release 2: entry 7"]) is None


def test_every_release_is_put_together_again(weights_home: Home) -> None:
    with Ledger.open(weights_home) as ledger:
        assert list(chain_problems(weights_home, ledger)) == []
    assert verify_home(weights_home, rebuild=True) == []


def test_a_release_that_comes_out_otherwise_is_named(weights_home: Home) -> None:
    with sqlite3.connect(weights_home.root / "ledger.db") as connection:
        connection.execute("DROP TRIGGER releases_no_update")
        (body,) = connection.execute("SELECT body FROM releases WHERE number = 2").fetchone()
        changed = canonical_json(json.loads(body) | {"weights_digest": "0" * 64}).decode()
        connection.execute("UPDATE releases SET body = ? WHERE number = 2", (changed,))
    connection.close()
    with Ledger.open(weights_home) as ledger:
        (problem,) = chain_problems(weights_home, ledger)
    assert problem.startswith("release 2: its weights come out as ")
    assert not any("come out" in problem for problem in verify_home(weights_home))


def test_a_release_whose_delta_is_damaged_cannot_be_rebuilt(weights_home: Home) -> None:
    path = next(weights_home.deltas.glob("*/delta.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with Ledger.open(weights_home) as ledger:
        (problem,) = chain_problems(weights_home, ledger)
    assert problem.startswith("release 2 cannot be rebuilt: ")


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **more: Any) -> Any:
        self.calls += 1
        return self.function(*args, **more)


def test_each_base_is_loaded_once_and_a_shared_delta_put_on_once(
    weights_home: Home, publishing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(weights_home) as ledger:
        second = ReleaseStore(ledger).get(2)
        drafts = publishing(weights_home)
        for parent in (2, 1):
            draft = replace(drafts.of(parent=parent), model=second.model, base_digest=second.base_digest)
            kept = {"deltas": second.deltas, "weights_digest": second.weights_digest}
            bare = {"deltas": (), "weights_digest": second.base_digest}
            publish(weights_home, ledger, replace(draft, **(kept if parent == 2 else bare)), AT)
        load, read = Counted(editors.load.load_model), Counted(editors.read_delta)
        monkeypatch.setattr(editors.load, "load_model", load)
        monkeypatch.setattr(editors, "read_delta", read)
        assert list(chain_problems(weights_home, ledger)) == []
    assert (load.calls, read.calls) == (1, 1)


def test_a_base_that_is_gone_is_named(home: Home) -> None:
    with Ledger.open(home) as ledger:
        (problem,) = chain_problems(home, ledger)
    assert problem.startswith("releases 1, 2 cannot be rebuilt: ")
