"""The schedule: what it refuses, what it describes, and that it fires."""

import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
import yaml

from pipelines.running.pickup import UNREADABLE, Pickup
from pipelines.running.schedule import deployment_name, pick_up, raise_failures, serve_schedule
from registry.errors import DmmGovError, InputError
from registry.home import Home
from registry.ledger import Ledger

ROOT = Path(__file__).resolve().parents[3]
SERVE = """
import sys
from pathlib import Path
from pipelines.running.schedule import serve_schedule
from registry.home import Home
root, folder, port = sys.argv[1:]
serve_schedule(Home.at(Path(root)), Path(folder), "* * * * * */5", port=int(port))
"""


def test_a_failed_feed_fails_the_run_and_is_named() -> None:
    good = Pickup("a.csv", "d", "taken", "published")
    raise_failures(())
    raise_failures((good, Pickup("b.csv", "", "waiting", "it is empty so far")))
    with pytest.raises(DmmGovError, match=r"1 of 2 feeds failed: c\.csv: no disk"):
        raise_failures((good, Pickup("c.csv", "", "failed", "no disk")))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cron": "whenever"}, "a cron expression, got 'whenever'"),
        ({"cron": "99 * * * *"}, "a cron expression"),
        ({"timezone": "Mars/Olympus"}, "the IANA name of a time zone"),
        ({"folder": Path("nowhere")}, "a folder in which feeds arrive"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_before_anything_starts(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    home = Home.at(tmp_path / "home")
    with pytest.raises(InputError, match=words):
        serve_schedule(home, **{"folder": tmp_path, "cron": "0 3 * * *", **change})
    assert not home.root.exists()


@pytest.mark.parametrize(("name", "kept"), [("feeds", "feeds"), ("a%b&c", "a-b-c"), ("", "feeds")])
def test_a_deployment_is_named_by_its_folder(name: str, kept: str) -> None:
    assert deployment_name(Path("/") / name) == kept


def test_prefect_yaml_describes_the_same_flow() -> None:
    described = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    deployment, approval = described["deployments"]
    module, name = deployment["entrypoint"].rsplit(".", 1)
    assert getattr(import_module(module), name) is pick_up
    assert set(deployment["parameters"]) == set(inspect.signature(pick_up.fn).parameters)
    assert deployment["schedules"][0]["cron"].count(" ") == 4
    module, name = approval["entrypoint"].rsplit(".", 1)
    assert set(approval["parameters"]) < set(inspect.signature(getattr(import_module(module), name).fn).parameters)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def schedule(home: Home, folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Serve the schedule in a process group of its own; whatever is left of it afterwards is killed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(home.root), str(folder), str(port)],
        env={**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def runs(port: int) -> list[dict[str, Any]]:
    """The runs that the server knows, none while it does not answer."""
    url, opener = f"http://127.0.0.1:{port}/api/flow_runs/filter", build_opener(ProxyHandler({}))
    request = Request(url, data=b"{}", headers={"content-type": "application/json"})
    try:
        with opener.open(request, timeout=5) as answer:
            return list(json.load(answer))
    except (URLError, OSError):
        return []


def awaited(port: int, state: str, flow_runs: list[dict[str, Any]], wait_s: float = 90.0) -> dict[str, Any]:
    """The first scheduled run in a state that is not among `flow_runs`."""
    known = {one["id"] for one in flow_runs}
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        found = [one for one in runs(port) if one["auto_scheduled"] and one["state_name"] == state]
        for one in found:
            if one["id"] not in known:
                return one
        time.sleep(0.5)
    pytest.fail(f"no run became {state} within {wait_s} s: {[one['state_name'] for one in runs(port)]}")


@pytest.mark.server
@pytest.mark.slow
def test_a_schedule_fires_picks_up_and_ends_with_its_process(tmp_path: Path) -> None:
    home, folder, port = Home.at(tmp_path / "home"), tmp_path / "feeds", free_port()
    folder.mkdir()
    with schedule(home, folder, port) as process:
        first = awaited(port, "Completed", [])
        assert first["parameters"] == {"folder": str(folder), "home": str(home.root), "model": "smollm2"}
        (folder / "bad.csv").write_text("who,what\nFrance,Paris\n")
        failed = awaited(port, "Failed", [first])
        assert "bad.csv: expected" in failed["state"]["message"]
        awaited(port, "Completed", [one for one in runs(port) if one["state_name"] == "Completed"])
        with Ledger.open(home) as ledger:
            assert [entry.payload["name"] for entry in ledger.entries(UNREADABLE)] == ["bad.csv"], "tried once"
        process.send_signal(signal.SIGTERM)
        words, _ = process.communicate(timeout=30)
    assert process.returncode == 0, words
    assert "Traceback" not in words.split("bad.csv")[0]
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pytest.fail("the server has ended")
