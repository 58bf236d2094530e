"""START HERE: the loop, one line per step.

    feed -> admit -> route -> write -> guard -> publish        (monitor, rollback and audit look at what was published)

`govern` is the Prefect flow; `run_update` runs it in this process. Every step is a plain function in a module of its
name; `pipelines.steps` binds them to the workplace of the run. Rules of order:

1. Nothing is recorded before `publish`, save the thresholds that changed since the last run, before `admit` judges by
   them, and the family of gates that `guard` declares before it asks; a run that dies earlier leaves nothing else but
   artefacts that nothing refers to.
2. `guard` judges the final model and the final index, never an intermediate state.
3. A release whose gates do not pass is recorded as blocked, with the rows' outcomes, and is not published.
"""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import opaque

from pipelines import steps
from pipelines.outcome import UpdateResult
from pipelines.workplace import Workplace
from registry.home import Home

P = ParamSpec("P")
R = TypeVar("R")


def _step(function: Callable[P, R]) -> Callable[P, R]:
    """`function` as a Prefect task that takes its arguments as they are: Prefect would look into every fact of them."""
    run: Any = task(cast(Any, function), cache_policy=NO_CACHE, persist_result=False)

    @wraps(function)
    def step(*args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, run(*map(opaque, args), **kwargs))

    return step


read, admit, route = _step(steps.read), _step(steps.admit), _step(steps.route)
write, guard, publish = _step(steps.write), _step(steps.guard), _step(steps.publish)


@flow(name="update", flow_run_name="update {feed}", validate_parameters=False, persist_result=False)
def govern(
    feed: str,
    home: str,
    model: str | None = None,
    quick: bool = False,
    actor: str = "schedule",
    only: list[str] | None = None,
    at: str | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """Take one feed through the loop.

    Args:
        feed: path of the feed.
        home: the home folder.
        model: short name, folder, hub id or GGUF file of the base model; None is the one that the home began with.
        quick: write at most three facts into the weights.
        actor: who runs it.
        only: names of the editors that may be used; None allows all.
        at: the run's time (ISO 8601); None is now.
        most: facts that are written into the weights at most; None is what the policy has.

    Returns:
        `UpdateResult.to_dict()`: what came in, what became of it, and the release, if one was published.

    Raises:
        FeedError: the feed cannot be read as a whole.
        BusyError: another run holds the home's lock.
    """
    when = datetime.fromisoformat(at) if at else datetime.now(UTC)
    with Workplace.opened(Home.at(Path(home)), model, actor, when) as place:
        incoming = read(place, Path(feed))
        if not incoming.released and (done := place.done(incoming.digest)) is not None:
            return UpdateResult.nothing_new(incoming, done, place).to_dict()
        admission = admit(place, incoming)
        routed = route(place, admission, quick, only, most)
        written = write(place, routed)
        judged = guard(place, routed, written)
        return publish(place, incoming, admission, routed, judged).to_dict()


def warm_up() -> None:
    """Import what a run needs anyway, while its Prefect server starts."""
    from importlib import import_module

    from pipelines.admission.expectations import import_quietly

    import_quietly()
    for name in ("duckdb", "transformers.models.llama.modeling_llama", "mlflow.tracking"):
        import_module(name)


def run_update(
    home: Home,
    feed: Path,
    model: str | None = None,
    *,
    quick: bool = False,
    actor: str | None = None,
    only: tuple[str, ...] | None = None,
    at: datetime | None = None,
    most: int | None = None,
) -> UpdateResult:
    """Run the loop on one feed in this process, with a temporary Prefect server that ends with it; see `govern`.

    Raises:
        DmmGovError: as `govern`.
    """
    from pipelines.admission.feed import read_feed
    from pipelines.running.models import check_there
    from pipelines.running.server import in_process

    read_feed(feed)  # what cannot be used is refused before anything is started
    if model is not None:
        check_there(home, model)
    with in_process(home, meanwhile=warm_up):
        result = govern(
            str(feed),
            str(home.root),
            model,
            quick,
            actor or getpass.getuser(),
            list(only) if only is not None else None,
            at.isoformat() if at else None,
            most,
        )
    return UpdateResult.from_dict(result)
