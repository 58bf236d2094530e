"""The Prefect flow of a request: suspended until the ledger says that it is approved, rejected, withdrawn or expired.

A suspended flow occupies nothing and survives restarts of server and worker; when it is woken it runs again from the
top. So it keeps nothing of its own: every time it reads the ledger, and acts or goes back to sleep. To be woken is a
knock at the door: anybody who reaches the server may knock, and nothing follows from it. It waits for no input, since
Prefect stores what an input must look like after it has said that the run is suspended, and turns away whoever knocks
in between.

`serve_requests` starts a flow for every open request and wakes those for which something was decided, also where the
command that decided could not reach the server.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from prefect import flow, suspend_flow_run

from pipelines.requests.asking import expiry_of, open_requests, ready, state_of
from pipelines.requests.waking import DEPLOYMENT, FLOW, Bell
from pipelines.running.schedule import until_stopped
from pipelines.running.server import scheduling
from registry.errors import DmmGovError
from registry.home import Home

LOOK_S = 5.0
"""How often whoever serves looks into the ledger."""
GRACE_S = 86400
"""How long after a request's day a flow may still be woken; then Prefect fails it."""

Wait = Callable[[int, int], Any]
"""Suspends: which time it is, and for how many seconds at most."""


@flow(name=FLOW, flow_run_name="request {number}", validate_parameters=True, persist_result=False)
def await_approval(home: str, number: int, actor: str = "schedule") -> dict[str, Any]:
    """Wait until a request is decided on, and carry it out if it is approved.

    Args:
        home: the home folder.
        number: of the request.
        actor: who runs it.

    Returns:
        `request`, `status` and `release`.

    Raises:
        UnknownNameError: there is no such request.
        DmmGovError: it is approved and could not be carried out.
    """

    def suspend(turn: int, seconds: int) -> None:
        suspend_flow_run(timeout=seconds, key=f"look-{turn}")

    return settle(Home.at(Path(home)), number, actor, suspend)


def settle(home: Home, number: int, actor: str, wait: Wait) -> dict[str, Any]:
    """Look into the ledger until a request is decided on, and carry it out if it may be."""
    from pipelines.requests.running import execute

    for turn in count():
        state = state_of(home, number)
        if state not in ("open", "approved"):
            return {"request": number, "status": state, "release": None}
        if ready(home, number):
            done = execute(home, number, actor=actor)
            return {"request": number, "status": done.status, "release": done.release}
        left = (expiry_of(home, number) - datetime.now(UTC)).total_seconds()
        wait(turn, int(left) + GRACE_S)
    raise AssertionError("count does not end")


def serve_requests(
    home: Home, *, port: int = 0, look_s: float = LOOK_S, say: Callable[[str], None] = lambda words: None
) -> None:
    """Run the flows of this home's requests, until Ctrl-C or SIGTERM.

    Args:
        home: the home folder.
        port: where Prefect's pages and API listen on 127.0.0.1; 0 takes a free port.
        look_s: how often to look into the ledger.
        say: is told the address of the API.

    Raises:
        InputError: the port is in use.
        DmmGovError: Prefect's server does not start.
    """
    with scheduling(home, port=port) as url:
        say(url)
        asyncio.run(_serve(home, url, look_s))


async def _serve(home: Home, url: str, look_s: float) -> None:
    """Register the deployment, run its flows one at a time, and look into the ledger beside."""
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    deployment = await await_approval.ato_deployment(
        name=DEPLOYMENT,
        description="One flow a request, suspended until the ledger says what became of it",
        tags=["dmm-gov"],
        # A path entrypoint would load this module a second time, under another name.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    runner = Runner(name=DEPLOYMENT, limit=1, pause_on_shutdown=False)
    number = str(await runner.aadd_deployment(deployment))
    await until_stopped(runner, _watch(home, Bell(url), number, look_s))


async def _watch(home: Home, bell: Bell, deployment: str, look_s: float) -> None:
    """Look into the ledger again and again; a server or a ledger that does not answer now is asked next time."""
    while True:
        try:
            await asyncio.to_thread(look, home, bell, deployment)
        except (DmmGovError, OSError, KeyError) as error:
            logging.getLogger(__name__).warning("requests were not looked at: %s", error)
        await asyncio.sleep(look_s)


def look(home: Home, bell: Bell, deployment: str) -> None:
    """Start a flow for every request that is open, and wake those whose request has ended or may be carried out."""
    waiting = bell.waiting(home)
    open_ones = open_requests(home)
    for number in sorted(set(open_ones) - set(waiting.values())):
        bell.start(deployment, home, number)
    for run, number in waiting.items():
        if number not in open_ones or ready(home, number):
            bell.ring(run)
