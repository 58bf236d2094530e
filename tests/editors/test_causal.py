from collections.abc import Callable
from typing import Any

import pytest
import torch

from editors.causal import CorruptedRun, TracingConfig, around, trace_fact
from editors.load import LoadedModel, weights_digest
from editors.subject import first_target, subject_tokens
from registry.errors import EditError

PROMPT, SUBJECT, ANSWER = "The capital of France is", "France", "Paris"
FAMILIES = ("llama", "gpt2", "gemma2")


def run(loaded: LoadedModel, **numbers: Any) -> tuple[CorruptedRun, range, int]:
    held = subject_tokens(loaded.tokenizer, PROMPT, SUBJECT)
    ids, gold = first_target(loaded.tokenizer, PROMPT, ANSWER)
    return CorruptedRun(loaded.model, ids, held, gold, TracingConfig(**numbers)), held, len(ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_clean_run_is_the_model_itself(family: str, tiny_family: Callable[[str], LoadedModel]) -> None:
    loaded = tiny_family(family)
    found, _, _ = run(loaded)
    ids, gold = first_target(loaded.tokenizer, PROMPT, ANSWER)
    with torch.no_grad():
        wanted = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)[gold]
    assert found.clean == pytest.approx(float(wanted), rel=1e-4)
    assert found.corrupted != pytest.approx(found.clean, rel=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_states_of_a_layer_put_back_restore_the_clean_run(
    family: str, tiny_family: Callable[[str], LoadedModel]
) -> None:
    found, held, length = run(tiny_family(family))
    for layer in range(4):
        full, part = found.with_states(layer, [range(length), [held.stop - 1]])
        assert full == pytest.approx(found.clean, rel=1e-4)
        assert 0 <= part <= 1
    (last,) = found.with_states(3, [[length - 1]])
    assert last == pytest.approx(found.clean, rel=1e-4)


def test_mlps_put_back_change_what_they_reach_and_nothing_at_clean_tokens(tiny_llama: LoadedModel) -> None:
    found, held, length = run(tiny_llama)
    reached, before = found.with_mlps(range(4), [[length - 1], range(held.start)])
    assert reached != pytest.approx(found.corrupted, rel=1e-3)
    assert before == pytest.approx(found.corrupted, rel=1e-4), "tokens before the subject are clean anyway"


def test_without_noise_there_is_no_effect_and_draws_follow_their_seed(tiny_llama: LoadedModel) -> None:
    still = trace_fact(tiny_llama.model, tiny_llama.tokenizer, PROMPT, SUBJECT, ANSWER, TracingConfig(noise=0.0))
    assert still.corrupted == pytest.approx(still.clean, rel=1e-5)
    for what in ("states", "mlps"):
        for place in ("subject", "last"):
            assert still.effects(what, place) == pytest.approx([0.0] * 4, abs=1e-6)
    one, again, other = (
        trace_fact(tiny_llama.model, tiny_llama.tokenizer, PROMPT, SUBJECT, ANSWER, TracingConfig(seed=seed))
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one.states != other.states
    assert max(map(abs, one.effects("states", "last"))) > 0


def test_no_trace_is_left(tiny_llama: LoadedModel) -> None:
    model = tiny_llama.model
    before = weights_digest(model)
    trace_fact(model, tiny_llama.tokenizer, PROMPT, SUBJECT, ANSWER)
    with pytest.raises(EditError, match="holds its subject"):
        trace_fact(model, tiny_llama.tokenizer, PROMPT, "Spain", ANSWER)
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0
    assert weights_digest(model) == before


def test_tokens_of_a_subject_hold_its_characters(tiny_llama: LoadedModel, tiny_gpt2: LoadedModel) -> None:
    tokenizer = tiny_llama.tokenizer
    for subject in ("Port-au-Prince", "東京", "X"):
        prompt = f"Near {subject}, they say"
        held = subject_tokens(tokenizer, prompt, subject)
        ids = tokenizer(prompt)["input_ids"]
        assert tokenizer.decode(ids[held.start : held.stop]).strip().rstrip(",") == subject
        assert subject not in tokenizer.decode(ids[held.start + 1 :])
    ids, gold = first_target(tokenizer, PROMPT, " Paris ")
    assert tokenizer.decode(ids) == PROMPT
    assert "Paris".startswith(tokenizer.decode([gold]).strip())
    with pytest.raises(EditError, match="at least one token"):
        first_target(tokenizer, PROMPT, "  ")


def test_a_window_lies_around_its_layer_inside_the_model() -> None:
    assert [list(around(layer, 3, 4)) for layer in range(4)] == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]
