"""Weight deltas by themselves: adding them, taking them off, keeping them on disk."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from editors.base import FactEffect
from editors.delta import WeightDelta, load_delta, parameters_digest
from editors.factors import LayerDelta, Rule
from editors.layouts import layout_of
from registry.errors import EditError, IntegrityError

NAMES = ("a", "b", "c")


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def loaded(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def untouched(loaded: Any) -> Iterator[None]:
    """Every test leaves the model as it found it."""
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    yield
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())


def layer(parameter: str, transposed: bool, shape: torch.Size, seed: int, rule: Rule = "ridge") -> LayerDelta:
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(shape[0], len(NAMES), dtype=torch.float64, generator=generator)
    basis = 0.1 * torch.randn(len(NAMES), shape[1], dtype=torch.float64, generator=generator)
    return LayerDelta.solved(parameter, transposed, rule, left, basis, basis @ basis.t())


def build(model: Any, layers: tuple[int, ...] = (0, 2), seed: int = 0) -> WeightDelta:
    layout = layout_of(model)
    names = [layout.down_name(i) for i in layers]
    changes = tuple(
        layer(name, layout.orientation == "conv1d", layout.down_weight(model, i).shape, seed + i)
        for name, i in zip(names, layers, strict=True)
    )
    effects = tuple(FactEffect(name, "written", "by hand", 3, 0.25, 0.5) for name in NAMES)
    columns = tuple((name,) for name in NAMES)
    return WeightDelta("memit", "ridge", columns, changes, parameters_digest(model, names), effects, {"why": "test"})


def test_adding_is_the_exact_sum_rounded_once(loaded: Any) -> None:
    change, layout = build(loaded.model).layers[0], layout_of(loaded.model)
    weight = loaded.model.get_parameter(change.parameter).detach()
    stored = change.added_to(weight)
    found = stored.t() if change.transposed else stored
    exact = layout.down_weight(loaded.model, 0).double() + change.left.double() @ change.right.double()
    assert float((found.double() - exact).abs().max()) <= float(exact.abs().max()) * 2**-24
    assert not torch.equal(stored, weight)


def test_adding_gives_the_same_bits_with_any_number_of_threads_and_pieces(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = build(loaded.model).layers[0]
    weight = loaded.model.get_parameter(change.parameter).detach()
    one = change.added_to(weight)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr("editors.factors._CHUNK", 500)
        assert torch.equal(one, change.added_to(weight))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_adding_keeps_the_weights_dtype(loaded: Any, dtype: torch.dtype) -> None:
    change = build(loaded.model).layers[0]
    weight = loaded.model.get_parameter(change.parameter).detach().to(dtype)
    new = change.added_to(weight)
    assert new.dtype == dtype
    expected = change.added_to(weight.double()).to(dtype)
    assert torch.equal(new, expected)


def test_shapes_that_do_not_fit_are_refused(loaded: Any) -> None:
    change = build(loaded.model).layers[0]
    with pytest.raises(EditError, match="expected shape"):
        change.added_to(torch.zeros(5, 7))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["left", "right", "gram"])
def test_numbers_that_are_not_finite_are_refused(loaded: Any, name: str, value: float) -> None:
    delta = build(loaded.model)
    bad = delta.layers[0].tensors()[name].clone()
    bad[0, 0] = value
    with pytest.raises(EditError, match=rf"NaN or infinity in {name}"):
        replace(delta, layers=(replace(delta.layers[0], **cast(Any, {name: bad})),))


def test_a_sum_that_overflows_is_refused_and_nothing_is_put_on(loaded: Any) -> None:
    delta = build(loaded.model)
    huge = replace(delta.layers[1], left=torch.full_like(delta.layers[1].left, 3e38), right=10 * delta.layers[1].right)
    with pytest.raises(EditError, match="not finite"):
        replace(delta, layers=(delta.layers[0], huge)).apply(loaded.model)


def test_revert_gives_every_bit_back_and_apply_twice_is_refused(loaded: Any) -> None:
    delta = build(loaded.model)
    before = parameters_digest(loaded.model, delta.parameters)
    delta.apply(loaded.model)
    assert parameters_digest(loaded.model, delta.parameters) != before
    with pytest.raises(EditError, match="revert it first"):
        delta.apply(loaded.model)
    delta.revert(loaded.model)
    assert parameters_digest(loaded.model, delta.parameters) == before
    with pytest.raises(EditError, match="apply it first"):
        delta.revert(loaded.model)


def test_subtracting_would_not_give_every_bit_back(loaded: Any) -> None:
    change = build(loaded.model).layers[0]
    weight = loaded.model.get_parameter(change.parameter).detach()
    minus = replace(change, left=-change.left)
    assert not torch.equal(minus.added_to(change.added_to(weight)), weight)


def test_deltas_come_off_in_reverse_order_only(loaded: Any) -> None:
    first = build(loaded.model)
    first.apply(loaded.model)
    second = build(loaded.model, seed=9)
    second.apply(loaded.model)
    with pytest.raises(EditError, match="later change first"):
        first.revert(loaded.model)
    second.revert(loaded.model)
    first.revert(loaded.model)


def test_another_model_is_refused(loaded: Any) -> None:
    delta = build(loaded.model)
    parameter = loaded.model.get_parameter(delta.parameters[0])
    original = parameter.detach().clone()
    parameter.data[0, 0] += 1
    with pytest.raises(IntegrityError, match="fitted on"):
        delta.apply(loaded.model)
    parameter.data.copy_(original)
    delta.apply(loaded.model)
    delta.revert(loaded.model)


def test_one_delta_can_be_on_two_models_at_once(loaded: Any) -> None:
    from copy import deepcopy

    delta, twin = build(loaded.model), deepcopy(loaded.model)
    before = parameters_digest(twin, delta.parameters)
    delta.apply(loaded.model)
    with delta.applied(twin):
        assert parameters_digest(twin, delta.parameters) == parameters_digest(loaded.model, delta.parameters)
    assert parameters_digest(twin, delta.parameters) == before
    delta.revert(loaded.model)


def test_applied_restores_even_when_the_block_changed_the_weights(loaded: Any) -> None:
    delta = build(loaded.model)
    before = parameters_digest(loaded.model, delta.parameters)
    with delta.applied(loaded.model):
        loaded.model.get_parameter(delta.parameters[0]).data.zero_()
    assert parameters_digest(loaded.model, delta.parameters) == before


def test_the_digest_follows_every_part_that_decides_the_effect(loaded: Any) -> None:
    delta = build(loaded.model)
    first = delta.layers[0]
    others = [
        replace(delta, editor="rome"),
        replace(delta, rule="sequence"),
        replace(delta, columns=(("a",), ("b",), ("d",))),
        replace(delta, base_digest="0" * 64),
        replace(delta, layers=delta.layers[::-1]),
        replace(delta, layers=(replace(first, transposed=not first.transposed), delta.layers[1])),
        *(
            replace(delta, layers=(replace(first, **cast(Any, {name: tensor + 1e-3})), delta.layers[1]))
            for name, tensor in first.tensors().items()
        ),
    ]
    assert len({delta.digest, *(other.digest for other in others)}) == len(others) + 1
    assert replace(delta, effects=(), notes={}).digest == delta.digest


def test_facts_of_one_column_go_together(loaded: Any) -> None:
    delta = build(loaded.model)
    shared = replace(delta, columns=(("a", "b"), ("c",), ("d",)))
    shared = replace(shared, effects=tuple(FactEffect(name, "written", "by hand") for name in "abcd"))
    smaller = shared.without(["b"])
    assert smaller.fact_ids == ("c", "d")
    assert [effect.state for effect in smaller.effects] == ["no_effect", "no_effect", "written", "written"]
    assert "taken out" in smaller.effects[0].explanation


def test_taking_out_nothing_or_everything(loaded: Any) -> None:
    delta = build(loaded.model)
    assert delta.without([]) is delta
    assert delta.without(["unknown"]) is delta
    nothing = delta.without(NAMES)
    assert (nothing.fact_ids, nothing.layers) == ((), ())
    with nothing.applied(loaded.model):
        pass


def test_saved_and_loaded_it_is_the_same(loaded: Any, tmp_path: Path) -> None:
    delta = build(loaded.model)
    delta.save(tmp_path / "delta")
    back = load_delta(tmp_path / "delta")
    assert back.digest == delta.digest
    assert (back.effects, dict(back.notes), back.columns) == (delta.effects, dict(delta.notes), delta.columns)
    assert sorted(path.name for path in (tmp_path / "delta").iterdir()) == ["delta.json", "delta.safetensors"]
    with pytest.raises(EditError, match="empty folder"):
        delta.save(tmp_path / "delta")
    with pytest.raises(EditError, match="saved delta"):
        load_delta(tmp_path)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_a_flipped_bit_in_the_numbers_is_refused(loaded: Any, tmp_path: Path, place: float) -> None:
    build(loaded.model).save(tmp_path / "delta")
    path = tmp_path / "delta" / "delta.safetensors"
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        load_delta(tmp_path / "delta")


@pytest.mark.parametrize("key", ["digest", "editor", "rule", "columns", "base_digest", "layers", "effects", "notes"])
def test_a_changed_record_is_refused(loaded: Any, tmp_path: Path, key: str) -> None:
    build(loaded.model).save(tmp_path / "delta")
    path = tmp_path / "delta" / "delta.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record[key] = "changed" if isinstance(record[key], str) else []
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"delta\.json"):
        load_delta(tmp_path / "delta")


@pytest.mark.parametrize("text", ["", "{}", "[]", "{"])
def test_a_record_that_is_none_is_refused(loaded: Any, tmp_path: Path, text: str) -> None:
    build(loaded.model).save(tmp_path / "delta")
    (tmp_path / "delta" / "delta.json").write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match="unreadable"):
        load_delta(tmp_path / "delta")


def test_missing_numbers_are_refused(loaded: Any, tmp_path: Path) -> None:
    build(loaded.model).save(tmp_path / "delta")
    (tmp_path / "delta" / "delta.safetensors").unlink()
    with pytest.raises(IntegrityError, match="unreadable"):
        load_delta(tmp_path / "delta")


def test_a_thousand_facts_are_put_on_in_seconds() -> None:
    from time import process_time

    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(256, 1000, generator=generator), torch.randn(1000, 1024, generator=generator)
    change = LayerDelta("w", False, left, right, torch.zeros(0, 0, dtype=torch.float64))
    start = process_time()
    new = change.added_to(torch.zeros(256, 1024))
    assert process_time() - start < 10
    torch.testing.assert_close(new, left @ right, rtol=1e-3, atol=1e-2)


def test_shortened_targets_are_those_of_the_same_problem(loaded: Any) -> None:
    delta = build(loaded.model)
    assert delta.shortened({}).digest == delta.digest
    shorter = delta.shortened({"b": 0.5})
    for new, old in zip(shorter.layers, delta.layers, strict=True):
        assert torch.equal(new.left[:, 1], old.left[:, 1] / 2)
        assert torch.equal(new.left[:, [0, 2]], old.left[:, [0, 2]])
        assert torch.equal(new.right, old.right)
        assert torch.equal(new.gram, old.gram)
    assert shorter.digest != delta.digest
    assert shorter.without({"b"}).digest == delta.without({"b"}).digest
    assert shorter.without({"a"}).digest == delta.without({"a"}).shortened({"b": 0.5}).digest
    assert shorter.contexts == delta.contexts
    assert [effect.shift for effect in shorter.effects] == [0.5, 0.25, 0.5]
    words = [effect.explanation for effect in shorter.effects]
    assert words == ["by hand", "by hand; cut to 0.50 of its length", "by hand"]


def test_facts_of_one_column_are_shortened_to_the_longest_of_their_shares(loaded: Any) -> None:
    delta = replace(build(loaded.model), columns=(("a", "b"), ("c",), ("d",)))
    assert delta.shortened({"a": 0.25, "b": 0.5}).digest == delta.shortened({"a": 0.5, "b": 0.5}).digest
    assert delta.shortened({"a": 0.25}).digest == delta.digest, "b is not named, so that it keeps all"


def test_a_shortened_delta_comes_back_from_disk(loaded: Any, tmp_path: Path) -> None:
    shorter = build(loaded.model).shortened({"a": 0.7, "c": 0.3})
    shorter.save(tmp_path / "delta")
    assert load_delta(tmp_path / "delta").digest == shorter.digest
