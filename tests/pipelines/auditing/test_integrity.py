"""Whatever is changed behind the ledger's back is named; a home that nobody touched has no problem."""

import json
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from editors.moments import Moments
from pipelines.auditing.integrity import verify_home
from pipelines.publish import publish
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.keys import SigningKey
from registry.ledger import Ledger
from registry.sealed import sealed

SUFFIXES = (".safetensors", ".parquet", ".json")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, mlflow_ready: Path, publishing: Any) -> Path:
    """A home with two releases, a base model, beliefs and moments; tests work on copies of it."""
    home = Home.at(tmp_path_factory.mktemp("original") / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
    for folder, names in ((home.models / "tiny", ("config.json", "model.safetensors")), (home.beliefs, ("b.json",))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(json.dumps({name: list(range(40))}))
    drafts = publishing(home)
    with Ledger.open(home) as ledger:
        publish(home, ledger, drafts.of(drafts.brings(drafts.france)), drafts.at)
        publish(home, ledger, drafts.of(drafts.brings(drafts.nauru), parent=1), drafts.at)
    return home.root


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Home:
    """A copy."""
    shutil.copytree(original, tmp_path / "home")
    return Home.at(tmp_path / "home")


def edit(home: Home, *statements: str) -> None:
    """Change the ledger's tables as somebody with a database shell would, triggers and all."""
    with sqlite3.connect(home.root / "ledger.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount >= 1
    connection.close()


def test_a_home_that_nobody_touched_has_no_problem(home: Home) -> None:
    assert verify_home(home) == []


def test_an_empty_home_has_no_problem(tmp_path: Path) -> None:
    assert verify_home(Home.at(tmp_path / "empty")) == []


def test_every_flipped_bit_of_a_data_file_is_found(home: Home) -> None:
    files = sorted(path for path in home.root.rglob("*") if path.suffix in SUFFIXES)
    kinds = {path.relative_to(home.root).parts[0] for path in files}
    assert kinds == {"deltas", "snapshots", "models", "beliefs", "mlflow"}
    dice = random.Random(3)
    for path in files:
        before = path.read_bytes()
        after = bytearray(before)
        after[dice.randrange(len(after))] ^= 1 << dice.randrange(8)
        path.write_bytes(bytes(after))
        problems = verify_home(home)
        assert any(str(path) in problem for problem in problems), path
        path.write_bytes(before)
    assert verify_home(home) == []


@pytest.mark.parametrize("place", ["deltas", "snapshots", "models", "mlflow"])
def test_a_file_that_was_removed_is_named(home: Home, place: str) -> None:
    path = next(path for path in sorted((home.root / place).rglob("*")) if path.suffix in SUFFIXES)
    path.unlink()
    assert any(str(path) in problem or path.name in problem for problem in verify_home(home))


def test_a_file_that_was_put_in_is_named(home: Home) -> None:
    folder = next(path for path in home.deltas.iterdir())
    (folder / "more.json").write_text("{}")
    assert any("more.json" in problem for problem in verify_home(home))


def test_an_artefact_of_no_release_is_looked_at_too(home: Home, publishing: Any) -> None:
    orphan = home.deltas / publishing(home).delta("[1]")
    assert verify_home(home) == []
    (orphan / "delta.json").write_text("[2]")
    assert [problem for problem in verify_home(home) if str(orphan) in problem] != []


def test_moments_that_the_log_does_not_know_vouch_for_themselves(home: Home) -> None:
    import torch

    moments = Moments({0: torch.eye(4, dtype=torch.float64)}, 7, "m", "t")
    moments.save(home.moments / "tiny")
    assert verify_home(home) == []
    path = home.moments / "tiny" / "moments.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert [problem for problem in verify_home(home) if str(path.parent) in problem] != []


def problems_of(home: Home) -> list[str]:
    """What is found, or why the ledger cannot be opened at all."""
    try:
        return verify_home(home)
    except (IntegrityError, InputError) as error:
        return [str(error)]


def test_a_damaged_ledger_file_is_a_finding_and_never_a_crash(home: Home) -> None:
    ledger_file = home.root / "ledger.db"
    with Ledger.open(home) as ledger, ledger.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    before = ledger_file.read_bytes()
    dice = random.Random(11)
    found = 0
    for _ in range(40):
        after = bytearray(before)
        after[dice.randrange(len(after))] ^= 1 << dice.randrange(8)
        ledger_file.write_bytes(after)
        found += bool(problems_of(home))
        for rest in home.root.glob("ledger.db-*"):
            rest.unlink()
    assert 0 < found <= 40
    ledger_file.write_bytes(before)
    assert verify_home(home) == []


def test_a_sealed_cache_may_be_rewritten_but_not_damaged(home: Home, publishing: Any) -> None:
    cache = home.beliefs / "sealed.json"
    cache.write_bytes(sealed({"answers": {"a": 1}}))
    drafts = publishing(home)
    with Ledger.open(home) as ledger:
        publish(home, ledger, drafts.of(parent=2), drafts.at)
    cache.write_bytes(sealed({"answers": {"a": 1, "b": 2}}))
    assert verify_home(home) == []
    cache.write_bytes(cache.read_bytes().replace(b"2", b"3"))
    assert [problem for problem in verify_home(home) if str(cache) in problem] != []


def test_a_cache_that_no_release_saw_is_no_problem(home: Home) -> None:
    (home.beliefs / "new.json").write_text("{}")
    assert verify_home(home) == []


def test_a_cache_that_is_gone_is_no_problem(home: Home) -> None:
    shutil.rmtree(home.beliefs)
    assert verify_home(home) == []


def turned(column: str) -> str:
    """Return SQL for the text of `column` with its first character put last: another text, whatever was drawn."""
    return f"substr({column}, 2) || substr({column}, 1, 1)"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE entries SET actor = 'nobody' WHERE seq = 2", "entry 2 "),
        ("UPDATE entries SET payload = replace(payload, 'rag', 'gar') WHERE kind = 'routed'", "entry "),
        ("DELETE FROM entries WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)", "is missing"),
        ("DELETE FROM heads WHERE size = (SELECT max(size) FROM heads)", "without a recorded head"),
        (
            f"UPDATE heads SET root = {turned('root')} WHERE size = (SELECT max(size) FROM heads)",
            "their root is",
        ),
        ("UPDATE releases SET body = replace(body, 'tester', 'nobody') WHERE number = 1", "release 1: the table"),
        ("DELETE FROM releases WHERE number = 2", "release 2: entry"),
        (f"UPDATE facts SET content = {turned('content')} WHERE seq = 0", "fact event 0"),
        ("UPDATE facts SET memory = 'other' WHERE seq = 1", "fact event 1"),
        ("DELETE FROM facts WHERE seq = 1", "fact event 1"),
        (f"UPDATE feed_rows SET body = {turned('body')} WHERE feed = 1", "feed run 1, row 1"),
        ("DELETE FROM content_keys WHERE id = 'row:1:1'", "key row:1:1: it is gone"),
        (f"UPDATE content_keys SET key = {turned('key')} WHERE id LIKE 'fact:%:0'", "fact event 0"),
        ("DELETE FROM feed_rows WHERE feed = 2", "feed run 2"),
        ("UPDATE feeds SET name = 'other.csv' WHERE id = 1", "feed run 1"),
        ("UPDATE aliases SET number = 1 WHERE name = 'champion'", "alias champion"),
        ("UPDATE versions SET version = '7' WHERE release = 1", "MLflow version of release 1"),
    ],
)
def test_a_row_edited_by_hand_is_named(home: Home, statement: str, words: str) -> None:
    edit(home, statement)
    problems = verify_home(home)
    assert any(words in problem for problem in problems), problems


def test_the_first_bad_entry_comes_first(home: Home) -> None:
    edit(home, "UPDATE entries SET actor = 'nobody' WHERE seq IN (2, 5)")
    problems = verify_home(home)
    assert problems[0].startswith("entry 2 ")


def test_an_entry_rewritten_with_its_leaf_is_found_by_the_root(home: Home) -> None:
    from registry.digests import canonical_json
    from registry.walk import leaf_of

    with Ledger.open(home) as ledger:
        entry = ledger.entries()[1]
    payload = canonical_json(entry.payload).decode()
    leaf = leaf_of(entry.seq, entry.kind, "nobody", entry.recorded_at.isoformat(), payload)
    edit(home, f"UPDATE entries SET actor = 'nobody', leaf = '{leaf}' WHERE seq = {entry.seq}")
    assert verify_home(home)[0].startswith("entries 0 to ")


def test_another_key_in_the_place_of_the_logs_is_found(home: Home) -> None:
    path = home.keys / "log.pem"
    before = path.read_bytes()
    path.unlink()
    SigningKey.generate().save(path)
    assert [problem for problem in verify_home(home) if "none of the log's" in problem] != []
    path.write_bytes(before.replace(b"PRIVATE", b"PRIVATF"))
    assert [problem for problem in verify_home(home) if "log_key cannot be checked" in problem] != []
    path.write_bytes(before)
    assert verify_home(home) == []
    path.unlink()
    assert verify_home(home) == [], "who holds a copy without the key can verify it"
