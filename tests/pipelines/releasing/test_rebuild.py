"""A release is rebuilt bit for bit, or refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from editors.load import LoadedModel, weights_digest
from pipelines.releasing.rebuild import rebuild
from registry.errors import IntegrityError, ModelError
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore


def release_of(home: Home, ref: str) -> Release:
    with Ledger.open(home) as ledger:
        return ReleaseStore(ledger).get(ref)


def test_the_base_comes_back_without_a_delta(weights_home: Home, tiny_llama: LoadedModel) -> None:
    rebuilt = rebuild(weights_home, release_of(weights_home, "1"))
    assert rebuilt.digest == tiny_llama.digest == weights_digest(rebuilt.model)


def test_the_delta_is_on(weights_home: Home, tiny_llama: LoadedModel) -> None:
    release = release_of(weights_home, "champion")
    rebuilt = rebuild(weights_home, release, device="cpu")
    assert rebuilt.digest == release.weights_digest == weights_digest(rebuilt.model)
    assert rebuilt.digest != tiny_llama.digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_digest": "0" * 64}, "base model"),
        ({"weights_digest": "0" * 64}, "weights of release 2"),
        ({"deltas": ("0" * 64,)}, "artefact in deltas"),
        ({"deltas": ()}, "weights of release 2"),
    ],
)
def test_what_differs_from_the_record_is_refused(weights_home: Home, change: dict[str, object], words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        rebuild(weights_home, replace(release_of(weights_home, "2"), **change))  # type: ignore[arg-type]


def test_a_changed_delta_is_refused(weights_home: Home) -> None:
    release = release_of(weights_home, "2")
    path = weights_home.deltas / release.deltas[0] / "delta.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"delta\.safetensors"):
        rebuild(weights_home, release)


def test_a_base_that_is_gone_is_named(weights_home: Home, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    with pytest.raises(ModelError, match="gone"):
        rebuild(weights_home, replace(release_of(weights_home, "1"), model=gone))
