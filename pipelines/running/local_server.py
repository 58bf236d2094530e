"""A Prefect server that lives no longer than the process that needs it.

Prefect can start one by itself, but that one survives a killed parent and talks on stderr. Ours

* hears on a socket that we bound before it started: the address is known at once, and a request waits, not fails, until
  the server is up;
* holds the read end of a pipe whose write end is ours: the kernel closes it when we die, however we die, and the server
  ends itself;
* has a session of its own, so that Ctrl-C reaches us first and the flow can still tell it what happened;
* writes to `server.log` in Prefect's folder, never to the terminal.

Run as a module (`python -m pipelines.running.local_server FD`) this file is that server.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.errors import BusyError, DmmGovError, InputError

LOG_NAME, LOCK_NAME = "server.log", "start.lock"
WAIT_S, STOP_S = 90.0, 5.0
_ERROR = re.compile(r"[\w.]+(Error|Exception)\b")


@dataclass(frozen=True)
class LocalServer:
    """A running server of ours.

    Attributes:
        api_url: where its API answers.
        process: the server's process.
        log: file that it writes to.
    """

    api_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ready(self, wait_s: float) -> None:
        """Return once it answers.

        Raises:
            DmmGovError: it ended, or it does not answer within `wait_s` seconds; the message says why.
        """
        from urllib.error import URLError
        from urllib.request import ProxyHandler, build_opener

        opener = build_opener(ProxyHandler({}))
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0 and self.process.poll() is None:
            try:
                with opener.open(f"{self.api_url}/health", timeout=left):
                    return
            except (URLError, OSError):
                time.sleep(0.05)
        state = "did not answer in time" if self.process.poll() is None else f"ended with code {self.process.poll()}"
        raise DmmGovError(
            f"expected Prefect's server to answer at {self.api_url} within {wait_s:.0f} s, but it {state}"
            f"{self._cause()}; see {self.log}. Where its files are damaged, move {self.log.parent} away: releases and"
            " requests rest on the ledger alone"
        )

    def _cause(self) -> str:
        """The last error in its log, in brackets."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        errors = [line for line in lines if _ERROR.match(line)]
        return f" ({errors[-1]})" if errors else ""

    def stop(self) -> None:
        """End it, gently at first."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path, environment: Mapping[str, str], port: int = 0) -> LocalServer:
    """Start a server on 127.0.0.1 that ends when this process does.

    Args:
        folder: Prefect's folder.
        environment: the server's whole environment.
        port: where to listen; 0 takes a free one.

    Raises:
        InputError: the port is in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG_NAME
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, log.open("wb") as stream:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError("a free port", f"{port} ({error.strerror})", "name another") from error
        listener.listen(128)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.running.local_server", str(listener.fileno())],
            env={**environment, "PREFECT_UI_API_URL": url},
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
        return LocalServer(url, process, log)


@contextmanager
def running(
    folder: Path,
    environment: Mapping[str, str],
    *,
    port: int = 0,
    meanwhile: Callable[[], None] | None = None,
    wait_s: float = WAIT_S,
) -> Iterator[LocalServer]:
    """A server that answers inside the block and ends with it.

    Args:
        folder: as for `start`.
        environment: as for `start`.
        port: as for `start`.
        meanwhile: work to do while it starts.
        wait_s: how long to wait for it, and before that for another process that starts one.

    Raises:
        DmmGovError: it does not start.
        BusyError: another process has been starting one in this folder for longer than `wait_s`.
        InputError: the port is in use.
    """
    from filelock import FileLock, Timeout

    from pipelines.running import empty_database

    folder.mkdir(parents=True, exist_ok=True)
    # Two servers must not migrate one new database at the same time.
    starting = FileLock(folder / LOCK_NAME)
    try:
        starting.acquire(timeout=wait_s)
    except Timeout as error:
        raise BusyError(f"another process has been starting Prefect in {folder} for {wait_s:.0f} s") from error
    try:
        migrates = not empty_database.begin(folder) and not (folder / empty_database.NAME).exists()
        server = start(folder, environment, port)
        try:
            if meanwhile is not None:
                meanwhile()
            server.ready(wait_s)
            if migrates:
                empty_database.keep(folder)
        except BaseException:
            server.stop()
            raise
    finally:
        starting.release()
    try:
        yield server
    finally:
        server.stop()


def _end_with(parent: int) -> None:
    """Wait until the pipe on stdin closes or `parent` is gone, then end this process."""
    while os.getppid() == parent:
        if select.select([sys.stdin], [], [], 1.0)[0] and not os.read(sys.stdin.fileno(), 1):
            break
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S / 2)
    os._exit(1)


def serve(descriptor: int) -> None:
    """Run Prefect's API on an inherited listening socket until the parent process is gone."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(
        create_app, factory=True, log_level="error", lifespan="on", timeout_graceful_shutdown=1, access_log=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
