"""benchmarks/ledger.py measures what it says, on a log small enough for a test."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from registry.home import Home
from registry.ledger import Ledger

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the benchmark."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    return import_module("benchmarks.ledger")


def test_writers_append_what_they_shall(bench: Any, tmp_path: Path) -> None:
    found = bench.append_speed(tmp_path / "home", 2, 5)
    assert (found["writers"], found["appends"]) == (2, 10)
    assert found["per_s"] > 0
    assert found["median_ms"] <= found["p99_ms"]
    with Ledger.open(Home(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'ledger.db'}")) as ledger:
        assert {entry.actor for entry in ledger.entries("routed")} == {"w0", "w1"}


def test_every_figure_is_there_and_shown(bench: Any, tmp_path: Path) -> None:
    verify, home = bench.verify_speed(tmp_path / "made", 40)
    assert verify["entries"] > 40
    assert verify["whole_s"] >= 0
    proofs = bench.proof_speed(home, 1)
    assert 1 <= proofs["hashes"] <= 7
    bundle = bench.bundle_speed(home, tmp_path / "bundle")
    assert bundle["entries"] == verify["entries"]
    assert bundle["bytes_per_entry"] > 100
    append: dict[str, Any] = {"writers": 4, "appends": 10, "per_s": 170.2, "median_ms": 5.0, "p99_ms": 9.0}
    append["per_s_of_each"] = [160.0, 170.2, 180.0]
    found = {"append": {"sqlite": append, "postgres": None}, "verify": verify, "proofs": proofs, "bundle": bundle}
    where = {"cores": 2, "load": 1.0, "flush_ms": bench.flush_ms(tmp_path), "aims": bench.AIMS, "peak_mb": 100}
    page = bench.section({**found, **where})
    assert "| append on SQLite, 4 processes, one entry a transaction | 170 entries/s" in page
    assert "| at least 150/s |" in page
    assert "append on Postgres | not measured" in page
    assert "at most 20 s" in page


def test_a_made_home_that_was_tampered_with_is_no_figure(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = import_module("benchmarks.made_home")
    original = made.made_home

    def tampered(home: Home, *rest: Any, **more: Any) -> None:
        original(home, *rest, **more)
        with Ledger.open(home) as ledger, ledger.transaction() as txn:
            txn.connection.exec_driver_sql("DROP TRIGGER facts_no_update")
            txn.connection.exec_driver_sql("UPDATE facts SET memory = 'other' WHERE seq = 0")

    monkeypatch.setattr(made, "made_home", tampered)
    with pytest.raises(AssertionError, match="fact event 0"):
        bench.verify_speed(tmp_path / "made", 20)
