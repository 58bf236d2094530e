"""The loss in chunks: the same number and the same gradients as the ordinary loss, for less memory."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from editors.streaming import IGNORED, streaming_loss

WORDS, LENGTH = 89, 23
PARTS: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


def config_of(family: str) -> Any:
    """A tiny config of `family`; windows are shorter than the sequence."""
    import transformers

    if family == "gpt2":
        sizes = {"vocab_size": WORDS, "n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 64}
        ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 2, "initializer_range": 0.2}
        return transformers.GPT2Config(**sizes, **ends)
    if family == "llama":
        return transformers.LlamaConfig(**PARTS, tie_word_embeddings=True)
    if family == "mistral":
        return transformers.MistralConfig(**PARTS, sliding_window=7)
    if family == "qwen2":
        window = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
        return transformers.Qwen2Config(**PARTS, **window)
    return transformers.Qwen3Config(**PARTS, head_dim=8)


def clean_norms(model: Any) -> None:
    """Put norms that compute in the model's own type in place of those that go through float32."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if hasattr(child, "variance_epsilon"):
                norm = nn.RMSNorm(child.weight.shape[0], eps=child.variance_epsilon, dtype=child.weight.dtype)
                norm.weight = child.weight
                setattr(module, name, norm)


def model_of(family: str, attention: str = "sdpa", *, dtype: torch.dtype = torch.float64) -> Any:
    """A random model of `family` with everything trainable."""
    from transformers import AutoModelForCausalLM

    models: Any = AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.from_config(config_of(family), attn_implementation=attention).to(dtype).eval()
    clean_norms(model)
    return model


def batch() -> tuple[Tensor, Tensor]:
    """Two rows; one has a prompt that is not scored, the other padding."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, WORDS, (2, LENGTH), generator=generator)
    labels = ids.clone()
    labels[0, :6] = IGNORED
    labels[1, 17:] = IGNORED
    return ids, labels


def ordinary_loss(model: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """The loss by its definition."""
    logits = model(input_ids=ids).logits[:, :-1]
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Gradients of everything that requires one, by name."""
    for parameter in model.parameters():
        parameter.grad = None
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of two sets of gradients, relative to the largest entry of each tensor."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max() / other[name].abs().max()) for name in one)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("chunk", [1, 5, 8, LENGTH, 40])
def test_gradients_are_those_of_the_ordinary_loss(family: str, chunk: int) -> None:
    model = model_of(family)
    ids, labels = batch()
    expected = ordinary_loss(model, ids, labels)
    wanted = gradients(model, expected)
    loss = streaming_loss(model, ids, labels, chunk=chunk)
    assert torch.allclose(loss, expected, rtol=1e-12, atol=0)
    assert difference(gradients(model, loss), wanted) < 1e-10
