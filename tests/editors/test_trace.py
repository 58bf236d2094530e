from typing import Any

import pytest
import torch

from editors.layouts import layout_of
from editors.trace import evaluating, in_place_of_forward, inputs_of, record_blocks, replaced

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
FAMILIES = ("tiny_llama", "tiny_gpt2")


def hooks(model: Any) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("fixture", FAMILIES)
def test_inputs_are_recorded_and_the_pass_ends_there(fixture: str, request: pytest.FixtureRequest) -> None:
    model: Any = request.getfixturevalue(fixture).model
    layout = layout_of(model)
    ran: list[int] = []
    watch = layout.block_list(model)[3].register_forward_pre_hook(lambda module, args: ran.append(1))
    with inputs_of({i: layout.down_module(model, i) for i in (0, 1)}) as seen:
        model(input_ids=IDS)
    assert sorted(seen) == [0, 1]
    assert seen[0].shape[:2] == IDS.shape
    assert not ran
    model(input_ids=IDS)
    assert ran
    watch.remove()
    assert hooks(model) == 0


def test_hooks_come_off_after_an_error(tiny_llama: Any) -> None:
    module = layout_of(tiny_llama.model).down_module(tiny_llama.model, 0)

    def fail() -> None:
        assert hooks(tiny_llama.model) == 1
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), inputs_of({0: module}):
        fail()
    assert hooks(tiny_llama.model) == 0


@pytest.mark.parametrize("fixture", FAMILIES)
def test_recorded_blocks_run_again_give_the_models_own_output(fixture: str, request: pytest.FixtureRequest) -> None:
    model: Any = request.getfixturevalue(fixture).model
    layout = layout_of(model)
    blocks = layout.block_list(model)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "use_cache": False}
    calls = record_blocks(model, blocks, 1, len(blocks) - 1, inputs)
    final = calls.run(calls.hidden, 1, len(blocks))
    assert torch.equal(layout.logits(model, final), model(input_ids=IDS).logits)
    one = calls.select(torch.tensor([1]))
    torch.testing.assert_close(one.run(one.hidden, 1, len(blocks)), final[1:])
    assert hooks(model) == 0


@pytest.mark.parametrize("fixture", FAMILIES)
def test_of_recorded_blocks_only_the_first_is_computed(fixture: str, request: pytest.FixtureRequest) -> None:
    model: Any = request.getfixturevalue(fixture).model
    layout = layout_of(model)
    blocks = layout.block_list(model)
    computed: list[int] = []
    watches = [
        layout.down_module(model, number).register_forward_hook(lambda *_, number=number: computed.append(number))
        for number in range(len(blocks))
    ]
    record_blocks(model, blocks, 1, len(blocks) - 1, {"input_ids": IDS, "use_cache": False})
    assert computed == [0, 1]
    assert not any("forward" in vars(block) for block in blocks)
    model(input_ids=IDS)
    assert computed == [0, 1, *range(len(blocks))]
    for watch in watches:
        watch.remove()


def test_another_threads_forward_is_the_modules_own(tiny_llama: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    module: Any = layout_of(tiny_llama.model).down_module(tiny_llama.model, 0)
    value = torch.ones(1, module.in_features)
    own = module(value)
    with in_place_of_forward([module], lambda forward: lambda given: forward(given) + 1), ThreadPoolExecutor(1) as pool:
        assert torch.equal(module(value), own + 1)
        assert torch.equal(pool.submit(module, value).result(), own)
    assert torch.equal(module(value), own)


def test_evaluating_restores_every_modules_mode(tiny_gpt2: Any) -> None:
    model = tiny_gpt2.model
    model.transformer.h[1].train()
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    assert any(before)
    model.eval()


def test_a_replaced_parameter_comes_back_after_an_error(tiny_llama: Any) -> None:
    name = layout_of(tiny_llama.model).down_name(0)
    original = tiny_llama.model.get_parameter(name).detach().clone()

    def fail() -> None:
        assert not torch.equal(tiny_llama.model.get_parameter(name), original)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), replaced(tiny_llama.model, name, original + 1):
        fail()
    assert torch.equal(tiny_llama.model.get_parameter(name), original)
