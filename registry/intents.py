"""What a writer has begun and not yet ended, noted before it begins, so that the next one can end or undo it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from registry.digests import canonical_json

if TYPE_CHECKING:
    from registry.ledger import Ledger, Transaction

IntentName = Literal["publish", "mlflow", "forget", "prune"]
"""publish: artefacts are being written and the release is not committed yet.
mlflow: the ledger has moved on and MLflow has not followed yet.
forget: content is being removed everywhere.
prune: artefacts of releases that nothing needs are being removed.
"""


@dataclass(frozen=True)
class IntentStore:
    """Open intents, in the ledger's database; at most one of each name, since there is one writer."""

    ledger: "Ledger"

    def set(self, txn: "Transaction", name: IntentName, body: Mapping[str, Any]) -> None:
        """Note an intent inside a transaction, in place of an earlier one of its name."""
        from sqlalchemy import insert

        from registry import tables

        self.clear(txn, name)
        txn.execute(insert(tables.intents), [{"id": name, "body": canonical_json(body).decode()}])

    def clear(self, txn: "Transaction", name: IntentName) -> None:
        """Drop an intent inside a transaction."""
        from sqlalchemy import delete

        from registry import tables

        txn.execute(delete(tables.intents).where(tables.intents.c.id == name))

    def open(self) -> dict[str, dict[str, Any]]:
        """Every open intent by name."""
        from sqlalchemy import select

        from registry import tables

        with self.ledger.read() as connection:
            return {name: json.loads(body) for name, body in connection.execute(select(tables.intents))}
