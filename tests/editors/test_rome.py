"""ROME's closed form: every edit meets its constraint, with the smallest change that C allows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from editors.bystanders import BystanderConfig
from editors.factors import LayerDelta
from editors.keys import SubjectStream
from editors.layouts import layout_of
from editors.rome.config import RomeConfig
from editors.rome.editor import RomeEditor
from editors.rome.solve import basis_and_gram, residuals
from editors.rows import group_requests
from editors.targets import fit_targets
from registry.errors import EditError

NONE = BystanderConfig(most=0, earlier=0.0)
CONF = Path(__file__).resolve().parents[2] / "conf" / "rome.yaml"


def problem(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    wide = torch.randn(30, 90, dtype=torch.float64, generator=generator)
    keys = torch.randn(30, n, dtype=torch.float64, generator=generator)
    steps = torch.randn(20, n, dtype=torch.float64, generator=generator)
    weight = torch.randn(20, 30, dtype=torch.float64, generator=generator)
    return wide @ wide.t() / 90, keys, steps, weight


def test_one_edit_is_equation_2_and_meets_its_constraint() -> None:
    moment, keys, steps, weight = problem(1)
    change = LayerDelta.solved(
        "w", False, "sequence", residuals(steps, basis_and_gram(moment, keys)[1]), *basis_and_gram(moment, keys)
    )
    k, wanted = keys[:, 0], weight @ keys[:, 0] + steps[:, 0]
    u = torch.linalg.solve(moment, k)
    paper = weight + torch.outer((wanted - weight @ k) / (u @ k), u)
    found = weight + change.left.double() @ change.right.double()
    assert float((found - paper).abs().max()) < 1e-5
    assert float((found @ k - wanted).abs().max()) < 1e-5
    assert int(torch.linalg.matrix_rank(found - weight, rtol=1e-5)) == 1


def test_no_other_change_that_meets_the_constraint_moves_ordinary_keys_less() -> None:
    moment, keys, steps, _ = problem(1)
    basis, gram = basis_and_gram(moment, keys)
    change = residuals(steps, gram) / gram @ basis

    def disturbance(delta: torch.Tensor) -> float:
        return float(torch.trace(delta @ moment @ delta.t()))

    k = keys[:, 0]
    for seed in range(5):
        other = torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        feasible = change + other - torch.outer(other @ k, k) / (k @ k)
        assert float((feasible @ k - change @ k).abs().max()) < 1e-9
        assert disturbance(feasible) > disturbance(change)


@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [0, 2], [1, 3], [3]])
def test_any_subset_is_the_edits_done_one_after_another(kept: list[int]) -> None:
    moment, keys, steps, weight = problem(4)
    basis, gram = basis_and_gram(moment, keys)
    targets = residuals(steps, gram)
    change = LayerDelta.solved("w", False, "sequence", targets, basis, gram).subset("sequence", kept)
    now = weight.clone()
    for i in kept:
        k, u = keys[:, i], torch.linalg.solve(moment, keys[:, i])
        now = now + torch.outer((weight @ k + targets[:, i] - now @ k) / (u @ k), u)
    found = weight + change.left.double() @ change.right.double()
    assert float((found - now).abs().max()) < 1e-5


def test_steps_are_what_each_edit_adds_with_the_earlier_ones_on() -> None:
    moment, keys, steps, weight = problem(3)
    basis, gram = basis_and_gram(moment, keys)
    now = weight.clone()
    for i in range(3):
        change = residuals(steps[:, : i + 1], gram[: i + 1, : i + 1])
        solved = LayerDelta.solved("w", False, "sequence", change, basis[: i + 1], gram[: i + 1, : i + 1])
        after = weight + solved.left.double() @ solved.right.double()
        assert float(((after - now) @ keys[:, i] - steps[:, i]).abs().max()) < 1e-5
        now = after


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_the_editor_meets_every_constraint_on_the_model(lab: Any, fixture: str, request: pytest.FixtureRequest) -> None:
    """With the delta on, the last subject's averaged value is the one before plus its delta; W k* = v*."""
    loaded: Any = request.getfixturevalue(fixture)
    layout, items = layout_of(loaded.model), lab.requests()[:1]
    config = RomeConfig(layers=(1,), targets=lab.targets, moments=lab.moments(loaded, (1,)))
    delta = RomeEditor().fit(loaded.model, loaded.tokenizer, items, config)
    groups, _ = group_requests(
        loaded.tokenizer, items, prefixes=lab.targets.prefixes, paraphrases=6, seed=lab.targets.seed
    )
    (target,) = fit_targets(loaded.model, layout, groups, 1, lab.targets)
    before = SubjectStream(loaded.model, layout, groups, 1, 1).see()
    with delta.applied(loaded.model):
        after = SubjectStream(loaded.model, layout, groups, 1, 1).see()
    torch.testing.assert_close(after.keys, before.keys)
    torch.testing.assert_close(after.values[:, 0] - before.values[:, 0], target.delta, rtol=1e-3, atol=1e-4)


def test_later_edits_are_computed_with_earlier_ones_on(lab: Any, tiny_llama: Any) -> None:
    items = lab.requests()
    config = RomeConfig((1,), bystanders=NONE, targets=lab.targets, moments=lab.moments(tiny_llama, (1,)))
    editor = RomeEditor()
    whole = editor.fit(tiny_llama.model, tiny_llama.tokenizer, items, config)
    first = editor.fit(tiny_llama.model, tiny_llama.tokenizer, items[:1], config)
    with first.applied(tiny_llama.model):
        second = editor.fit(tiny_llama.model, tiny_llama.tokenizer, items[1:2], config)
    together = editor.fit(tiny_llama.model, tiny_llama.tokenizer, items[:2], config)
    stacked = sum(d.layers[0].left.double() @ d.layers[0].right.double() for d in (first, second))
    found = together.layers[0].left.double() @ together.layers[0].right.double()
    assert len(whole.columns) == len(items)
    assert float((found - stacked).abs().max() / stacked.abs().max()) < 1e-3  # type: ignore[union-attr]


def test_more_than_one_layer_is_refused(lab: Any, tiny_llama: Any) -> None:
    with pytest.raises(EditError, match="one layer for ROME"):
        RomeEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), RomeConfig(layers=(0, 1)))


def test_the_config_file_holds_the_defaults() -> None:
    assert RomeConfig.read(CONF) == RomeConfig()
