"""A chain of deltas becomes a checkpoint with the same weights, or nothing is kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from editors.load import LoadedModel, load_model, weights_digest
from pipelines.audit import verify
from pipelines.bases import CERTIFICATE, merged_base
from pipelines.cli import run
from pipelines.compact import compact
from pipelines.publish import publish
from pipelines.rebuild import rebuild
from pipelines.recovery import recover
from pipelines.workplace import Workplace
from registry.artifacts import store
from registry.compactions import COMPACTED, CompactionStore
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore


def releases_of(home: Home) -> list[Release]:
    with Ledger.open(home) as ledger:
        return ReleaseStore(ledger).all()


def next_release(home: Home, drafts: object, delta: Callable[..., object], name: str = "more") -> Release:
    """Publish one more release with a real delta on top of the champion, as a run would."""
    from datetime import UTC, datetime

    from registry.records import Fact

    at = datetime(2026, 1, 3, tzinfo=UTC)
    fact = Fact(name, "capital", "Town")
    with Workplace.opened(home, None, "tester", at) as place:
        made = delta(place.loaded, 0, (fact.id,))
        base, deltas = place.base_digest, place.deltas
        with made.applied(place.loaded.model):  # type: ignore[attr-defined]
            edited = weights_digest(place.loaded.model)
        draft = replace(
            drafts.of(drafts.brings(fact, "memit"), parent=place.parent.number),  # type: ignore[attr-defined, union-attr]
            model=place.model,
            base_digest=base,
            weights_digest=edited,
            deltas=(*deltas, store(home.deltas, made.save).digest),  # type: ignore[attr-defined]
            feed=None,
        )
        return publish(home, place.ledger, draft, at)


@pytest.fixture
def more(publishing: Callable[[Home], object]) -> Callable[[Home, str], Release]:
    """Publishes one more release on the champion."""
    from conftest import random_delta

    return lambda home, name: next_release(home, publishing(home), random_delta, name)


def test_the_checkpoint_has_the_weights_of_the_chain(weights_home: Home) -> None:
    before = releases_of(weights_home)
    result = compact(weights_home, "2", "tester")
    assert result.weights == result.chain == before[1].weights_digest
    assert load_model(Path(result.folder), device="cpu").digest == before[1].weights_digest
    assert (result.merged, result.kept, result.facts) == (before[1].deltas, (), 1)
    assert releases_of(weights_home) == before, "no record of a release changes"
    assert verify(weights_home, rebuild=True).problems == ()
