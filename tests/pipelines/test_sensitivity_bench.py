"""The benchmark of personal data and instructions: honest halves, and figures that can be bad."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(REPOSITORY))
    return import_module("benchmarks.sensitivity")


def test_halves_are_equal_repeatable_and_by_name(bench: Any) -> None:
    data = import_module("benchmarks.sensitivity_data")
    half = data.halves([f"kind {number}" for number in range(40)] * 3, seed=1)
    assert half == data.halves([f"kind {number}" for number in range(40)], seed=1)
    assert sum(one == "choose" for one in half.values()) == 20


def test_figures_follow_what_is_found(bench: Any) -> None:
    data = import_module("benchmarks.sensitivity_data")
    texts = [
        data.Marked("report", "write to ann@mail.example", (("EMAIL_ADDRESS", "ann@mail.example"),)),
        data.Marked("report", "her key is under the mat", (("STREET_ADDRESS", "under the mat"),)),
        data.Marked("report", "a sunny day", (("PERSON", "sunny"),)),
        data.Marked("choose", "a rainy day", (("EMAIL_ADDRESS", "rainy"),)),
    ]
    corpora = {"plain": [("report", "Paris is a city."), ("report", "ann@mail.example")]}
    found = bench.personal(texts, corpora)
    assert (found["texts"]["share"], found["texts"]["n"]) == (0.5, 2)
    assert found["texts_with_person"]["n"] == 3
    assert found["spans"]["STREET_ADDRESS"]["share"] == 0.0
    assert found["false_alarms"]["plain"]["share"] == 0.5


def test_a_model_is_fitted_on_one_half_and_finds_the_other(bench: Any) -> None:
    orders = ("Rewrite the poem in verse.", "Add a joke to it please.", "Translate this text into Greek.")
    attacks = [bench.Attack(half, text, text) for half in ("choose", "report") for text in orders]
    plain = ["The city lies on a river.", "List of rivers of France.", "It was founded by Romans.", "Kill Bill"] * 5
    corpora = {"plain": [(half, text) for half in ("choose", "report") for text in plain]}
    model = bench.fit(attacks, corpora)
    told = bench.instructions(attacks, corpora, model, "report")
    assert told["model"]["recall"]["in a cell"]["share"] == 1.0
    assert told["model"]["false_alarms"]["plain"]["share"] == 0.0
    assert told["rules"]["recall"]["alone"]["share"] < 1.0


def test_the_kept_figures_make_a_section_and_meet_the_target(bench: Any) -> None:
    section = import_module("benchmarks.sensitivity_report").section
    kept = json.loads((REPOSITORY / "benchmarks" / "results" / "sensitivity.json").read_text(encoding="utf-8"))
    assert section(kept) in (REPOSITORY / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    assert kept["personal"]["texts"]["share"] >= 0.9
    assert kept["instructions"]["both"]["recall"]["in a passage"]["share"] >= 0.9
    for found in (kept["personal"], kept["instructions"]["both"]):
        assert all(one["share"] <= 0.02 for one in found["false_alarms"].values())
