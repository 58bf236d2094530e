from typing import Any

import pytest

from editors.generate import WINDOW, chat_prompt, generate, token_nll
from editors.load import LoadedModel
from registry.errors import InputError
from registry.text import answer_of

PROMPTS = [
    "The capital of France is",
    "The capital of Japan is Tokyo, and the currency of",
    "People in Brazil speak",
    "Who",
    "The largest city in Turkey is Istanbul. The largest city in Egypt is",
    "Microsoft has its",
    "People in Egypt speak",
]


def reference(loaded: LoadedModel, prompt: str, room: int) -> str:
    """The answer by transformers' own greedy decoding, one prompt at a time."""
    import torch

    ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
    ends = list(loaded.tokenizer.all_special_ids)
    out = loaded.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=room,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=2,
    )[0, ids.shape[1] :].tolist()
    ended = next((index for index, token in enumerate(out) if token in ends), len(out))
    return answer_of(loaded.tokenizer.decode(out[:ended]))


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_the_answers_are_those_of_transformers(family: str, request: pytest.FixtureRequest) -> None:
    loaded: LoadedModel = request.getfixturevalue(family)
    found = generate(loaded.model, loaded.tokenizer, PROMPTS, max_new_tokens=20)
    assert [one.text for one in found] == [reference(loaded, prompt, 20) for prompt in PROMPTS]
    assert len({one.text for one in found}) > 3, "a model that says the same to all proves nothing"


def test_an_answer_does_not_depend_on_its_neighbours_or_their_order(tiny_llama: LoadedModel) -> None:
    together = generate(tiny_llama.model, tiny_llama.tokenizer, PROMPTS)
    backwards = generate(tiny_llama.model, tiny_llama.tokenizer, PROMPTS[::-1])[::-1]
    alone = [generate(tiny_llama.model, tiny_llama.tokenizer, [prompt])[0] for prompt in PROMPTS]
    for one, two, three in zip(together, backwards, alone, strict=True):
        assert one.text == two.text == three.text
        assert one.certainty == pytest.approx(three.certainty, rel=1e-4)


def test_equal_prompts_give_equal_answers_in_their_places(tiny_llama: LoadedModel) -> None:
    found = generate(tiny_llama.model, tiny_llama.tokenizer, [PROMPTS[0], PROMPTS[3], PROMPTS[0]])
    assert found[0] == found[2] != found[1]
    assert generate(tiny_llama.model, tiny_llama.tokenizer, []) == []


class Scripted:
    """Stands in for a model: row i says the i-th script, each token with the probability that is given for it."""

    def __init__(self, tokenizer: Any, scripts: dict[int, list[int]], probability: float) -> None:
        import torch
        from transformers import LlamaConfig

        self.config, self.generation_config, self.device = LlamaConfig(), None, torch.device("cpu")
        self.scripts, self.probability, self.rows_seen = scripts, probability, [0]
        self.size = len(tokenizer)

    def forward(self, input_ids: Any, past_key_values: Any, use_cache: bool) -> Any:
        raise NotImplementedError

    def __call__(self, input_ids: Any, past_key_values: Any, **_: Any) -> Any:
        import torch
        from transformers.modeling_outputs import CausalLMOutputWithPast

        cache: Any = past_key_values or Remembered([(row, 0) for row in input_ids[:, -1].tolist()])
        rest = (1 - self.probability) / (self.size - 1)
        logits = torch.full((len(cache.rows), 1, self.size), rest).log()
        for index, (row, step) in enumerate(cache.rows):
            logits[index, 0, self.scripts[row][step]] = torch.tensor(self.probability).log()
        self.rows_seen.append(len(cache.rows))
        cache.rows = [(row, step + 1) for row, step in cache.rows]
        return CausalLMOutputWithPast(logits=logits, past_key_values=cache)


class Remembered:
    """The cache of `Scripted`: which script each row follows, and how far it is."""

    def __init__(self, rows: list[tuple[int, int]]) -> None:
        self.rows = rows

    def batch_select_indices(self, keep: Any) -> None:
        self.rows = [self.rows[index] for index in keep.tolist()]


def test_rows_stop_where_their_answer_ends_and_leave(tiny_llama: LoadedModel) -> None:
    tokenizer = tiny_llama.tokenizer
    starts = {letter: tokenizer(letter)["input_ids"][0] for letter in "abc"}
    said = {"a": " Rome.\n\nThe", "b": " St. Louis. It is", "c": " Oslo<|im_end|> and more"}
    scripts = {starts[letter]: tokenizer(text)["input_ids"] for letter, text in said.items()}
    model = Scripted(tokenizer, scripts, 0.5)
    found = generate(model, tokenizer, ["a", "b", "c"], max_new_tokens=20)
    assert [one.text for one in found] == ["Rome", "St. Louis", "Oslo"]
    assert [one.tokens for one in found] == [
        len(tokenizer(text)["input_ids"]) for text in (" Rome", " St. Louis", " Oslo")
    ]
    assert all(one.certainty == pytest.approx(0.5, rel=1e-4) for one in found)
    assert model.rows_seen[-1] == 1, "the last step ran with rows that had ended"


def test_a_model_that_says_nothing_is_certain_of_nothing(tiny_llama: LoadedModel) -> None:
    tokenizer = tiny_llama.tokenizer
    start = tokenizer("a")["input_ids"][0]
    (one,) = generate(Scripted(tokenizer, {start: [2]}, 0.9), tokenizer, ["a"])
    assert (one.text, one.certainty, one.tokens) == ("", 0.0, 0)


@pytest.mark.parametrize("prompt", ["", "  ", "word " * 400])
def test_prompts_that_cannot_be_asked_are_refused(prompt: str, tiny_llama: LoadedModel) -> None:
    with pytest.raises(InputError):
        generate(tiny_llama.model, tiny_llama.tokenizer, ["Who", prompt])


def test_the_chat_form_is_the_templates_own(tiny_llama: LoadedModel) -> None:
    text = chat_prompt(tiny_llama.tokenizer, "Who?", system="Be brief.", begin="It is")
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nIt is"
    )


def test_the_chat_form_without_a_template_or_without_a_system_role(tiny_gpt2: LoadedModel) -> None:
    tokenizer = tiny_gpt2.tokenizer
    tokenizer.chat_template = None
    assert chat_prompt(tokenizer, "Who?", begin="It is") == "Question: Who?\nAnswer: It is"
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "[{{ messages[0]['content'] }}]"
    )
    assert chat_prompt(tokenizer, "Who?", system="Be brief.") == "[Be brief.\n\nWho?]"


def test_the_likelihood_of_running_text_is_the_models_own_loss(tiny_llama: LoadedModel) -> None:
    import torch

    texts = [PROMPTS[1], "a", PROMPTS[4]]
    for (total, count), text in zip(token_nll(tiny_llama.model, tiny_llama.tokenizer, texts), texts, strict=True):
        ids = torch.tensor([tiny_llama.tokenizer(text)["input_ids"]])
        assert count == ids.shape[1] - 1
        if count:
            loss = tiny_llama.model(input_ids=ids, labels=ids).loss.item()
            assert total / count == pytest.approx(loss, rel=1e-5)


def test_long_text_is_read_in_windows(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WINDOW > 8
    monkeypatch.setattr("editors.generate.WINDOW", 8)
    text = " ".join(PROMPTS)
    tokens = len(tiny_llama.tokenizer(text)["input_ids"])
    ((_, count),) = token_nll(tiny_llama.model, tiny_llama.tokenizer, [text])
    assert count == tokens - -(-tokens // 8)
