from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from editors import get_editor
from editors.layouts import LAYOUTS, layout_of
from editors.load import load_model, weights_digest
from editors.memit.config import MemitConfig
from editors.moments import measure
from editors.rome.config import RomeConfig
from editors.rows import request_rows
from registry.errors import ModelError
from registry.records import EditRequest, Fact

FAMILIES = sorted(name for layout in LAYOUTS for name in layout.model_types)
TEXTS = ("The river does not choose its bed once and for all.", "Bread needs little more than flour and water.")

Find = Callable[[str], Any]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_named_part_is_where_the_layout_says(family: str, tiny_family: Find) -> None:
    model = tiny_family(family).model
    layout = layout_of(model)
    assert family in layout.model_types
    blocks = layout.block_list(model)
    assert len(blocks) == model.config.num_hidden_layers
    parts = [part for part in (layout.attention, layout.up, layout.down, layout.post) if part]
    assert all(block.get_submodule(part) for block in blocks for part in parts)
    weight = layout.down_weight(model, 1)
    assert weight.shape[0] == model.config.hidden_size
    assert weight.data_ptr() == model.get_parameter(layout.down_name(1)).data_ptr()


@pytest.mark.parametrize("family", FAMILIES)
def test_norm_and_head_give_the_models_own_logits(family: str, tiny_family: Find) -> None:
    model = tiny_family(family).model
    layout, ids = layout_of(model), torch.tensor([[5, 6, 7, 8]])
    states: list[Any] = []
    hook = layout.block_list(model)[-1].register_forward_hook(lambda module, args, out: states.append(out))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        hook.remove()
        hidden = states[0][0] if isinstance(states[0], tuple) else states[0]
        assert torch.equal(layout.logits(model, hidden), logits)
        if layout.softcap:
            plain = replace(layout, softcap="").logits(model, hidden)
            assert not torch.equal(plain, logits), "the bound must matter"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_change_of_the_value_is_the_same_change_of_the_block_unless_a_norm_is_named(
    family: str, tiny_family: Find
) -> None:
    model = tiny_family(family).model
    layout, ids = layout_of(model), torch.tensor([[5, 6, 7, 8]])
    block, step = layout.block_list(model)[1], torch.ones(model.config.hidden_size)

    def outputs(change: torch.Tensor) -> torch.Tensor:
        states: list[Any] = []
        hooks = (
            layout.down_module(model, 1).register_forward_hook(lambda module, args, out: out + change),
            block.register_forward_hook(lambda module, args, out: states.append(out)),
        )
        with torch.no_grad():
            model(input_ids=ids)
        for hook in hooks:
            hook.remove()
        found: torch.Tensor = states[0][0] if isinstance(states[0], tuple) else states[0]
        return found

    moved = outputs(step) - outputs(0 * step)
    same = torch.allclose(moved, step.expand_as(moved), atol=1e-4)
    assert same == (not layout.post)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_key_times_the_matrix_is_the_value(family: str, tiny_family: Find) -> None:
    model = tiny_family(family).model
    layout = layout_of(model)
    module, weight = layout.down_module(model, 0), layout.down_weight(model, 0)
    key = torch.randn(1, weight.shape[1])
    bias = getattr(module, "bias", None)
    torch.testing.assert_close(module(key), key @ weight.t() + (0 if bias is None else bias))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_of_the_family_loads_and_is_edited_and_restored(
    family: str, tiny_family: Find, lab: Any, tmp_path: Path
) -> None:
    made = tiny_family(family)
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, device="cpu", dtype="float32")
    assert (loaded.digest, loaded.model.config.model_type) == (made.digest, family)
    assert loaded.tokenizer("Chad")["input_ids"] == made.tokenizer("Chad")["input_ids"]
    moments = measure(loaded.model, loaded.tokenizer, TEXTS, [0, 1], ridge=0.1)
    configs = {
        "rome": RomeConfig(layers=(1,), targets=lab.targets, moments=moments),
        "memit": MemitConfig(layers=(0, 1), weight=1e-2, targets=lab.targets, moments=moments),
    }
    wanted = [request.target for request in lab.requests()]
    assert said(loaded, lab.requests()) != wanted
    for name, config in configs.items():
        delta = get_editor(name).fit(loaded.model, loaded.tokenizer, lab.requests(), config)
        assert [effect.state for effect in delta.effects] == ["written"] * 3, (name, delta.effects)
        with delta.applied(loaded.model):
            assert said(loaded, lab.requests()) == wanted, name
        assert weights_digest(loaded.model) == loaded.digest


def said(loaded: Any, requests: list[EditRequest]) -> list[str]:
    rows = [loaded.tokenizer(request.prompt, return_tensors="pt")["input_ids"] for request in requests]
    with torch.no_grad():
        return [loaded.tokenizer.decode([int(loaded.model(row).logits[0, -1].argmax())]) for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("subject", ["Burkina Faso", "東京", "Côte d'Ivoire", "كوريا"])
def test_the_subject_ends_at_the_same_characters_with_and_without_a_first_token(
    family: str, subject: str, tiny_family: Find
) -> None:
    tokenizer, layout = tiny_family(family).tokenizer, layout_of(tiny_family(family).model)
    prompt = f"{subject} is large: the capital of {subject} is"
    request = EditRequest(Fact(subject, "capital", "Rome"), "ADD", prompt, ("Rome",))
    plain, begun = request_rows(tokenizer, request, prefixes=1, paraphrases=0, seed=0)
    first = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    for row in (plain, begun):
        assert (row.tokens[0] == first) == layout.bos
        held = tokenizer.decode([token for token in row.tokens[: row.subject + 1] if token != first])
        assert held.endswith(prompt.removesuffix(" is"))
    assert bool(tokenizer.chat_template) == layout.chat


def test_an_unknown_family_is_refused_by_name_with_what_to_add() -> None:
    with pytest.raises(ModelError, match=r"model_type 'mamba9'.*add editors/layouts/mamba9\.py"):
        layout_of(SimpleNamespace(config=SimpleNamespace(model_type="mamba9")))


@pytest.mark.parametrize("part", ["attention", "up", "down", "post", "norm", "head"])
def test_a_part_that_is_not_there_is_refused_by_name(part: str, tiny_family: Find) -> None:
    model = tiny_family("gemma2").model
    changed: Any = {part: "nowhere"}
    with pytest.raises(ModelError, match=r"with a module '[a-z0-9_.]*nowhere'"):
        replace(layout_of(model), **changed).check(model)


def test_a_matrix_that_is_stored_the_other_way_is_refused(tiny_family: Find) -> None:
    model = tiny_family("gpt2").model
    with pytest.raises(ModelError, match=r"of shape \(64, d_in\).*\(256, 64\)"):
        replace(layout_of(model), orientation="linear").check(model)


def test_no_model_type_is_claimed_twice() -> None:
    assert len(FAMILIES) == len(set(FAMILIES))
