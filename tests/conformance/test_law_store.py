"""Laws of saved deltas."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from registry.errors import IntegrityError


def test_the_digest_survives_save_and_load_and_tells_deltas_apart(case: Any, tmp_path: Path) -> None:
    case.delta.save(tmp_path / "delta")
    back = case.editor.load(tmp_path / "delta")
    assert back.digest == case.delta.digest
    assert (back.fact_ids, back.effects) == (case.delta.fact_ids, case.delta.effects)
    assert not any(path.suffix in {".pkl", ".pickle", ".pt", ".bin"} for path in (tmp_path / "delta").rglob("*"))
    assert case.one.digest != case.delta.digest
    with case.delta.applied(case.model):
        direct, logits = case.weights(), case.logits()
    with back.applied(case.model):
        assert case.weights() == direct
        assert torch.equal(case.logits(), logits)


def test_a_changed_file_is_refused(case: Any, tmp_path: Path) -> None:
    case.delta.save(tmp_path / "delta")
    for path in sorted(file for file in (tmp_path / "delta").rglob("*") if file.is_file()):
        data = path.read_bytes()
        for place in places(path, data):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            with pytest.raises(IntegrityError):
                case.editor.load(tmp_path / "delta")
        path.write_bytes(data)
    case.editor.load(tmp_path / "delta")


def places(path: Path, data: bytes) -> list[int]:
    """Bytes to change: one in the middle of every tensor, or one of the digest that a record names."""
    if path.suffix != ".safetensors":
        return [data.index(b"digest") + 12]
    start = 8 + int.from_bytes(data[:8], "little")
    spans = [entry["data_offsets"] for name, entry in json.loads(data[8:start]).items() if name != "__metadata__"]
    return [start + (begin + end) // 2 for begin, end in spans if begin < end]
