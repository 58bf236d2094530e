import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.config import read_config
from editors.load import weights_digest
from editors.lora.config import LoraSettings
from editors.lora.editor import LoraEditor
from editors.sst.config import SstConfig
from editors.sst.editor import SstEditor
from editors.svfit.config import SvfitConfig
from editors.svfit.editor import SvfitEditor
from editors.training import TrainingConfig
from editors.windows import plain_loss, windows
from registry.errors import EditError, InputError
from registry.records import EditRequest

ROOT = Path(__file__).resolve().parents[2]
TEXTS = (
    "The capital of France is Paris. The capital of Italy is Rome.",
    "People in Brazil speak Portuguese. The largest city in Turkey is Istanbul.",
)
EASY = TrainingConfig(steps=25, lr=0.1, warmup=1, length=24, batch=2, end_probability=1e-9, anchors=0)
EDITORS: dict[str, tuple[Any, Any]] = {
    "lora": (LoraEditor(), LoraSettings(training=EASY)),
    "sst": (SstEditor(), SstConfig(rank=4, period=5, training=EASY)),
    "svfit": (SvfitEditor(), SvfitConfig(training=EASY)),
}


@pytest.fixture(params=sorted(EDITORS))
def method(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return EDITORS[str(request.param)]


def test_a_loss_in_chunks_trains_the_same(method: tuple[Any, Any], tiny_llama: Any) -> None:
    editor, config = method
    whole = replace(config, texts=TEXTS, training=replace(EASY, steps=3, lr=0.01))
    chunked = replace(whole, training=replace(whole.training, chunk=7))
    found = [editor.fit(tiny_llama.model, tiny_llama.tokenizer, [], one) for one in (whole, chunked)]
    losses = [delta.notes["text_losses"] for delta in found]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    new = [delta.new_weights(tiny_llama.model) for delta in found]
    for name, value in new[0].items():
        base = tiny_llama.model.get_parameter(name)
        assert float((value - new[1][name]).norm()) < 0.01 * float((value - base).norm())


def test_text_alone_changes_the_weights_and_holds_no_fact(
    method: tuple[Any, Any], tiny_llama: Any, tmp_path: Path
) -> None:
    editor, config = method
    model = tiny_llama.model
    delta = editor.fit(model, tiny_llama.tokenizer, [], replace(config, texts=TEXTS, training=replace(EASY, lr=0.02)))
    assert (delta.fact_ids, delta.effects) == ((), ())
    ids = windows(tiny_llama.tokenizer, TEXTS, 24)
    before = float(plain_loss(model, ids, ()))
    with delta.applied(model):
        assert weights_digest(model) != tiny_llama.digest
        assert float(plain_loss(model, ids, ())) < before - 1.0
    assert weights_digest(model) == tiny_llama.digest
    delta.save(tmp_path / "delta")
    assert editor.load(tmp_path / "delta").digest == delta.digest


def test_text_that_diverges_is_an_error_and_no_step_is_nothing(method: tuple[Any, Any], tiny_llama: Any) -> None:
    editor, config = method
    for lr in (float("inf"), float("nan")):
        with pytest.raises(EditError, match="not finite"):
            editor.fit(
                tiny_llama.model,
                tiny_llama.tokenizer,
                [],
                replace(config, texts=TEXTS, training=replace(EASY, lr=lr)),
            )
    still = editor.fit(
        tiny_llama.model, tiny_llama.tokenizer, [], replace(config, texts=TEXTS, training=replace(EASY, steps=0))
    )
    assert (still.parameters, dict(still.tensors)) == ((), {})
    assert weights_digest(tiny_llama.model) == tiny_llama.digest


def test_a_fact_that_is_not_reached_leaves_nothing_in_the_delta(
    method: tuple[Any, Any], tiny_llama: Any, lab: Any
) -> None:
    editor, config = method
    first, second, _ = lab.requests()
    rival = replace(first, fact=replace(first.fact, object="Tokyo"), answers=("Tokyo",), paraphrases=())
    delta = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [first, second, rival], config)
    states = [effect.state for effect in delta.effects]
    assert sorted(states) == ["failed", "written", "written"]
    kept = [request for request, state in zip((first, second, rival), states, strict=True) if state == "written"]
    assert delta.digest == editor.fit(tiny_llama.model, tiny_llama.tokenizer, kept, config).digest


def test_taking_one_fact_out_empties_the_delta_and_says_why(method: tuple[Any, Any], tiny_llama: Any, lab: Any) -> None:
    editor, config = method
    requests: list[EditRequest] = lab.requests()
    delta = editor.fit(tiny_llama.model, tiny_llama.tokenizer, requests, replace(config, texts=TEXTS))
    assert delta.fact_ids == tuple(request.fact.id for request in requests)
    smaller = delta.without([requests[1].fact.id])
    assert smaller.fact_ids == ()
    assert ["refit" in effect.explanation for effect in smaller.effects] == [True, False, True]
    assert {effect.state for effect in smaller.effects} == {"no_effect"}
    with smaller.applied(tiny_llama.model):
        assert weights_digest(tiny_llama.model) == tiny_llama.digest


def test_an_error_while_training_leaves_the_model_alone(
    method: tuple[Any, Any], tiny_llama: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("inside")

    editor, config = method
    monkeypatch.setattr("editors.training.answer_scores", fail)
    with pytest.raises(RuntimeError, match="inside"):
        editor.fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config)
    model = tiny_llama.model
    assert weights_digest(model) == tiny_llama.digest
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert {type(module).__name__ for module in model.model.layers[0].mlp.children()} == {"Linear", "SiLUActivation"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_trained_wide_and_stored_as_it_is(
    method: tuple[Any, Any], tiny_llama: Any, lab: Any, dtype: torch.dtype
) -> None:
    editor, config = method
    model = copy.deepcopy(tiny_llama.model).to(dtype)
    before = weights_digest(model)
    config = replace(config, training=replace(EASY, steps=60))
    delta = editor.fit(model, tiny_llama.tokenizer, lab.requests(), config)
    assert len(delta.fact_ids) == 3
    assert all(weight.dtype == dtype for weight in delta.new_weights(model).values())
    with delta.applied(model):
        assert weights_digest(model) != before
    assert weights_digest(model) == before


@pytest.mark.parametrize("name", sorted(EDITORS))
def test_the_numbers_in_conf_are_the_defaults(name: str) -> None:
    kind = EDITORS[name][0].config_type
    assert read_config(kind, ROOT / "conf" / f"{name}.yaml") == kind()


def test_a_word_that_is_none_of_the_choices_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("variant: dora\n")
    assert LoraSettings.read(tmp_path / "a.yaml").variant == "dora"
    (tmp_path / "a.yaml").write_text("variant: qlora\n")
    with pytest.raises(InputError, match="one of lora, dora, pissa"):
        LoraSettings.read(tmp_path / "a.yaml")


@pytest.mark.parametrize(("dtype", "fits"), [(torch.float16, False), (torch.float32, True)])
def test_a_weight_beyond_the_range_of_the_model_is_failed_by_fact(
    dtype: torch.dtype, fits: bool, tiny_llama: Any, lab: Any
) -> None:
    model = copy.deepcopy(tiny_llama.model).to(dtype)
    config = SvfitConfig(layers=(3,), training=replace(EASY, steps=1, lr=1e7))
    delta = SvfitEditor().fit(model, tiny_llama.tokenizer, lab.requests(), config)
    beyond = ["not finite" in effect.explanation for effect in delta.effects]
    assert beyond == [not fits] * 3
    assert fits or {effect.state for effect in delta.effects} == {"failed"}
    assert fits or delta.fact_ids == ()
