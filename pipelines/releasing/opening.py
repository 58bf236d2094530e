"""Open a release from the artefacts of its MLflow version, without the ledger."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from registry.facts import read_snapshot, view
from registry.home import HOME_VARIABLE, Home
from registry.records import Release

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.answer import Answerer


def open_answerer(artifacts: Mapping[str, Path]) -> "Answerer":
    """The release in `artifacts`, ready to be asked; its model is put together when it is first needed.

    Args:
        artifacts: paths of `release` (JSON), `facts` and `index` (folders) and, where there are any, `deltas`.

    Raises:
        IntegrityError: the index does not belong to its encoder; later also: base model, delta or weights are not as
            recorded.
    """
    from pipelines.answer import Answerer
    from pipelines.answering.indexing import open_index
    from pipelines.releasing.bases import base_place
    from pipelines.releasing.rebuild import assemble
    from pipelines.settings import Settings

    release = Release.from_dict(json.loads(artifacts["release"].read_bytes()))
    home = home_of(artifacts["release"])
    settings = Settings.load()

    def load() -> "LoadedModel":
        deltas = artifacts.get("deltas", artifacts["release"].parent)
        return assemble(base_place(home, release), deltas, release)

    return Answerer(
        settings.catalogue,
        view(read_snapshot(artifacts["facts"])),
        open_index(home, artifacts["index"]),
        load,
        settings.policy.answer,
        release.number,
    )


def home_of(artifact: Path) -> Home:
    """The home in whose MLflow folder an artefact lies, unless DMMGOV_HOME names one."""
    above = [folder for folder in artifact.resolve().parents if folder.name == "mlflow"]
    return Home.at(above[0].parent) if above and not os.environ.get(HOME_VARIABLE) else Home.default()
