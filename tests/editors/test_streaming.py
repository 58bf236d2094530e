"""The loss in chunks: the same number and the same gradients as the ordinary loss, for less memory."""

import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from editors.layouts import LAYOUTS, layout_of
from editors.streaming import IGNORED, streaming_loss
from editors.streaming import loss as head
from editors.streaming.calls import BlockCall, record_calls
from editors.streaming.chunks import Joined, bounds
from editors.streaming.repeat import Dice
from registry.errors import EditError, InputError, ModelError

WORDS, LENGTH = 89, 23
CONFIGS = {
    "gemma": "GemmaConfig",
    "gemma2": "Gemma2Config",
    "gemma3_text": "Gemma3TextConfig",
    "gpt2": "GPT2Config",
    "gpt_neox": "GPTNeoXConfig",
    "gptj": "GPTJConfig",
    "llama": "LlamaConfig",
    "mistral": "MistralConfig",
    "olmo": "OlmoConfig",
    "olmo2": "Olmo2Config",
    "phi3": "Phi3Config",
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
}
EAGER = ("gemma2", "gptj")
"""Families whose attention has no fused form, and computes in float32 whatever the model's type."""
PARTS: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
OLD_PARTS: dict[str, Any] = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 64}
OWN: dict[str, dict[str, Any]] = {
    "gemma": {"head_dim": 6},
    "gemma2": {"head_dim": 6, "sliding_window": 7, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 5.0},
    "gemma3_text": {"head_dim": 6, "sliding_window": 7, "sliding_window_pattern": 2},
    "gptj": {"rotary_dim": 4},
    "llama": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": 7},
    "phi3": {"sliding_window": 7},
    "qwen2": {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
}
"""Windows are shorter than the sequence; where layers differ, both kinds are there."""


class CleanNorm(nn.Module):
    """A norm that computes in its input's own type, in place of those that go through float32."""

    def __init__(self, weight: nn.Parameter | None, eps: float, added: float) -> None:
        super().__init__()
        self.weight, self.eps, self.added = weight, eps, added

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return functional.layer_norm(x, x.shape[-1:], eps=self.eps)
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * (self.weight + self.added)


def clean_norms(model: Any) -> None:
    """Put norms in place that are as precise as the model's type."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__.startswith("Gemma") and type(child).__name__.endswith("RMSNorm"):
                setattr(module, name, CleanNorm(child.weight, child.eps, 1.0))
            elif hasattr(child, "variance_epsilon"):
                setattr(module, name, CleanNorm(child.weight, child.variance_epsilon, 0.0))
            elif type(child).__name__ == "OlmoLayerNorm":
                setattr(module, name, CleanNorm(None, 1e-5, 0.0))


def model_of(
    family: str = "llama", attention: str = "", dtype: torch.dtype = torch.float64, length: int = 64, **own: Any
) -> Any:
    """A random model of `family` with everything trainable."""
    import transformers

    ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 2, "initializer_range": 0.2}
    parts = dict(OLD_PARTS, n_positions=length) if family in ("gpt2", "gptj") else dict(PARTS)
    if family not in ("gpt2", "gptj"):
        parts["max_position_embeddings"] = length
    if family == "gpt_neox":
        del parts["num_key_value_heads"]
    config = getattr(transformers, CONFIGS[family])(
        **{"vocab_size": WORDS, **parts, **ends, **OWN.get(family, {}), **own}
    )
    models: Any = transformers.AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = attention or ("eager" if family in EAGER else "sdpa")
        model = models.from_config(config, attn_implementation=attention).to(dtype).eval()
    clean_norms(model)
    return model


def batch(length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """Two rows; one has a prompt that is not scored, the other padding."""
    ids = torch.randint(0, WORDS, (2, length), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[0, :6] = IGNORED
    labels[1, length - 6 :] = IGNORED
    return ids, labels


def ordinary_loss(model: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """The loss by its definition."""
    logits = model(input_ids=ids).logits[:, :-1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Gradients of everything that requires one, by name."""
    for parameter in model.parameters():
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of two sets of gradients, relative to the largest entry of each tensor."""
    assert one.keys() == other.keys() != set()
    return max(float((one[name] - other[name]).abs().max() / other[name].abs().max()) for name in one)


def compare(model: Any, chunk: int, **also: Any) -> tuple[float, float]:
    """How far loss and gradients are from the ordinary ones, relative."""
    ids, labels = batch()
    expected = ordinary_loss(model, ids, labels)
    wanted = gradients(model, expected)
    loss = streaming_loss(model, ids, labels, chunk=chunk, **also)
    return float((loss / expected - 1).detach().abs()), difference(gradients(model, loss), wanted)


def test_every_family_with_a_layout_is_tried() -> None:
    known = {kind for layout in LAYOUTS for kind in layout.model_types}
    assert set(head.STREAMED) == set(CONFIGS) == known


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("chunk", [5, 8, LENGTH])
def test_gradients_are_those_of_the_ordinary_loss(family: str, chunk: int) -> None:
    loss, slope = compare(model_of(family), chunk)
    assert loss < (1e-5 if family in EAGER else 1e-12)
    assert slope < (1e-5 if family in EAGER else 1e-10)


@pytest.mark.parametrize("chunk", [1, 40])
def test_chunks_of_one_token_and_chunks_longer_than_the_sequence(chunk: int) -> None:
    assert max(compare(model_of(), chunk)) < 1e-10


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_additive_masks_of_unfused_attention(family: str) -> None:
    assert max(compare(model_of(family, "eager"), 8)) < 1e-5


def test_float32_is_as_near_as_its_digits() -> None:
    assert max(compare(model_of(dtype=torch.float32), 8)) < 1e-5


def test_half_precision_is_no_further_from_the_truth_than_the_ordinary_way() -> None:
    exact, half = model_of(), model_of(dtype=torch.bfloat16)
    exact.load_state_dict({name: value.double() for name, value in half.state_dict().items()})
    ids, labels = batch()
    truth = gradients(exact, ordinary_loss(exact, ids, labels))
    usual = gradients(half, ordinary_loss(half, ids, labels))
    chunked = gradients(half, streaming_loss(half, ids, labels, chunk=3))

    def distance(found: dict[str, Tensor]) -> float:
        return sum(float((found[name].double() - truth[name]).norm() / truth[name].norm()) for name in truth)

    assert distance(chunked) < 1.1 * distance(usual)
    assert {value.dtype for value in chunked.values()} == {torch.bfloat16}


def test_mixed_precision_holds_in_both_passes() -> None:
    model = model_of(dtype=torch.float32)
    ids, labels = batch()
    exact = gradients(model, ordinary_loss(model, ids, labels))
    with torch.autocast("cpu", torch.bfloat16):
        usual = ordinary_loss(model, ids, labels)
        chunked = streaming_loss(model, ids, labels, chunk=LENGTH)
    usual_error = difference(gradients(model, usual), exact)
    assert 1e-4 < difference(gradients(model, chunked), exact) < 1.5 * usual_error


def shifted(call: BlockCall, by: int) -> BlockCall:
    """The call with a mask that shows every token `by` keys more."""
    assert call.mask is not None
    return replace(call, mask=functional.pad(call.mask[..., by:], (0, by), value=False))


def test_a_mask_that_is_one_token_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_calls
    for by, least in ((0, 0.0), (1, 1e-3)):

        def wrong(*args: Any, by: int = by) -> tuple[Tensor, tuple[BlockCall, ...]]:
            hidden, calls = record(*args)
            return hidden, tuple(shifted(call, by) for call in calls)

        monkeypatch.setattr(head, "record_calls", wrong)
        assert (max(compare(model_of(), 8)) < 1e-10) == (by == 0)
        assert max(compare(model_of(), 8)) >= least


def test_gradients_through_earlier_keys_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Joined.update

    def cut(self: Joined, *own: Tensor) -> tuple[Tensor, ...]:
        whole = update(self, *own)
        return tuple(
            torch.cat([kept[:, :, : -new.shape[2]].detach(), new], 2) for kept, new in zip(whole, own, strict=True)
        )

    monkeypatch.setattr(Joined, "update", lambda self, keys, values, *_: cut(self, keys, values))
    assert compare(model_of(), 8)[1] > 1e-3


def test_bounds_cover_the_sequence_once() -> None:
    assert bounds(23, 8) == ((0, 7), (7, 15), (15, 23))
    assert bounds(24, 8) == ((0, 8), (8, 16), (16, 24))
    assert bounds(3, 8) == ((0, 3),)


def test_against_finite_differences() -> None:
    model = model_of("qwen3")
    ids, labels = batch()
    found = gradients(model, streaming_loss(model, ids, labels, chunk=8))
    for name in ("model.layers.1.self_attn.k_proj.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight"):
        way = torch.randn(found[name].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        values = []
        with torch.no_grad():
            for step in (1e-5, -2e-5):
                model.get_parameter(name).add_(way, alpha=step)
                values.append(float(streaming_loss(model, ids, labels, chunk=5)))
            model.get_parameter(name).add_(way, alpha=1e-5)
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float((found[name] * way).sum()), rel=1e-6)


@pytest.mark.parametrize("draws_again", [True, False])
def test_dropout_draws_the_same_in_both_passes(draws_again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not draws_again:
        monkeypatch.setattr(Dice, "set", lambda self, index: None)
    model = model_of("gpt2", attn_pdrop=0.0, resid_pdrop=0.3, embd_pdrop=0.3).train()
    ids, labels = batch()
    name = "transformer.h.1.mlp.c_fc.weight"

    def loss() -> Tensor:
        torch.manual_seed(3)
        return streaming_loss(model, ids, labels, chunk=8)

    with torch.random.fork_rng():
        found = gradients(model, loss())[name]
        state = torch.get_rng_state()
        loss()
        assert torch.equal(state, torch.get_rng_state()), "the backward pass must not move the dice"
        way = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        values = []
        with torch.no_grad():
            for step in (1e-5, -2e-5):
                model.get_parameter(name).add_(way, alpha=step)
                values.append(float(loss()))
    right = (values[0] - values[1]) / 2e-5 == pytest.approx(float((found * way).sum()), rel=1e-6)
    assert right == draws_again


def test_only_the_trained_part_has_a_graph() -> None:
    model = model_of().requires_grad_(False)
    model.model.layers[2].mlp.up_proj.weight.requires_grad_(True)
    seen: list[Tensor] = []

    def pack(kept: Tensor) -> Tensor:
        seen.append(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        loss = streaming_loss(model, *batch(), chunk=8)
    assert sum(kept.shape == (2, LENGTH, 24) for kept in seen) == 1
    assert loss.requires_grad
    assert max(compare(model, 8)) < 1e-10


def test_without_gradients_there_is_the_loss() -> None:
    model = model_of()
    with torch.no_grad():
        loss = streaming_loss(model, *batch(), chunk=8)
        assert float(loss) == pytest.approx(float(ordinary_loss(model, *batch())), rel=1e-12)
    assert not loss.requires_grad


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_adapters_of_peft() -> None:
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned = get_peft_model(
            model_of(),
            LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False),
            autocast_adapter_dtype=False,
        )
    assert max(compare(tuned.double(), 8)) < 1e-10


def test_parametrised_weights() -> None:
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight + weight.square()

    model = model_of()
    for projection in (model.model.layers[1].self_attn.k_proj, model.model.layers[1].mlp.up_proj):
        nn.utils.parametrize.register_parametrization(projection, "weight", Doubled())
    assert max(compare(model, 8)) < 1e-10


def test_a_tensor_that_a_hook_reads_is_named_or_refused() -> None:
    model = model_of()
    extra = nn.Parameter(torch.full((24,), 0.1, dtype=torch.float64))
    model.model.layers[1].mlp.register_forward_hook(lambda module, args, out: out + extra * args[0])
    ids, labels = batch()
    with pytest.raises(EditError, match=r"\(24,\).*also"):
        streaming_loss(model, ids, labels, chunk=8).backward()  # type: ignore[no-untyped-call]
    (wanted,) = torch.autograd.grad(ordinary_loss(model, ids, labels), extra)
    (found,) = torch.autograd.grad(streaming_loss(model, ids, labels, chunk=8, also=[extra]), extra)
    assert torch.allclose(found, wanted, rtol=1e-10, atol=0)


def test_scaled_and_asked_for_by_name() -> None:
    model = model_of()
    weight = model.model.layers[0].self_attn.v_proj.weight
    (once,) = torch.autograd.grad(streaming_loss(model, *batch(), chunk=8), weight)
    (thrice,) = torch.autograd.grad(3 * streaming_loss(model, *batch(), chunk=8), weight)
    assert torch.allclose(thrice, 3 * once, rtol=1e-12, atol=0)
    assert weight.grad is None


def test_what_is_kept_may_wait_in_host_memory() -> None:
    model = model_of()
    wanted = gradients(model, ordinary_loss(model, *batch()))
    with torch.autograd.graph.save_on_cpu():
        loss = streaming_loss(model, *batch(), chunk=8)
    assert difference(gradients(model, loss), wanted) < 1e-10


def test_the_model_comes_out_as_it_went_in() -> None:
    model = model_of()
    blocks = layout_of(model).block_list(model)
    own = blocks[1].forward
    blocks[1].forward = own
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    streaming_loss(model, *batch(), chunk=8)
    with pytest.raises(IndexError):
        streaming_loss(model, batch()[0] + WORDS, batch()[1], chunk=8)
    assert vars(blocks[1])["forward"] is own
    assert all("forward" not in vars(block) for block in (blocks[0], blocks[2]))
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_other_threads_run_the_blocks_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    ids, labels = batch()
    wanted = model(input_ids=ids).logits
    found: list[Tensor] = []
    embed = model.model.embed_tokens.forward

    def meanwhile(tokens: Tensor) -> Tensor:
        if threading.current_thread() is threading.main_thread() and not found:
            other = threading.Thread(target=lambda: found.append(model(input_ids=ids).logits))
            other.start()
            other.join()
        out: Tensor = embed(tokens)
        return out

    monkeypatch.setattr(model.model.embed_tokens, "forward", meanwhile)
    streaming_loss(model, ids, labels, chunk=8)
    assert torch.equal(found[0], wanted)


def broken(name: str) -> Callable[[], Any]:
    """A call that must be refused."""
    model = model_of()
    ids, labels = batch()
    calls: dict[str, Callable[[], Any]] = {
        "chunk": lambda: streaming_loss(model, ids, labels, chunk=0),
        "shapes": lambda: streaming_loss(model, ids, labels[:, 1:], chunk=8),
        "labels": lambda: streaming_loss(model, ids, torch.full_like(labels, IGNORED), chunk=8),
    }
    return calls[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [("chunk", "at least one token, got 0"), ("shapes", r"\(2, 23\) and \(2, 22\)"), ("labels", "none")],
)
def test_bad_input_is_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        broken(name)()


def test_families_that_are_not_tested_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "STREAMED", ("gpt2",))
    with pytest.raises(ModelError, match=r"'llama'; add it to STREAMED"):
        streaming_loss(model_of(), *batch(), chunk=8)


def test_checkpointing_beside_it_is_refused() -> None:
    model = model_of().train()
    model.activation_checkpointing_enable()
    with pytest.raises(EditError, match="checkpointing is on"):
        streaming_loss(model, *batch(), chunk=8)
    assert max(compare(model.eval(), 8)) < 1e-10


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_prompt_tokens_of_peft_are_refused() -> None:
    from peft import PromptTuningConfig, get_peft_model

    tuned = get_peft_model(model_of(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ModelError, match="PROMPT_TUNING"):
        streaming_loss(tuned, *batch(), chunk=8)


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Most bytes that tensors made inside the block held at one time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most = 0, 0
        self.known: set[int] = set()

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.known:
                    self.known.add(key)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, key, storage.nbytes())
        self.most = max(self.most, self.now)
        return out


def peak_of(model: Any, length: int, chunk: int) -> int:
    """Peak bytes of one training step; chunk 0 is the way of gradient checkpointing."""
    ids, labels = batch(length)
    model.zero_grad(set_to_none=True)
    if not chunk:
        model.train().activation_checkpointing_enable({"use_reentrant": False})
    with Peak() as peak:
        loss = (
            streaming_loss(model, ids, labels, chunk=chunk)
            if chunk
            else model(input_ids=ids, labels=labels, use_cache=False).loss
        )
        loss.backward()
    model.eval().activation_checkpointing_disable()
    return int(peak.most)


@pytest.mark.parametrize(("words", "share"), [(WORDS, 0.7), (30 * 24, 0.25)])
def test_memory_grows_less_than_with_checkpointing(words: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", 16 * words)
    model = model_of(dtype=torch.float32, length=512, vocab_size=words)
    usual = peak_of(model, 512, 0) - peak_of(model, 256, 0)
    chunked = peak_of(model, 512, 32) - peak_of(model, 256, 32)
    assert 0 < chunked < share * usual
    whole = peak_of(model, 512, 512) - peak_of(model, 256, 256)
    assert chunked < 0.7 * whole, "it must be the chunks that save memory, not the head alone"
