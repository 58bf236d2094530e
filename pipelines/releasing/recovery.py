"""What every writing command does first: finish or undo what an earlier one left when it was killed."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipelines.auditing.rotation import finish_rotation
from pipelines.releasing import tracking
from pipelines.releasing.certify import certify
from pipelines.releasing.retention import artefacts
from registry.artifacts import sweep
from registry.checkpoints import stamp
from registry.home import Home
from registry.intents import IntentStore
from registry.keys import remove_drafts
from registry.ledger import Ledger
from registry.locks import writer
from registry.pruning import PruningStore
from registry.records import LedgerEntry, Release
from registry.releases import ALIASES, ReleaseStore

Checkpoint = Callable[[str], None]
"""Called at each point at which a kill could leave something behind, with the point's name."""


def passing(name: str) -> None:
    """The checkpoint that does nothing."""


def recover(home: Home, ledger: Ledger, *, checkpoint: Checkpoint = passing) -> list[str]:
    """Finish or undo what a killed writer left; idempotent, and quick when there is nothing.

    Returns:
        What was done, one line each, for people.

    Raises:
        BusyError: another writer is at work.
        DmmGovError: MLflow does not take part; what is in the ledger stands.
    """
    with writer(home):
        intents = IntentStore(ledger).open()
        done: list[str] = [words] if (words := finish_rotation(home, ledger)) else []
        done += [f"removed a half-written key: {name}" for name in remove_drafts(home.keys)]
        if "mlflow" in intents:
            finish(home, ledger, checkpoint)
            done.append("finished telling MLflow about releases and aliases")
        done += [f"removed a half-written folder: {path.name}" for path in _half_written(home)]
        done += [f"removed an artefact of an unpublished release: {path.name}" for path in orphans(home, ledger)]
        if "publish" in intents:
            body = intents["publish"]
            with ledger.transaction() as txn:
                IntentStore(ledger).clear(txn, "publish")
                ledger.append(txn, "abandoned", body, "dmmgov", datetime.now(UTC))
            done.append(f"dropped release {body['release']}, which was begun and never published")
        if "forget" in intents:
            from pipelines.forgetting.forget import resume

            ended = resume(home, ledger, intents["forget"], checkpoint)
            words = "finished forgetting what was begun to be forgotten"
            done.append(words if ended else "gave up forgetting, which a gate or its request does not allow")
        if "prune" in intents:
            from pipelines.releasing.prune import finish_prune

            finish_prune(home, ledger, checkpoint)
            done.append("finished removing the artefacts of releases that were pruned")
        stamp(home, ledger)
    return done


def finish(home: Home, ledger: Ledger, checkpoint: Checkpoint = passing) -> None:
    """Bring MLflow to where the ledger is: a version for every release, aliases where the ledger has them.

    Then releases without a certificate get theirs; at the end the log's checkpoint is signed.

    Raises:
        DmmGovError: MLflow does not take part.
        IntegrityError: an artefact of a release is not as recorded, or the log is not the one signed before.
        InputError: the log's key is not at hand; everything else is done.
    """
    releases, pruned = ReleaseStore(ledger), PruningStore(ledger).releases
    with tracking.mlflow_client(home) as client:
        for release in releases.all():
            if release.mlflow_version or release.number in pruned:
                continue
            leaf = published_entry(ledger, release.number).leaf
            found = tracking.find(client, release, leaf)
            if found is None:
                digest, files = tracking.build(home, release)
                checkpoint("version written")
                number = tracking.create(client, home, release, leaf, digest)
                checkpoint("version created")
            else:
                number, folder = found
                digest, files = folder.name, tracking.files_of(folder)
            defined = tracking.tables_of(home)
            with ledger.transaction() as txn:
                releases.register(txn, release.number, number, digest, files, datetime.now(UTC), defined)
            checkpoint("version recorded")
        tracking.sync_aliases(client, aliased(releases))
        checkpoint("aliases moved")
    certify(home, ledger)
    checkpoint("certified")
    with ledger.transaction() as txn:
        IntentStore(ledger).clear(txn, "mlflow")
    checkpoint("MLflow told")
    stamp(home, ledger)


def published_entry(ledger: Ledger, number: int) -> LedgerEntry:
    """The entry with which a release was published."""
    return next(entry for entry in ledger.entries("published") if entry.payload["release"] == number)


def aliased(releases: ReleaseStore) -> dict[str, Release]:
    """The release that each alias points to."""
    numbers = {alias: releases.alias(alias) for alias in ALIASES}
    return {alias: releases.get(number) for alias, number in numbers.items() if number is not None}


def _half_written(home: Home) -> Iterator[Path]:
    """Remove and name staged folders."""
    for root in (home.deltas, home.bases, home.snapshots, home.mlflow, tracking.versions_folder(home)):
        yield from sweep(root)
    for path in sorted(home.staging.iterdir()) if home.staging.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield path


def orphans(home: Home, ledger: Ledger) -> Iterator[Path]:
    """Remove and name artefacts that no release which is kept holds (any more)."""
    for root, digests in artefacts(ledger).places(home).items():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path.name not in digests:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                yield path
