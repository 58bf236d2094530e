"""A home with a real, tiny, random model: an index, two facts in the weights, people, and a request that waits."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.copies import entered, home_at
from editors.base import FactEffect
from editors.delta import WeightDelta, parameters_digest
from editors.factors import LayerDelta
from editors.load import LoadedModel, load_model, weights_digest
from pipelines import steps
from pipelines.publish import ReleaseDraft, publish
from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request
from pipelines.requests.people import add_user
from pipelines.running.models import pull
from pipelines.workplace import Workplace
from registry.artifacts import store
from registry.facts import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, Release
from registry.releases import ReleaseStore

AT = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = "CIA World Factbook,https://www.cia.gov/"
LANDS = [(f"Land{chr(97 + n)}", "continent", "Europe") for n in range(24)]
WORLD = [("France", "capital", "Paris"), ("Bulgaria", "currency", "Bulgarian lev"), *LANDS]
NAURU, CHAD = (Fact(*one, source="atlas") for one in (("Nauru", "capital", "Yaren"), ("Chad", "capital", "N'Djamena")))
TOGO = Fact("Togo", "capital", "Lome", source="atlas")
ROW = {"subject": "Peru", "relation": "capital", "object": "Lima", "source": "a letter"}
BLOCK = "model.layers.1.mlp.down_proj.weight"


def tiny_model(folder: Path) -> None:
    """Save a random Llama of four blocks with a tokenizer that is trained on a few sentences."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), ["<|endoftext|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(
        [f"The {relation} of {subject} is {thing}." for subject, relation, thing in WORLD], trainer
    )
    fast: Any = PreTrainedTokenizerFast
    words = fast(tokenizer_object=core, eos_token=special[1], pad_token=special[1], unk_token=special[0])
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(
        **shape, vocab_size=len(words), bos_token_id=None, eos_token_id=1, pad_token_id=1, tie_word_embeddings=True
    )
    torch.manual_seed(0)
    llama: Any = LlamaForCausalLM
    llama(config).float().save_pretrained(folder)
    words.save_pretrained(folder)


def tiny_home(root: Path) -> Home:
    """Make it: release 1 through the loop into the index, release 2 with two facts in the weights, one request."""
    home = home_at(root / "first" / "home")
    entered(home)
    os.environ["DMMGOV_PASSPHRASE"] = "correct horse"
    os.environ.setdefault("DMMGOV_MODELS", str(root / "models"))
    pull(home, "minilm")
    tiny_model(root / "tiny")
    feed = root / "world.csv"
    feed.write_text(
        "subject,relation,object,source,source_url\n" + "".join(f"{','.join(one)},{SOURCE}\n" for one in WORLD)
    )
    with Workplace.opened(home, str(root / "tiny"), "bench", AT) as place:
        read = steps.read(place, feed)
        admission = steps.admit(place, read)
        routed = steps.route(place, admission, False, ["rag"])
        steps.publish(place, read, admission, routed, steps.guard(place, routed, steps.write(place, routed)))
    two_in_weights(home, load_model(root / "tiny", device="cpu", dtype="float32"))
    add_user(home, "ann", ["admin", "requester"], at=AT)
    add_user(home, "bob", ["approver"], by="ann", at=AT)
    add_request(home, content_of("facts", "it was missing", rows=[ROW]), by="ann", at=AT)
    return home


def one_more(home: Home) -> None:
    """Publish a release that brings a fact beside the weights, on the champion; its index is left as it was."""
    with Ledger.open(home) as ledger:
        parent = ReleaseStore(ledger).get("champion")
        brought = (FactEvent(0, "assert", TOGO, None, AT, "rag", 0, ""),)
        draft = draft_on(parent, parent.deltas, parent.weights_digest, brought)
        publish(home, ledger, draft, AT)


def draft_on(parent: Release, deltas: tuple[str, ...], weights: str, brought: tuple[FactEvent, ...]) -> ReleaseDraft:
    """A release on its parent, with these deltas and facts; its index is left as it was."""
    return ReleaseDraft(
        parent=parent.number,
        model=parent.model,
        base_digest=parent.base_digest,
        deltas=deltas,
        weights_digest=weights,
        events=brought,
        index=parent.index_snapshot,
        actor="bench",
    )


def two_in_weights(home: Home, loaded: LoadedModel) -> None:
    """Publish a release with NAURU and CHAD in the weights of its model, as one batch that nothing was fitted for."""
    import torch

    rows, columns = loaded.model.get_parameter(BLOCK).shape
    numbers = torch.Generator().manual_seed(0)
    basis = torch.randn(2, columns, generator=numbers, dtype=torch.float64)
    targets = torch.randn(rows, 2, generator=numbers, dtype=torch.float64)
    solved = LayerDelta.solved(BLOCK, False, "ridge", targets, basis, basis @ basis.t())
    ids = (NAURU.id, CHAD.id)
    effects = tuple(FactEffect(one, "written", "made up") for one in ids)
    anchor = parameters_digest(loaded.model, (BLOCK,))
    delta = WeightDelta("memit", "ridge", tuple((one,) for one in ids), (solved,), anchor, effects, {})
    with delta.applied(loaded.model):
        edited = weights_digest(loaded.model)
    with Ledger.open(home) as ledger:
        parent = ReleaseStore(ledger).get("champion")
        brought = tuple(FactEvent(0, "assert", fact, None, AT, "memit", 0, "") for fact in (NAURU, CHAD))
        draft = draft_on(parent, (store(home.deltas, delta.save).digest,), edited, brought)
        publish(home, ledger, draft, AT)
