"""MLflow's side of a release: one version of a registered model, derived from the ledger and made again when missing.

The artefact folder of a version is content-addressed like all others. MLflow's aliases follow the ledger's; where they
differ, the ledger is right.
"""

import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from registry.artifacts import MANIFEST, checked, share, staged, store
from registry.digests import canonical_json, digest_json
from registry.errors import DmmGovError
from registry.home import Home
from registry.records import Release

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "DMMGOV_MLFLOW_URI"
"""Names another tracking and registry server than the SQLite file in the home folder."""
PREFIX = "dmm-gov-"
CODE = Path(__file__).with_name("serving.py")
REQUIREMENTS = ("dmm-gov", "mlflow", "torch", "transformers", "safetensors", "bm25s", "pyarrow", "pandas", "pyyaml")
RELEASE_TAG, LEAF_TAG, DIGEST_TAG = "dmmgov.release", "dmmgov.leaf", "dmmgov.artifact"
ALIAS_ORDER = ("challenger", "champion")
MLFLOW_OWN = "registered_model_meta"
"""File that MLflow adds to a version's folder when it is loaded by name."""


def model_name(model: str) -> str:
    """Name of the registered model for a base model: its short name, or the last part of its path or id."""
    last = re.split(r"[/\\]", model.rstrip("/\\"))[-1]
    return PREFIX + (re.sub(r"[^\w.-]+", "-", last) or "model")


def versions_folder(home: Home) -> Path:
    """Where the artefact folders of all versions lie."""
    return home.mlflow / "versions"


@contextmanager
def mlflow_client(home: Home) -> Iterator["MlflowClient"]:
    """A client of the registry of `home`, silent and without telemetry.

    Raises:
        DmmGovError: MLflow fails inside the block.
    """
    with silent():
        import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    home.mlflow.mkdir(parents=True, exist_ok=True)
    uri = os.environ.get(URI_VARIABLE) or f"sqlite:///{home.mlflow / 'mlflow.db'}"
    try:
        with silent():
            yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (mlflow.MlflowException, SQLAlchemyError) as error:
        words = " ".join(str(error).split())[:300]
        raise DmmGovError(
            f"MLflow does not take part: {words}; what is in the ledger stands, and the next run tells MLflow again"
        ) from error


@contextmanager
def silent() -> Iterator[None]:
    """MLflow without telemetry, progress bars, log lines and its warnings about its own code, inside the block."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import pyfunc

        assert pyfunc, "imported here, where its warnings are off"
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is told once, by whoever called
        yield


def build(home: Home, release: Release) -> tuple[str, dict[str, str]]:
    """Write the pyfunc model of a release; returns the digest of its folder and the digest of each file in it."""
    with silent(), staged(home.mlflow) as scratch:
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        optional = [ColSpec("string", name, required=False) for name in ("setting", "as_of")]
        inputs = Schema([ColSpec("string", "question"), *optional])
        sources = _sources(home, release, scratch)

        def fill(folder: Path) -> None:
            mlflow.pyfunc.save_model(
                path=str(folder),
                python_model=str(CODE),
                artifacts=sources,
                pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
                signature=ModelSignature(inputs=inputs),
            )
            for cache in folder.rglob("__pycache__"):
                shutil.rmtree(cache)
            share(folder, home.deltas, home.snapshots)

        kept = store(versions_folder(home), fill)
    return kept.digest, files_of(kept.path)


def files_of(folder: Path) -> dict[str, str]:
    """Digest of each file of a version's folder, as its manifest lists them."""
    files: dict[str, str] = json.loads((folder / MANIFEST).read_bytes())
    return files


def _sources(home: Home, release: Release, scratch: Path) -> dict[str, str]:
    """Artefacts of the pyfunc model by name: the release, its facts, its index, its deltas."""
    (scratch / "release.json").write_bytes(canonical_json(release.to_dict()))
    sources = {
        "release": str(scratch / "release.json"),
        "facts": str(checked(home.snapshots, release.facts_snapshot)),
        "index": str(checked(home.snapshots, release.index_snapshot)),
    }
    if release.deltas:
        for digest in release.deltas:
            shutil.copytree(checked(home.deltas, digest), scratch / "deltas" / digest)
        sources["deltas"] = str(scratch / "deltas")
    return sources


def find(client: "MlflowClient", release: Release, leaf: str) -> tuple[str, Path] | None:
    """The version that was made for the release with this leaf in the log, and its folder; None where there is none."""
    for one in client.search_model_versions(f"name='{model_name(release.model)}'"):
        if one.tags.get(LEAF_TAG) == leaf:
            return str(one.version), Path(unquote(urlparse(one.source).path))
    return None


def create(client: "MlflowClient", home: Home, release: Release, leaf: str, digest: str) -> str:
    """Make the version of a release in MLflow; returns its number."""
    name = model_name(release.model)
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name, description="Releases of dmm-gov: facts, index, weight deltas.")
    source = (versions_folder(home) / digest).as_uri()
    tags = tags_of(release, leaf, digest)
    made = client.create_model_version(name, source, tags=tags, description=described(release))
    return str(made.version)


def tags_of(release: Release, leaf: str, digest: str) -> dict[str, str]:
    """The tags of the version of a release: which leaf of the log and which artefact folder it belongs to, and more."""
    return {
        RELEASE_TAG: str(release.number),
        LEAF_TAG: leaf,
        DIGEST_TAG: digest,
        "dmmgov.base_digest": release.base_digest,
        "dmmgov.weights_digest": release.weights_digest,
        "dmmgov.facts_snapshot": release.facts_snapshot,
        "dmmgov.created_by": release.created_by,
    }


def described(release: Release) -> str:
    """The description of the version of a release."""
    return f"Release {release.number} of dmm-gov."


def tables_of(home: Home) -> dict[str, str] | None:
    """Revision of MLflow's tables and digest of their definitions; None where they do not lie in the home folder.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    import sqlite3

    path = home.mlflow / "mlflow.db"
    if os.environ.get(URI_VARIABLE) or not path.is_file():
        return None
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        revisions = [str(one) for (one,) in connection.execute("SELECT version_num FROM alembic_version")]
    return {"revision": ", ".join(revisions), "digest": digest_json([list(row) for row in rows])}


def aliases_in(client: "MlflowClient") -> dict[tuple[str, str], str]:
    """Every alias of every registered model of ours: (model, alias) -> version."""
    models = [one for one in client.search_registered_models() if one.name.startswith(PREFIX)]
    return {(one.name, alias): str(number) for one in models for alias, number in one.aliases.items()}


def sync_aliases(client: "MlflowClient", wanted: Mapping[str, Release]) -> None:
    """Make MLflow's aliases those of the ledger: challenger before champion, and none elsewhere."""
    goal = {(model_name(release.model), alias): release.mlflow_version for alias, release in wanted.items()}
    there = aliases_in(client)
    for alias in ALIAS_ORDER:
        for (name, other), number in goal.items():
            if other == alias and there.get((name, alias)) != number:
                client.set_registered_model_alias(name, alias, number)
    for name, alias in there.keys() - goal.keys():
        if alias in ALIAS_ORDER:
            client.delete_registered_model_alias(name, alias)


def as_recorded(folder: Path, files: Mapping[str, str], found: Mapping[str, str]) -> dict[str, Any]:
    """`found` without what MLflow itself adds to a folder that it has loaded."""
    own = {name for name in found if name == MLFLOW_OWN or "__pycache__" in Path(name).parts}
    return {name: digest for name, digest in found.items() if name in files or name not in own}
