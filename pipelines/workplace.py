"""Where one run happens: the home, its ledger, the rules, the release that the run builds on, the model as it is now.

Opening a workplace takes the writer's lock and finishes or undoes whatever an earlier run left behind; the ledger then
stands still until it is closed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipelines.settings import Settings
from registry.artifacts import checked
from registry.compactions import CompactionStore
from registry.errors import InputError
from registry.facts import FactEvent, FactStore, view
from registry.feeds import FeedRun, FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.locks import writer
from registry.progress import track
from registry.records import KnownFact, Release
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from editors.load import LoadedModel

LOCK_WAIT_S = 3600.0
DEFAULT_MODEL = "smollm2"


def standing_champion(ledger: Ledger) -> Release | None:
    """The champion as later releases build on it, None while nothing is published."""
    champion = ReleaseStore(ledger).champion()
    return None if champion is None else CompactionStore(ledger).standing(champion)


@dataclass
class Workplace:
    """The state that the steps of one run share. Only `retire` and the timings change it while it is open.

    Attributes:
        home: the folder of all state.
        ledger: the open ledger.
        settings: the rules.
        model: name of the base model, as asked for.
        actor: who runs it.
        at: the run's time; every record of the run bears it.
        parent: the release that the run builds on, as later ones stand on it (from its merged checkpoint where it has
            one); None in an empty home.
        repaired: what opening finished or undid, in words.
        seconds: wall seconds by step.
    """

    home: Home
    ledger: Ledger
    settings: Settings
    model: str
    actor: str
    at: datetime
    parent: Release | None
    repaired: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def opened(
        cls, home: Home, model: str | None, actor: str, at: datetime, wait_s: float = LOCK_WAIT_S
    ) -> Iterator[Self]:
        """Take the lock, repair, and yield the workplace.

        Args:
            home: the folder of all state.
            model: the base model; None is the one that the home began with (the reference model in an empty home).
            actor: who runs it.
            at: the run's time.
            wait_s: how long to wait for the lock.

        Raises:
            BusyError: another run holds the lock for longer than `wait_s`.
            InputError: the rules cannot be read, or the home began with another model.
        """
        from pipelines.publish import recover

        settings = Settings.load()
        with writer(home, wait_s=wait_s), Ledger.open(home) as ledger:
            repaired = tuple(recover(home, ledger))
            parent = standing_champion(ledger)
            if parent is not None and model not in (None, parent.model):
                raise InputError(
                    f"the base model of this home ({parent.model})", repr(model), "use another home for it"
                )
            name = parent.model if parent is not None else model or DEFAULT_MODEL
            yield cls(home, ledger, settings, name, actor, at, parent, repaired)

    @property
    def today(self) -> date:
        """The run's day."""
        return self.at.date()

    @cached_property
    def lineage(self) -> tuple[int, ...]:
        """Numbers of the releases that the parent is built on, itself included."""
        return ReleaseStore(self.ledger).lineage(self.parent.number) if self.parent else ()

    @cached_property
    def events(self) -> tuple[FactEvent, ...]:
        """Every fact event of the lineage, in order."""
        return tuple(FactStore(self.ledger).events(self.lineage))

    @cached_property
    def known(self) -> tuple[KnownFact, ...]:
        """Every fact that the lineage ever asserted and did not retract, whenever it holds."""
        return tuple(view(self.events))

    @cached_property
    def current(self) -> tuple[KnownFact, ...]:
        """The facts that hold today."""
        return tuple(item for item in self.known if item.fact.holds_on(self.today))

    @cached_property
    def parent_index(self) -> Path | None:
        """Folder of the parent's retrieval index; None where there is no parent.

        Raises:
            IntegrityError: it is not as recorded.
        """
        return checked(self.home.snapshots, self.parent.index_snapshot) if self.parent is not None else None

    def done(self, digest: str) -> FeedRun | None:
        """The run of the feed with this digest that the parent's lineage holds; None if there is none."""
        return self.feeds.seen(digest, self.lineage)

    @property
    def releases(self) -> ReleaseStore:
        """The published releases."""
        return ReleaseStore(self.ledger)

    @property
    def feeds(self) -> FeedStore:
        """The feeds that were processed."""
        return FeedStore(self.ledger)

    @cached_property
    def loaded(self) -> "LoadedModel":
        """The model as the parent release left it (the base model where there is none yet).

        Raises:
            ModelError: the model cannot be had.
            IntegrityError: it is not the one that the parent recorded.
        """
        from editors.load import load_model
        from pipelines.releasing.rebuild import rebuild
        from pipelines.running.models import resolve

        with track("load the model"):
            if self.parent is not None:
                return rebuild(self.home, self.parent)
            return load_model(resolve(self.home, self.model))

    @cached_property
    def deltas(self) -> tuple[str, ...]:
        """Digests of the deltas that are on `loaded`, in their order."""
        return self.parent.deltas if self.parent is not None else ()

    @cached_property
    def base_digest(self) -> str:
        """Digest of the weights on which `deltas` are put: the base model's, or a merged checkpoint's."""
        return self.parent.base_digest if self.parent is not None else self.loaded.digest

    @cached_property
    def origin(self) -> Release | None:
        """The parent from the base model itself, with every delta that was ever merged; None where there is none."""
        return CompactionStore(self.ledger).expanded(self.parent) if self.parent is not None else None

    @property
    def origin_digest(self) -> str:
        """Digest of the base model's weights, without any delta and whatever was merged since."""
        return self.origin.base_digest if self.origin is not None else self.base_digest

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the wall time of the block to `seconds[step]`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started
