"""The run of causal tracing over known facts: its draw, its summary, and the table."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from editors.load import LoadedModel

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of benchmarks/ that are tried here."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from benchmarks import draw, draw_relations, tracing, tracing_report

    return SimpleNamespace(draw=draw, relations=draw_relations, tracing=tracing, report=tracing_report)


def known(modules: SimpleNamespace, name: str, count: int) -> Any:
    facts = {f"{name}{number}": "Paris" for number in range(count)}
    texts = (f"The {name} of {{}} is",)
    phrased = modules.relations.Phrased(name, texts, True, "", facts, lambda text: (text,))
    return modules.draw.Known(phrased, texts[0], (), right=facts)


def test_facts_are_drawn_from_each_relation_in_turn(modules: SimpleNamespace) -> None:
    facts = {name: known(modules, name, count) for name, count in (("capital", 5), ("currency", 2))}
    found = modules.tracing.drawn(facts, 6, 0)
    assert [name for name, _, _ in found] == ["capital", "currency", "capital", "currency", "capital", "capital"]
    assert len({subject for _, subject, _ in found}) == 6
    assert found == modules.tracing.drawn(facts, 6, 0)
    assert found != modules.tracing.drawn(facts, 6, 1)


def test_the_summary_finds_the_layer_at_which_every_fact_peaks(modules: SimpleNamespace) -> None:
    def fact(shift: float) -> dict[str, Any]:
        curve = [0.1, 0.1 + shift, 0.5 + shift, 0.2]
        places = {"subject": curve, "last": list(reversed(curve))}
        return {"corrupted": 0.1, "clean": 0.9, "states": places, "mlps": places}

    found = modules.tracing.summary([fact(0.01 * number) for number in range(8)])
    curve = found["mlps, subject"]
    assert (curve["peak"], curve["peak_low"], curve["peak_high"]) == (2, 2, 2)
    assert curve["low"][2] < curve["mean"][2] < curve["high"][2]
    assert curve["mean"][2] == pytest.approx(0.435)
    assert curve["mean"][0] == pytest.approx(0)
    assert found["states, last"]["peak"] == 1


def test_a_run_writes_after_every_fact_and_goes_on(
    modules: SimpleNamespace, tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"capital": known(modules, "capital", 3)}
    monkeypatch.setattr(modules.tracing, "load_model", lambda *_args, **_options: tiny_llama)
    monkeypatch.setattr(modules.tracing, "ask", lambda *_: {})
    monkeypatch.setattr(modules.tracing, "known", lambda *_: facts)
    results, each = tmp_path / "tracing.json", tmp_path / "facts.json"
    common = ["--model", "m", "--results", str(results), "--facts", str(each)]
    modules.tracing.main([*common, "--n", "1"])
    first = json.loads(each.read_text())["facts"]
    modules.tracing.main([*common, "--n", "2"])
    found = json.loads(results.read_text())
    assert json.loads(each.read_text())["facts"][:1] == first
    assert found["n"] == 2
    assert found["layers"]["memit"] == [0, 1, 2]
    assert len(found["mlps, subject"]["mean"]) == 4
    text = modules.report.section(found)
    assert "| block |" in text
    assert "memit takes 0, 1, 2 by depth" in text
