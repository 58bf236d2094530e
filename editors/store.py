"""Weight deltas on disk: `delta.safetensors` for numbers, `delta.json` for everything else, digests over both."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from editors.base import FactEffect
from editors.delta import WeightDelta
from editors.factors import LayerDelta
from registry.digests import digest_json
from registry.errors import EditError, IntegrityError

TENSORS, RECORD = "delta.safetensors", "delta.json"
FORMAT = 2
_FACTORS = ("left", "right", "gram")


def save_delta(delta: WeightDelta, folder: Path) -> None:
    """Write `delta` into an empty (or new) folder.

    Raises:
        EditError: the folder holds something already.
    """
    tensors = {
        f"{index}.{name}": tensor.contiguous()
        for index, layer in enumerate(delta.layers)
        for name, tensor in layer.tensors().items()
    }
    record: dict[str, Any] = {
        "digest": delta.digest,
        "editor": delta.editor,
        "rule": delta.rule,
        "columns": [list(column) for column in delta.columns],
        "base_digest": delta.base_digest,
        "layers": [{"parameter": layer.parameter, "transposed": layer.transposed} for layer in delta.layers],
        "effects": [asdict(effect) for effect in delta.effects],
        "notes": dict(delta.notes),
        "contexts": [[list(context) for context in column] for column in delta.contexts],
    }
    write_parts(folder, tensors, record)


def write_parts(folder: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write the two files of a delta of any kind into an empty (or new) folder; `read_record` reads the second.

    Raises:
        EditError: the folder holds something already.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise EditError(f"expected an empty folder, got {folder} with content; name another")
    save_file(dict(tensors), str(folder / TENSORS))
    whole = {"format": FORMAT, **record}
    whole["record_digest"] = digest_json(whole)
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")


def read_delta(folder: Path) -> WeightDelta:
    """Read what `save_delta` wrote.

    Raises:
        EditError: there is no delta in the folder, or one of another format.
        IntegrityError: the content does not have the digests that it names.
    """
    record = read_record(folder)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(folder / TENSORS))
        layers = tuple(
            _read_layer(layer, {name: tensors.get(f"{index}.{name}") for name in _FACTORS})
            for index, layer in enumerate(record["layers"])
        )
        delta = WeightDelta(
            editor=record["editor"],
            rule=record["rule"],
            columns=tuple(tuple(column) for column in record["columns"]),
            layers=layers,
            base_digest=record["base_digest"],
            effects=tuple(FactEffect(**effect) for effect in record["effects"]),
            notes=record["notes"],
            contexts=tuple(tuple(tuple(context) for context in column) for column in record.get("contexts", ())),
        )
    except (SafetensorError, OSError, KeyError, EditError) as error:
        raise IntegrityError(f"{folder / TENSORS}", record["digest"], f"unreadable content ({error})") from error
    if delta.digest != record["digest"]:
        raise IntegrityError(f"the delta in {folder}", record["digest"], delta.digest)
    return delta


def _read_layer(layer: Mapping[str, Any], tensors: Mapping[str, Tensor | None]) -> LayerDelta:
    """One layer from its stored factors."""
    left, right, gram = (tensors[name] for name in _FACTORS)
    if left is None or right is None or gram is None:
        raise KeyError(f"factors of {layer['parameter']}")
    return LayerDelta(layer["parameter"], layer["transposed"], left, right, gram)


def read_record(folder: Path) -> dict[str, Any]:
    """The JSON part of a saved delta, checked against its own digest.

    Raises:
        EditError: there is no delta in the folder, or one of another format.
        IntegrityError: it was changed after it was written.
    """
    path = folder / RECORD
    if not path.is_file():
        raise EditError(f"expected a saved delta ({RECORD}), got {folder} without one; name its folder")
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        recorded = record.pop("record_digest")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(str(path), "a JSON record", f"unreadable content ({error})") from error
    found = digest_json(record)
    if recorded != found:
        raise IntegrityError(str(path), str(recorded), found)
    if record.get("format") != FORMAT:
        raise EditError(f"expected a delta of format {FORMAT}, got {record.get('format')!r}; use a matching version")
    return record
