"""Schedule: a cron deployment of the flow that picks up new feeds from a folder, each once.

`serve_schedule` is all that one machine needs: it starts a Prefect server of this home, registers the deployment and
runs what falls due, until it is stopped; the server ends with it. With PREFECT_API_URL set, the deployment goes to that
server. `prefect.yaml` describes the same deployment for workers.
"""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger

from pipelines.running.pickup import Pickup, pick_up_files
from pipelines.running.server import scheduling
from registry.errors import DmmGovError, InputError
from registry.home import Home

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.runner import Runner

_LOOK_S = 0.05


def _govern(feed: Path, home: Home, model: str) -> Mapping[str, Any]:
    """Run one feed through the loop."""
    from pipelines.loop import govern

    return govern(str(feed), str(home.root), model, False, "schedule")


@flow(name="pick-up", validate_parameters=True, persist_result=False)
def pick_up(folder: str, home: str, model: str = "smollm2") -> list[dict[str, str]]:
    """Run every new feed in `folder` through the loop, each once.

    Args:
        folder: where feeds arrive.
        home: the home folder.
        model: name of the base model.

    Returns:
        One entry per feed file: name, digest, outcome, words.

    Raises:
        InputError: there is no such folder.
        DmmGovError: a feed failed, after all have been tried; the message names each with its reason.
    """
    logger = get_run_logger()
    picked = pick_up_files(Path(folder), Home.at(Path(home)), model, _govern)
    for one in picked:
        logger.info("%s: %s, %s", one.name, one.outcome, one.words)
    if not picked:
        logger.info("no feeds in %s", folder)
    raise_failures(picked)
    return [one.to_dict() for one in picked]


def raise_failures(picked: tuple[Pickup, ...]) -> None:
    """Fail when a feed failed.

    Raises:
        DmmGovError: names each with its reason.
    """
    failed = [one for one in picked if one.outcome == "failed"]
    if failed:
        words = "; ".join(f"{one.name}: {one.words}" for one in failed)
        raise DmmGovError(f"{len(failed)} of {len(picked)} feeds failed: {words}")


def serve_schedule(
    home: Home, folder: Path, cron: str, model: str = "smollm2", *, timezone: str = "UTC", port: int = 0
) -> None:
    """Pick up new feeds from `folder` at every beat of `cron`, until Ctrl-C or SIGTERM.

    Args:
        home: the home folder.
        folder: where feeds arrive.
        cron: five fields, or six with seconds at the end.
        model: name of the base model.
        timezone: IANA name of the zone in which `cron` is read.
        port: where Prefect's pages and API listen on 127.0.0.1; 0 takes a free port.

    Raises:
        InputError: no such folder, not a cron expression, no such zone, or a port in use.
        DmmGovError: Prefect's server does not start.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise InputError("a folder in which feeds arrive", str(folder), "make it, or name another")
    schedule = _cron(cron, timezone)
    parameters = {"folder": str(folder), "home": str(home.root), "model": model}
    with scheduling(home, port=port):
        asyncio.run(_serve(deployment_name(folder), schedule, parameters))


async def _serve(name: str, schedule: Any, parameters: Mapping[str, str]) -> None:
    """Register the deployment and run what falls due, one run at a time, until the task is cancelled or SIGTERM."""
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    deployment = await pick_up.ato_deployment(
        name=name,
        schedule=schedule,
        parameters=dict(parameters),
        description=f"New feeds in {parameters['folder']}, each once",
        tags=["dmm-gov"],
        # A path entrypoint would load this module a second time, under another name.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    runner = Runner(name=name, limit=1, pause_on_shutdown=False)
    await _forget_missed(await runner.aadd_deployment(deployment))
    await until_stopped(runner)


async def until_stopped(runner: "Runner", beside: Coroutine[Any, Any, None] | None = None) -> None:
    """Let a runner run what falls due, and something beside it, until the task is cancelled or SIGTERM comes."""
    logging.getLogger("prefect.runner").setLevel(logging.WARNING)
    serving = asyncio.create_task(runner.start())
    while not runner.started and not serving.done():
        await asyncio.sleep(_LOOK_S)
    # Prefect's own handler, set by now, leaves the loop in the middle of a step and cannot clean up.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    other = asyncio.create_task(beside) if beside is not None else None
    with suppress(asyncio.CancelledError):
        await serving
    if other is not None:
        other.cancel()
        with suppress(asyncio.CancelledError):
            await other


async def _forget_missed(deployment: "UUID") -> None:
    """Delete the runs that fell due while nobody served: the next one picks up all that has arrived since."""
    from prefect import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
    from prefect.client.schemas.filters import FlowRunFilterState as State
    from prefect.client.schemas.filters import FlowRunFilterStateType as Kind
    from prefect.client.schemas.objects import StateType

    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    scheduled = FlowRunFilter(state=State(type=Kind(any_=[StateType.SCHEDULED])))
    now = datetime.now(UTC)
    async with get_client() as client:
        for run in await client.read_flow_runs(deployment_filter=only, flow_run_filter=scheduled):
            if run.expected_start_time is not None and run.expected_start_time < now:
                await client.delete_flow_run(run.id)


def deployment_name(folder: Path) -> str:
    """Name of the deployment that serves `folder`: its last part, with what Prefect forbids replaced."""
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else "-" for letter in folder.name)
    return kept or "feeds"


def _cron(cron: str, timezone: str) -> Any:
    """The schedule.

    Raises:
        InputError: not a cron expression, or no such zone.
    """
    from zoneinfo import available_timezones

    from prefect.schedules import Cron
    from pydantic import ValidationError

    if timezone not in available_timezones():
        raise InputError("the IANA name of a time zone", repr(timezone), "for example UTC or Europe/Brussels")
    try:
        from prefect.client.schemas.schedules import CronSchedule

        CronSchedule(cron=cron, timezone=timezone)
    except (ValidationError, ValueError) as error:
        raise InputError("a cron expression", repr(cron), 'for example "0 3 * * *" for every night at three') from error
    return Cron(cron, timezone=timezone)
