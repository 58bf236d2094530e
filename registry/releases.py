"""Releases, the names that point to them, and which releases a release is built on."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from registry.digests import canonical_json
from registry.errors import InputError
from registry.records import Release
from registry.redaction import opened_releases, redacted, sealed_release
from registry.shredding import FORGOTTEN

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.ledger import Ledger, Transaction

Alias = Literal["champion", "challenger"]
"""champion: the release that answers; challenger: the last one that was published or chosen to become it."""
ALIASES: tuple[Alias, ...] = ("challenger", "champion")


@dataclass(frozen=True)
class ReleaseStore:
    """All releases, in the ledger's database.

    What a release knows is what the releases of its lineage brought: going back to an earlier one hides what later
    ones brought, and nothing is ever removed.
    """

    ledger: "Ledger"

    def get(self, ref: str | int) -> Release:
        """The release that `ref` names.

        Args:
            ref: a number ("3", "r3", 3) or an alias ("champion", "challenger").

        Raises:
            InputError: there is no such release.
        """
        text = str(ref).strip()
        number = self.alias(text) if text in ALIASES else _number(text)
        found = None
        if number is not None:
            found = next((release for release in self.all() if release.number == number), None)
        if found is None:
            numbers = [release.number for release in self.all()]
            there = f"there are {numbers[0]} to {numbers[-1]}" if numbers else "nothing is published yet"
            raise InputError("a release number (3, r3) or champion or challenger", repr(text), there)
        return found

    def all(self) -> list[Release]:
        """Every release in the order of publishing, with its MLflow version where it has one, as forgetting left it."""
        from sqlalchemy import select

        from registry import tables

        with self.ledger.read() as connection:
            bodies = (
                connection.execute(select(tables.releases.c.body).order_by(tables.releases.c.number)).scalars().all()
            )
            versions = _last(connection.execute(select(tables.versions.c.release, tables.versions.c.version)).tuples())
            values = opened_releases(connection, [json.loads(body) for body in bodies])
            entries = tables.entries.c
            forgotten = select(entries.payload).where(entries.kind == FORGOTTEN).order_by(entries.seq)
            redactions = [json.loads(payload) for payload in connection.execute(forgotten).scalars()]
        releases = [redacted(Release.from_dict(one), redactions) for one in values]
        return [release.with_version(versions.get(release.number, "")) for release in releases]

    def champion(self) -> Release | None:
        """The release that answers, None while nothing is published."""
        return None if self.alias("champion") is None else self.get("champion")

    def alias(self, name: str) -> int | None:
        """Number of the release that an alias points to, None where it points nowhere."""
        with self.ledger.read() as connection:
            return alias_of(connection, name)

    def champion_at(self, moment: datetime) -> int:
        """Number of the release that answered at a moment.

        Raises:
            InputError: nothing was published by then.
        """
        moves = [entry for entry in self.ledger.entries("alias") if entry.payload["alias"] == "champion"]
        before = [entry for entry in moves if entry.recorded_at <= moment]
        if not before:
            first = f"the first release came {moves[0].recorded_at.isoformat()}" if moves else "nothing is published"
            raise InputError("a moment at which a release answered", moment.isoformat(), first)
        return int(before[-1].payload["release"])

    def lineage(self, number: int) -> tuple[int, ...]:
        """The release and those it is built on, the first ancestor first.

        Raises:
            InputError: there is no such release.
        """
        parents = {release.number: release.parent for release in self.all()}
        if number not in parents:
            raise InputError("the number of a release", str(number), f"there are: {sorted(parents) or 'none yet'}")
        line = [number]
        while (parent := parents[line[-1]]) is not None:
            line.append(parent)
        return tuple(reversed(line))

    def next_number(self) -> int:
        """The number that the next release will have."""
        from registry import tables
        from registry.ledger import count

        with self.ledger.read() as connection:
            return count(connection, tables.releases) + 1

    def commit(self, txn: "Transaction", release: Release, evidence: Mapping[str, Any] | None = None) -> None:
        """Add a release inside a transaction, with its leaf in the log.

        Args:
            txn: the transaction.
            release: without an MLflow version, which comes with `register`.
            evidence: further plain values for the leaf.
        """
        from sqlalchemy import insert

        from registry import tables

        body = sealed_release(txn, release.with_version("").to_dict())
        row = {"number": release.number, "parent": release.parent, "body": canonical_json(body).decode()}
        txn.execute(insert(tables.releases), [row])
        payload = {"release": release.number, "body": body, **(evidence or {})}
        self.ledger.append(txn, "published", payload, release.created_by, release.created_at)

    def register(
        self,
        txn: "Transaction",
        number: int,
        version: str,
        digest: str,
        files: Mapping[str, str],
        at: datetime,
        tables_in: Mapping[str, str] | None = None,
    ) -> None:
        """Note the MLflow version of a release in the log.

        Args:
            txn: the transaction.
            number: of the release.
            version: number of the version in MLflow.
            digest: of its artefact folder.
            files: digest of each file in it.
            at: when.
            tables_in: revision and digest of the definitions of MLflow's tables, where they can be told.
        """
        from sqlalchemy import insert

        from registry import tables

        row = {"release": number, "version": version, "digest": digest}
        txn.execute(insert(tables.versions), [row])
        told = {"tables": dict(tables_in)} if tables_in else {}
        self.ledger.append(txn, "registered", {**row, "files": dict(files), **told}, "dmmgov", at)

    def version(self, number: int) -> tuple[str, str] | None:
        """MLflow version and digest of the artefact folder of a release, None where it has none yet."""
        from sqlalchemy import select

        from registry import tables

        statement = select(tables.versions.c.version, tables.versions.c.digest)
        with self.ledger.read() as connection:
            rows = connection.execute(statement.where(tables.versions.c.release == number)).all()
        return max(((str(row[0]), str(row[1])) for row in rows), key=lambda one: (len(one[0]), one[0]), default=None)

    def set_alias(
        self, txn: "Transaction", name: Alias, number: int, *, actor: str = "dmmgov", at: datetime | None = None
    ) -> None:
        """Point an alias to a release inside a transaction, with its leaf in the log; no leaf where it does already."""
        from sqlalchemy import delete, insert

        from registry import tables

        before = alias_of(txn.connection, name)
        if before == number:
            return
        txn.execute(delete(tables.aliases).where(tables.aliases.c.name == name))
        txn.execute(insert(tables.aliases), [{"name": name, "number": number}])
        payload = {"alias": name, "release": number, "previous": before}
        self.ledger.append(txn, "alias", payload, actor, at or datetime.now(UTC))


def _last(versions: Iterable[tuple[int, str]]) -> dict[int, str]:
    """The last MLflow version of each release; a release that was redacted has several."""
    return dict(sorted(versions, key=lambda one: (len(one[1]), one[1])))


def alias_of(connection: "Connection", name: str) -> int | None:
    """What an alias points to, seen through `connection`."""
    from sqlalchemy import select

    from registry import tables

    found = connection.execute(select(tables.aliases.c.number).where(tables.aliases.c.name == name)).scalar()
    return None if found is None else int(found)


def _number(text: str) -> int | None:
    """The number in "3" or "r3", None where there is none."""
    digits = text[1:] if text[:1] in ("r", "R") else text
    return int(digits) if digits.isascii() and digits.isdigit() else None
