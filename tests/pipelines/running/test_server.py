"""The server beside us: up when needed, silent, and gone with us, however we go."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.running import server
from pipelines.running.server import in_process, local_server, prefect_environment
from registry.errors import DmmGovError, InputError
from registry.home import Home

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

RUN = """
import signal, sys, time
from pathlib import Path
# A process that a shell puts into the background inherits "ignore".
signal.signal(signal.SIGINT, signal.default_int_handler)
how, root = sys.argv[1:]
if how == "imported before":
    import prefect
from pipelines.running.server import in_process
from registry.home import Home
with in_process(Home.at(Path(root))) as url:
    from prefect import flow, task

    @task
    def double(number):
        return 2 * number

    @flow
    def work(number):
        if how == "hangs":
            sys.stdout.write("at work\\n")
            sys.stdout.flush()
            time.sleep(120)
        if how == "fails":
            raise ZeroDivisionError("on purpose")
        return double(number)

    sys.stdout.write(f"{work(21)} {work(1)}\\n")
"""


def command(how: str, home: Home) -> list[str]:
    return [sys.executable, "-c", RUN, how, str(home.root)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def run(how: str, home: Home) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(how, home), capture_output=True, text=True, timeout=120, env=environment())


def started(home: Home) -> subprocess.Popen[str]:
    process = subprocess.Popen(command("hangs", home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    assert processes_of(home) - {process.pid}, "its server runs"
    return process


def processes_of(home: Home) -> set[int]:
    """Processes that have this home's Prefect folder in their environment or their arguments."""
    needle, found = str(home.root).encode(), set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if needle in (folder / "environ").read_bytes() or needle in (folder / "cmdline").read_bytes():
                    found.add(int(folder.name))
            except OSError:
                continue
    return found


def gone(home: Home, wait_s: float = 10.0) -> bool:
    deadline = time.monotonic() + wait_s
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_of(home)


def states(home: Home, table: str) -> list[str]:
    with sqlite3.connect(home.prefect / "prefect.db") as connection:
        return [state for (state,) in connection.execute(f"SELECT state_name FROM {table} ORDER BY created")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with Prefect's database; making one takes seconds."""
    home = Home.at(tmp_path_factory.mktemp("server") / "home")
    done = run("plain", home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42 2\n", ""), "a new home, and not a word on stderr"
    assert gone(home)
    return home


@pytest.mark.server
@pytest.mark.slow
def test_runs_are_kept_in_the_home(place: Home) -> None:
    assert states(place, "flow_run")[:2] == ["Completed", "Completed"]
    assert states(place, "task_run")[:2] == ["Completed", "Completed"]


@pytest.mark.server
@pytest.mark.slow
def test_prefect_may_have_been_imported_before(place: Home) -> None:
    before = len(states(place, "flow_run"))
    done = run("imported before", place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42 2\n", "")
    assert gone(place)
    assert states(place, "flow_run")[before:] == ["Completed", "Completed"]


@pytest.mark.server
@pytest.mark.slow
def test_a_failure_is_raised_and_told_once(place: Home) -> None:
    done = run("fails", place)
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError: on purpose") == 1
    assert done.stderr.startswith("Traceback"), "Prefect adds nothing of its own"
    assert states(place, "flow_run")[-1] == "Failed"
    assert gone(place)


@pytest.mark.server
@pytest.mark.slow
def test_a_killed_process_leaves_no_server(place: Home) -> None:
    process = started(place)
    process.kill()
    process.communicate(timeout=10)
    assert gone(place)


@pytest.mark.server
@pytest.mark.slow
def test_ctrl_c_ends_both_and_the_run_is_marked(place: Home) -> None:
    process = started(place)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert gone(place)
    assert states(place, "flow_run")[-1] in ("Crashed", "Cancelled", "Failed")


@pytest.mark.server
@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    (home.prefect / "prefect.db").mkdir(parents=True)
    with (
        pytest.raises(DmmGovError, match=r"Prefect's server to answer.*unable to open database file.*see .*server.log"),
        local_server(home),
    ):
        pytest.fail("it cannot have started")
    assert gone(home)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="a free port"), local_server(Home.at(tmp_path / "home"), port=port):
            pytest.fail("it cannot have started")


def test_a_given_server_is_used_and_none_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import prefect.settings

    before = prefect.settings.get_current_settings().home

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("none must be started")

    monkeypatch.setattr(server, "running", refuse)
    home = Home.at(tmp_path / "home")
    with pytest.raises(AssertionError, match="none must be started"), in_process(home):
        pass
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done: list[bool] = []
    with (
        pytest.raises(DmmGovError, match=r"127\.0\.0\.1:9/api .* does not answer"),
        in_process(home, meanwhile=lambda: done.append(True)),
    ):
        pass
    assert done == [], "nothing is begun for a server that is not there"
    monkeypatch.setattr(server, "_answering", lambda url: None)
    with in_process(home, meanwhile=lambda: done.append(True)) as url:
        inside = prefect.settings.get_current_settings()
        assert url == inside.api.url == "http://127.0.0.1:9/api"
        assert inside.home == home.prefect != before
        assert not inside.server.ephemeral.enabled
    assert done == [True]
    assert prefect.settings.get_current_settings().home == before
    assert "PREFECT_HOME" not in os.environ


def test_all_state_lies_in_the_home_and_nobody_is_told(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    settings = prefect_environment(home)
    assert settings["PREFECT_HOME"] == str(home.prefect)
    assert str(home.prefect) in settings["PREFECT_API_DATABASE_CONNECTION_URL"]
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert not home.root.exists()
