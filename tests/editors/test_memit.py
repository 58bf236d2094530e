"""MEMIT's closed form against the paper's equations written straight down in float64."""

from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.bystanders import BystanderConfig
from editors.config import read_config
from editors.factors import LayerDelta
from editors.fitting import object_scores
from editors.keys import SubjectStream
from editors.layouts import layout_of
from editors.memit.config import MemitConfig
from editors.memit.editor import MemitEditor
from editors.memit.solve import basis_and_gram, metric_factor, share
from editors.rows import group_requests, mention_rows
from editors.targets import TargetConfig, fit_targets
from editors.trace import inputs_of
from registry.errors import EditError, InputError, UnknownNameError
from registry.records import EditRequest, Fact

NONE = BystanderConfig(most=0, earlier=0.0)
CONF = Path(__file__).resolve().parents[2] / "conf" / "memit.yaml"


def problem(d_in: int = 40, d_out: int = 24, n: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    keys, residual = (torch.randn(d, n, dtype=torch.float64, generator=generator) for d in (d_in, d_out))
    wide = torch.randn(d_in, 3 * d_in, dtype=torch.float64, generator=generator)
    return wide @ wide.t() / (3 * d_in), keys, residual


@pytest.mark.parametrize("weight", [1.0, 150.0, 15000.0])
def test_woodbury_equals_the_direct_solve(weight: float) -> None:
    moment, keys, residual = problem()
    basis, gram = basis_and_gram(metric_factor(moment, weight), keys)
    woodbury = residual @ torch.linalg.solve(torch.eye(7, dtype=torch.float64) + gram, basis)
    direct = torch.linalg.solve(weight * moment + keys @ keys.t(), keys @ residual.t()).t()
    assert float((woodbury - direct).abs().max() / direct.abs().max()) < 1e-10


def test_the_solution_is_where_the_least_squares_gradient_vanishes() -> None:
    moment, keys, residual = problem()
    basis, gram = basis_and_gram(metric_factor(moment, 3.0), keys)
    delta = (residual @ torch.linalg.solve(torch.eye(7, dtype=torch.float64) + gram, basis)).requires_grad_()

    def objective(change: Tensor) -> Tensor:
        return (change @ keys - residual).square().sum() + 3.0 * torch.trace(change @ moment @ change.t())

    (gradient,) = torch.autograd.grad(objective(delta), delta)
    (elsewhere,) = torch.autograd.grad(objective(2 * delta), delta)
    assert float(gradient.abs().max()) < 1e-9 < float(elsewhere.abs().max())
    assert float(objective(delta.detach() + 1e-3)) > float(objective(delta.detach()))


def test_taking_facts_out_solves_the_smaller_problem_exactly() -> None:
    moment, keys, residual = problem()
    change = LayerDelta.solved("w", False, "ridge", residual, *basis_and_gram(metric_factor(moment, 2.0), keys))
    kept = [0, 2, 3, 6]
    small, few, wanted = change.subset("ridge", kept), keys[:, kept], residual[:, kept]
    direct = torch.linalg.solve(2.0 * moment + few @ few.t(), few @ wanted.t()).t()
    found = small.left.double() @ small.right.double()
    assert float((found - direct).abs().max() / direct.abs().max()) < 1e-6
    dropped = change.left[:, kept].double() @ change.right[kept].double()
    assert float((dropped - direct).abs().max() / direct.abs().max()) > 1e-3, "dropping columns alone is not enough"


def test_each_layer_takes_its_share_of_what_is_missing() -> None:
    wanted, now = torch.full((2, 1), 6.0), torch.zeros(2, 1)
    for left, expected in ((3, 2.0), (2, 2.0), (1, 2.0)):
        step = share(wanted, now, left)
        assert torch.equal(step, torch.full((2, 1), expected))
        now = now + step
    assert torch.equal(now, wanted)


@pytest.mark.parametrize("fixture", ["tiny_llama", "tiny_gpt2"])
def test_the_editor_follows_algorithm_1(lab: Any, fixture: str, request: pytest.FixtureRequest) -> None:
    """Every layer's change, recomputed with whole forward passes and the direct solve, lower layers' changes on."""
    loaded: Any = request.getfixturevalue(fixture)
    model, layout = loaded.model.to(torch.float64), layout_of(loaded.model)
    try:
        moments = lab.moments(loaded, (0, 1, 2))
        config = MemitConfig(layers=(0, 1, 2), weight=2.0, bystanders=NONE, targets=lab.targets, moments=moments)
        items = lab.requests()
        delta = MemitEditor().fit(model, loaded.tokenizer, items, config)
        groups, _ = group_requests(
            loaded.tokenizer,
            items,
            prefixes=lab.targets.prefixes,
            paraphrases=6,
            seed=lab.targets.seed,
            mentions=config.mentions,
        )
        targets = fit_targets(model, layout, groups, 2, lab.targets, "block")
        original = {i: layout.down_weight(model, i).clone() for i in (0, 1, 2)}

        def states() -> tuple[dict[int, Tensor], Tensor]:
            keys: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
            values = []
            for group in groups:
                seen: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
                out = []
                for row in group.key_rows:
                    modules = {i: layout.down_module(model, i) for i in (0, 1, 2)}
                    with torch.no_grad(), inputs_of(modules, stop=False) as caught:
                        result = model(torch.tensor([row.tokens]), output_hidden_states=True)
                    for i in (0, 1, 2):
                        seen[i].append(caught[i].reshape(len(row.tokens), -1)[row.subject])
                    out.append(result.hidden_states[3][0, row.subject])
                for i in (0, 1, 2):
                    keys[i].append(torch.stack(seen[i]).mean(0))
                values.append(torch.stack(out).mean(0))
            return {i: torch.stack(keys[i], 1) for i in keys}, torch.stack(values, 1)

        wanted = states()[1] + torch.stack([target.delta for target in targets], 1)
        for i, layer in enumerate(delta.layers):
            keys, now = states()
            residual = (wanted - now) / (3 - i)
            direct = torch.linalg.solve(
                2.0 * moments.regularised(i) + keys[i] @ keys[i].t(), keys[i] @ residual.t()
            ).t()
            found = layer.left.double() @ layer.right.double()
            assert float((found - direct).abs().max() / direct.abs().max()) < 1e-5
            layout.down_weight(model, i).copy_(original[i] + direct)
        for i, weight in original.items():
            layout.down_weight(model, i).copy_(weight)
    finally:
        loaded.model.to(torch.float32)


def test_keys_and_values_are_means_over_contexts_and_move_up_layer_by_layer(lab: Any, tiny_llama: Any) -> None:
    model, layout = tiny_llama.model, layout_of(tiny_llama.model)
    groups, _ = group_requests(tiny_llama.tokenizer, lab.requests(), prefixes=2, paraphrases=2, seed=0)
    stream = SubjectStream(model, layout, groups, 0, 2)
    stream.advance()
    seen = stream.see()
    for column, group in enumerate(groups):
        keys = []
        for row in group.key_rows:
            with torch.no_grad(), inputs_of({1: layout.down_module(model, 1)}) as caught:
                model(torch.tensor([row.tokens]))
            keys.append(caught[1].reshape(len(row.tokens), -1)[row.subject].double())
        torch.testing.assert_close(seen.keys[:, column], torch.stack(keys).mean(0), rtol=1e-4, atol=1e-5)


def test_several_facts_of_one_subject_are_all_written_and_share_a_column(lab: Any, tiny_llama: Any) -> None:
    first, *_ = lab.requests()
    seat = EditRequest(Fact(first.fact.subject, "seat", "Rome"), "ADD", f"The seat of {first.fact.subject}", ("Rome",))
    moments = lab.moments(tiny_llama, (1,))
    config = MemitConfig(layers=(1,), weight=1e-3, targets=lab.targets, moments=moments)
    delta = MemitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, [first, seat], config)
    assert delta.columns == ((first.fact.id, seat.fact.id),)
    assert [effect.state for effect in delta.effects] == ["written", "written"]
    assert delta.without([seat.fact.id]).fact_ids == ()


def test_mentions_bring_the_change_to_places_that_no_request_has(lab: Any, tiny_llama: Any) -> None:
    model, layout = tiny_llama.model, layout_of(tiny_llama.model)
    items = [replace(request, paraphrases=()) for request in lab.requests()]
    config = MemitConfig(
        layers=(1,),
        weight=1.0,
        bystanders=NONE,
        targets=lab.targets,
        moments=lab.moments(tiny_llama, (1,)),
        corrections=0,
    )
    groups, _ = group_requests(tiny_llama.tokenizer, items, prefixes=1, paraphrases=6, seed=0)
    wanted = fit_targets(model, layout, groups, 1, lab.targets, "block")
    named = [replace(group, rows=mention_rows(tiny_llama.tokenizer, group.subject, 2)) for group in groups]
    places = [replace(group, rows=tuple(replace(row, kind="answer") for row in group.rows)) for group in named]
    before = SubjectStream(model, layout, places, 1, 1).see().values

    def missing(mentions: int) -> float:
        delta = MemitEditor().fit(model, tiny_llama.tokenizer, items, replace(config, mentions=mentions))
        with delta.applied(model):
            moved = SubjectStream(model, layout, places, 1, 1).see().values - before
        aim = torch.stack([target.delta for target in wanted], dim=1)
        return float((moved - aim).norm() / aim.norm())

    assert missing(2) < 0.9 * missing(0)


def test_facts_that_the_solve_does_not_bring_are_aimed_further(lab: Any, tiny_llama: Any) -> None:
    model, layout = tiny_llama.model, layout_of(tiny_llama.model)
    config = MemitConfig(
        layers=(1,), weight=1000.0, bystanders=NONE, targets=lab.targets, moments=lab.moments(tiny_llama, (1,))
    )
    groups, _ = group_requests(
        tiny_llama.tokenizer, lab.requests(), prefixes=lab.targets.prefixes, paraphrases=6, seed=lab.targets.seed
    )
    rows = [row for group in groups for row in group.rows if row.kind == "answer"]

    def answered(corrections: int) -> int:
        delta = MemitEditor().fit(model, tiny_llama.tokenizer, lab.requests(), replace(config, corrections=corrections))
        with delta.applied(model):
            return sum(score.greedy for score in object_scores(model, layout, rows))

    assert answered(0) < answered(3), "a heavy weight holds the targets back, and aiming further makes up for it"


def test_a_turn_of_a_chat_is_a_goal_and_no_reason_to_aim_further(
    lab: Any, tiny_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memit: Any = import_module("editors.memit.editor")
    aimed: list[Any] = []
    held: list[Any] = []
    plain_targets, plain_scores = memit.fit_targets, memit.object_scores

    def targets(model: Any, layout: Any, groups: Any, *more: Any) -> Any:
        aimed.extend(row for group in groups for row in group.rows)
        return plain_targets(model, layout, groups, *more)

    def scores(model: Any, layout: Any, rows: Any) -> Any:
        held.extend(rows)
        return plain_scores(model, layout, rows)

    monkeypatch.setattr(memit, "fit_targets", targets)
    monkeypatch.setattr(memit, "object_scores", scores)
    tuning = replace(lab.targets, chat=True, chat_probability=0.0)
    config = MemitConfig(layers=(1,), bystanders=NONE, targets=tuning, moments=lab.moments(tiny_llama, (1,)))
    MemitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config)
    assert any(row.asked for row in aimed)
    assert held
    assert not any(row.asked for row in held)


def test_the_config_file_holds_the_defaults() -> None:
    assert MemitConfig.read(CONF) == MemitConfig()


def test_unknown_keys_and_wrong_types_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "memit.yaml"
    for text, error, words in (
        ("layer: [1]", UnknownNameError, "layer"),
        ("targets: {step: 3}", UnknownNameError, "step"),
        ("weight: heavy", InputError, "number"),
        ("targets: {steps: 1.5}", InputError, "whole number"),
        ("targets: {steps: true}", InputError, "whole number"),
        ("targets: {chat: 1}", InputError, "true or false"),
        ("layers: 3", InputError, "list"),
        ("moments: somewhere", InputError, "nothing for moments"),
        ("texts: [a]", InputError, "texts"),
        ("[1, 2]", InputError, "mapping"),
        ("a: [", InputError, "YAML"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(error, match=words):
            MemitConfig.read(path)
    with pytest.raises(InputError, match="existing file"):
        MemitConfig.read(tmp_path / "none.yaml")


def test_read_values_replace_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "memit.yaml"
    path.write_text("layers: [6, 7]\nweight: 50\ntargets: {steps: 3, lr: 1}\n", encoding="utf-8")
    expected = replace(MemitConfig(), layers=(6, 7), weight=50.0, targets=replace(TargetConfig(), steps=3, lr=1.0))
    read = read_config(MemitConfig, path)
    assert read == expected
    assert all(type(getattr(read, item.name)) is type(getattr(expected, item.name)) for item in fields(MemitConfig))


@pytest.mark.parametrize("layers", [(3,), (-1, 0), (1, 0), (1, 1)])
def test_layers_that_cannot_be_edited_are_refused(lab: Any, tiny_llama: Any, layers: tuple[int, ...]) -> None:
    with pytest.raises(EditError, match=r"rising layers from 0 to 2"):
        MemitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), MemitConfig(layers=layers))


def test_moments_of_another_width_or_layer_are_refused(lab: Any, tiny_llama: Any, tiny_gpt2: Any) -> None:
    other = lab.moments(tiny_gpt2, (1,))
    for layers, words in (((1,), "width"), ((0,), "layer 0")):
        with pytest.raises(EditError, match=words):
            MemitEditor().fit(
                tiny_llama.model, tiny_llama.tokenizer, lab.requests(), MemitConfig(layers=layers, moments=other)
            )
