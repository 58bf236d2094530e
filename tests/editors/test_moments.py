from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.fitting import check_moments
from editors.gather import cut, main, read_texts
from editors.layouts import layout_of
from editors.moments import Moments, measure
from editors.trace import inputs_of
from registry.errors import EditError, InputError, IntegrityError

TEXTS = ("The capital of France is Paris.", "People in Brazil speak Portuguese.", "Rome", "Tokyo and the yen. " * 3)
FAMILIES = ("tiny_llama", "tiny_gpt2")


@pytest.mark.parametrize("fixture", FAMILIES)
def test_one_padded_pass_equals_text_by_text_and_layer_by_layer(fixture: str, request: pytest.FixtureRequest) -> None:
    loaded: Any = request.getfixturevalue(fixture)
    layout = layout_of(loaded.model)
    moments = measure(loaded.model, loaded.tokenizer, TEXTS, [0, 2])
    for layer in (0, 2):
        keys = []
        for text in TEXTS:
            with torch.no_grad(), inputs_of({0: layout.down_module(loaded.model, layer)}) as seen:
                loaded.model(torch.tensor([loaded.tokenizer(text)["input_ids"]]))
            keys.append(seen[0].reshape(-1, seen[0].shape[-1]).double())
        every = torch.cat(keys)
        assert moments.count == len(every)
        torch.testing.assert_close(moments.layers[layer], every.t() @ every / len(every), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["gemma3_text", "olmo2"])
def test_before_a_norm_keys_count_per_unit_of_what_they_make(kind: str, tiny_family: Callable[[str], Any]) -> None:
    loaded = tiny_family(kind)
    layout = layout_of(loaded.model)
    moments = measure(loaded.model, loaded.tokenizer, TEXTS, [1])
    weight = layout.down_weight(loaded.model, 1).double()
    keys = []
    for text in TEXTS:
        with torch.no_grad(), inputs_of({0: layout.down_module(loaded.model, 1)}) as seen:
            loaded.model(torch.tensor([loaded.tokenizer(text)["input_ids"]]))
        keys.append(seen[0].reshape(-1, seen[0].shape[-1]).double())
    every = torch.cat(keys)
    apart = every / (every @ weight.t()).square().mean(-1, keepdim=True).sqrt()
    assert moments.per_output
    torch.testing.assert_close(moments.layers[1], apart.t() @ apart / len(apart), rtol=1e-2, atol=1e-4)
    plain = every.t() @ every / len(every)
    assert float((moments.layers[1] - plain).norm()) > 0.5 * float(plain.norm())


def test_moments_of_the_other_kind_are_refused_and_not_mixed(
    tiny_llama: Any, tiny_family: Callable[[str], Any], tmp_path: Path
) -> None:
    loaded = tiny_family("gemma3_text")
    found = measure(loaded.model, loaded.tokenizer, TEXTS, [1])
    found.save(tmp_path)
    assert Moments.load(tmp_path).per_output
    old = replace(found, per_output=False)
    assert old.digest != found.digest
    with pytest.raises(InputError, match="same model and layers"):
        found.merged(old)
    check_moments(found, layout_of(loaded.model), loaded.model, [1])
    with pytest.raises(EditError, match="per unit of output"):
        check_moments(old, layout_of(loaded.model), loaded.model, [1])
    plain = measure(tiny_llama.model, tiny_llama.tokenizer, TEXTS, [1])
    assert not plain.per_output
    with pytest.raises(EditError, match="per unit of output"):
        check_moments(replace(plain, per_output=True), layout_of(tiny_llama.model), tiny_llama.model, [1])


def test_adding_text_later_equals_measuring_all_at_once(tiny_llama: Any) -> None:
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    one, other = (measure(model, tokenizer, part, [1], source="a") for part in (TEXTS[:2], TEXTS[2:]))
    both, whole = one.merged(other), measure(model, tokenizer, TEXTS, [1])
    assert both.count == whole.count
    torch.testing.assert_close(both.layers[1], whole.layers[1], rtol=1e-5, atol=1e-6)
    assert both.source == "a"
    with pytest.raises(InputError, match="same model and layers"):
        one.merged(measure(model, tokenizer, TEXTS, [2]))


def test_saved_moments_come_back_and_a_changed_file_is_refused(tiny_llama: Any, tmp_path: Path) -> None:
    moments = measure(tiny_llama.model, tiny_llama.tokenizer, TEXTS, [0, 1], source="sentences", ridge=0.5)
    moments.save(tmp_path)
    back = Moments.load(tmp_path)
    assert back.digest == moments.digest
    assert (back.count, back.source, back.ridge) == (moments.count, "sentences", 0.5)
    torch.testing.assert_close(back.layers[1], moments.layers[1], rtol=1e-6, atol=1e-7)
    data = bytearray((tmp_path / "moments.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "moments.safetensors").write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="moments"):
        Moments.load(tmp_path)


def test_the_ridge_is_relative_to_the_mean_diagonal(tiny_llama: Any) -> None:
    moments = measure(tiny_llama.model, tiny_llama.tokenizer, TEXTS, [1], ridge=0.25)
    difference = moments.regularised(1) - moments.layers[1]
    expected = 0.25 * moments.layers[1].diagonal().mean()
    torch.testing.assert_close(difference, torch.eye(len(difference), dtype=torch.float64) * expected)
    with pytest.raises(EditError, match=r"moments of layer 3.*\[1\]"):
        moments.regularised(3)


def test_nothing_to_measure_is_refused(tiny_llama: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="texts to measure"):
        measure(tiny_llama.model, tiny_llama.tokenizer, ["", "  "], [1])
    with pytest.raises(InputError, match=r"folder with moments\.json"):
        Moments.load(tmp_path)


def test_the_command_writes_what_the_function_measures(tiny_llama: Any, tmp_path: Path) -> None:
    folder, text, out = tmp_path / "model", tmp_path / "a.txt", tmp_path / "out"
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "Oslo is in Norway."}\n', encoding="utf-8")
    texts = [*read_texts(text), *read_texts(tmp_path / "b.jsonl")]
    assert texts == [*(item.strip() for item in TEXTS), "Oslo is in Norway."]
    arguments = [str(folder), str(out), "--layers", "1", "2", "--tokens", "6", "--source", "own words"]
    main([*arguments, "--text", str(text), str(tmp_path / "b.jsonl")])
    expected = measure(
        tiny_llama.model, tiny_llama.tokenizer, cut(tiny_llama.tokenizer, texts, 6), [1, 2], source="own words"
    )
    assert Moments.load(out).digest == expected.digest
    assert expected.count <= 6 * len(texts)
