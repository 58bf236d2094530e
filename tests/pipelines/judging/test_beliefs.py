import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editors.generate import Generation
from editors.load import LoadedModel
from pipelines.judging.beliefs import BeliefPolicy, answers_of, belief_of, believe
from registry.errors import IntegrityError
from registry.home import Home
from registry.records import EditRequest, Fact

SURE, UNSURE = 0.8, 0.1


def said(*texts: str, certainty: float = SURE) -> list[Generation]:
    return [Generation(text, certainty, 2) for text in texts]


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        (said("Rome", "Rome, of course", "the city of Rome"), "unknown"),
        (said("Rome", "Rome, of course", "Roma"), "known"),
        (said("Rome", "Rome", certainty=UNSURE), "known"),
        (said("Milan", "Turin"), "wrong"),
        (said("Milan", "Turin", certainty=UNSURE), "unknown"),
        (said("Milan", "Rome"), "unknown"),
        ([*said("Milan", ""), Generation("", 0.0, 0)], "unknown"),
        ([], "unknown"),
    ],
)
def test_what_answers_make_of_a_belief(answers: list[Generation], state: str) -> None:
    belief = belief_of("f", answers, ("Rome", "Roma"), 0.5)
    assert belief.state == state
    assert len(belief.right) == len(belief.answers) == len(answers)


def test_certainty_is_the_geometric_mean() -> None:
    answers = [Generation("a", 0.9, 1), Generation("b", 0.1, 1)]
    assert belief_of("f", answers, ("x",), 0.5).certainty == pytest.approx(0.3)


def request_of(subject: str, *paraphrases: str) -> EditRequest:
    fact = Fact(subject, "capital", "Rome")
    prompt = f"The capital of {subject} is"
    return EditRequest(fact, "UPDATE", prompt, ("Rome",), paraphrases=paraphrases, held_out=("never asked",))


class Counting:
    """Counts the prompts that reach the model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from editors import generate

        self.asked: list[str] = []
        real = generate.generate

        def counted(model: Any, tokenizer: Any, prompts: Any, **options: Any) -> list[Generation]:
            self.asked.extend(prompts)
            return real(model, tokenizer, prompts, **options)

        monkeypatch.setattr(generate, "generate", counted)


def test_asking_again_is_free_and_says_the_same(
    tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, count = Home.at(tmp_path), Counting(monkeypatch)
    requests = [
        request_of("Italy", "In Italy, the capital is", "Italy has its capital in", "a", "b"),
        request_of("Chad"),
    ]
    first = believe(tiny_llama, requests, home=home)
    assert set(first) == {request.fact.id for request in requests}
    assert len(count.asked) == 4, "three phrasings of the one, one of the other; held-out ones are never asked"
    assert "never asked" not in count.asked
    assert believe(tiny_llama, requests, home=home) == first
    assert len(count.asked) == 4
    believe(tiny_llama, requests, home=home, policy=BeliefPolicy(phrasings=4))
    assert len(count.asked) == 5
    assert believe(tiny_llama, requests) == first
    assert len(count.asked) == 9, "without a home nothing is kept"


def test_other_models_and_other_limits_have_their_own_answers(
    tiny_llama: LoadedModel, tiny_gpt2: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, count = Home.at(tmp_path), Counting(monkeypatch)
    llama = answers_of(tiny_llama, ["Who"], home=home)
    assert answers_of(tiny_gpt2, ["Who"], home=home) != llama
    answers_of(tiny_llama, ["Who"], home=home, room=2)
    assert len(count.asked) == 3


def test_a_damaged_file_is_asked_anew(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    first = answers_of(tiny_llama, ["Who", "The"], home=home)
    (path,) = home.beliefs.glob("*.json")
    for content in ("", "{", "[]", json.dumps({"format": 99, "answers": {}}), path.read_text()[:-20]):
        path.write_text(content)
        assert answers_of(tiny_llama, ["Who", "The"], home=home) == first
    assert [item.name for item in home.beliefs.iterdir() if item.suffix == ".json"] == [path.name]


def test_an_edited_model_may_not_answer_for_the_base(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    answers_of(tiny_llama, ["Who"], home=home)
    claimed = replace(tiny_llama, digest="0" * 64)
    with pytest.raises(IntegrityError, match="what it believes"):
        answers_of(claimed, ["Who"], home=home)
    assert len(list(home.beliefs.glob("*.json"))) == 1


@pytest.mark.model
def test_the_reference_model_knows_some_things_and_not_others(smollm2: LoadedModel) -> None:
    def ask(subject: str, capital: str) -> EditRequest:
        fact = Fact(subject, "capital", capital)
        return EditRequest(
            fact,
            "ADD",
            f"The capital of {subject} is the city of",
            (capital,),
            paraphrases=(f"In {subject}, the capital is the city of",),
        )

    requests = [ask("France", "Paris"), ask("Japan", "Tokyo"), ask("Burundi", "Gitega"), ask("Kazakhstan", "Astana")]
    beliefs = believe(smollm2, requests)
    states = [beliefs[request.fact.id].state for request in requests]
    assert states[:2] == ["known", "known"]
    assert "known" not in states[2:]
