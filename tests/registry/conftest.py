"""What the tests of the registry share: a ledger, and facts."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.home import Home
from registry.ledger import Ledger


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home.at(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    """Its ledger."""
    with Ledger.open(home) as ledger:
        yield ledger


@pytest.fixture
def at() -> datetime:
    """A moment."""
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
