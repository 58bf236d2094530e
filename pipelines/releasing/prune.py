"""Prune: remove the artefacts of releases that nothing needs, and leave their records.

A dry run says what would go. For good, the order, and what a kill leaves behind at each point:

1. one transaction holds the entry "pruned" and an intent (left: all of it, or nothing);
2. MLflow's versions go, then the folders (left: some of them, which `recover` removes).

So nothing is ever missing that the log does not call pruned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.releasing import tracking
from pipelines.releasing.recovery import Checkpoint, orphans, passing, recover
from pipelines.releasing.retention import RetentionPolicy, artefacts, needed
from pipelines.settings import Settings
from registry.checkpoints import stamp
from registry.errors import InputError
from registry.home import Home
from registry.intents import IntentStore
from registry.ledger import Ledger
from registry.locks import writer
from registry.pruning import KINDS, PRUNED, PruningStore
from registry.releases import ReleaseStore


@dataclass(frozen=True)
class PruneResult:
    """What goes, and what stays.

    Attributes:
        removed: whether it went; False for a dry run.
        releases: numbers of the releases that give up their artefacts.
        kept: why each other release stays, by number.
        gone: digests of the folders that go, by kind.
        size: bytes that become free; what another folder holds as well is not counted.
        policy: what was kept by.
        entry: position of the entry in the log, None for a dry run and where nothing goes.
    """

    removed: bool
    releases: tuple[int, ...]
    kept: Mapping[int, tuple[str, ...]]
    gone: Mapping[str, tuple[str, ...]]
    size: int
    policy: Mapping[str, Any] = field(default_factory=dict)
    entry: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def prune(
    home: Home,
    refs: Sequence[str] = (),
    *,
    actor: str,
    remove: bool = False,
    policy: RetentionPolicy | None = None,
    now: datetime | None = None,
    checkpoint: Checkpoint = passing,
) -> PruneResult:
    """Say what nothing needs any more, and remove it where `remove` is set.

    Args:
        home: which home.
        refs: only these releases; all that nothing needs where none is named.
        actor: who does it.
        remove: remove it; a dry run changes nothing.
        policy: what is kept; the one of the policy file where it is not given.
        now: the moment; the present where it is not given.
        checkpoint: called at every point at which a kill could leave something behind.

    Raises:
        InputError: there is no such release, or one that is named is needed; the message says by what.
        BusyError: another writer is at work.
        DmmGovError: MLflow does not take part; what is in the ledger stands, and the next run goes on.
    """
    policy = policy or Settings.load().policy.retention
    if not remove:
        with Ledger.open(home) as ledger:
            return _plan(home, ledger, refs, policy, now)
    with writer(home), Ledger.open(home) as ledger:
        recover(home, ledger)
        plan = _plan(home, ledger, refs, policy, now)
        if not plan.releases and not any(plan.gone.values()):
            return plan
        with ledger.transaction() as txn:
            payload = {"releases": list(plan.releases), **{kind: list(plan.gone[kind]) for kind in KINDS}}
            payload |= {"policy": policy.to_dict(), "bytes": plan.size}
            entry = ledger.append(txn, PRUNED, payload, actor, datetime.now(UTC))
            IntentStore(ledger).set(txn, "prune", {"entry": entry.seq})
            checkpoint("in the transaction")
        checkpoint("committed")
        finish_prune(home, ledger, checkpoint)
        stamp(home, ledger)
    return PruneResult(True, plan.releases, plan.kept, plan.gone, plan.size, plan.policy, entry.seq)


def finish_prune(home: Home, ledger: Ledger, checkpoint: Checkpoint = passing) -> None:
    """Remove what the log calls pruned: versions in MLflow, then folders.

    Raises:
        DmmGovError: MLflow does not take part.
    """
    pruned = PruningStore(ledger).releases
    leaves = {entry.leaf for entry in ledger.entries("published") if entry.payload["release"] in pruned}
    names = {tracking.model_name(one.model) for one in ReleaseStore(ledger).all() if one.number in pruned}
    if names:
        with tracking.mlflow_client(home) as client:
            for name in sorted(names):
                for one in client.search_model_versions(f"name='{name}'"):
                    if one.tags.get(tracking.LEAF_TAG) in leaves:
                        client.delete_model_version(name, one.version)
                        checkpoint("version removed")
    for _ in orphans(home, ledger):
        checkpoint("folder removed")
    with ledger.transaction() as txn:
        IntentStore(ledger).clear(txn, "prune")


def _plan(
    home: Home, ledger: Ledger, refs: Sequence[str], policy: RetentionPolicy, now: datetime | None
) -> PruneResult:
    """What would go.

    Raises:
        InputError: a release that is named does not exist, is needed, or is pruned.
    """
    why = needed(ledger, policy, now)
    free = [number for number, reasons in why.items() if not reasons]
    if refs:
        named = {PruningStore(ledger).kept(ref).number for ref in refs}
        for number in sorted(named):
            if why[number]:
                got = f"release {number}: {'; '.join(why[number])}"
                raise InputError("a release that nothing needs", got, "leave it out")
        free = [number for number in free if number in named]
    before = artefacts(ledger).places(home)
    after = artefacts(ledger, free, merged=policy.merged_deltas).places(home)
    going = {root: [one for one in sorted(before[root] - after[root]) if (root / one).is_dir()] for root in before}
    gone = {kind: tuple(digests) for kind, digests in zip(KINDS, going.values(), strict=True)}
    kept = {number: reasons for number, reasons in why.items() if number not in free}
    folders = [root / digest for root, digests in going.items() for digest in digests]
    return PruneResult(False, tuple(free), kept, gone, _freed(folders), policy.to_dict())


def _freed(folders: Sequence[Path]) -> int:
    """Bytes of the files that no other folder holds as well (as hard links)."""
    links: dict[int, int] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for path in (one for folder in folders for one in folder.rglob("*") if one.is_file()):
        found = path.stat()
        links[found.st_ino] = links.get(found.st_ino, 0) + 1
        sizes[found.st_ino] = found.st_nlink, found.st_size
    return sum(size for inode, (count, size) in sizes.items() if links[inode] >= count)
