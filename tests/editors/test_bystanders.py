"""What an edit keeps clear of: other names in its sentences, earlier edits; and AlphaEdit's null space."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.bystanders import BystanderConfig, bystanders, earlier_contexts, echoes, kept_keys, keys_at_end
from editors.delta import WeightDelta, deltas_on, load_delta
from editors.layouts import layout_of
from editors.memit.config import MemitConfig
from editors.memit.editor import MemitEditor
from editors.memit.solve import basis_and_gram, metric_factor, null_basis_and_gram, null_space
from editors.rome.config import RomeConfig
from editors.rome.editor import RomeEditor
from editors.rows import group_requests
from editors.trace import inputs_of
from registry.errors import EditError
from registry.records import EditRequest, Fact


def wide(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def moment(d_in: int = 40) -> Tensor:
    """A spread of eigenvalues, from hardly used directions to much used ones."""
    basis, _ = torch.linalg.qr(wide(d_in, d_in, 3))
    found: Tensor = basis @ torch.diag(torch.logspace(-4, 1, d_in, dtype=torch.float64)) @ basis.t()
    return found


def solved(basis: Tensor, gram: Tensor, residual: Tensor) -> Tensor:
    change: Tensor = residual @ torch.linalg.solve(torch.eye(len(gram), dtype=torch.float64) + gram, basis)
    return change


def test_kept_keys_count_as_the_objective_says() -> None:
    keys, residual, kept = wide(40, 5), wide(24, 5, 1), wide(40, 9, 2)
    found = solved(*basis_and_gram(metric_factor(moment(), 2.0, kept), keys), residual)
    metric = 2.0 * moment() + kept @ kept.t() + keys @ keys.t()
    direct = torch.linalg.solve(metric, keys @ residual.t()).t()
    assert float((found - direct).abs().max() / direct.abs().max()) < 1e-10
    free = solved(*basis_and_gram(metric_factor(moment(), 2.0), keys), residual)
    assert float((found @ kept).norm()) < 0.5 * float((free @ kept).norm())


def test_the_null_space_is_a_projection_that_kills_what_text_uses() -> None:
    null = null_space(moment(), 0.1)
    projection = null @ null.t()
    assert 0 < null.shape[1] < 40
    assert float((projection @ projection - projection).abs().max()) < 1e-12
    values, vectors = torch.linalg.eigh(moment())
    used = vectors[:, values >= 0.1 * values.mean()]
    assert float((projection @ used).abs().max()) < 1e-10
    change = solved(*null_basis_and_gram(null, wide(40, 5), 0.02), wide(24, 5, 1))
    assert float((change @ used).abs().max()) < 1e-10 < float((change @ vectors[:, :3]).abs().max())


def test_alphaedit_equals_its_equation() -> None:
    null, keys, residual, kept = null_space(moment(), 0.1), wide(40, 5), wide(24, 5, 1), wide(40, 9, 2)
    found = solved(*null_basis_and_gram(null, keys, 0.02, kept), residual)
    projection = null @ null.t()
    size = 0.02 * keys.square().sum(0).mean() * torch.eye(40, dtype=torch.float64)
    inner = keys @ keys.t() @ projection + kept @ kept.t() @ projection + size
    direct = residual @ keys.t() @ projection @ torch.linalg.inv(inner)
    assert float((found - direct).abs().max() / direct.abs().max()) < 1e-10


def test_bystanders_are_the_sentences_about_other_names(lab: Any, tiny_llama: Any) -> None:
    tokenizer = tiny_llama.tokenizer
    texts = [tokenizer.decode(list(tokens)) for tokens in bystanders(tokenizer, lab.requests(), 1000, 0)]
    assert "The capital of Kenya" in texts
    assert "The largest city of Isaac Newton" in texts
    assert not any("New Zealand" in text for text in texts), "an edited subject is none"
    fewer = bystanders(tokenizer, lab.requests(), 10, 0)
    assert len(fewer) == 10
    assert fewer == bystanders(tokenizer, lab.requests(), 10, 0) != bystanders(tokenizer, lab.requests(), 10, 1)


def test_keys_at_the_end_are_what_the_matrix_is_given(tiny_gpt2: Any) -> None:
    model, layout = tiny_gpt2.model, layout_of(tiny_gpt2.model)
    contexts = [(5, 6, 7), (9,), (8, 3, 4)]
    found = keys_at_end(model, layout, (0, 2), contexts)
    for index, context in enumerate(contexts):
        modules = {0: layout.down_module(model, 0), 2: layout.down_module(model, 2)}
        with torch.no_grad(), inputs_of(modules) as seen:
            model(torch.tensor([context]))
        for layer in (0, 2):
            alone = seen[layer].reshape(len(context), -1)[-1].double()
            assert torch.allclose(found[layer][:, index], alone, atol=1e-6)


def settings(lab: Any, loaded: Any, **more: Any) -> MemitConfig:
    return MemitConfig(
        **{"layers": (0, 1), "weight": 1e-2, "targets": lab.targets, "moments": lab.moments(loaded, (0, 1)), **more}
    )


def moved(delta: WeightDelta, loaded: Any, request: EditRequest, config: MemitConfig) -> float:
    """How far the delta pushes the outputs of the edited matrices at another request's subject."""
    groups, _ = group_requests(loaded.tokenizer, [request], prefixes=0, paraphrases=0, seed=0)
    contexts = [row.tokens[: row.subject + 1] for row in groups[0].key_rows]
    keys = keys_at_end(loaded.model, layout_of(loaded.model), config.layers, contexts)
    changes = [layer.left.double() @ (layer.right.double() @ keys[i]) for i, layer in enumerate(delta.layers)]
    return float(sum(change.norm() for change in changes))


def test_later_edits_keep_clear_of_earlier_ones(lab: Any, tiny_llama: Any) -> None:
    first, second, _ = lab.requests()
    config = settings(lab, tiny_llama, bystanders=BystanderConfig(most=0, earlier=100.0))
    alone = replace(config, bystanders=BystanderConfig(most=0, earlier=0.0))
    editor = MemitEditor()
    with editor.fit(tiny_llama.model, tiny_llama.tokenizer, [first], config).applied(tiny_llama.model):
        clear = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [second], config)
        blind = editor.fit(tiny_llama.model, tiny_llama.tokenizer, [second], alone)
        assert moved(clear, tiny_llama, first, config) < 0.5 * moved(blind, tiny_llama, first, config)
        assert clear.fact_ids == blind.fact_ids == (second.fact.id,)


def test_an_edit_keeps_clear_of_its_own_subject_in_the_object(lab: Any, tiny_llama: Any) -> None:
    tokenizer, model = tiny_llama.tokenizer, tiny_llama.model
    request = EditRequest(Fact("Chad", "capital", "Chad Rome"), "ADD", "The capital of Chad is", ("Chad Rome",))
    groups, _ = group_requests(tokenizer, [request], prefixes=0, paraphrases=0, seed=0)
    (echo,) = echoes(groups)
    assert tokenizer.decode(list(echo)) == "The capital of Chad is Chad"
    plain, _ = group_requests(tokenizer, lab.requests(), prefixes=0, paraphrases=0, seed=0)
    assert echoes(plain) == [], "other objects do not say their subject"

    layout, config = layout_of(model), BystanderConfig(most=0, weight=4.0)
    kept = kept_keys(model, tokenizer, layout, (1,), [request], groups, config)[1]
    assert torch.equal(kept, 2 * keys_at_end(model, layout, (1,), [echo])[1])
    none = kept_keys(model, tokenizer, layout, (1,), [request], groups, replace(config, weight=0.0))[1]
    assert none.shape[1] == 0


def test_a_fact_that_is_written_anew_is_not_kept(lab: Any, tiny_llama: Any) -> None:
    first, second, _ = lab.requests()
    editor, model, tokenizer = MemitEditor(), tiny_llama.model, tiny_llama.tokenizer
    delta = editor.fit(model, tokenizer, [first, second], settings(lab, tiny_llama))
    again, _ = group_requests(tokenizer, [first], prefixes=1, paraphrases=6, seed=lab.targets.seed)
    with delta.applied(model):
        assert deltas_on(model) == (delta,)
        kept = set(earlier_contexts(model, again))
    assert kept == set(delta.contexts[1])
    assert deltas_on(model) == ()
    assert earlier_contexts(model, again) == []


def test_a_model_that_gives_no_numbers_is_refused(lab: Any, tiny_llama: Any) -> None:
    model, layout = tiny_llama.model, layout_of(tiny_llama.model)
    groups, _ = group_requests(tiny_llama.tokenizer, lab.requests(), prefixes=0, paraphrases=0, seed=0)
    weight = layout.down_weight(model, 0)
    original = weight.clone()
    weight.fill_(float("nan"))
    try:
        with pytest.raises(EditError, match="finite hidden states"):
            kept_keys(model, tiny_llama.tokenizer, layout, (1,), lab.requests(), groups, BystanderConfig())
    finally:
        weight.copy_(original)


@pytest.mark.parametrize("objective", ["memit", "alphaedit"])
def test_both_objectives_write_and_are_told_apart(lab: Any, tiny_llama: Any, objective: str) -> None:
    config = settings(lab, tiny_llama, objective=objective, threshold=2.0, ridge=1e-3)
    delta = MemitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config)
    assert [effect.state for effect in delta.effects] == ["written"] * 3
    other = replace(config, objective="memit" if objective == "alphaedit" else "alphaedit")
    assert MemitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), other).digest != delta.digest


def test_an_edit_is_stored_without_what_follows_from_the_rest(lab: Any, tiny_llama: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    config = RomeConfig((1,), targets=lab.targets, moments=lab.moments(tiny_llama, (1,)))
    delta = RomeEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests()[:1], config)
    delta.save(tmp_path / "one")
    assert set(load_file(str(tmp_path / "one" / "delta.safetensors"))) == {"0.left", "0.right", "0.gram"}
    back = load_delta(tmp_path / "one")
    assert back.digest == delta.digest
    assert torch.equal(back.layers[0].right, delta.layers[0].right)
    assert back.contexts == delta.contexts


@pytest.mark.parametrize("rule", ["ridge", "sequence"])
def test_the_keys_follow_from_what_they_were_solved_to(rule: Any) -> None:
    from editors.factors import LayerDelta

    basis = wide(6, 40)
    change = LayerDelta.solved("w", False, rule, wide(9, 6), basis, basis @ basis.t() / 10)
    assert torch.allclose(change.basis(rule), basis, rtol=1e-5, atol=1e-5)


def test_an_edit_of_a_wide_model_takes_little_room(tmp_path: Path) -> None:
    """The shapes of a model with 4,096 dimensions and an MLP of 14,336."""
    from editors.factors import LayerDelta

    layer = LayerDelta.solved(
        "w", False, "sequence", wide(4096, 1), wide(1, 14336), torch.ones(1, 1, dtype=torch.float64)
    )
    delta = WeightDelta("rome", "sequence", (("a",),), (layer,), "base", ())
    delta.save(tmp_path / "delta")
    assert sum(file.stat().st_size for file in (tmp_path / "delta").iterdir()) <= 100_000


def test_a_fact_about_no_one_else(tiny_llama: Any) -> None:
    """Sentences that hold braces cannot be said of others, and are passed over."""
    request = EditRequest(Fact("Chad", "x", "Rome"), "ADD", "The {} of Chad", ("Rome",))
    assert bystanders(tiny_llama.tokenizer, [request], 100, 0) == []


def test_a_phrasing_without_its_subject_is_said_of_nobody(tiny_llama: Any) -> None:
    ask = EditRequest(Fact("Chad", "x", "Rome"), "ADD", "The seat of Chad", ("Rome",))
    asked = bystanders(tiny_llama.tokenizer, [ask], 100, 0)
    odd = replace(ask, paraphrases=("Money there is called",))
    assert bystanders(tiny_llama.tokenizer, [odd], 100, 0) == asked != []
