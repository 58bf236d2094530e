"""Is everything as it was recorded? Re-digests all that a home holds and compares it with the ledger.

What is checked, in this order: the log itself with its checkpoints and signed entries, and the newest checkpoint in its
own file; the tables against the log; the gates of every release against what was declared before it; the artefacts of
every release; the base models; MLflow's tables, versions, aliases and artefacts; the caches (beliefs, moments) as the
last release saw them; and, where it is asked for, that every release comes out of its base and its deltas again.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pipelines.auditing.log_checks import NO_PINS, Pins, dependents, first_bad, log_problems, note_problems
from pipelines.auditing.mlflow_checks import mlflow_problems
from pipelines.judging.declare import undeclared
from pipelines.releasing.bases import base_problems
from pipelines.releasing.certify import certificate_problems
from pipelines.releasing.chains import chain_problems
from pipelines.releasing.inventory import cache_problems, model_problems
from pipelines.releasing.tracking import MLFLOW_OWN, as_recorded, versions_folder
from registry.artifacts import MANIFEST, STAGED_PREFIX, compare, verify
from registry.checkpoints import log_keys
from registry.compactions import CompactionStore
from registry.consistency import table_problems
from registry.digests import digest_file, folder_manifest
from registry.errors import DmmGovError
from registry.facts import FactStore, holds_lineage
from registry.home import Home
from registry.keys import LOG_PASSPHRASE_VARIABLE, SigningKey, fingerprint
from registry.ledger import Ledger
from registry.progress import track
from registry.pruning import PruningStore
from registry.records import Release
from registry.releases import ReleaseStore

Check = Callable[[Home, Ledger], Iterator[str]]


def verify_home(home: Home, ledger: Ledger | None = None, *, pins: Pins = NO_PINS, rebuild: bool = False) -> list[str]:
    """Every difference between what `home` holds and what was recorded.

    Args:
        home: which home.
        ledger: its ledger where it is open already.
        pins: what the caller knows of the log from elsewhere.
        rebuild: also put every release together again from its base and its deltas.

    Returns:
        One line per problem, naming the entry, row or file, the first bad entry first and what rests on it second;
        none if all is well.

    Raises:
        IntegrityError: the ledger's database cannot be read at all.
    """
    if ledger is None:
        with Ledger.open(home) as opened:
            return verify_home(home, opened, pins=pins, rebuild=rebuild)
    problems: list[str] = []

    def _log(_: Home, ledger: Ledger) -> Iterator[str]:
        yield from log_problems(ledger, pins)

    checks = (_log, *CHECKS, *((chain_problems,) if rebuild else ()))
    with track("verify", total=len(checks)) as advance:
        for check in checks:
            try:
                problems += check(home, ledger)
            except (DmmGovError, SQLAlchemyError, ValueError, KeyError, TypeError, OSError) as error:
                # What is read here may have been tampered with in any way; a check that cannot end has found something.
                problems.append(f"{check.__name__.strip('_')} cannot be checked: {type(error).__name__}: {error}")
            advance(1)
    problems = list(dict.fromkeys(problems))
    return _with_dependents(ledger, problems)


def _with_dependents(ledger: Ledger, problems: list[str]) -> list[str]:
    """The problems, the first bad entry first, and then what rests on it."""
    found = first_bad(problems)
    if found is None:
        return problems
    place, first = found
    try:
        rests = dependents(ledger, first)
    except (DmmGovError, SQLAlchemyError, ValueError, KeyError, TypeError) as error:
        rests = f"what rests on entry {first} cannot be told: {type(error).__name__}: {error}"
    return [problems[place], rests, *problems[:place], *problems[place + 1 :]]


def _tables(home: Home, ledger: Ledger) -> Iterator[str]:
    """Releases, facts, feeds, versions and aliases against the log."""
    yield from table_problems(ledger)


def _artifacts(home: Home, ledger: Ledger) -> Iterator[str]:
    """Deltas and snapshots of every release, and those that no release holds (yet, or any more)."""
    named: dict[Path, int] = {}
    releases, pruned = ReleaseStore(ledger), PruningStore(ledger)
    kept = [release for release in releases.all() if release.number not in pruned.releases]
    gone = {digest for digest in pruned.gone("deltas") if not (home.deltas / digest).exists()}
    for release in kept:
        for digest in (one for one in release.deltas if one not in gone or _stands_on(ledger, release, one)):
            named.setdefault(home.deltas / digest, release.number)
        for digest in (release.facts_snapshot, release.index_snapshot):
            named.setdefault(home.snapshots / digest, release.number)
    broken = set()
    for path, number in named.items():
        for problem in verify(path):
            broken.add(path)
            yield f"release {number}: {problem}"
    for root in (home.deltas, home.snapshots, versions_folder(home)):
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if path not in named and path.is_dir() and not path.name.startswith(STAGED_PREFIX):
                yield from (f"no release: {problem}" for problem in verify(path) if MLFLOW_OWN not in problem)
    every = FactStore(ledger).table()
    for release in kept:
        snapshot = home.snapshots / release.facts_snapshot
        sound = snapshot not in broken
        if sound and not holds_lineage(snapshot, every, releases.lineage(release.number)):
            yield f"release {release.number}: {snapshot} does not hold the facts of its lineage"


def _stands_on(ledger: Ledger, release: Release, delta: str) -> bool:
    """Whether a release cannot do without a delta, having no checkpoint that holds it."""
    return delta in CompactionStore(ledger).standing(release).deltas


def _bases(home: Home, ledger: Ledger) -> Iterator[str]:
    """Checkpoints into which deltas were merged, with their certificates."""
    yield from base_problems(home, ledger)


def _models(home: Home, ledger: Ledger) -> Iterator[str]:
    """Files of the models that releases were built on, and of those that helped."""
    yield from model_problems(home, ledger)


def _versions(home: Home, ledger: Ledger) -> Iterator[str]:
    """Artefacts of MLflow's versions."""
    pruned = PruningStore(ledger).releases
    entries = ledger.entries("registered")
    last = {entry.payload["release"]: entry for entry in entries if entry.payload["release"] not in pruned}
    for entry in last.values():
        folder = versions_folder(home) / entry.payload["digest"]
        recorded = entry.payload["files"]
        if not folder.is_dir():
            yield f"release {entry.payload['release']}: {folder} is missing"
            continue
        found = as_recorded(folder, recorded, folder_manifest(folder, lambda name: name != MANIFEST))
        for problem in compare(folder, recorded, found):
            yield f"release {entry.payload['release']} in MLflow (entry {entry.seq}): {problem}"
        listed = folder / MANIFEST
        if not listed.is_file() or digest_file(listed) != folder.name:
            yield f"{listed}: it differs from entry {entry.seq}"


def _mlflow(home: Home, ledger: Ledger) -> Iterator[str]:
    """MLflow's own database against the ledger."""
    yield from mlflow_problems(home, ledger)


def _caches(home: Home, ledger: Ledger) -> Iterator[str]:
    """Files that no release holds."""
    yield from cache_problems(home, ledger)


def _families(home: Home, ledger: Ledger) -> Iterator[str]:
    """The gates of every release against the family that was declared before it."""
    yield from undeclared(ledger)


def _log_key(home: Home, ledger: Ledger) -> Iterator[str]:
    """The log's own key in its file, where it is there and opens without a passphrase that is not given."""
    path, known = home.keys / "log.pem", log_keys(ledger)
    sealed = path.is_file() and b"ENCRYPTED" in path.read_bytes()
    if not path.is_file() or not known or (sealed and not os.environ.get(LOG_PASSPHRASE_VARIABLE)):
        return
    public = SigningKey.load(path, os.environ.get(LOG_PASSPHRASE_VARIABLE) or None).public
    if public not in known:
        yield f"{path}: it holds the key {fingerprint(public)}, which is none of the log's"


CHECKS: tuple[Check, ...] = (
    note_problems,
    _tables,
    _log_key,
    _families,
    _artifacts,
    _bases,
    _models,
    _versions,
    _mlflow,
    _caches,
    certificate_problems,
)
"""Every check after that of the log itself, in order."""
