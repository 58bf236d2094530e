"""A model is sampled with and without context, the same way every time."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel
from pipelines.judging.persuasion import PersuasionPolicy, persuadability, sampled
from pipelines.settings import Settings
from registry.errors import InputError
from registry.records import Fact

POLICY = PersuasionPolicy(samples=3, max_new_tokens=3)


def test_samples_are_repeatable_and_probabilities(tiny_llama: LoadedModel) -> None:
    import torch

    state = torch.random.get_rng_state()
    first = sampled(tiny_llama, "The capital of France is", POLICY)
    assert first == sampled(tiny_llama, "The capital of France is", POLICY)
    assert torch.equal(state, torch.random.get_rng_state()), "nobody else's draws are moved"
    assert len(first) == 3
    assert all(0 < sum(one.tokens.values()) <= 1.0 + 1e-6 for one in first)
    with pytest.raises(InputError, match="at least one sample"):
        sampled(tiny_llama, "x", replace(POLICY, samples=0))


def test_a_model_that_copies_its_context_scores_higher_than_a_deaf_one(
    tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from guards.volatility import Said
    from pipelines.judging import persuasion

    catalogue = Settings.load().catalogue
    request = catalogue.request(Fact("France", "capital", "Lyon", source="test"), "UPDATE")
    unknown = replace(request, fact=Fact("France", "hue", "blue", source="test"))

    def copying(_: LoadedModel, prompt: str, policy: Any) -> list[Said]:
        return [Said("Lyon", {2: 1.0}) if "Lyon" in prompt else Said("Paris", {1: 1.0})] * policy.samples

    def deaf(_: LoadedModel, prompt: str, policy: Any) -> list[Said]:
        return [Said("Paris", {1: 1.0})] * policy.samples

    monkeypatch.setattr(persuasion, "sampled", copying)
    moved = persuadability(tiny_llama, [request, unknown], catalogue, POLICY)
    assert list(moved) == [request.fact.id], "a relation without a statement is left out"
    monkeypatch.setattr(persuasion, "sampled", deaf)
    assert persuadability(tiny_llama, [request], catalogue, POLICY)[request.fact.id] < 0.01 < moved[request.fact.id]


@pytest.mark.parametrize(("low", "words"), [(0.51, " tells which"), (0.49, "does not clearly tell")])
def test_the_bench_says_that_the_score_tells_only_where_its_interval_does(
    low: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3]))
    bench = import_module("benchmarks.persuasion")
    area = {"auc": 0.7, "low": low, "high": 0.9, "n": 4}
    found = {
        **{"model": "abc", "n": 4, "seed": 6, "yielded": 2, "persuasion": area, "uncertainty": area},
        "relations": {"capital": {"score": 1.0, "yielded": 2, "n": 4}},
    }
    assert words in bench.section(found)
