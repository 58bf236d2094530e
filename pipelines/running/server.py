"""Prefect's settings in this home, for flows that run in our process and for schedules.

`in_process(home)` starts a server (`pipelines.running.local_server`) for the flows that run inside the block, and
puts Prefect under the home's settings, whether Prefect has been imported before or not.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pipelines.running.local_server import STOP_S, LocalServer, running
from registry.errors import DmmGovError
from registry.home import Home

API_URL = "PREFECT_API_URL"
ANSWER_S = 10.0
"""Seconds that a server which others run has to say that it is there."""


def prefect_environment(home: Home) -> dict[str, str]:
    """The settings under which Prefect keeps all its state in this home, tells nobody, and listens only here."""
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home.prefect / 'prefect.db'}",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        # Descriptions of the blocks of Prefect's collections: nothing here uses them, and they cost a second.
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_API_DATABASE_TIMEOUT": "60",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "true",
    }


def _in_process_environment(home: Home, api_url: str) -> dict[str, str]:
    """The settings of a process that runs flows against `api_url` and reports their failures itself."""
    return {
        **prefect_environment(home),
        API_URL: api_url,
        # Prefect must never start a server of its own: that one would outlive us.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # A failure is told once, by the command line.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }


def _schedule_environment(home: Home, api_url: str) -> dict[str, str]:
    """The settings of a process that serves a schedule, and of the runs that it starts."""
    return {
        **prefect_environment(home),
        API_URL: api_url,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }


@contextmanager
def local_server(
    home: Home, *, scheduler: bool = False, port: int = 0, meanwhile: Callable[[], None] | None = None
) -> Iterator[LocalServer]:
    """A server of this home that answers inside the block and ends with it, or with us.

    Args:
        home: whose Prefect folder holds its database.
        scheduler: also run the services that make scheduled runs, and show Prefect's pages.
        port: where to listen on 127.0.0.1; 0 takes a free one.
        meanwhile: work to do while it starts.

    Raises:
        DmmGovError: it does not start.
        BusyError: another process has been starting one in this home for too long.
        InputError: the port is in use.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if name != API_URL},
        **prefect_environment(home),
        "PREFECT__SERVER_FINAL": "1",
    }
    if not scheduler:
        environment |= {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_UI_ENABLED": "false"}
    with running(home.prefect, environment, port=port, meanwhile=meanwhile) as server:
        yield server


@contextmanager
def in_process(home: Home, *, meanwhile: Callable[[], None] | None = None) -> Iterator[str]:
    """Let flows run inside the block, against a server that ends with it; yields the address of the API.

    When PREFECT_API_URL names a server already, that one is used and none is started.

    Args:
        home: whose Prefect folder keeps the runs.
        meanwhile: work to do while the server starts (imports, loading a model).

    Raises:
        DmmGovError: the server does not start, or the one that PREFECT_API_URL names does not answer.
    """
    if given := os.environ.get(API_URL):
        _answering(given)
        if meanwhile is not None:
            meanwhile()
        with _settings(_in_process_environment(home, given)):
            yield given
        return
    with local_server(home, meanwhile=meanwhile) as server, _settings(_in_process_environment(home, server.api_url)):
        yield server.api_url


@contextmanager
def scheduling(home: Home, *, port: int = 0) -> Iterator[str]:
    """Let a schedule be served inside the block; yields the address of the API, as `in_process` does.

    Raises:
        DmmGovError: the server does not start, or the one that PREFECT_API_URL names does not answer.
        InputError: the port is in use.
    """
    if given := os.environ.get(API_URL):
        _answering(given)
        with _settings(_schedule_environment(home, given)):
            yield given
        return
    with (
        local_server(home, scheduler=True, port=port) as server,
        _settings(_schedule_environment(home, server.api_url)),
    ):
        yield server.api_url


def _answering(url: str) -> None:
    """Ask the server that PREFECT_API_URL names whether it is there, before anything is begun.

    Raises:
        DmmGovError: it does not answer.
    """
    from urllib.error import HTTPError, URLError
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(f"{url.rstrip('/')}/health", timeout=ANSWER_S):
            return
    except HTTPError:
        return  # somebody is there; whether we may talk to them is Prefect's to say
    except (URLError, OSError, ValueError) as error:
        shown = urlsplit(url)._replace(query="").geturl().rpartition("@")[2]
        raise DmmGovError(
            f"Prefect's server at {shown} ({API_URL}) does not answer: {getattr(error, 'reason', error)}; nothing was"
            f" begun: start it, or unset {API_URL} and each run has a server of its own"
        ) from error


@contextmanager
def _settings(environment: Mapping[str, str]) -> Iterator[None]:
    """Put Prefect under `environment` inside the block, whether it has been imported before or not."""
    with _environment(environment):
        import prefect.context
        from prefect.logging.configuration import setup_logging
        from prefect.settings import Settings

        # Heartbeats tell a server that a run lives; this server dies with the run, and ending them takes a second.
        settings = Settings().copy_with_update(updates={"flows.heartbeat_frequency": None})
        profile = prefect.context.get_settings_context().profile
        inner = prefect.context.SettingsContext(profile=profile, settings=settings)
        # Threads that Prefect starts look at the process-wide settings.
        with inner, prefect.context._temporary_global_settings_context(inner):
            setup_logging()
            try:
                yield
            finally:
                _drain()


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the block."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _drain() -> None:
    """Send what Prefect still holds (states of tasks travel as events) before its server goes."""
    import logging

    from prefect.events.worker import EventsWorker

    # It warns whenever anything is left to send, which is why it is asked.
    logging.getLogger(EventsWorker.__name__).setLevel(logging.ERROR)
    EventsWorker.drain_all(timeout=STOP_S)
