"""Second moments for a benchmark run: ready ones of this very model, else measured and kept in the home.

Their cost is counted apart from that of the edits, since they belong to the model and serve every edit.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from editors import get_editor
from editors.load import LoadedModel
from registry.errors import InputError
from registry.home import Home

_PROJECT = Path(__file__).resolve().parents[2]
_ATLAS = _PROJECT / "examples" / "atlas"
_READY = _ATLAS / "moments"
CATALOGUE = _ATLAS / "relations.yaml"
RUNNING_TEXT = _ATLAS / "running_text.txt"
"""Prose on which perplexity is measured."""
_TEXT_TOKENS = 60_000
_PIECE_TOKENS = 300
_PAGE = 12
_RECORD = "moments.json"
_KEY_CHARS = 32


def config_of(editor: str, seed: int, path: Path | None = None) -> Any:
    """The editor's config from a YAML file, its defaults where there is no such file.

    A config that has a seed (its own, its targets' or its training's) gets `seed`.

    Args:
        editor: name of the editor.
        seed: of the fit.
        path: the file; `conf/EDITOR.yaml` by default.

    Raises:
        InputError: the named file is missing or cannot be read as such a config.
        UnknownNameError: there is no such editor.
    """
    if path is not None and not path.is_file():
        raise InputError("a YAML file of the editor's numbers", str(path), "name one that exists")
    kind = get_editor(editor).config_type
    path = path or _PROJECT / "conf" / f"{editor}.yaml"
    config = kind.read(path) if path.is_file() and hasattr(kind, "read") else kind()
    names = {item.name for item in fields(config)}
    for part in names & {"targets", "training"}:
        config = replace(config, **{part: replace(getattr(config, part), seed=seed)})
    return replace(config, seed=seed) if "seed" in names else config


def with_moments(config: Any, loaded: LoadedModel, home: Home, texts: Path | None) -> tuple[Any, dict[str, Any]]:
    """The config with the moments that it needs, and what they are.

    Args:
        config: an editor's config; returned as it is where it has no field `moments`.
        loaded: the model.
        home: where measured moments are kept.
        texts: file of running text (JSON Lines with "text", or lines) for measuring; the atlas's own by default.

    Raises:
        InputError: there is no text to measure them on.
    """
    if "moments" not in {item.name for item in fields(config)}:
        return config, {}
    from editors.moments import Moments, measure

    layers = config.edited(loaded.model)
    kept = home.moments / f"{loaded.digest[:_KEY_CHARS]}-{'-'.join(map(str, layers))}"
    if texts is None:
        for folder in (_READY, kept, *sorted(home.moments.glob("*"))):
            if _fits(folder, loaded, layers):
                found = Moments.load(folder)
                return replace(config, moments=found), _about(found, "ready")
    found = measure(loaded.model, loaded.tokenizer, _running_text(loaded, texts), layers, source=str(texts or "atlas"))
    if texts is None:
        found.save(kept)
    return replace(config, moments=found), _about(found, "measured")


def _fits(folder: Path, loaded: LoadedModel, layers: Sequence[int]) -> bool:
    """Whether a folder holds the moments of these layers of this model, in the form that its layout asks for."""
    from editors.delta import parameters_digest
    from editors.layouts import layout_of

    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        measured = list(record["layers"])
        layout = layout_of(loaded.model)
        if not set(layers) <= set(measured) or bool(record.get("per_output")) != bool(layout.post):
            return False
        names = [layout.down_name(layer) for layer in sorted(measured)]
        return bool(record["model_digest"] == parameters_digest(loaded.model, names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return False


def _running_text(loaded: LoadedModel, texts: Path | None) -> list[str]:
    """About `_TEXT_TOKENS` tokens of text.

    Raises:
        InputError: there is none.
    """
    from editors.gather import cut, read_texts

    if texts is not None:
        found = list(read_texts(texts))
    else:
        from pipelines.admission.tables import read_facts
        from registry.catalogue import Catalogue

        catalogue = Catalogue.read(CATALOGUE)
        said = [catalogue.statement(fact) for fact in read_facts(_ATLAS / "facts.csv")]
        pages = [" ".join(said[start : start + _PAGE]) for start in range(0, len(said), _PAGE)]
        found = [*read_texts(RUNNING_TEXT), *pages]
    kept: list[str] = []
    tokens = 0
    for text in cut(loaded.tokenizer, found, _PIECE_TOKENS):
        if tokens >= _TEXT_TOKENS:
            break
        kept.append(text)
        tokens += len(loaded.tokenizer(text)["input_ids"])
    if not kept:
        raise InputError("running text to measure second moments on", "none", "name a file with text")
    return kept


def _about(moments: Any, how: str) -> dict[str, Any]:
    """What moments were used."""
    return {"how": how, "digest": moments.digest, "tokens": moments.count, "source": moments.source}
