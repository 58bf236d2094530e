"""The audit of forgetting: a model that still has it is found out, one that never had it is not."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from editors.load import LoadedModel
from guards.decoding import LEAST, Found
from pipelines.forgetting.audit import Taken, figures, later_edits
from pipelines.forgetting.exam import DECOYS, DRAWS, Exam, Marks, taken
from pipelines.forgetting.states import likeliest, margins, read_states, states_of
from pipelines.settings import Settings
from registry.records import Fact, KnownFact

SECRET = Fact("Zefiria", "capital", "Paris")
OTHERS = [Fact(f"Land{one}", "capital", f"Town{one}") for one in "abcdefghijklmnopqrstuvwx"]
ALL = 16


def place(others: list[Fact] | None = None) -> Any:
    known = [KnownFact(fact, "rag", 1) for fact in [SECRET, *(OTHERS if others is None else others)]]
    return SimpleNamespace(settings=Settings.load(), current=known)


@pytest.fixture(scope="module")
def exam() -> Exam:
    return Exam.about(place(), [SECRET])


@pytest.fixture(scope="module")
def knowing(tiny_llama: LoadedModel) -> LoadedModel:
    """The random model, taught the secret until it says it."""
    import torch

    model = copy.deepcopy(tiny_llama.model)
    request = Settings.load().catalogue.request(SECRET, "ADD")
    texts = [f"{prompt} {SECRET.object}." for prompt in (request.prompt, *request.paraphrases)]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    batches = [torch.tensor([tiny_llama.tokenizer(text)["input_ids"]]) for text in texts]
    for _ in range(80):
        optimiser.zero_grad()
        sum(model(input_ids=one, labels=one).loss for one in batches).backward()
        optimiser.step()
    return replace(tiny_llama, model=model.eval())


def test_the_exam_asks_in_every_way_and_never_offers_the_answer_twice(exam: Exam) -> None:
    kinds = {one.kind for one in exam.attacks}
    assert kinds == {"verbatim", "paraphrase", "question", "insistence", "prefix", "reversal", "chat"}
    assert (len(exam.choices), len(exam.yes_no)) == ((DECOYS + 1) * DRAWS, DECOYS * DRAWS)
    assert {one.right for one in exam.choices} == set(range(DECOYS + 1)), "the right one stands in every place"
    for one in exam.choices:
        assert one.options.count(" Paris") == 1
        assert one.options[one.right] == " Paris"
    assert len(exam.probed) == 1
    assert SECRET.subject not in "".join(exam.probed[0].prompts)
    assert not any(SECRET.subject in one.prompt for one in exam.untouched)


def test_what_has_too_few_others_is_not_asked() -> None:
    few = Exam.about(place(OTHERS[: DECOYS - 1]), [SECRET])
    assert (few.choices, few.yes_no, few.probed) == ((), (), ())
    assert few.attacks
    assert not Exam.about(place(OTHERS[: LEAST - 1]), [SECRET]).probed


def test_a_model_that_still_has_it_is_found_out(exam: Exam, tiny_llama: LoadedModel, knowing: LoadedModel) -> None:
    """The negative control: forgetting that did nothing does not pass."""
    before, unseen = taken(exam, knowing), taken(exam, tiny_llama)
    assert any(before.out)
    assert not any(unseen.out)
    found = figures(exam, Taken(before, unseen, before, None), exact=False)
    assert found["decision"] == "block"
    assert "not forgotten" in found["explanation"]
    assert found["got_out"]["verbatim"] == "1 of 1"
    assert (found["utility"]["lost"], found["utility"]["perplexity_ratio"]) == (0, 1.0)


def test_a_model_that_never_had_it_is_not(exam: Exam, tiny_llama: LoadedModel, knowing: LoadedModel) -> None:
    before, unseen = taken(exam, knowing), taken(exam, tiny_llama)
    found = figures(exam, Taken(before, unseen, unseen, unseen), exact=True)
    assert found["decision"] != "block"
    assert found["got_out_before"]["verbatim"] == "1 of 1"
    assert found["got_out"]["verbatim"] == "0 of 1"
    assert found["later_edits"].startswith("pass")
    assert found["utility"]["perplexity_ratio"] != 1.0


def marks(out: int = 0, choices: int = 4, rank: float = 60.0, untouched: int = 10, nats: float = 100.0) -> Marks:
    """Marks of a model of which so many prompts got it out, and so on."""
    return Marks(
        tuple(place < out for place in range(ALL)),
        (True, False) * 8,
        tuple(place < choices for place in range(ALL)),
        (Found(rank, 120, 0.9),),
        tuple(place < untouched for place in range(10)),
        (nats, 100),
    )


def exam_of() -> Any:
    return SimpleNamespace(attacks=tuple(SimpleNamespace(kind="verbatim") for _ in range(ALL)))


@pytest.mark.parametrize(
    ("after", "later", "decision", "words"),
    [
        (marks(), marks(), "pass", "0 of 16 prompts"),
        (marks(out=1), marks(), "block", "unlearning: 1 of 16"),
        (marks(choices=16), marks(), "block", "multiple_choice: 16 of 16"),
        (marks(rank=1), marks(), "block", "hidden and not removed"),
        (marks(), marks(out=1), "escalate", "it comes back"),
        (marks(), None, "escalate", "no later edit"),
    ],
)
def test_each_part_of_the_audit_decides(after: Marks, later: Marks | None, decision: str, words: str) -> None:
    found = figures(exam_of(), Taken(marks(out=9), marks(), after, later), exact=False)
    assert (found["decision"], words in found["explanation"]) == (decision, True)


def test_utility_and_what_is_not_shown_are_told() -> None:
    cost = figures(exam_of(), Taken(marks(out=9), marks(), marks(untouched=4, nats=110), None), exact=False)
    assert (cost["utility"]["lost"], cost["utility"]["perplexity_ratio"]) == (6, 1.1052)
    blind = figures(exam_of(), Taken(marks(), marks(), marks(), marks()), exact=False)["not_shown"]
    assert any("no attack got it out of the model that knew it" in one for one in blind)
    assert any("the probe did not read it in the model that knew it" in one for one in blind)
    seeing = figures(exam_of(), Taken(marks(out=9, rank=1), marks(), marks(), marks()), exact=False)["not_shown"]
    assert not any("either" in one for one in seeing)


def test_later_edits_are_of_other_facts() -> None:
    plan: Any = SimpleNamespace(facts=(SECRET,))
    edits = later_edits(without_secret(), plan)
    assert len(edits) == 2
    assert all(one.fact.subject != SECRET.subject and one.fact.object != SECRET.object for one in edits)
    assert {one.fact.object for one in edits} <= {fact.object for fact in OTHERS}


def without_secret() -> Any:
    """What the release knows."""
    whole = place()
    return SimpleNamespace(settings=whole.settings, current=whole.current[1:])


def test_states_do_not_depend_on_the_batch_and_the_probe_reads_them(exam: Exam, tiny_llama: LoadedModel) -> None:
    prompts = ["one two three", "a", "one two four", "three", "b"]
    together = states_of(tiny_llama, prompts)
    alone = [states_of(tiny_llama, [prompt]) for prompt in prompts]
    for depth, layer in enumerate(together):
        np.testing.assert_allclose(layer, np.concatenate([one[depth] for one in alone]), atol=1e-4)
    (found,) = read_states(exam.probed, tiny_llama)
    assert 1 <= found.rank <= found.candidates == len(OTHERS) + 1


def test_likeliest_and_margins_are_those_of_one_text_at_a_time(tiny_llama: LoadedModel) -> None:
    from editors.generate import token_nll

    prompt, options = "Question: what?\nAnswer:", (" one", " three", " nobody knows it", " two")
    alone = token_nll(tiny_llama.model, tiny_llama.tokenizer, [prompt, *(f"{prompt}{one}" for one in options)])
    (before, count), rest = alone[0], alone[1:]
    scores = [(before - whole) / (number - count) for whole, number in rest]
    assert likeliest(tiny_llama, prompt, options) == scores.index(max(scores))
    texts = ["a", "a longer prompt than that", "b"]
    together = margins(tiny_llama, texts, (" Yes", " No"))
    alone_too = [margins(tiny_llama, [one], (" Yes", " No"))[0] for one in texts]
    np.testing.assert_allclose(together, alone_too, atol=1e-4)
