"""The flow of a request: it trusts the ledger alone, goes back to sleep, and outlives what is around it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from pipelines.requests import running as request_run
from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request, change_request, decide
from pipelines.requests.flow import await_approval, look, settle
from pipelines.requests.people import add_user
from pipelines.requests.running import Execution
from pipelines.requests.waking import Bell, wake
from registry.errors import UnknownNameError
from registry.home import Home
from registry.ledger import Ledger

CHAD = {"subject": "Chad", "relation": "currency", "object": "Central African CFA franc", "source": "a letter"}
SERVE = """
import sys
from pathlib import Path
from pipelines.requests.flow import serve_requests
from registry.home import Home
serve_requests(Home.at(Path(sys.argv[1])), port=int(sys.argv[2]), look_s=float(sys.argv[3]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with an admin, a requester, an approver and one request; nothing is published."""
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    home = Home.at(tmp_path / "asked")
    add_user(home, "ann", ["admin", "requester"])
    add_user(home, "bob", ["approver"], by="ann")
    add_request(home, content_of("facts", "why", rows=[CHAD]), by="ann")
    return home


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Takes down what would be carried out."""
    done: list[int] = []

    def note(home: Home, number: int, *, actor: str) -> Execution:
        done.append(number)
        return Execution(number, "published", 7)

    monkeypatch.setattr(request_run, "execute", note)
    return done


def test_the_flow_sleeps_until_the_ledger_says_approved(home: Home, executed: list[int]) -> None:
    slept: list[tuple[int, int]] = []

    def sleep(turn: int, seconds: int) -> None:
        slept.append((turn, seconds))
        if turn == 2:
            decide(home, 1, "approve", by="bob")

    assert settle(home, 1, "flow", sleep) == {"request": 1, "status": "published", "release": 7}
    assert [turn for turn, _ in slept] == [0, 1, 2], "being woken is not being approved"
    assert executed == [1]
    assert slept[0][1] > timedelta(days=13).total_seconds()


def test_a_request_that_ended_otherwise_ends_the_flow(home: Home, executed: list[int]) -> None:
    decide(home, 1, "withdraw", by="ann")
    told = await_approval.fn(str(home.root), 1)
    assert told == {"request": 1, "status": "withdrawn", "release": None}
    assert executed == []
    with pytest.raises(UnknownNameError):
        await_approval.fn(str(home.root), 2)


def test_a_change_after_the_approval_sends_the_flow_back_to_sleep(home: Home, executed: list[int]) -> None:
    class Asleep(Exception):
        pass

    def sleep(turn: int, seconds: int) -> None:
        raise Asleep

    decide(home, 1, "approve", by="bob")
    change_request(home, 1, content_of("facts", "why", rows=[{**CHAD, "object": "euro"}]), by="ann")
    with pytest.raises(Asleep):
        settle(home, 1, "flow", sleep)
    assert executed == []


class FakePrefect(BaseHTTPRequestHandler):
    """Answers like Prefect's API, and takes down what it is asked."""

    asked: list[tuple[str, dict[str, Any]]]
    runs: list[dict[str, Any]]
    busy: set[str]
    """Paths that are refused as busy the first time."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).asked.append((self.path, body))
        answer: Any = self.runs if self.path.endswith("/filter") else {"status": "ACCEPT"}
        self.send_response(503 if self.path in self.busy else 200)
        self.busy.discard(self.path)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def fake_prefect(
    runs: list[dict[str, Any]], busy: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    taken: list[tuple[str, dict[str, Any]]] = []
    handler = type("Handler", (FakePrefect,), {"asked": taken, "runs": runs, "busy": set(busy)})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_decision_wakes_the_flow_of_its_request_and_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        {"id": "a", "parameters": {"home": str(home.root), "number": 1}},
        {"id": "b", "parameters": {"home": str(home.root), "number": 2}},
        {"id": "c", "parameters": {"home": "elsewhere", "number": 1}},
    ]
    with fake_prefect(runs) as (url, asked):
        monkeypatch.setenv("PREFECT_API_URL", url)
        assert wake(home, 1) == 1
    assert [path for path, _ in asked] == ["/api/flow_runs/filter", "/api/flow_runs/a/resume"]


def test_a_busy_server_is_asked_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    resume, run = "/api/flow_runs/a/resume", {"id": "a", "parameters": {"home": str(home.root), "number": 1}}
    with fake_prefect([run], busy=(resume,)) as (url, asked):
        monkeypatch.setenv("PREFECT_API_URL", url)
        assert wake(home, 1) == 1
    assert [path for path, _ in asked] == ["/api/flow_runs/filter", resume, resume]
    monkeypatch.setattr("pipelines.requests.waking.BUSY", frozenset())
    with fake_prefect([run], busy=(resume,)) as (url, _):
        monkeypatch.setenv("PREFECT_API_URL", url)
        assert wake(home, 1) == 0, "what is refused for another reason is not asked for again"


def test_without_a_server_nothing_is_woken_and_nothing_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert wake(home, 1) == 0
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert wake(home, 1) == 0


def test_whoever_serves_starts_a_flow_a_request_and_wakes_what_was_decided(home: Home) -> None:
    with fake_prefect([]) as (url, asked):
        look(home, Bell(url), "d")
        look(home, Bell(url), "d")
    started = [body for path, body in asked if path == "/api/deployments/d/create_flow_run"]
    assert started[0]["parameters"] == {"home": str(home.root), "number": 1}
    assert started[0]["idempotency_key"] == started[1]["idempotency_key"], "Prefect makes one run of them"
    run = [{"id": "a", "parameters": {"home": str(home.root), "number": 1}}]
    with fake_prefect(run) as (url, asked):
        look(home, Bell(url), "d")
        assert [path for path, _ in asked] == ["/api/flow_runs/filter"], "nothing is decided yet"
        decide(home, 1, "reject", by="bob")
        look(home, Bell(url), "d")
    assert asked[-1][0] == "/api/flow_runs/a/resume"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(home: Home, port: int, look_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """Serve requests in a process group of its own; whatever is left of it afterwards is killed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(home.root), str(port), str(look_s)],
        env={**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def awaited(
    port: int,
    state: str,
    wait_s: float = 120.0,
    after: str = "",
    knock: Callable[[], int] = lambda: 0,
) -> dict[str, Any]:
    """The one run of the flow, once it is in a state that was entered after the state of id `after`.

    It is knocked at every 20 s: once in some eighty times Prefect took a knock and left the run asleep.
    """
    bell, deadline, seen = Bell(f"http://127.0.0.1:{port}/api"), time.monotonic() + wait_s, ""
    again = time.monotonic() + 20
    while time.monotonic() < deadline:
        if time.monotonic() > again:
            again = time.monotonic() + 20
            knock()
        try:
            found = bell.ask("/flow_runs/filter", {"flows": {"name": {"any_": ["request"]}}})
        except (URLError, OSError):
            found = []
        assert len(found) <= 1
        if found and found[0]["state_name"] == state and found[0]["state_id"] != after:
            return dict(found[0])
        seen = found[0]["state_name"] if found else "nothing"
        time.sleep(0.3)
    pytest.fail(f"the run did not become {state} within {wait_s} s: {seen}")


def gone(port: int) -> None:
    """Wait until the server has died, as it does with whoever serves."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.1)
    pytest.fail("the server lives on")


@pytest.mark.server
@pytest.mark.slow
def test_a_suspended_flow_outlives_its_server_and_its_worker(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with serving(home, port, 0.5):
        first = awaited(port, "Suspended")
        assert first["state"]["state_details"]["run_input_keyset"] is None, "Prefect refuses a knock until it is stored"
    gone(port)
    with serving(home, port, 600.0):
        assert awaited(port, "Suspended")["id"] == first["id"]
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
        monkeypatch.setattr("pipelines.requests.waking.ANSWER_S", 60.0)  # a busy machine is no dead server
        assert wake(home, 1) == 1, "a knock without a decision"
        again = awaited(port, "Suspended", after=first["state_id"], knock=lambda: wake(home, 1))
        assert again["id"] == first["id"], "it looked into the ledger and went back to sleep"
        decide(home, 1, "reject", by="bob")
        assert wake(home, 1) == 1
        assert awaited(port, "Completed", knock=lambda: wake(home, 1))["id"] == first["id"]
    with Ledger.open(home) as ledger:
        assert [entry.kind for entry in ledger.entries()][-1] == "request_rejected"


def test_the_day_of_a_request_ends_its_flow(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.requests import asking as requests

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Later":
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 15 * 86400, tz)

    monkeypatch.setattr(requests, "datetime", Later)
    told = settle(home, 1, "flow", lambda turn, seconds: pytest.fail("it slept"))
    assert told["status"] == "expired"
