"""The watch: what a hook decides at the prompt is there for the same sequence in every later step."""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from editors.generate import generate
from editors.sequences import Watch, unrouted
from registry.errors import EditError

PROMPTS = ("The capital of France", "The capital of Italy", "People in Brazil", "The largest city in Turkey")


class Recorder:
    """Marks every sequence at its prompt with the sum of its real token ids, and notes what each call carries."""

    def __init__(self, model: Any) -> None:
        self.watch = Watch.on(model)
        self.calls: list[tuple[bool, bool, list[int]]] = []
        block = model.get_submodule("model.layers.1" if model.config.model_type == "llama" else "transformer.h.1")
        self.handle = block.register_forward_hook(self.hook)

    def hook(self, *_: Any) -> None:
        call = self.watch.call
        if call is None or not call.routed:
            self.calls.append((False, False, []))
            return
        if call.prefill:
            assert call.ids is not None
            call.state["mark"] = (call.ids * (1 if call.real is None else call.real)).sum(dim=1)
        self.calls.append((True, call.prefill, call.state["mark"].tolist()))

    def close(self) -> None:
        self.handle.remove()
        self.watch.release()


@contextmanager
def recorded(model: Any) -> Iterator[Recorder]:
    recorder = Recorder(model)
    try:
        yield recorder
    finally:
        recorder.close()
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def marks(loaded: Any, prompts: Any = PROMPTS) -> list[int]:
    return [sum(loaded.tokenizer(prompt)["input_ids"]) for prompt in prompts]


def padded(loaded: Any, side: str, prompts: Any = PROMPTS) -> dict[str, Tensor]:
    """A batch whose padding is not token 0, so that only the mask tells it apart."""
    loaded.tokenizer.padding_side = side
    return dict(loaded.tokenizer(list(prompts), return_tensors="pt", padding=True))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_a_call_without_cache_is_a_prompt(family: str, side: str, request: pytest.FixtureRequest) -> None:
    loaded = request.getfixturevalue(family)
    with recorded(loaded.model) as seen:
        loaded.model(**padded(loaded, side), use_cache=False)
    assert seen.calls == [(True, True, marks(loaded))]


@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}, {"do_sample": True, "top_k": 5}])
@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_generate_carries_the_mark_through_every_step(
    family: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    loaded = request.getfixturevalue(family)
    with recorded(loaded.model) as seen:
        loaded.model.generate(**padded(loaded, "left"), max_new_tokens=5, min_new_tokens=5, **options)
    assert [prefill for _, prefill, _ in seen.calls] == [True, False, False, False, False]
    assert all(values == marks(loaded) for _, _, values in seen.calls)


def test_beams_take_their_marks_along(tiny_llama: Any) -> None:
    with recorded(tiny_llama.model) as seen:
        tiny_llama.model.generate(**padded(tiny_llama, "left"), num_beams=3, max_new_tokens=5, min_new_tokens=5)
    expected = [mark for mark in marks(tiny_llama) for _ in range(3)]
    assert all(values == expected for _, _, values in seen.calls)


def test_rows_that_leave_or_move_take_their_marks_along(tiny_llama: Any) -> None:
    model, given = tiny_llama.model, padded(tiny_llama, "left")
    with recorded(model) as seen:
        cache = model(**given, use_cache=True).past_key_values
        cache.reorder_cache(torch.tensor([2, 0, 3, 1]))
        cache.batch_select_indices(torch.tensor([0, 3]))
        cache.batch_repeat_interleave(2)
        twin = copy.deepcopy(cache)
        step = torch.full((4, 1), 7)
        model(step, past_key_values=cache)
        cache.batch_select_indices(torch.tensor([3]))
        model(step[:1], past_key_values=cache)
        model(step, past_key_values=twin)
    first, last = marks(tiny_llama)[2], marks(tiny_llama)[1]
    assert [values for _, _, values in seen.calls[1:]] == [
        [first, first, last, last],
        [last],
        [first, first, last, last],
    ]


def test_rows_moved_by_hand_are_refused_where_their_number_shows_it(tiny_llama: Any) -> None:
    model = tiny_llama.model
    with recorded(model):
        cache = model(**padded(tiny_llama, "left"), use_cache=True).past_key_values
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[:2], layer.values[:2]
        with pytest.raises(EditError, match="batch_select_indices"):
            model(torch.full((2, 1), 7), past_key_values=cache)
        assert Watch.of(model).call is None  # type: ignore[union-attr]


def test_our_own_generation_drops_rows_and_keeps_marks(tiny_llama: Any) -> None:
    prompts = [f"The capital of {name}" for name in ("France", "Italy", "Japan", "Spain", "Egypt")]
    with recorded(tiny_llama.model) as seen:
        generate(tiny_llama.model, tiny_llama.tokenizer, prompts, max_new_tokens=8, enough=lambda p, t: "Italy" in p)
    assert all(routed and set(values) <= set(marks(tiny_llama, prompts)) for routed, _, values in seen.calls)
    gone = marks(tiny_llama, ["The capital of Italy"])[0]
    assert any(gone in values for _, prefill, values in seen.calls if prefill)
    assert not any(gone in values for _, prefill, values in seen.calls if not prefill)


def test_a_cache_from_before_the_watch_packed_rows_and_unrouted_calls_are_left_alone(tiny_llama: Any) -> None:
    model, given = tiny_llama.model, padded(tiny_llama, "left")
    old = model(**given, use_cache=True).past_key_values
    with recorded(model) as seen:
        model(torch.full((4, 1), 7), past_key_values=old)
        mask = torch.zeros(4, 1, *[given["input_ids"].shape[1]] * 2)
        model(given["input_ids"], attention_mask=mask)
        with unrouted(model):
            model(**given)
        assert [routed for routed, _, _ in seen.calls] == [False, False, False]
        model(**given)
    assert seen.calls[-1][0]


def test_a_cache_that_is_emptied_begins_anew(tiny_llama: Any) -> None:
    model, cache = tiny_llama.model, DynamicCache(config=tiny_llama.model.config)
    with recorded(model) as seen:
        model(torch.tensor([[5, 6]]), past_key_values=cache)
        cache.crop(-2)
        model(torch.tensor([[7, 8]]), past_key_values=cache)
    assert [(prefill, values) for _, prefill, values in seen.calls] == [(True, [11]), (True, [15])]


def test_threads_see_their_own_calls_only(tiny_llama: Any) -> None:
    model = tiny_llama.model
    wrong: list[int] = []
    with recorded(model) as seen:

        def work(token: int) -> None:
            for _ in range(10):
                cache = model(torch.tensor([[token, token]]), use_cache=True).past_key_values
                found = cache.layers[0].row_state["mark"].tolist()
                wrong.extend(mark for mark in found if mark != 2 * token)

        threads = [threading.Thread(target=work, args=(token,)) for token in (5, 6, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(seen.calls) == 30


def test_users_share_one_watch_and_an_exception_leaves_nothing_behind(tiny_llama: Any) -> None:
    first, second = Watch.on(tiny_llama.model), Watch.on(tiny_llama.model)
    assert first is second
    with pytest.raises(IndexError):
        tiny_llama.model(torch.tensor([[10_000]]))
    assert first.call is None
    first.release()
    assert Watch.of(tiny_llama.model) is second
    second.release()
    assert Watch.of(tiny_llama.model) is None
