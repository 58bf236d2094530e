from pathlib import Path
from typing import Any

import pytest

from editors.fitting import by_depth, edit_layers, find_moments, furthest_reaching, object_nll
from editors.gather import main, sentences
from editors.layouts import layout_of
from editors.memit.editor import FIRST_DEPTH
from editors.moments import RIDGE, Moments
from editors.rome.editor import DEPTH
from editors.rows import group_requests
from registry.errors import EditError

ATLAS = Path(__file__).resolve().parents[2] / "examples" / "atlas"


@pytest.mark.parametrize(
    ("depth", "memit", "rome"),
    [
        (30, (5, 6, 7, 8), (7,)),
        (12, (2, 3, 4, 5), (3,)),
        (48, (8, 9, 10, 11), (12,)),
        (4, (0, 1, 2), (1,)),
        (2, (0,), (0,)),
    ],
)
def test_layers_follow_the_depth(depth: int, memit: tuple[int, ...], rome: tuple[int, ...]) -> None:
    assert by_depth(depth, FIRST_DEPTH, 4) == memit
    assert by_depth(depth, DEPTH, 1) == rome


def test_wanted_layers_are_taken_as_they_are(tiny_llama: Any) -> None:
    assert edit_layers((0, 2), tiny_llama.model, FIRST_DEPTH, 1) == (0, 2)
    assert edit_layers((), tiny_llama.model, FIRST_DEPTH, 2) == (0, 1)
    with pytest.raises(EditError, match="rising layers from 0 to 2"):
        edit_layers((2, 3), tiny_llama.model, FIRST_DEPTH, 1)


@pytest.mark.parametrize("kind", ["gemma3_text", "olmo2"])
def test_a_single_layer_is_a_near_one_whose_norm_lets_it_reach_further(kind: str) -> None:
    model = deep(kind)
    layout = layout_of(model)

    def gain(place: int) -> Any:
        norm: Any = layout.post_norm(model, place)
        return norm.weight.data

    assert edit_layers((), model, 1 / 4, 4) == (4, 5, 6, 7)
    for place in range(16):
        gain(place).fill_(0.0 if kind == "gemma3_text" else 1.0)
    # All gains are one: what earlier blocks have added grows, so the first of those near reaches furthest.
    assert edit_layers((), model, 1 / 4, 1) == (2,)
    gain(5).add_(9.0)
    assert edit_layers((), model, 1 / 4, 1) == (5,)
    gain(7).add_(99.0)
    assert edit_layers((), model, 1 / 4, 1) == (5,), "block 7 is not near"
    gain(3)[:4] += 999.0
    assert edit_layers((), model, 1 / 4, 1) == (5,), "a few massive features say nothing about the others"


def deep(kind: str) -> Any:
    """A model of 16 blocks."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 1, "num_key_value_heads": 1}
    models: Any = AutoModelForCausalLM
    return models.from_config(AutoConfig.for_model(kind, vocab_size=8, num_hidden_layers=16, head_dim=16, **sizes))


def test_without_a_norm_behind_the_mlp_a_single_layer_lies_where_depth_says(tiny_llama: Any) -> None:
    assert [furthest_reaching(layout_of(tiny_llama.model), tiny_llama.model, layer) for layer in range(3)] == [0, 1, 2]


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
