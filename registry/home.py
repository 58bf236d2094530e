"""The one folder that holds all state of one machine, and where in it each thing lies."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HOME_VARIABLE = "DMMGOV_HOME"
LEDGER_VARIABLE = "DMMGOV_LEDGER_URL"


@dataclass(frozen=True)
class Home:
    """Paths below the home folder; nothing is made until it is needed.

    Attributes:
        root: the folder itself.
        ledger_url: SQLAlchemy URL of the ledger (SQLite in the folder, or Postgres).
    """

    root: Path
    ledger_url: str

    @classmethod
    def at(cls, root: Path) -> Self:
        """The home in `root`, with its ledger in SQLite unless DMMGOV_LEDGER_URL names another."""
        root = root.expanduser().resolve()
        return cls(root, os.environ.get(LEDGER_VARIABLE) or f"sqlite:///{root / 'ledger.db'}")

    @classmethod
    def default(cls) -> Self:
        """The home that DMMGOV_HOME names, `.dmmgov` in the current folder otherwise."""
        return cls.at(Path(os.environ.get(HOME_VARIABLE) or ".dmmgov"))

    @property
    def models(self) -> Path:
        """Models, one folder each."""
        return self.root / "models"

    @property
    def beliefs(self) -> Path:
        """What each model answered before anything was written."""
        return self.root / "beliefs"

    @property
    def moments(self) -> Path:
        """Key covariances by model."""
        return self.root / "moments"

    @property
    def deltas(self) -> Path:
        """Weight deltas, one folder each, named by digest."""
        return self.root / "deltas"

    @property
    def bases(self) -> Path:
        """Checkpoints into which chains of deltas were merged, one folder each, named by digest."""
        return self.root / "bases"

    @property
    def snapshots(self) -> Path:
        """Facts snapshots and retrieval indexes, one folder each, named by digest."""
        return self.root / "snapshots"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artefacts."""
        return self.root / "mlflow"

    @property
    def prefect(self) -> Path:
        """Prefect's home."""
        return self.root / "prefect"

    @property
    def staging(self) -> Path:
        """Where artefacts are written before they are renamed into place."""
        return self.root / "staging"

    @property
    def reports(self) -> Path:
        """Rendered reports."""
        return self.root / "reports"

    @property
    def certificates(self) -> Path:
        """Signed certificates, one file a release."""
        return self.root / "certificates"

    @property
    def lessons(self) -> Path:
        """What was found false, one lesson a line."""
        return self.root / "lessons.jsonl"

    @property
    def keys(self) -> Path:
        """Private keys, one PEM file each; the log's own is `log.pem`."""
        return self.root / "keys"

    @property
    def writer_lock(self) -> Path:
        """Lock file of the one writer."""
        return self.root / "writer.lock"
