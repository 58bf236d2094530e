import math
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.generate import chat_prompt, generate
from editors.load import LoadedModel
from editors.pieces import TURN, Pieces
from editors.serac.calibrate import Case, Phrasing, cases, cautious, fitted, odds, scores
from editors.serac.config import SeracConfig
from editors.serac.editor import SeracEditor
from editors.serac.embed import embedder
from editors.serac.overlay import Overlay
from editors.serac.request import about
from editors.serac.solve import (
    Weights,
    Whitening,
    after,
    agreement,
    contrast,
    likeliest,
    likeness,
    pointer_bias,
    rarity,
    through,
)
from editors.serac.text import asked, begun, is_filler, mentions, negated
from registry.errors import EditError
from registry.records import EditRequest, Fact

PROMPT = "The capital of {} is the city of"


def request(subject: str, value: str, prompt: str = PROMPT, relation: str = "capital", **more: Any) -> EditRequest:
    return EditRequest(Fact(subject, relation, value), "UPDATE", prompt.format(subject), (value,), **more)


def fit(loaded: LoadedModel, *requests: EditRequest, **numbers: Any) -> Any:
    return SeracEditor().fit(loaded.model, loaded.tokenizer, requests, SeracConfig(**numbers))


@pytest.fixture(scope="module")
def both(tiny_llama: LoadedModel) -> Any:
    return fit(tiny_llama, request("Chad", "New Tokyo"), request("Peru", "Paris"))


def tokens(loaded: LoadedModel, text: str) -> list[int]:
    found: list[int] = loaded.tokenizer(text)["input_ids"]
    return found


def logits(loaded: LoadedModel, text: str, **more: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = loaded.model(torch.tensor([tokens(loaded, text)]), **more).logits[0]
    return found


def object_share(loaded: LoadedModel, prompt: str, value: str) -> float:
    """Least teacher-forced probability among the tokens of `value` after `prompt`."""
    given, full = tokens(loaded, prompt), tokens(loaded, prompt + value)
    p = logits(loaded, prompt + value).softmax(-1)
    return min(float(p[at - 1, full[at]]) for at in range(len(given), len(full)))


def padded(loaded: LoadedModel, prompts: Sequence[str], side: str) -> Any:
    loaded.tokenizer.padding_side = side
    return loaded.tokenizer(list(prompts), return_tensors="pt", padding=True)


# ---- equations


def test_the_pointer_is_the_mixture_of_pointer_networks() -> None:
    wide = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    chosen, q = torch.tensor([3, 41]), 0.97
    p = wide.softmax(-1)
    pointer = torch.zeros_like(p)
    pointer[chosen] = p[chosen] / p[chosen].sum()
    moved = wide.clone()
    moved[chosen] += pointer_bias(wide, chosen, q)
    assert (moved.softmax(-1) - ((1 - q) * p + q * pointer)).abs().max() < 1e-10
    assert (moved.softmax(-1) - ((1 - 0.9) * p + 0.9 * pointer)).abs().max() > 1e-3


def test_likeness_looks_for_each_words_best_match() -> None:
    one, other = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[[2, 0]]
    heavy, flat = torch.tensor([1.0, 8.0, 1.0], dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    others, owner = torch.cat([other, one]), torch.tensor([0, 0, 1, 1, 1])
    weights = torch.cat([flat[:2], heavy])
    expected = torch.tensor([(2 / 3 + 1) / 2, 1.0], dtype=torch.float64)
    assert (likeness(one, flat, others, weights, owner) - expected).abs().max() < 1e-10
    assert float(likeness(one, heavy, others, weights, owner)[0]) == pytest.approx((2 / 10 + 1) / 2, abs=1e-10)
    assert likeness(one[:0], heavy[:0], others, weights, owner).tolist() == [0.0, 0.0]


def test_contrast_needs_two_different_neighbours() -> None:
    capital, city = torch.tensor([0.9, 0.4, 0.1]), torch.tensor([0.5, 0.8, 0.1])
    assert contrast(capital, city) == pytest.approx(0.3)
    assert contrast(capital, capital) == contrast(capital, torch.tensor([0.6, 0.5, 0.0])) == 0.0
    assert contrast(capital[:0], capital[:0]) == 0.0


def test_wordings_without_a_common_word_meet_through_a_relation_that_both_are_like() -> None:
    tongue, speaks, born = torch.tensor([0.7, 0.1, 0.5]), torch.tensor([0.6, 0.2, 0.1]), torch.tensor([0.1, 0.9, 0.2])
    assert through(tongue, speaks) == through(speaks, tongue) == pytest.approx(0.6)
    assert through(tongue, born) == pytest.approx(0.2)
    assert through(tongue[:0], born[:0]) == -1.0


def test_two_ways_of_asking_are_alike_when_they_are_of_one_relation_and_not_in_deltas_of_before(
    tiny_llama: LoadedModel,
) -> None:
    pieces = Pieces.of(tiny_llama.tokenizer)
    now = about(tiny_llama.tokenizer, pieces, SeracConfig())
    before = {name: value for name, value in now.items() if name != "relations"}
    ways = [tuple(one) for one, relation in zip(now["sentences"], now["relations"], strict=True) if relation == 0]
    other = tuple(now["sentences"][-1])

    def compared(of: dict[str, Any], one: tuple[int, ...], two: tuple[int, ...]) -> tuple[float, float]:
        found = embedder(tiny_llama.model, pieces, of)
        try:
            return found.compare(one, two)
        finally:
            found.close()

    alike, contrasted = compared(now, ways[0], ways[2])
    assert alike == pytest.approx(1.0, abs=1e-5)
    assert contrasted == 0.0
    assert compared(now, ways[0], other)[0] < 0.9
    assert compared(now, ways[0], other)[1] > 0.1
    alone, apart = compared(before, ways[0], ways[2])
    assert alone < 0.9
    assert apart > 0.1


def test_whitening_shrinks_directions_by_their_variance() -> None:
    states = torch.randn(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    states = states * torch.tensor([9.0, 3.0, 1.0, 1.0, 0.5, 0.1], dtype=torch.float64) + 5
    centred = states - states.mean(0)
    variance, basis = torch.linalg.eigh(centred.T @ centred / len(states))
    expected = centred @ basis @ torch.diag((variance.mean() / (variance + variance.mean())).sqrt()) @ basis.T
    expected = expected / expected.norm(dim=-1, keepdim=True)
    assert (Whitening.of(states)(states) - expected).abs().max() < 1e-10
    assert (centred / centred.norm(dim=-1, keepdim=True) - expected).abs().max() > 1e-2


def test_the_log_odds_leave_out_an_agreement_that_cannot_be_had() -> None:
    weights = Weights(6.0, 4.0, 0.25, 8.0, 0.1, -2.0)
    assert weights.log_odds(0.5, 0.75, 0.0) == 6 * 0.5 + 4 * 0.5 - 2
    assert weights.log_odds(0.5, None, 0.0) == 1.0
    assert weights.log_odds(0.5, 0.75, 0.125) == 6 * 0.5 - 8 * 0.125 - 2
    assert weights.log_odds(0.5, 0.0, 0.125) == 6 * 0.5 - 4 * 0.25 - 8 * 0.125 - 2
    assert agreement({1: 0.5, 2: 0.5}, {2: 0.5, 1: 0.5}) == pytest.approx(1.0)
    assert agreement({1: 0.5, 2: 0.5}, {3: 1.0}) == 0.0
    assert rarity(0, 100) > rarity(1, 100) > rarity(99, 100) == 0.05
    assert likeliest(torch.tensor([0.0, 3.0, 1.0]), 2).keys() == {1, 2}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((), (0, {5, 9})),
        ((5,), (1, {6})),
        ((1, 5, 6), (2, {7})),
        ((5, 6, 7), (3, set())),
        ((9,), (1, {6})),
        ((6,), (0, {5, 9})),
    ],
)
def test_the_next_token_follows_from_the_tokens_said(said: tuple[int, ...], expected: tuple[int, set[int]]) -> None:
    size, following = after(said, [(5, 6, 7), (9, 6, 7)])
    assert (size, set(following)) == expected


# ---- texts


@pytest.mark.parametrize(
    ("text", "subject", "found"),
    [
        ("The capital of Guinea is", "Guinea", True),
        ("The capital of Papua New Guinea is", "Guinea", False),
        ("The capital of Guinea-Bissau is", "Guinea", False),
        ("Nigeria borders", "Niger", False),
        ("In france, the", "France", True),
        ("Where is France's capital?", "France", True),
        ("The capital of Cote d'Ivoire is", "Côte d’Ivoire", True),  # noqa: RUF001
        ("法国的首都是", "法国", True),
        ("The seat of Hague is", "The Hague", True),
    ],
)
def test_subjects_are_found_as_names(text: str, subject: str, found: bool) -> None:
    assert bool(mentions(text, subject)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The capital of France is", ("The capital of France is", True)),
        ("She smiled. The capital of France is", (" The capital of France is", True)),
        ("What is the capital of France?", ("What is the capital of France", False)),
        ("Question: What is the capital of France?\nAnswer:", ("What is the capital of France", False)),
        (f"{TURN}user\nName the capital of France.{TURN}\n{TURN}assistant\n", ("Name the capital of France", False)),
        (f"{TURN}user\nWhat of France?{TURN}\n{TURN}assistant\nIt is", ("What of France", False)),
        (f"{TURN}user\nWhat of France?{TURN}\n{TURN}assistant\nFrance has", ("France has", True)),
        (f"{TURN}user\nWhat of France?{TURN}\n{TURN}assistant\nLyon", None),
        ("The capital of France is Paris. The capital of Italy is", None),
        ("The capital of France is Paris.", None),
    ],
)
def test_the_sentence_that_asks(text: str, expected: tuple[str, bool] | None) -> None:
    part = asked(text, mentions(text, "France"))
    assert (None if part is None else (text[part.start : part.stop], part.open)) == expected


def test_small_words() -> None:
    assert [negated(text) for text in ("The capital of X isn't", "The capital of Nottingham is")] == [True, False]
    assert [is_filler(text) for text in (" It is the", " It is. The", " Paris")] == [True, False, False]
    assert begun("the city of Ro", "Rome") == 2
    assert begun("the city of metRo", "Rome") == begun("the city of", "Rome") == 0


def test_pieces_spell_what_the_tokenizer_writes(tiny_llama: LoadedModel) -> None:
    pieces = Pieces.of(tiny_llama.tokenizer)
    text = "Zürich, 東京 and São Tomé\nThe capital of France is Paris."
    found, spans = pieces.text(tokens(tiny_llama, text))
    assert found == text
    assert "".join(found[start:stop] for start, stop in spans) == text
    assert Pieces.from_tensor(pieces.to_tensor()).table == pieces.table
    assert pieces.text(tiny_llama.tokenizer.all_special_ids)[0].strip(TURN) == ""


# ---- on a model


def test_a_forward_pass_scores_the_object_at_every_token(tiny_llama: LoadedModel, both: Any) -> None:
    prompt, value = PROMPT.format("Chad"), " New Tokyo"
    assert len(tokens(tiny_llama, value)) > 2
    assert object_share(tiny_llama, prompt, value) < 0.5
    other = logits(tiny_llama, PROMPT.format("Italy"))
    with both.applied(tiny_llama.model):
        assert object_share(tiny_llama, prompt, value) > 0.998
        assert object_share(tiny_llama, PROMPT.format("Italy"), value) < 0.5
        assert torch.equal(logits(tiny_llama, PROMPT.format("Italy")), other)
        ids = torch.tensor([tokens(tiny_llama, prompt + value)])
        labels = ids.clone()
        labels[:, : len(tokens(tiny_llama, prompt))] = -100
        assert float(tiny_llama.model(ids, labels=labels).loss) < 0.002


def test_what_stands_before_the_answer_and_what_follows_it_stays(tiny_llama: LoadedModel, both: Any) -> None:
    text = f"{PROMPT.format('Chad')} New Tokyo, and it is"
    first = len(tokens(tiny_llama, PROMPT.format("Chad"))) - 1
    last = len(tokens(tiny_llama, f"{PROMPT.format('Chad')} New Tokyo")) - 1
    before = logits(tiny_llama, text)
    with both.applied(tiny_llama.model):
        moved = (logits(tiny_llama, text) != before).any(-1)
    assert moved.tolist() == [first <= at <= last for at in range(len(before))]


@pytest.mark.parametrize("keep", [1, 3, torch.tensor([-1])])
def test_some_logits_are_those_of_all(tiny_llama: LoadedModel, both: Any, keep: Any) -> None:
    with both.applied(tiny_llama.model):
        every = logits(tiny_llama, PROMPT.format("Peru"))
        some = logits(tiny_llama, PROMPT.format("Peru"), logits_to_keep=keep)
    assert torch.allclose(some, every[-len(some) :], atol=1e-4)


PROMPTS = [PROMPT.format("Chad"), "Bread is", PROMPT.format("Peru"), "So it goes. " + PROMPT.format("Chad"), "Water"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_mixed_batch_serves_each_row(tiny_llama: LoadedModel, both: Any, side: str) -> None:
    batch = padded(tiny_llama, PROMPTS, side)
    before = tiny_llama.model(**batch).logits
    with both.applied(tiny_llama.model):
        found = tiny_llama.model(**batch).logits
    real = batch["attention_mask"].bool()
    moved = (found != before).any(-1) & real
    last = [int(row.nonzero()[-1]) for row in real]
    assert [row.nonzero().flatten().tolist() for row in moved] == [[last[0]], [], [last[2]], [last[3]], []]


@pytest.mark.parametrize(
    "how",
    [{}, {"use_cache": False}, {"num_beams": 3}, {"do_sample": True, "temperature": 0.7}, {"prefill_chunk_size": 4}],
    ids=lambda how: "-".join(how) or "greedy",
)
def test_generate_says_the_object_and_goes_on(tiny_llama: LoadedModel, both: Any, how: dict[str, Any]) -> None:
    batch = padded(tiny_llama, PROMPTS, "left")
    torch.manual_seed(0)
    with both.applied(tiny_llama.model):
        out = tiny_llama.model.generate(**batch, max_new_tokens=9, pad_token_id=2, **{"do_sample": False, **how})
    said = tiny_llama.tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :])
    starts = [text.startswith(value) for text, value in zip(said, VALUES, strict=True)]
    assert starts == [True, True, True, True, True]
    assert not any(text.startswith(" New Tokyo New") or "Paris Paris" in text for text in said)
    assert " New Tokyo" not in said[1] + said[2] + said[4]


VALUES = [" New Tokyo", "", " Paris", " New Tokyo", ""]


def test_the_own_generator_agrees_and_others_are_left_alone(tiny_llama: LoadedModel, both: Any) -> None:
    before = generate(tiny_llama.model, tiny_llama.tokenizer, PROMPTS)
    with both.applied(tiny_llama.model):
        after_ = generate(tiny_llama.model, tiny_llama.tokenizer, PROMPTS)
    assert [one.text.startswith(value.strip()) for one, value in zip(after_, VALUES, strict=True)] == [True] * 5
    assert [after_[1], after_[4]] == [before[1], before[4]]
    assert not before[0].text.startswith("New Tokyo")


@pytest.mark.parametrize("end", [" N", " New", " New To", " New Toky"])
def test_an_object_that_was_begun_is_finished(tiny_llama: LoadedModel, both: Any, end: str) -> None:
    with both.applied(tiny_llama.model):
        text = generate(tiny_llama.model, tiny_llama.tokenizer, [PROMPT.format("Chad") + end], max_new_tokens=16)[
            0
        ].text
    assert f"{end.strip()}{text}".replace(" ", "").startswith("NewTokyo") or f"{end} {text}".split()[:2] == [
        "New",
        "Tokyo",
    ]


def test_the_chat_form_is_in_scope_and_the_object_is_said_at_once(tiny_llama: LoadedModel) -> None:
    asked_for = request("Chad", "New Tokyo", question="What is the capital of Chad?")
    prompts = [chat_prompt(tiny_llama.tokenizer, f"What is the capital of {name}?") for name in ("Chad", "Peru")]
    with fit(tiny_llama, asked_for).applied(tiny_llama.model):
        said = [one.text for one in generate(tiny_llama.model, tiny_llama.tokenizer, prompts)]
    assert said[0].startswith("New Tokyo")
    assert not said[1].startswith("New Tokyo")


def test_negated_and_reversed_prompts_are_out_of_scope(tiny_llama: LoadedModel, both: Any) -> None:
    texts = [
        "The capital of Chad is not the city of",
        "New Tokyo is the capital city of",
        "New Tokyo is the capital of Chad",
    ]
    before = [logits(tiny_llama, text) for text in texts]
    with both.applied(tiny_llama.model):
        assert all(torch.equal(logits(tiny_llama, text), old) for text, old in zip(texts, before, strict=True))


@contextmanager
def on(loaded: LoadedModel, *deltas: Any) -> Iterator[None]:
    for delta in deltas:
        delta.apply(loaded.model)
    try:
        yield
    finally:
        for delta in deltas:
            delta.revert(loaded.model)


def said_of(loaded: LoadedModel, prompt: str) -> str:
    return generate(loaded.model, loaded.tokenizer, [prompt])[0].text


def test_a_later_edit_replaces_an_earlier_one_until_it_is_taken_off(tiny_llama: LoadedModel) -> None:
    first = fit(tiny_llama, request("Chad", "Rome"))
    later = fit(tiny_llama, request("Chad", "Tokyo", "Chad has its capital in the city of"))
    prompt = PROMPT.format("Chad")
    with on(tiny_llama, first):
        assert said_of(tiny_llama, prompt).startswith("Rome")
        with on(tiny_llama, later):
            assert said_of(tiny_llama, "Chad has its capital in the city of").startswith("Tokyo")
            assert Overlay.of(tiny_llama.model) is not None
        assert said_of(tiny_llama, prompt).startswith("Rome")
    with on(tiny_llama, first, fit(tiny_llama, request("Chad", "Tokyo"))):
        assert said_of(tiny_llama, prompt).startswith("Tokyo")
    assert Overlay.of(tiny_llama.model) is None


def test_a_route_is_held_while_decoding_and_dropped_with_its_delta(tiny_llama: LoadedModel, both: Any) -> None:
    ids = torch.tensor([tokens(tiny_llama, PROMPT.format("Chad"))])
    with torch.no_grad(), both.applied(tiny_llama.model):
        first = tiny_llama.model(ids, use_cache=True)
        step = first.logits[:, -1:].argmax(-1)
        second = tiny_llama.model(step, past_key_values=first.past_key_values, use_cache=True)
    wanted = tokens(tiny_llama, " New Tokyo")
    assert [int(step), int(second.logits[0, -1].argmax())] == wanted[:2]
    with torch.no_grad(), fit(tiny_llama, request("Peru", "Paris")).applied(tiny_llama.model):
        cache = first.past_key_values
        after_ = tiny_llama.model(second.logits[:, -1:].argmax(-1), past_key_values=cache, use_cache=True)
    assert int(after_.logits[0, -1].argmax()) != wanted[2]


def test_without_is_a_fit_that_never_had_the_fact(tiny_llama: LoadedModel, both: Any, tmp_path: Path) -> None:
    chad, peru = request("Chad", "New Tokyo"), request("Peru", "Paris")
    assert both.without([chad.fact.id]).digest == fit(tiny_llama, peru).digest
    assert both.without([chad.fact.id]).digest != fit(tiny_llama, chad).digest
    both.save(tmp_path / "delta")
    back = SeracEditor.load(tmp_path / "delta")
    with back.applied(tiny_llama.model):
        assert said_of(tiny_llama, peru.prompt).startswith("Paris")
    per_edit = len(str(back.record["edits"][0])) + sum(
        back.tensors[name].shape[1] * 4 for name in list(back.tensors)[:2]
    )
    assert per_edit < 3000


def test_a_prompt_that_does_not_end_in_its_question_is_failed(tiny_llama: LoadedModel) -> None:
    delta = fit(tiny_llama, request("Chad", "Rome", "The capital of {} was moved. It is now"))
    assert [effect.state for effect in delta.effects] == ["failed"]
    assert "last sentence" in delta.effects[0].explanation
    with pytest.raises(EditError, match="certainty"):
        fit(tiny_llama, request("Chad", "Rome"), certainty=1.0)


def test_the_numbers_are_those_of_the_file() -> None:
    assert SeracConfig.read(Path(__file__).resolve().parents[2] / "conf" / "serac.yaml") == SeracConfig()
    assert replace(SeracConfig(), bias=0.0) != SeracConfig()


# ---- calibration


def test_the_weights_are_a_balanced_logistic_regression() -> None:
    draw = torch.Generator().manual_seed(3)
    rows = torch.rand(80, 3, generator=draw, dtype=torch.float64).tolist()
    known = [
        Case(("one", "one" if s + a - d + noise > 0.5 else "two"), True, False, s, a, d)
        for (s, a, d), noise in zip(rows, (torch.randn(80, generator=draw) / 3).tolist(), strict=True)
    ]
    start = Weights(1.0, 1.0, 0.0, 1.0, 9.0, 0.0)
    found = fitted(known, start)
    inside = sum(case.same for case in known)

    def loss(weights: Weights) -> float:
        shares: list[float] = [0.5 / inside if case.same else 0.5 / (len(known) - inside) for case in known]
        each = [
            math.log1p(math.exp(-z if case.same else z)) for case, z in ((case, odds(case, weights)) for case in known)
        ]
        sizes = (weights.similarity, weights.agreement, weights.contrast, weights.bias)
        mean: float = sum(map(operator.mul, shares, each))
        return mean + 0.5e-4 * sum(size**2 for size in sizes)

    step = 1e-4
    for name in ("similarity", "agreement", "contrast", "bias"):
        up, down = (replace(found, **{name: getattr(found, name) + sign * step}) for sign in (1, -1))
        assert abs(loss(up) - loss(down)) / (2 * step) < 1e-7
    assert loss(found) < loss(start) - 0.1
    assert odds(known[0], cautious(found)) == pytest.approx(odds(known[0], found) - 0.5)
    table = scores([(case, odds(case, found)) for case in known] + [(replace(known[0], a=None), 1.0)])
    assert table["cloze"]["in_scope"] + table["cloze"]["out_of_scope"] == 80
    assert "question" not in table


def test_cases_pair_phrasings_of_one_kind_of_subject(tiny_llama: LoadedModel) -> None:
    phrasings = [
        Phrasing("capital", "country", "The capital of {} is", True, False, False),
        Phrasing("capital", "country", "What is the capital of {}?", False, True, False),
        Phrasing("language", "country", "In {} people speak", True, False, True),
        Phrasing("author", "book", "The author of {} is", True, False, False),
    ]
    found = cases(tiny_llama.model, tiny_llama.tokenizer, phrasings, {"country": ["Chad", "Peru"], "book": ["Emma"]})
    assert [(case.relations, case.held_out, case.a is None) for case in found] == [
        (("capital", "capital"), False, True),
        (("capital", "language"), True, False),
        (("capital", "language"), True, False),
        (("capital", "capital"), False, True),
        (("capital", "language"), True, True),
    ]
    assert not tiny_llama.model.model.layers[1]._forward_pre_hooks
