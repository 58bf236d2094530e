"""The matrix checks itself: no cell is left out without a reason, and a law that is broken in the code is seen."""

import ast
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import editors.delta
import editors.fitting
import editors.memit.editor
import editors.rows
import editors.targets
from editors import EDITORS, get_editor
from editors.delta import WeightDelta
from editors.factors import tensor_digest
from editors.stored import StoredDelta
from registry.digests import digest_json

HERE = Path(__file__).parent
LAWS = {
    node.name: path.stem
    for path in sorted(HERE.glob("test_law_*.py"))
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}
NEEDS = {
    "seeded": "test_another_seed_gives_another_delta",
    "hopeless": "test_a_fact_out_of_reach_is_failed_and_not_in_the_delta",
    "overflowing": "test_values_that_are_not_finite_are_failed_and_never_applied",
    "idle": "test_a_solved_change_that_moves_nothing_has_no_effect",
    "content": "test_what_the_model_says_already_has_no_effect",
}
"""Which law a setting is for."""


def test_every_law_takes_a_case_and_none_is_skipped_on_the_way() -> None:
    assert len(LAWS) > 25
    for path in HERE.glob("test_law_*.py"):
        source = path.read_text(encoding="utf-8")
        assert not any(word in source for word in ("skip", "xfail", "importorskip"))
        tree = ast.parse(source)
        tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        assert all(node.args.args[0].arg == "case" for node in tests)


def test_every_cell_is_run_or_has_its_reason_in_words(
    matrix: ModuleType, record_property: Callable[[str, object], None]
) -> None:
    settings = matrix.settings
    assert len(settings.FAMILIES) >= 3
    assert set(settings.SETTINGS) == set(EDITORS)
    assert set(settings.NOT_ASKED) <= set(LAWS), "a reason for a law that is not there"
    scopes = {get_editor(name).scope for name in EDITORS}
    for law, reasons in settings.NOT_ASKED.items():
        for name, reason in reasons.items():
            assert name in EDITORS or name in scopes, (law, name)
            assert len(reason.split()) >= 4, (law, name, reason)
    for name in EDITORS:
        for change, law in NEEDS.items():
            asked = matrix.reason_not_asked(law, name) is None
            assert asked == (getattr(settings.SETTINGS[name], change) is not None), (name, change)
    skipped = {
        f"{law} x {name}": matrix.reason_not_asked(law, name)
        for law in LAWS
        for name in sorted(EDITORS)
        if matrix.reason_not_asked(law, name)
    }
    assert len(skipped) < len(LAWS) * len(EDITORS) / 5
    for cell, reason in skipped.items():
        record_property(cell, reason)


# Below, each law is broken once in the code, on a copy of a model, and the law's own test must fail for it.


def subtracted(self: WeightDelta, model: Any) -> None:
    """Revert by subtracting what was added."""
    self._saved.pop(model)
    for layer in self.layers:
        change = layer.left @ layer.right
        model.get_parameter(layer.parameter).data.sub_(change.t() if layer.transposed else change)


def forgetful(self: WeightDelta) -> str:
    """Digest without one of the tensors."""
    kept = [tensor_digest(part.tensors()[name]) for part in self.layers for name in ("left", "gram")]
    return digest_json([self.editor, self.rule, self.columns, self.base_digest, kept])


def hooked(kind: type[Any]) -> Callable[..., Any]:
    """`applied` that leaves a hook on the model."""
    plain = kind.applied

    def applied(self: Any, model: Any) -> Any:
        model.register_forward_hook(lambda module, args, out: None)
        return plain(self, model)

    return applied


def kept(self: WeightDelta, fact_ids: Collection[str]) -> WeightDelta:
    """`without` that takes the ids off the list and keeps the columns."""
    return replace(self, effects=tuple(effect for effect in self.effects if effect.fact_id not in fact_ids))


def unchecked(self: WeightDelta, model: Any) -> None:
    """`apply` without a look at the base."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editors.delta, "parameters_digest", lambda model, names: self.base_digest)
        PLAIN_APPLY(self, model)


def unseeded(tokenizer: Any, requests: Any, **numbers: Any) -> Any:
    """Contexts that do not depend on the seed."""
    return editors.rows.group_requests(tokenizer, requests, **{**numbers, "seed": 0})


def wandering(*args: Any, **kwargs: Any) -> Any:
    """Targets that are never twice the same."""
    found = editors.targets.fit_targets(*args, **kwargs)
    return [replace(target, delta=target.delta + 1e-6 * torch.randn(target.delta.shape)) for target in found]


def lasting(model: Any, name: str, value: Any) -> Any:
    """A trial value of a weight that stays."""
    model.get_parameter(name).data.copy_(value)
    return nullcontext()


def peeking(tokenizer: Any, request: Any, **numbers: Any) -> Any:
    """Contexts that hold the prompts kept for the test."""
    seen = replace(request, paraphrases=request.paraphrases + tuple(request.held_out))
    return PLAIN_ROWS(tokenizer, seen, **numbers)


PLAIN_ROWS, PLAIN_APPLY = editors.rows.request_rows, WeightDelta.apply
MUTATIONS: dict[str, tuple[str, str, Any, str, Any]] = {
    "revert subtracts": ("test_revert_is_bit_exact", "memit", WeightDelta, "_restore", subtracted),
    "digest forgets a tensor": ("test_a_changed_file_is_refused", "rome", WeightDelta, "digest", property(forgetful)),
    "applied leaves a hook": (
        "test_applied_leaves_no_trace_also_after_an_exception",
        "memit",
        WeightDelta,
        "applied",
        hooked(WeightDelta),
    ),
    "applied of a stored delta leaves a hook": (
        "test_applied_leaves_no_trace_also_after_an_exception",
        "svfit",
        StoredDelta,
        "applied",
        hooked(StoredDelta),
    ),
    "without keeps the column": (
        "test_without_takes_the_answer_away_and_leaves_the_others",
        "memit",
        WeightDelta,
        "without",
        kept,
    ),
    "the seed is ignored": (
        "test_another_seed_gives_another_delta",
        "memit",
        editors.memit.editor,
        "group_requests",
        unseeded,
    ),
    "a fit draws at random": (
        "test_equal_fits_give_equal_bits",
        "memit",
        editors.memit.editor,
        "fit_targets",
        wandering,
    ),
    "no effect is called written": (
        "test_a_solved_change_that_moves_nothing_has_no_effect",
        "memit",
        editors.fitting,
        "MOVED",
        -1.0,
    ),
    "a fit leaves its trial weights": (
        "test_fitting_changes_neither_the_model_nor_its_mode",
        "memit",
        editors.memit.editor,
        "replaced",
        lasting,
    ),
    "held-out prompts are read": (
        "test_held_out_prompts_make_no_difference",
        "memit",
        editors.rows,
        "request_rows",
        peeking,
    ),
    "another base is taken": ("test_another_base_is_refused", "memit", WeightDelta, "apply", unchecked),
}
"""What is broken -> the law that must see it, the editor, and the code's place and what stands there instead."""


@pytest.mark.parametrize("what", sorted(MUTATIONS))
def test_a_law_that_is_broken_in_the_code_is_seen(
    what: str, matrix: ModuleType, benches: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    law, name, place, attribute, instead = MUTATIONS[what]
    function = getattr(matrix.sibling(LAWS[law]), law)
    folders = iter((tmp_path / "before", tmp_path / "after"))

    def hold() -> None:
        case = matrix.Case(name, benches("gpt2").twin())
        more = {"tmp_path": next(folders)} if "tmp_path" in function.__code__.co_varnames else {}
        with case.unchanged():
            function(case, **more)

    hold()
    monkeypatch.setattr(place, attribute, instead)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        hold()
