"""Packed sequences with cached beginnings give the logits of the whole model, in every family that a layout covers."""

from typing import Any

import pytest
import torch

from editors.frame import Frame, Output, Scores
from editors.layouts import LAYOUTS, layout_of
from editors.rows import Row

COMMON = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "pad_token_id": 0}
MIXED = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
GATED = {**COMMON, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": None}
SETTINGS: dict[str, dict[str, Any]] = {
    "gemma": GATED,
    "gemma2": {**GATED, "sliding_window": 3, "query_pre_attn_scalar": 8, "initializer_range": 0.5},
    "gemma3_text": {**GATED, "sliding_window": 3, "layer_types": MIXED, "query_pre_attn_scalar": 8},
    "gpt2": {**COMMON, "bos_token_id": None, "eos_token_id": None},
    "gpt_neox": {**COMMON, "intermediate_size": 48, "bos_token_id": None, "eos_token_id": None},
    "gptj": {**COMMON, "rotary_dim": 8, "bos_token_id": None, "eos_token_id": None},
    "llama": GATED,
    "mistral": {**GATED, "sliding_window": 3},
    "olmo": GATED,
    "olmo2": GATED,
    "phi3": {**GATED, "sliding_window": 3, "eos_token_id": None},
    "qwen2": {**GATED, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 2},
    "qwen3": GATED,
}
"""Windows are shorter than the contexts, where a family has them."""
KINDS = (*sorted(SETTINGS), "gpt_neox in turn")
EAGER = ("gemma2", "gptj")
"""Families that transformers has no sdpa for."""
CASES = [(kind, how) for kind in KINDS for how in ("sdpa", "eager") if how == "eager" or kind not in EAGER]
GROUPS = (
    (
        Row("a", "answer", True, (5, 6, 7, 8, 9, 10), 3, (4, 5), (11, 12)),
        Row("a", "answer", False, (7, 8, 20, 21), 0, (3,), (11,)),
        Row("", "drift", False, (6, 7, 8, 30), 2, (3,), ()),
    ),
    (Row("b", "answer", True, (40, 41, 42), 2, (2,), (43,)),),
)


@pytest.fixture(autouse=True)
def attention_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eager attention rounds its weights to float32, on some processors otherwise in a row than in a longer one."""
    plain = torch.nn.functional.softmax

    def softmax(values: torch.Tensor, dim: int = -1, dtype: torch.dtype | None = None) -> torch.Tensor:
        return plain(values, dim=dim, dtype=values.dtype if values.dtype == torch.float64 else dtype)

    monkeypatch.setattr(torch.nn.functional, "softmax", softmax)


def random_model(kind: str, attention: str = "sdpa") -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        models: Any = AutoModelForCausalLM
        family, _, in_turn = kind.partition(" ")
        config = AutoConfig.for_model(
            family, **SETTINGS[family], **({"use_parallel_residual": False} if in_turn else {})
        )
        return models.from_config(config, attn_implementation=attention).double().eval()


def whole(model: Any, row: Row, layer: int, delta: torch.Tensor, output: Output = "matrix") -> torch.Tensor:
    def add(module: Any, args: Any, out: Any) -> Any:
        moved = (out if output == "matrix" else out[0] if isinstance(out, tuple) else out).clone()
        moved[0, row.subject] += delta
        return (moved, *out[1:]) if isinstance(out, tuple) else moved

    layout = layout_of(model)
    module = layout.down_module(model, layer) if output == "matrix" else layout.block_list(model)[layer]
    hook = module.register_forward_hook(add)
    logits: torch.Tensor = model(torch.tensor([row.tokens]), use_cache=False).logits[0, list(row.scored)]
    hook.remove()
    return logits.log_softmax(-1)


def test_every_family_of_every_layout_is_tried() -> None:
    assert sorted(SETTINGS) == sorted(name for layout in LAYOUTS for name in layout.model_types)


@pytest.mark.parametrize(("kind", "attention"), CASES)
@pytest.mark.parametrize("layer", [0, 2])
def test_packed_and_cached_equals_whole(kind: str, layer: int, attention: str) -> None:
    model = random_model(kind, attention)
    with torch.no_grad():
        frame = Frame(model, layout_of(model), GROUPS, layer)
        scores = Scores(frame)
        delta = torch.randn(2, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        first, again = (scores.log_probabilities(frame, frame.run(delta)) for _ in range(2))
        rows = [(row, delta[i]) for i, rows in enumerate(GROUPS) for row in rows]
        ordered = [item for item in rows if item[0].kind == "answer"] + [item for item in rows if not item[0].gold]
        expected = torch.cat([whole(model, row, layer, change) for row, change in ordered])
        still = torch.cat([whole(model, row, layer, 0 * change) for row, change in ordered])
        assert float((first - expected).abs().max()) < 1e-10
        assert torch.equal(first, again), "running twice must not lengthen the cache"
        assert float((first - still).abs().max()) > 1e-4, "delta must matter"
        frame.keep([1])
        kept = frame.run(delta[1:])
        row = GROUPS[1][0]
        logits = layout_of(model).logits(model, kept[0, [0]])
        assert float((logits.log_softmax(-1) - whole(model, row, layer, delta[1])).abs().max()) < 1e-10


@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text", "llama", "olmo2"])
def test_a_change_of_the_block_reaches_the_stream_through_no_norm(kind: str) -> None:
    model = random_model(kind, "eager")
    delta = torch.randn(2, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        frame = Frame(model, layout_of(model), GROUPS, 1, "block")
        found = Scores(frame).log_probabilities(frame, frame.run(delta))
        rows = [(row, delta[i]) for i, rows in enumerate(GROUPS) for row in rows]
        ordered = [item for item in rows if item[0].kind == "answer"] + [item for item in rows if not item[0].gold]
        block, matrix = (
            torch.cat([whole(model, row, 1, change, output) for row, change in ordered])
            for output in ("block", "matrix")
        )
    assert float((found - block).abs().max()) < 1e-10
    assert (float((found - matrix).abs().max()) > 1e-6) == bool(layout_of(model).post)


@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text", "mistral", "phi3", "qwen2"])
def test_a_window_that_is_shorter_than_a_context_matters(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, delta = random_model(kind, "eager"), torch.zeros(2, 32, dtype=torch.float64)
    with torch.no_grad():
        frame = Frame(model, layout_of(model), GROUPS, 1)
        monkeypatch.setattr(model.config, "sliding_window", None)
        blind = Frame(model, layout_of(model), GROUPS, 1)
        first, second = (Scores(one).log_probabilities(one, one.run(delta)) for one in (frame, blind))
    assert float((first - second).abs().max()) > 1e-6
