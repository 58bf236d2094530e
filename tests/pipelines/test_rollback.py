"""Going back and forth between releases: rebuilt, compared, then moved; refused where it does not come out the same."""

from pathlib import Path

import pytest

from pipelines.auditing.integrity import verify_home
from pipelines.releasing.tracking import mlflow_client, model_name
from pipelines.rollback import promote, rollback
from registry.errors import BusyError, InputError, IntegrityError
from registry.facts import FactStore, view
from registry.home import Home
from registry.ledger import Ledger
from registry.locks import writer
from registry.releases import ReleaseStore


def aliases(home: Home) -> tuple[dict[str, int | None], dict[str, str]]:
    """The aliases in the ledger and in MLflow."""
    with Ledger.open(home) as ledger:
        releases = ReleaseStore(ledger)
        ours = {name: releases.alias(name) for name in ("challenger", "champion")}
        model = model_name(releases.get(1).model)
    with mlflow_client(home) as client:
        theirs = client.get_registered_model(model).aliases
    return ours, {name: str(number) for name, number in theirs.items()}


def test_rollback_rebuilds_compares_and_moves_both_aliases(weights_home: Home) -> None:
    result = rollback(weights_home, "1", "tester")
    assert result.equal
    assert result.recorded == result.found == result.release.weights_digest
    assert result.release.number == 1
    assert result.seconds > 0
    assert aliases(weights_home) == ({"challenger": 2, "champion": 1}, {"challenger": "2", "champion": "1"})
    with Ledger.open(weights_home) as ledger:
        entry = ledger.entries("rolled_back")[-1]
        champion = ReleaseStore(ledger).get("champion").number
        now = view(FactStore(ledger).events(ReleaseStore(ledger).lineage(champion)))
    assert entry.actor == "tester"
    assert (entry.payload["release"], entry.payload["previous"], entry.payload["found"]) == (1, 2, result.found)
    assert [one.fact.subject for one in now] == ["France"]
    assert verify_home(weights_home) == []


def test_promote_goes_forward_again(weights_home: Home) -> None:
    rollback(weights_home, "r1", "tester")
    assert promote(weights_home, "2", "tester").number == 2
    assert aliases(weights_home) == ({"challenger": 2, "champion": 2}, {"challenger": "2", "champion": "2"})
    with Ledger.open(weights_home) as ledger:
        assert [entry.payload["release"] for entry in ledger.entries("promoted")] == [2]
    assert verify_home(weights_home) == []


def test_a_rollback_twice_is_the_same_as_once(weights_home: Home) -> None:
    rollback(weights_home, "1", "tester")
    assert rollback(weights_home, "1", "tester").equal
    assert aliases(weights_home)[0]["champion"] == 1


@pytest.mark.parametrize("ref", ["7", "r0", "nonsense", "", "-1", "1.0"])
def test_a_release_that_is_not_there_is_bad_input(weights_home: Home, ref: str) -> None:
    with pytest.raises(InputError, match="there are 1 to 2"):
        rollback(weights_home, ref, "tester")
    assert aliases(weights_home)[0]["champion"] == 2


def test_nothing_moves_when_the_digest_differs(weights_home: Home) -> None:
    rollback(weights_home, "1", "tester")
    with Ledger.open(weights_home) as ledger:
        release = ReleaseStore(ledger).get(2)
    path = weights_home.deltas / release.deltas[0] / "delta.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for move in (rollback, promote):
        with pytest.raises(IntegrityError):
            move(weights_home, "2", "tester")
    assert aliases(weights_home) == ({"challenger": 2, "champion": 1}, {"challenger": "2", "champion": "1"})
    with Ledger.open(weights_home) as ledger:
        refused = [entry.payload["move"] for entry in ledger.entries("move_refused")]
    assert refused == ["rolled_back", "promoted"]


def test_nothing_moves_while_another_writes(weights_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writer(weights_home):
            held.set()
            done.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    try:
        with pytest.raises(BusyError, match="another process"), writer(weights_home, wait_s=0.05):
            rollback(weights_home, "1", "tester")
    finally:
        done.set()
        other.join()
    assert aliases(weights_home)[0]["champion"] == 2


def test_nothing_is_published_in_an_empty_home(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is published yet"):
        rollback(Home.at(tmp_path / "empty"), "champion", "tester")
