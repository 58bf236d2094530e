"""The ablations of MEMIT: what a variant changes, what is shared, and what the table says."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from editors.load import LoadedModel, weights_digest

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = [
    {"subject": subject, "relation": "capital", "prompt": f"The capital of {subject} is", "target_new": new}
    | {"paraphrases": [f"{subject} has its capital in"]}
    | {"neighbourhood": [{"prompt": "The capital of Japan is", "answer": "Tokyo"}]}
    for subject, new in (("France", "is"), ("Italy", "in"), ("Egypt", "of"))
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three edits."""
    path = tmp_path / "edits.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of benchmarks/ that are tried here."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from benchmarks import ablation_keys, ablations, lines_report

    return SimpleNamespace(ablations=ablations, keys=ablation_keys, report=lines_report)


def test_variants_change_what_they_name_and_compare_with_one_that_is_there(modules: SimpleNamespace) -> None:
    variants = {one.name: one for one in modules.ablations.VARIANTS}
    assert len(variants) == len(modules.ablations.VARIANTS)
    from pipelines.bench.moments import config_of

    default: Any = config_of("memit", 0)
    for one in variants.values():
        assert one.against in variants
        config = modules.ablations.changed(default, one.changes)
        plain = not one.columns and not one.usual and one.text == "shipped"
        assert (config == default) is (not one.changes), one.name
        assert one.changes or not plain or one.name == "defaults"
    assert modules.ablations.changed(default, {"targets.prefixes": 4}).targets.prefixes == 4
    assert default.targets.prefixes != 4


def test_variants_are_run_once_on_an_untouched_model(
    modules: SimpleNamespace,
    tiny_llama: LoadedModel,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    memit: Any = import_module("editors.memit.editor")
    monkeypatch.setattr(modules.ablations, "load_model", lambda *_args, **_options: tiny_llama)
    monkeypatch.setattr(modules.ablations, "config_of", lambda *_: small(memit))
    before, plain, results = weights_digest(tiny_llama.model), memit.fit_targets, tmp_path / "ablations.json"
    names = ("defaults", "no corrections", "a column per context", "usual length (NAS)", "the requests alone")
    common = ["--model", "m", "--data", str(data), "--n", "3", "--results", str(results)]
    modules.ablations.main([*common, "--only", *names])
    found = json.loads(results.read_text())
    assert [run["name"] for run in found["runs"]] == [
        one.name for one in modules.ablations.VARIANTS if one.name in names
    ]
    for run in found["runs"]:
        assert {kind: len(marks) for kind, marks in run["right"].items()} == {
            "efficacy": 3,
            "generalization": 3,
            "neighbourhood": 3,
        }
        assert run["cpu_seconds_per_edit"] > 0
        assert run["shift"] > 0
    assert weights_digest(tiny_llama.model) == before
    assert memit.fit_targets is plain, "the editor is as it was"
    capsys.readouterr()
    modules.ablations.main([*common, "--only", *names])
    assert capsys.readouterr().out == "", "nothing is run twice"
    text = modules.report.ablations_section(found)
    assert "| defaults |" in text
    assert "| keys: a column per context |" in text


def small(memit: Any) -> Any:
    """MEMIT on two blocks with few steps."""
    from editors.targets import TargetConfig

    easy = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9)
    return memit.MemitConfig(layers=(0, 1), targets=easy)


def test_targets_are_shared_between_variants_that_only_solve_otherwise(
    modules: SimpleNamespace, tiny_llama: LoadedModel, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memit: Any = import_module("editors.memit.editor")
    monkeypatch.setattr(modules.ablations, "load_model", lambda *_args, **_options: tiny_llama)
    monkeypatch.setattr(modules.ablations, "config_of", lambda *_: small(memit))
    place = modules.ablations.place_of("m", data, 3, 0)
    make = modules.ablations.Variant
    for variant in (make("", "a", {"weight": 30.0}), make("", "b", {"weight": 3000.0})):
        place.run(variant)
    assert len(place.shared.found) == 1
    assert place.shared.spent > 0, "what was taken over is counted"
    place.run(make("", "c", {"targets.prefixes": 2}))
    assert len(place.shared.found) == 2
    assert place.shared.spent == 0


def test_a_verdict_needs_more_than_chance(modules: SimpleNamespace) -> None:
    def run(name: str, gen: str, near: str) -> dict[str, Any]:
        score = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
        marks = {"efficacy": "1", "generalization": gen, "neighbourhood": near}
        shares = dict.fromkeys(("efficacy", "generalization", "neighbourhood"), score)
        return {"group": "g", "name": name, "against": "defaults", **shares, "right": marks} | {
            "cpu_seconds_per_edit": 1.0,
            "shift": 1.0,
        }

    verdict = modules.report.verdict
    base = run("defaults", "0" * 20, "1" * 20)
    assert verdict(run("x", "1" * 20, "1" * 20), base) == "better in unseen phrasings"
    assert verdict(run("x", "0" * 20, "0" * 10 + "1" * 10), base) == "worse in neighbours"
    assert verdict(run("x", "0" * 19 + "1", "1" * 20), base) == "no difference seen"
    assert verdict(base, base) == ""
