"""Laws of several models in one process, of threads, and of bases in half precision."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch


def on(case: Any, bench: Any) -> Any:
    """The same editor on another model."""
    return replace(case, bench=bench)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_a_base_in_half_precision_is_edited_and_restored(case: Any, dtype: torch.dtype) -> None:
    half = on(case, case.bench.twin(dtype))
    with half.unchanged():
        assert [effect.state for effect in half.one.effects] == ["written"]
        before = half.logits()
        half.one.apply(half.model)
        try:
            if case.scope != "context":
                assert half.said(half.asks()[:1]) == [half.asks()[0].target]
                assert not torch.equal(half.logits(), before)
            assert all(parameter.dtype == dtype for parameter in half.model.parameters())
        finally:
            half.one.revert(half.model)
        assert torch.equal(half.logits(), before)


def test_two_models_do_not_share_state(case: Any) -> None:
    other = on(case, case.bench.twin())
    with other.unchanged():
        before = other.logits()
        with case.delta.applied(case.model):
            assert torch.equal(other.logits(), before)
            edited = case.logits()
            case.delta.apply(other.model)
            assert torch.equal(other.logits(), edited)
        assert torch.equal(case.logits(), before)
        assert torch.equal(other.logits(), edited)
        case.delta.revert(other.model)
        assert torch.equal(other.logits(), before)


def test_two_fits_at_once_give_what_each_gives_alone(case: Any) -> None:
    other = on(case, case.bench.twin())
    alone = (case.delta.digest, case.one.digest)
    case.config(), other.config()
    with other.unchanged(), ThreadPoolExecutor(2) as pool:
        both = pool.submit(case.fit, case.asks()), pool.submit(other.fit, other.asks()[:1])
        assert tuple(result.result().digest for result in both) == alone
