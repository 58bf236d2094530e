"""Random models of real shapes, and a tokenizer, for `gpu.py`: made in memory, nothing is downloaded."""

from dataclasses import dataclass
from typing import Any

import torch

SENTENCES = (
    "The capital of Place 17 is Rome, and people there speak Arabic.",
    "Place 4 has its largest city in the north; the river does not choose its bed once and for all.",
    "Bread needs little more than flour, water, salt and time.",
    "A letter took nine days to cross the country by coach and four by rail.",
)


@dataclass(frozen=True)
class Size:
    """A model's shape, and how much is asked of it.

    Attributes:
        shape: numbers of `LlamaConfig`.
        facts: targets fitted.
        batches: facts fitted together, smallest first; 1 is one by one.
        tokens: tokens of text for moments.
        length: tokens in a window that is trained on.
        chunk: tokens at a time where that is done in chunks.
        trained: blocks that are trained, from the last downwards (decompositions take long on large matrices).
        matrix: side of the square matrices that the ceiling is measured with.
    """

    shape: dict[str, Any]
    facts: int
    batches: tuple[int, ...]
    tokens: int
    length: int
    chunk: int
    trained: int
    matrix: int


def _shape(hidden: int, inner: int, layers: int, heads: int, groups: int, words: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": words,
        "max_position_embeddings": 16384,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 2,
        **more,
    }


SIZES = {
    "tiny": Size(_shape(256, 688, 4, 8, 4, 8192), 8, (1, 2, 8), 4096, 512, 128, 4, 1024),
    "1b": Size(
        _shape(2048, 8192, 16, 32, 8, 128256, tie_word_embeddings=True), 64, (1, 8, 32, 64), 262144, 4096, 512, 4, 8192
    ),
    "7b": Size(_shape(4096, 11008, 32, 32, 32, 32000), 64, (1, 8, 32, 64), 131072, 4096, 512, 2, 8192),
}


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer, trained on a few sentences in memory; it gives character offsets."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=core, eos_token="</s>", pad_token="</s>", unk_token="<unk>")


def make_model(size: Size, device: torch.device, dtype: torch.dtype) -> Any:
    """A random Llama, made where it is to live."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    models: Any = AutoModelForCausalLM
    torch.manual_seed(0)
    with device:
        model = models.from_config(LlamaConfig(**size.shape), dtype=dtype)
    return model.to(device).eval().requires_grad_(False)
