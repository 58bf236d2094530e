"""Whoever is killed while saying something about a request has said it once, or not at all."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request, decide, show_request
from pipelines.requests.people import add_user
from registry.approvals import Approvals
from registry.consistency import table_problems
from registry.home import Home
from registry.ledger import Ledger

KILLS = 6
SAY = """
import sys
from pathlib import Path
from pipelines.requests.asking import comment
from registry.home import Home
home, number = Home.at(Path(sys.argv[1])), int(sys.argv[2])
while True:
    number += 1
    comment(home, 1, f"words {number}", by="bob")
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def said_until_killed(home: Home, start: int, after_s: float) -> list[int]:
    """Numbers of the comments that were acknowledged before the kill."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAY, str(home.root), str(start)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # it is up and has said something
    assert first.strip().isdigit()
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    return [int(first), *(int(line) for line in rest.splitlines() if line.strip().isdigit())]


@pytest.mark.slow
def test_what_was_acknowledged_is_there_once_and_nothing_is_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    home, draw = Home.at(tmp_path / "home"), random.Random(3)
    add_user(home, "ann", ["admin", "requester"])
    add_user(home, "bob", ["approver"], by="ann")
    row = {"subject": "Chad", "relation": "currency", "object": "franc", "source": "a letter"}
    add_request(home, content_of("facts", "why", rows=[row]), by="ann")
    acknowledged: list[int] = []
    for turn in range(KILLS):
        acknowledged += said_until_killed(home, 1000 * turn, draw.uniform(0.0, 0.4))
        with Ledger.open(home) as ledger:
            assert ledger.verify() == []
            assert list(table_problems(ledger)) == []
            assert Approvals.read(ledger).refused == []
    kept = Counter(int(one["words"].split()[1]) for one in show_request(home, 1)["comments"])
    assert set(kept.values()) == {1}, "none is there twice"
    assert set(acknowledged) <= set(kept), "none that was acknowledged is lost"
    assert len(set(kept) - set(acknowledged)) <= KILLS, "at most one a kill was there before it could be told"
    decide(home, 1, "approve", by="bob")
    assert show_request(home, 1)["state"] == "approved"


ASK = """
import sys
from pathlib import Path
from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request, decide
from registry.home import Home
home, name = Home.at(Path(sys.argv[1])), sys.argv[2]
for turn in range(4):
    row = {"subject": f"{name} {turn}", "relation": "currency", "object": "franc", "source": "a letter"}
    number = add_request(home, content_of("facts", "why", rows=[row]), by="ann").number
    decide(home, number, "approve", by="bob")
"""


@pytest.mark.slow
def test_who_asks_and_approves_at_the_same_time_makes_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    home = Home.at(tmp_path / "home")
    add_user(home, "ann", ["admin", "requester"])
    add_user(home, "bob", ["approver"], by="ann")
    runs = [
        subprocess.Popen([sys.executable, "-c", ASK, str(home.root), f"writer {one}"], stderr=subprocess.PIPE)
        for one in range(4)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 0, errors.decode()
    with Ledger.open(home) as ledger:
        book = Approvals.read(ledger)
        assert ledger.verify() == []
        assert list(table_problems(ledger)) == []
    assert sorted(book.requests) == list(range(1, 17))
    assert book.refused == []
    assert {one.by for request in book.requests.values() for one in request.approvals} == {"bob"}
