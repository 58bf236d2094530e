from pathlib import Path
from typing import Any

import pytest

from editors.fitting import find_moments, object_nll
from editors.gather import main, sentences
from editors.layouts import layout_of
from editors.moments import RIDGE, Moments
from editors.rows import group_requests

ATLAS = Path(__file__).resolve().parents[2] / "examples" / "atlas"


def test_too_little_text_gets_a_ridge_to_match(lab: Any, tiny_llama: Any) -> None:
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    little = find_moments(None, model, tokenizer, (1,), (), lab.requests())
    much = find_moments(None, model, tokenizer, (1,), ["The capital of France is Paris. " * 90] * 9, lab.requests())
    width = len(little.layers[1])
    assert little.ridge == pytest.approx(width / little.count)
    assert RIDGE <= much.ridge < little.ridge


def test_named_moments_are_read_from_their_folder(lab: Any, tiny_llama: Any, tmp_path: Path) -> None:
    moments = lab.moments(tiny_llama, (1,))
    moments.save(tmp_path)
    found = find_moments(tmp_path, tiny_llama.model, tiny_llama.tokenizer, (1,), (), ())
    assert found.digest == moments.digest
    assert find_moments(moments, tiny_llama.model, tiny_llama.tokenizer, (1,), (), ()) is moments


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_likelihoods_are_those_of_the_object_alone(lab: Any, fixture: str, request: pytest.FixtureRequest) -> None:
    import torch

    loaded: Any = request.getfixturevalue(fixture)
    groups, _ = group_requests(loaded.tokenizer, lab.requests(), prefixes=1, paraphrases=1, seed=0)
    found = object_nll(loaded.model, layout_of(loaded.model), [row for group in groups for row in group.rows])
    for item in lab.requests():
        start = len(loaded.tokenizer(item.prompt)["input_ids"])
        ids = torch.tensor([loaded.tokenizer(item.prompt + item.target)["input_ids"]])
        logp = loaded.model(ids).logits[0].log_softmax(-1)
        plain = -torch.stack([logp[i - 1, ids[0, i]] for i in range(start, ids.shape[1])]).mean()
        assert found[item.fact.id] == pytest.approx(float(plain), rel=1e-4)


def test_the_catalogue_makes_two_sentences_of_every_fact(tmp_path: Path) -> None:
    facts = tmp_path / "facts.csv"
    facts.write_text("subject,relation,object\nFrance,capital,Paris\n", encoding="utf-8")
    assert list(sentences(ATLAS / "relations.yaml", facts)) == [
        "The capital of France is the city of Paris.",
        "The capital of France is Paris.",
    ]


def test_the_command_measures_the_catalogues_sentences_too(tiny_llama: Any, tmp_path: Path) -> None:
    folder, facts = tmp_path / "model", tmp_path / "facts.csv"
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    facts.write_text("subject,relation,object\nFrance,capital,Paris\n", encoding="utf-8")
    catalogue = ["--catalogue", str(ATLAS / "relations.yaml"), "--facts", str(facts)]
    main([str(folder), str(tmp_path / "out"), "--layers", "1", *catalogue])
    expected = sum(len(tiny_llama.tokenizer(text)["input_ids"]) for text in sentences(ATLAS / "relations.yaml", facts))
    assert Moments.load(tmp_path / "out").count == expected
