"""Moments that are kept in a home serve again only where their keys have the form that the model's layout asks for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from editors.load import LoadedModel
from editors.memit.config import MemitConfig
from editors.moments import Moments
from pipelines.bench.moments import with_moments
from pipelines.judging.moments import moments_for
from registry.home import Home

LAYERS = (1,)
TEXTS = ["The capital of France is Paris.", "People in Brazil speak Portuguese."]


@dataclass(frozen=True)
class Told:
    """How moments are asked for, and where they lie then."""

    ask: Callable[[], Moments]
    folder: Callable[[], Path]


@pytest.fixture(params=["bench", "release"])
def told(request: Any, tiny_family: Callable[[str], LoadedModel], tmp_path: Path) -> Told:
    home, loaded = Home.at(tmp_path / "home"), tiny_family("gemma3_text")
    if request.param == "bench":
        config = MemitConfig(layers=LAYERS)
        return Told(lambda: with_moments(config, loaded, home, None)[0].moments, lambda: next(home.moments.glob("*")))
    write = SimpleNamespace(moments="none")
    policy, catalogue = SimpleNamespace(write=write), SimpleNamespace(statement=str)
    settings = SimpleNamespace(conf=tmp_path, policy=policy, catalogue=catalogue, running_text=TEXTS)
    parts = {"home": home, "loaded": loaded, "settings": settings, "origin_digest": loaded.digest, "current": ()}
    place: Any = SimpleNamespace(**parts)
    return Told(lambda: moments_for(place, LAYERS), lambda: next(home.moments.glob("*/*")))


def test_kept_moments_serve_again_and_those_of_another_form_do_not(told: Told) -> None:
    found = told.ask()
    assert found.per_output
    marked = replace(found, source="kept")
    marked.save(told.folder())
    assert told.ask().source == "kept"
    replace(marked, per_output=False).save(told.folder())
    again = told.ask()
    assert again.per_output
    assert again.source == found.source
    assert Moments.load(told.folder()).per_output, "what was measured anew is kept in its place"
