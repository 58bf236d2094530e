"""Laws of a delta that is put on and taken off."""

from pathlib import Path
from typing import Any

import pytest
import torch

from registry.errors import EditError, IntegrityError


def moved(case: Any, before: torch.Tensor) -> bool:
    """Whether the model behaves otherwise than before; one that writes into weights must show other weights too."""
    if case.scope == "context":
        return False
    assert (case.weights() != case.loaded.digest) == (case.scope == "weights")
    return not torch.equal(case.logits(), before)


def test_applied_leaves_no_trace_also_after_an_exception(case: Any) -> None:
    before, state = case.logits(), case.state()

    def look() -> None:
        assert moved(case, before) == (case.scope != "context")

    with case.delta.applied(case.model) as model:
        assert model is case.model
        look()
    assert (case.weights(), case.state()) == (case.loaded.digest, state)

    def fail() -> None:
        look()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), case.delta.applied(case.model):
        fail()
    assert (case.weights(), case.state()) == (case.loaded.digest, state)
    assert torch.equal(case.logits(), before)


def test_revert_is_bit_exact(case: Any) -> None:
    before, state = case.logits(), case.state()
    case.delta.apply(case.model)
    try:
        assert moved(case, before) == (case.scope != "context")
    finally:
        case.delta.revert(case.model)
    assert (case.weights(), case.state()) == (case.loaded.digest, state)
    assert torch.equal(case.logits(), before)


def test_another_base_is_refused(case: Any, tmp_path: Path) -> None:
    case.delta.save(tmp_path / "delta")
    twin = case.editor.load(tmp_path / "delta")
    with case.delta.applied(case.model):
        with pytest.raises(EditError, match="revert it first"):
            case.delta.apply(case.model)
        if case.scope == "weights":
            with pytest.raises(IntegrityError, match="fitted on"):
                twin.apply(case.model)
    before = case.logits()
    with twin.applied(case.model):
        assert moved(case, before)


def test_revert_without_apply_is_refused(case: Any) -> None:
    with pytest.raises(EditError, match="apply it first"):
        case.delta.revert(case.model)
