"""Side memories: who serves a sequence is decided once, per sequence, and main-memory rows keep their bits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from editors.base import taken_out
from editors.generate import generate
from editors.grace.config import GraceConfig
from editors.grace.editor import GraceEditor
from editors.layouts import layout_of
from editors.load import LoadedModel
from editors.sequences import Watch, unrouted
from editors.side import MAIN, Keys, SideMemory, Station
from editors.targets import TargetConfig
from editors.wise.config import WiseConfig
from editors.wise.editor import WiseEditor
from registry.records import EditRequest, Fact

LAYER = 1
TARGETS = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9)
FITS: dict[str, Any] = {
    "wise": lambda: (
        WiseEditor(),
        WiseConfig(layers=(LAYER,), mask=1.0, threshold=0.65, context=0.1, others=8, targets=TARGETS),
    ),
    "grace": lambda: (GraceEditor(), GraceConfig(layers=(LAYER,), targets=TARGETS)),
}
OTHERS = ("Nokia has its headquarters", "People in Brazil speak", "The largest city in Turkey is")


@dataclass(frozen=True, eq=False)
class Toy(SideMemory):
    """Claims a sequence by the sign of its first real key, and adds a constant."""

    score: float
    step: float
    above: float = 0.0
    behind: bool = False

    @classmethod
    def scores(cls, memories: Sequence[Self], keys: Keys) -> Tensor:
        first = keys.values[torch.arange(len(keys.real)), keys.real.int().argmax(dim=1), 0]
        return torch.stack([torch.where(first > m.above, m.score, 0.0) for m in memories], dim=1)

    def change(self, keys: Keys, output: Tensor) -> Tensor:
        return torch.full_like(output, self.step)


@dataclass(frozen=True, eq=False)
class Long(Toy):
    """Claims sequences of more than `above` real tokens in one piece."""

    @classmethod
    def scores(cls, memories: Sequence[Self], keys: Keys) -> Tensor:
        count = keys.real.sum(dim=1)
        return torch.stack([torch.where(count > m.above, m.score, 0.0) for m in memories], dim=1)


def ask(subject: str, value: str, words: str = "capital") -> EditRequest:
    return EditRequest(Fact(subject, words, value), "ADD", f"The {words} of {subject}", (value,))


def asks() -> list[EditRequest]:
    return [ask("New Zealand", "Rome"), ask("Chad", "Tokyo"), ask("Burkina Faso", "Paris")]


def route(model: Any, cache: Any) -> list[int]:
    found: list[int] = cache.layers[0].row_state[layout_of(model).down_name(LAYER)].tolist()
    return found


def ids(loaded: Any, prompts: Sequence[str], side: str = "left") -> dict[str, Tensor]:
    loaded.tokenizer.padding_side = side
    return dict(loaded.tokenizer(list(prompts), return_tensors="pt", padding=True))


def alone(loaded: Any, prompts: Sequence[str], tokens: int = 6) -> list[list[int]]:
    """What each prompt is continued with, asked by itself, without a cache: every step is a prompt of its own."""
    said = []
    for prompt in prompts:
        given = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"]
        out = loaded.model.generate(given, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        said.append(out[0, given.shape[1] :].tolist())
    return said


@pytest.fixture(params=["wise", "grace"])
def edited(request: pytest.FixtureRequest, tiny_llama: Any) -> Iterator[Any]:
    """The tiny model with three facts switched on by three fits, one after another."""
    editor, config = FITS[request.param]()
    with ExitStack() as stack:
        for one in asks():
            delta = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [one], config)
            assert [effect.state for effect in delta.effects] == ["written"]
            stack.enter_context(delta.applied(tiny_llama.model))
        yield tiny_llama
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in tiny_llama.model.modules())


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}, {"use_cache": False}])
def test_mixed_batches_are_answered_as_each_prompt_alone(edited: Any, options: dict[str, Any]) -> None:
    prompts = [asks()[0].prompt, OTHERS[0], asks()[1].prompt, OTHERS[1], asks()[2].prompt, OTHERS[2]]
    given = ids(edited, prompts)
    length = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    with torch.no_grad():
        out = edited.model.generate(**given, **length, **options)
        singles = [edited.model.generate(**ids(edited, [prompt]), **length, **options) for prompt in prompts]
    together = out[:, given["input_ids"].shape[1] :].tolist()
    assert together == [single[0, -6:].tolist() for single in singles]
    if "num_beams" not in options and options.get("use_cache", True):
        firsts = [edited.tokenizer.decode([row[0]]) for row in together]
        assert firsts[::2] == [one.target for one in asks()]


def test_prompts_without_an_edit_keep_every_bit(edited: Any) -> None:
    prompts = [asks()[0].prompt, *OTHERS]
    for side in ("left", "right"):
        given = ids(edited, prompts, side)
        out = edited.model(**given, use_cache=True)
        with unrouted(edited.model):
            off = edited.model(**given).logits
        routes = torch.tensor(route(edited.model, out.past_key_values))
        assert routes[0] == 0
        assert int((routes == MAIN).sum()) >= 2
        for row, serial in enumerate(routes.tolist()):
            assert torch.equal(out.logits[row], off[row]) == (serial == MAIN)


def test_our_generation_drops_rows_and_still_answers_each_as_alone(edited: Any) -> None:
    prompts = [asks()[1].prompt, "The capital of Rome", "The capital of Oman"]
    assert len({len(edited.tokenizer(prompt)["input_ids"]) for prompt in prompts}) < len(prompts), "some run together"

    def answers(asked: list[str]) -> list[Any]:
        return generate(edited.model, edited.tokenizer, asked, enough=lambda prompt, said: prompt == prompts[1])

    together, single = answers(prompts), [answers([prompt])[0] for prompt in prompts]
    assert [one.text for one in together] == [one.text for one in single]


def test_the_choice_is_held_while_decoding(edited: Any) -> None:
    """A decoding step by itself, taken for a prompt, would be served by the main memory."""
    given = ids(edited, [asks()[0].prompt])
    cache = edited.model(**given, use_cache=True).past_key_values
    assert route(edited.model, cache) == [0]
    edited.model(torch.tensor([[7]]), past_key_values=cache)
    assert route(edited.model, cache) == [0]
    assert route(edited.model, edited.model(torch.tensor([[7]]), use_cache=True).past_key_values) == [-1]


def test_the_best_score_serves_and_of_near_ones_the_latest(tiny_llama: Any) -> None:
    model, everything = tiny_llama.model, -1e9
    for scores, expected in [((3.0, 2.0), 0), ((2.0, 3.0), 1), ((2.0, 2.0), 1), ((2.1, 2.0), 1), ((0.9, 1.0), -1)]:
        undo = Station.add(model, LAYER, [Toy(score, 0.1, everything) for score in scores])
        assert route(model, model(torch.tensor([[5, 6]]), use_cache=True).past_key_values) == [expected]
        undo()


def test_what_is_added_is_added_to_the_served_rows_alone(tiny_llama: Any) -> None:
    model, layout = tiny_llama.model, layout_of(tiny_llama.model)
    given = torch.tensor([[token, 9] for token in range(5, 25)])
    module = layout.down_module(model, LAYER)
    seen: list[tuple[Tensor, Tensor]] = []

    def look(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((args[0], output))

    with ExitStack() as stack:
        stack.callback(module.register_forward_hook(look).remove)
        model(given)
    with ExitStack() as stack:
        stack.callback(Station.add(model, LAYER, [Toy(2.0, 0.25)]))
        stack.callback(module.register_forward_hook(look).remove)  # the later hook: it sees what the station made of it
        model(given)
    (keys, plain), (_, changed) = seen
    served = keys[:, 0, 0] > 0
    assert 0 < int(served.sum()) < len(served)
    assert torch.equal(changed, plain + 0.25 * served[:, None, None])


def streams(model: Any, given: Tensor) -> Tensor:
    """What leaves the block of the station."""
    with torch.no_grad():
        found: Tensor = model(given, output_hidden_states=True).hidden_states[LAYER + 1]
    return found


@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text", "olmo2"])
def test_behind_a_norm_a_memory_moves_the_stream_by_what_it_adds(
    kind: str, tiny_family: Callable[[str], LoadedModel]
) -> None:
    loaded = tiny_family(kind)
    given = torch.tensor([[token, 9] for token in range(5, 25)])
    plain = streams(loaded.model, given)
    moved = {}
    for behind in (True, False):
        undo = Station.add(loaded.model, LAYER, [Toy(2.0, 7.0, behind=behind)])
        moved[behind] = streams(loaded.model, given) - plain
        undo()
    served = moved[True].abs().amax((1, 2)) > 0
    assert 0 < int(served.sum()) < len(served)
    assert torch.allclose(moved[True][served], torch.tensor(7.0), atol=1e-4)
    assert not moved[False][~served].any()
    assert float((moved[False][served] - 7).abs().max()) > 1, "the norm lets no constant through as it is"
    layout = layout_of(loaded.model)
    norm: Any = layout.post_norm(loaded.model, LAYER)
    assert not norm._forward_hooks
    assert not layout.down_module(loaded.model, LAYER)._forward_hooks


@pytest.mark.parametrize("capacity", [1, 2])
def test_wise_is_not_bounded_by_a_norm_and_older_deltas_lie_before_it(
    capacity: int, tiny_family: Callable[[str], LoadedModel]
) -> None:
    loaded = tiny_family("gemma3_text")
    editor, config = FITS["wise"]()
    delta = editor.fit(loaded.model, loaded.tokenizer, asks(), replace(config, capacity=capacity))
    assert delta.record["behind"] is True
    assert {memory.behind for memory in delta.memories(loaded.model)} == {True}
    older = replace(delta, record={name: value for name, value in delta.record.items() if name != "behind"})
    assert {memory.behind for memory in older.memories(loaded.model)} == {False}
    given = loaded.tokenizer(asks()[0].prompt, return_tensors="pt")["input_ids"]
    said = []
    for one in (delta, older):
        with one.applied(loaded.model):
            said.append(loaded.model(given).logits)
    assert not torch.allclose(said[0], said[1], atol=1e-2)


def test_where_no_norm_follows_the_mlp_a_delta_says_nothing_of_one(tiny_llama: Any) -> None:
    editor, config = FITS["wise"]()
    assert "behind" not in editor.fit(tiny_llama.model, tiny_llama.tokenizer, asks()[:1], config).record


def test_a_later_piece_of_a_prompt_can_raise_the_score_only(tiny_llama: Any) -> None:
    model = tiny_llama.model
    undo = Station.add(model, LAYER, [Long(2.0, 0.1, 3.0)])
    cache = model(torch.tensor([[5, 6]]), use_cache=True).past_key_values
    assert route(model, cache) == [-1]
    model(torch.tensor([[5, 6, 7, 8]]), past_key_values=cache)
    assert route(model, cache) == [0]
    model(torch.tensor([[5, 6]]), past_key_values=cache)
    assert route(model, cache) == [0]
    undo()


def test_a_memory_that_is_gone_leaves_its_sequences_to_the_main_memory(tiny_llama: Any) -> None:
    model, step = tiny_llama.model, torch.tensor([[7]])
    undo = Station.add(model, LAYER, [Toy(2.0, 5.0, -1e9)])
    stay = Station.add(model, LAYER, [Toy(1.5, 5.0, -1e9)])
    cache = model(torch.tensor([[5, 6]]), use_cache=True).past_key_values
    served = model(step, past_key_values=cache).logits
    undo()
    cache.crop(-1)
    with_other = model(step, past_key_values=cache).logits
    cache.crop(-1)
    stay()
    assert torch.equal(model(step, past_key_values=cache).logits, with_other)
    assert not torch.equal(served, with_other)
    assert Watch.of(model) is None


def test_two_models_do_not_share_a_station(tiny_llama: Any, tiny_gpt2: Any) -> None:
    undo = Station.add(tiny_llama.model, LAYER, [Toy(2.0, 0.1)])
    assert Station.of(layout_of(tiny_gpt2.model).down_module(tiny_gpt2.model, LAYER)) is None
    undo()


def test_a_fact_that_is_written_again_is_answered_by_the_latest(tiny_llama: Any) -> None:
    for name in FITS:
        editor, config = FITS[name]()
        first = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [ask("Chad", "Tokyo")], config)
        with first.applied(tiny_llama.model):
            second = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [ask("Chad", "Paris")], config)
            with second.applied(tiny_llama.model):
                assert tiny_llama.tokenizer.decode(alone(tiny_llama, ["The capital of Chad"])[0][:1]) == " Paris", name
            assert tiny_llama.tokenizer.decode(alone(tiny_llama, ["The capital of Chad"])[0][:1]) == " Tokyo", name


def test_without_equals_a_fit_that_never_had_it_bit_for_bit(tiny_llama: Any) -> None:
    for name in FITS:
        editor, config = FITS[name]()
        whole = editor.fit(tiny_llama.model, tiny_llama.tokenizer, asks(), config)
        never = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [asks()[0], asks()[2]], config)
        assert whole.without([asks()[1].fact.id]).digest == never.digest != whole.digest, name


def test_effects_of_what_was_taken_out(tiny_llama: Any) -> None:
    editor, config = FITS["grace"]()
    delta = editor.fit(tiny_llama.model, tiny_llama.tokenizer, asks()[:2], replace(config))
    states = [effect.state for effect in taken_out(delta.effects, {asks()[0].fact.id})]
    assert states == ["no_effect", "written"]
