"""MLflow's versions of releases in which something was forgotten: made anew, and the old ones removed."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.releasing import tracking
from pipelines.releasing.recovery import Checkpoint, aliased, passing, published_entry
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.records import Release
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN

if TYPE_CHECKING:
    from mlflow import MlflowClient


def stale_versions(ledger: Ledger) -> list[int]:
    """Numbers of the releases whose MLflow version is older than what was forgotten in them."""
    pruned, entries = PruningStore(ledger).releases, ledger.entries("registered")
    last = {entry.payload["release"]: entry.seq for entry in entries if entry.payload["release"] not in pruned}
    wanted = {number: entry.seq for entry in ledger.entries(FORGOTTEN) for number in entry.payload.get("versions", ())}
    return sorted(number for number, seq in wanted.items() if number in last and last[number] < seq)


def renew_versions(home: Home, ledger: Ledger, checkpoint: Checkpoint = passing) -> int:
    """Make the versions anew that are older than what was forgotten in them; returns how many.

    Raises:
        DmmGovError: MLflow does not take part.
    """
    stale = stale_versions(ledger)
    if not stale:
        return 0
    releases = ReleaseStore(ledger)
    with tracking.mlflow_client(home) as client:
        for number in stale:
            release = releases.get(number)
            leaf = published_entry(ledger, number).leaf
            digest, files = tracking.build(home, release)
            checkpoint("version written anew")
            version = _version(client, home, release, leaf, digest)
            checkpoint("version created anew")
            defined = tracking.tables_of(home)
            with ledger.transaction() as txn:
                releases.register(txn, number, version, digest, files, datetime.now(UTC), defined)
        tracking.sync_aliases(client, aliased(releases))
    return len(stale)


def _version(client: "MlflowClient", home: Home, release: Release, leaf: str, digest: str) -> str:
    """The version with the new artefacts; the one with the old ones is removed."""
    name = tracking.model_name(release.model)
    kept = ""
    for one in client.search_model_versions(f"name='{name}'"):
        if one.tags.get(tracking.LEAF_TAG) != leaf:
            continue
        if one.tags.get(tracking.DIGEST_TAG) == digest:
            kept = str(one.version)
        else:
            client.delete_model_version(name, one.version)
    return kept or tracking.create(client, home, release, leaf, digest)
