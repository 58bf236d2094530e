"""Knock at a Prefect server, where there is one: start the flow that waits for a request, or wake it.

A knock carries nothing that anybody trusts: the flow reads the ledger. Prefect's REST API is spoken to directly, since
importing Prefect for one call would cost every command a second.
"""

import json
import os
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from registry.digests import digest_bytes
from registry.home import Home

API_URL, AUTH = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
FLOW, DEPLOYMENT = "request", "approval"
ANSWER_S = 5.0
"""Seconds after which a server that does not answer is left alone."""
BUSY, AGAIN_S = frozenset({429, 503}), 0.2
"""What a server says that should be asked again, as Prefect's does while another of its transactions holds SQLite; and
the seconds until then."""


@dataclass(frozen=True)
class Bell:
    """A Prefect server's address.

    Attributes:
        url: of its API.
        auth: user and password, `:` between them; empty for none.
    """

    url: str
    auth: str = ""

    @classmethod
    def found(cls) -> Self | None:
        """The server that PREFECT_API_URL names, None where it names none."""
        url = os.environ.get(API_URL, "")
        return cls(url.rstrip("/"), os.environ.get(AUTH, "")) if url else None

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """What it answers to a POST; a server that says that it is busy is asked again, for `ANSWER_S` in all.

        Raises:
            OSError: it does not answer, or not as expected.
        """
        headers = {"content-type": "application/json"}
        if self.auth:
            headers["authorization"] = f"Basic {b64encode(self.auth.encode()).decode()}"
        request = Request(f"{self.url}{path}", data=json.dumps(body).encode(), headers=headers)
        end = time.monotonic() + ANSWER_S
        while True:
            try:
                with build_opener(ProxyHandler({})).open(request, timeout=ANSWER_S) as answer:
                    return json.load(answer)
            except HTTPError as error:
                if error.code not in BUSY or time.monotonic() > end:
                    raise
            except ValueError as error:
                raise URLError(f"no JSON: {error}") from error
            time.sleep(AGAIN_S)

    def waiting(self, home: Home) -> dict[str, int]:
        """Suspended flow runs of a home: the request of each, by the run's id."""
        body = {
            "flows": {"name": {"any_": [FLOW]}},
            "flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}},
        }
        runs = [one for one in self.ask("/flow_runs/filter", body) if one["parameters"].get("home") == str(home.root)]
        return {str(one["id"]): int(one["parameters"]["number"]) for one in runs}

    def start(self, deployment: str, home: Home, number: int) -> None:
        """Start the flow of a request; there is one a request, however often this is called."""
        key = f"{digest_bytes(str(home.root).encode())[:16]}-request-{number}"
        parameters = {"home": str(home.root), "number": number}
        self.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": parameters, "idempotency_key": key})

    def ring(self, run: str) -> bool:
        """Resume a suspended flow run; whether the server took it."""
        answer = self.ask(f"/flow_runs/{run}/resume", {})
        return bool(answer["status"] == "ACCEPT")


def wake(home: Home, number: int) -> int:
    """Wake the flows that wait for a request; how many.

    A server that is not there, or does not answer, is no error: what was decided is in the ledger, and whatever waits
    looks there from time to time.
    """
    bell = Bell.found()
    if bell is None:
        return 0
    try:
        return sum(bell.ring(run) for run, waits in bell.waiting(home).items() if waits == number)
    except (OSError, KeyError, TypeError):
        return 0
