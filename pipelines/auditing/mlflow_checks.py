"""MLflow against the ledger: its file, its tables, every version with all that publishing wrote of it, and its aliases.

What is not compared, since publishing does not write it or cannot know it: MLflow's own times, the name of a version's
user, what people add (tags of their own, the description of the registered model), and rows of MLflow's other tables.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from pipelines.releasing import tracking
from pipelines.releasing.recovery import aliased, published_entry
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.records import Release
from registry.releases import ALIASES, ReleaseStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SHOWN = 60
"""So many characters of a value are told."""


def mlflow_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """Every difference between what MLflow holds and what publishing wrote."""
    yield from _file_problems(home.mlflow / "mlflow.db")
    yield from _tables_problems(home, ledger)
    releases = ReleaseStore(ledger)
    pruned = PruningStore(ledger).releases
    every = [one for one in releases.all() if one.mlflow_version and one.number not in pruned]
    if not every:
        return
    with tracking.mlflow_client(home) as client:
        there = {
            (one.name, str(one.version)): one
            for name in {tracking.model_name(release.model) for release in every}
            for one in client.search_model_versions(f"name='{name}'")
        }
        for release in every:
            one = there.get((tracking.model_name(release.model), release.mlflow_version))
            if one is None:
                yield f"release {release.number}: MLflow has no version {release.mlflow_version} of it"
            elif one.tags.get(tracking.LEAF_TAG) != published_entry(ledger, release.number).leaf:
                yield f"release {release.number}: version {release.mlflow_version} in MLflow belongs to another release"
            else:
                yield from _version_problems(home, ledger, client, release, one)
        yield from _alias_problems(client, releases)


def _version_problems(
    home: Home, ledger: Ledger, client: "MlflowClient", release: Release, found: "ModelVersion"
) -> Iterator[str]:
    """What of a version is not as publishing wrote it: its tags, its fields, the folder that it points to."""
    known = ReleaseStore(ledger).version(release.number)
    digest = known[1] if known is not None else ""
    tags = tracking.tags_of(release, published_entry(ledger, release.number).leaf, digest)
    wanted: dict[str, str] = {f"tag {name}": value for name, value in tags.items()}
    got = {f"tag {name}": found.tags.get(name, "") for name in tags}
    wanted |= {"description": tracking.described(release), "status": "READY", "stage": "None"}
    got |= {"description": found.description or "", "status": found.status, "stage": found.current_stage or "None"}
    for name in ("run_id", "run_link", "status_message"):  # publishing gives none
        wanted[name], got[name] = "", getattr(found, name) or ""
    source = found.source or ""
    wanted |= {"source": _folder(home, digest, source), "storage location": source}
    got |= {"source": source, "storage location": client.get_model_version_download_uri(found.name, found.version)}
    for name, value in wanted.items():
        if got[name] != value:
            words = f"found {str(got[name])[:SHOWN]!r}, published with {value[:SHOWN]!r}"
            yield f"release {release.number}: {name} of version {release.mlflow_version} in MLflow: {words}"


def _folder(home: Home, digest: str, uri: str) -> str:
    """The address that a version should have: its folder in this home, or the same one where the home once lay."""
    here = tracking.versions_folder(home) / digest
    place = Path(unquote(urlparse(uri).path))
    return (place if place.is_absolute() and place.parts[-3:] == here.parts[-3:] else here).as_uri()


def _alias_problems(client: "MlflowClient", releases: ReleaseStore) -> Iterator[str]:
    """Aliases that do not point where the ledger's do."""
    goal = {(tracking.model_name(one.model), alias): one.mlflow_version for alias, one in aliased(releases).items()}
    found = {key: number for key, number in tracking.aliases_in(client).items() if key[1] in ALIASES}
    for name, alias in sorted(goal.keys() | found.keys()):
        if goal.get((name, alias)) != found.get((name, alias)):
            wanted, got = goal.get((name, alias)), found.get((name, alias))
            yield f"alias {alias} of {name}: MLflow has version {got}, recorded is {wanted}"


def _file_problems(path: Path) -> Iterator[str]:
    """What SQLite finds wrong with a database file of MLflow's; nothing where MLflow keeps its own elsewhere."""
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = [str(words) for (words,) in connection.execute("PRAGMA integrity_check")]
            for _ in connection.iterdump():  # what is whole by its pages can still be unreadable
                pass
    except (sqlite3.Error, UnicodeDecodeError) as error:
        found = [str(error)]
    yield from (f"{path}: {' '.join(words.split())}" for words in found if words != "ok")


def _tables_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """Definitions of MLflow's tables, indexes and triggers against those with which the last release was registered.

    One that was registered before these were noted tells nothing, and neither does one of another MLflow: its next
    release notes them anew, and MLflow itself refuses tables of a revision that it does not know.
    """
    noted = [entry for entry in ledger.entries("registered") if entry.payload.get("tables")]
    try:
        found = tracking.tables_of(home) if noted else None
    except (sqlite3.Error, UnicodeDecodeError):
        return  # told as a problem of the file
    if found is None:
        return
    wanted = noted[-1].payload["tables"]
    if found["revision"] == wanted["revision"] and found["digest"] != wanted["digest"]:
        yield f"{home.mlflow / 'mlflow.db'}: its tables are not defined as entry {noted[-1].seq} records"
