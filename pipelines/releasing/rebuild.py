"""Rebuild the model of a release from its base and its deltas, and prove by digest that it is the one recorded.

A release whose deltas were merged into a checkpoint and are not kept any more comes out of the checkpoint.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry.artifacts import checked
from registry.errors import IntegrityError
from registry.home import Home
from registry.progress import track
from registry.records import Release

if TYPE_CHECKING:
    from editors.load import LoadedModel


def rebuild(home: Home, release: Release, *, device: str = "auto") -> "LoadedModel":
    """The base model with the deltas of `release` on, in their order.

    Args:
        home: where models and deltas lie.
        release: which release.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        The model; its `digest` is the release's `weights_digest`.

    Raises:
        ModelError: the base model cannot be had.
        IntegrityError: the base, a delta or the result is not the one recorded.
    """
    from pipelines.releasing.bases import base_place, from_checkpoint

    if not all((home.deltas / digest).is_dir() for digest in release.deltas):
        release = from_checkpoint(home, release) or release
    return assemble(base_place(home, release), home.deltas, release, device=device)


def assemble(base: Path | str, deltas: Path, release: Release, *, device: str = "auto") -> "LoadedModel":
    """The model of `release` from the base model at `base` and the delta folders below `deltas`.

    The weights are put together in float32 on the CPU, so that the same bits come out on every machine, and only then
    moved to `device`.

    Raises:
        ModelError: the base model cannot be had.
        IntegrityError: the base, a delta or the result is not the one recorded.
    """
    import torch

    from editors.load import load_model, weights_digest

    with track(f"rebuild release {release.number}", total=len(release.deltas) + 1) as advance:
        loaded = load_model(base, device="cpu")
        if loaded.digest != release.base_digest:
            raise IntegrityError(f"base model {release.model}", release.base_digest, loaded.digest)
        advance(1)
        if release.deltas:
            from editors import read_delta

            for digest in release.deltas:
                read_delta(checked(deltas, digest)).apply(loaded.model)
                advance(1)
            loaded = replace(loaded, digest=weights_digest(loaded.model))
        if loaded.digest != release.weights_digest:
            raise IntegrityError(f"weights of release {release.number}", release.weights_digest, loaded.digest)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded.model.to(device)
    return loaded
