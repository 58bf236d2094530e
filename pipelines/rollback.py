"""Move the champion: to a newer release (`promote`) or back to an earlier one (`rollback`).

Rebuild first, compare digests, then move: the ledger's alias in one transaction, MLflow's after it. A release that
does not come out as recorded is never made the champion.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pipelines.releasing.rebuild import rebuild
from pipelines.releasing.recovery import Checkpoint, finish, passing, recover
from registry.checkpoints import stamp
from registry.errors import IntegrityError
from registry.home import Home
from registry.intents import IntentStore
from registry.ledger import Ledger
from registry.locks import writer
from registry.pruning import PruningStore
from registry.records import Release
from registry.releases import ALIASES, ReleaseStore

Move = Literal["promoted", "rolled_back"]


@dataclass(frozen=True)
class RollbackResult:
    """What a rollback came to.

    Attributes:
        release: the champion now.
        recorded: digest of its weights as recorded when it was published.
        found: digest of its weights as rebuilt now.
        equal: whether the two are the same; a rollback where they differ is an error and returns nothing.
        seconds: wall time of the whole.
    """

    release: Release
    recorded: str
    found: str
    equal: bool
    seconds: float


def promote(home: Home, ref: str, actor: str, *, checkpoint: Checkpoint = passing) -> Release:
    """Make a release the champion.

    Raises:
        InputError: there is no such release, or it was pruned.
        IntegrityError: it does not come out as recorded; the champion stays.
        BusyError: another writer is at work.
    """
    release, _ = _move(home, ref, actor, "promoted", checkpoint)
    return release


def rollback(home: Home, ref: str, actor: str, *, checkpoint: Checkpoint = passing) -> RollbackResult:
    """Make an earlier release the champion again.

    Raises:
        InputError: there is no such release, or it was pruned.
        IntegrityError: it does not come out as recorded; the champion stays.
        BusyError: another writer is at work.
    """
    started = time.perf_counter()
    release, found = _move(home, ref, actor, "rolled_back", checkpoint)
    recorded = release.weights_digest
    return RollbackResult(release, recorded, found, recorded == found, time.perf_counter() - started)


@contextmanager
def _ledger(home: Home) -> Iterator[Ledger]:
    """The ledger under the writer's lock, after repairs."""
    with writer(home), Ledger.open(home) as ledger:
        recover(home, ledger)
        yield ledger


def _move(home: Home, ref: str, actor: str, move: Move, checkpoint: Checkpoint) -> tuple[Release, str]:
    """Rebuild, compare, move; returns the release and the digest found."""
    with _ledger(home) as ledger:
        releases, intents = ReleaseStore(ledger), IntentStore(ledger)
        release = PruningStore(ledger).kept(ref)
        before = releases.alias("champion")
        try:
            found = rebuild(home, release, device="cpu").digest
        except IntegrityError as error:
            refused = {"release": release.number, "champion": before, "move": move, "what": error.what}
            refused |= {"recorded": error.recorded, "found": error.found}
            with ledger.transaction() as txn:
                ledger.append(txn, "move_refused", refused, actor, datetime.now(UTC))
            stamp(home, ledger)
            raise
        checkpoint("rebuilt")
        with ledger.transaction() as txn:
            now = datetime.now(UTC)
            payload = {
                "release": release.number,
                "previous": before,
                "recorded": release.weights_digest,
                "found": found,
            }
            ledger.append(txn, move, payload, actor, now)
            for alias in ALIASES if move == "promoted" else ALIASES[-1:]:
                releases.set_alias(txn, alias, release.number, actor=actor, at=now)
            intents.set(txn, "mlflow", {"release": release.number})
            checkpoint("in the transaction")
        checkpoint("alias moved")
        finish(home, ledger, checkpoint)
        return releases.get(release.number), found
