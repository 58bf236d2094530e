"""What several tests of audits begin with."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.publish import publish
from registry.home import Home
from registry.ledger import Ledger


@pytest.fixture(scope="session")
def two_releases(tmp_path_factory: pytest.TempPathFactory, mlflow_ready: Path, publishing: Any) -> Path:
    """A home with two releases; tests work on copies of it."""
    home = Home.at(tmp_path_factory.mktemp("signed") / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
    drafts = publishing(home)
    with Ledger.open(home) as ledger:
        publish(home, ledger, drafts.of(drafts.brings(drafts.france)), drafts.at)
        publish(home, ledger, drafts.of(drafts.brings(drafts.nauru), parent=1), drafts.at)
    return home.root
