"""The script that compares full fine-tuning, LoRA, SVFit and SST on a domain."""

import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = [3.0, 2.0, 4.0, 3.0]


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(REPOSITORY))
    return import_module("benchmarks.domain")


def report(method: str, gain: float, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "lr": 0.01,
        "rank": None,
        "trained_parameters": 10,
        "cpu_s": 1.0,
        "delta_bytes": 40,
        "shift": 0.1,
        "sweep": {},
    }
    after = [value - gain * (1 + index / 10) for index, value in enumerate(BASE)]
    return {"method": method, "setting": {"steps": 3}, "base": BASE, "after": after, **known, **more}


def test_gains_are_shares_of_full_fine_tunings(domain: Any) -> None:
    gains = {"full": 1.0, "lora": 0.4, "svfit": 0.3, "sst": 0.8}
    found, text = domain.table([report(method, gain) for method, gain in gains.items()])
    methods = found["methods"]
    assert methods["base"]["perplexity"][0] == pytest.approx(math.exp(3))
    assert [methods[name]["share_of_full_gain"][0] for name in gains] == pytest.approx(list(gains.values()))
    assert methods["gap_of_lora_closed_by_sst"] == pytest.approx((2 / 3,) * 3)
    assert methods["gain_of_svfit_over_gain_of_lora"] == pytest.approx((0.75,) * 3)
    low, high = methods["lora"]["perplexity"][1:]
    assert low < methods["lora"]["perplexity"][0] < high
    assert text.count("\n") == 7
    assert domain.table([report(method, gain) for method, gain in gains.items()])[0] == found


def test_a_method_has_a_row_for_each_rank(domain: Any) -> None:
    runs = [report("lora", 0.4, rank=8), report("lora", 0.2, rank=4), report("svfit", 0.3), report("full", 1.0)]
    methods = domain.table(runs)[0]["methods"]
    assert [name for name, found in methods.items() if isinstance(found, dict)] == (
        ["base", "full", "lora", "lora_rank_4", "svfit"]
    )
    assert methods["lora_rank_4"]["share_of_full_gain"] == pytest.approx((0.2,) * 3)
    assert methods["gain_of_svfit_over_gain_of_lora"] == pytest.approx((0.75,) * 3)
    assert methods["gain_of_svfit_over_gain_of_lora_rank_4"] == pytest.approx((1.5,) * 3)


@pytest.mark.parametrize("other", [{"base": [1.0] * 4}, {"setting": {"steps": 4}}])
def test_runs_that_cannot_be_compared_are_refused(domain: Any, other: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="same settings"):
        domain.table([report("full", 1.0), report("lora", 0.4, **other)])


def test_held_out_documents_are_not_trained_on(domain: Any, tiny_llama: Any, tmp_path: Path) -> None:
    texts = [f"{word} {word} {word} {word}" for word in ("Paris", "Rome", "Tokyo", "yen", "Brazil", "Egypt")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, "x"]))
    found = domain.read_corpus(tmp_path / "a.jsonl", tiny_llama.tokenizer, 4, 2, 3, 0)
    assert [tuple(windows.shape) for windows in (*found.dev, *found.test)] == [(1, 4)] * 5
    held = [tiny_llama.tokenizer.decode(row) for row in torch.cat([*found.dev, *found.test])]
    left = [text for text in texts if text in found.train]
    assert len(left) == 1
    assert all(left[0].split()[0] not in text for text in held)


def test_windows_of_a_document_do_not_overlap_and_count_as_one(domain: Any, tiny_llama: Any, tmp_path: Path) -> None:
    words = ["Paris", "Rome", "Tokyo", "yen", "Brazil", "Egypt", "France", "Italy", "Japan", "Spain"]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": " ".join(words)}) + "\n" + json.dumps({"text": "yen " * 5}))
    tokens = len(tiny_llama.tokenizer(" ".join(words))["input_ids"])
    found = domain.read_corpus(tmp_path / "a.jsonl", tiny_llama.tokenizer, 2, 1, 1, 0, windows=3)
    most = max((*found.dev, *found.test), key=lambda windows: len(set(windows.flatten().tolist())))
    assert most.shape == (3, 2)
    assert len(set(most.flatten().tolist())) == 6 <= tokens
    (mean,) = domain.losses(tiny_llama.model, [most])
    single = domain.losses(tiny_llama.model, [window[None] for window in most])
    assert mean == pytest.approx(sum(single) / 3, rel=1e-5)
    assert max(single) > min(single)


def test_full_training_is_a_delta_like_the_others(domain: Any, tiny_llama: Any) -> None:
    config = domain.TrainingConfig(steps=3, lr=0.02, warmup=0, length=16, batch=2)
    text = ("The capital of France is Paris. The capital of Italy is Rome.",) * 2
    delta = domain.fit("full", tiny_llama.model, tiny_llama.tokenizer, text, config, 4)
    ids = torch.tensor(tiny_llama.tokenizer(text[0])["input_ids"])[None]
    (before,) = domain.losses(tiny_llama.model, [ids])
    with delta.applied(tiny_llama.model):
        assert domain.losses(tiny_llama.model, [ids])[0] < before - 0.5
    assert domain.losses(tiny_llama.model, [ids]) == [before]
    assert delta.notes["trained_parameters"] == sum(
        tiny_llama.model.get_parameter(name).numel() for name in delta.parameters
    )


def test_rates_beyond_an_end_are_tried_while_the_best_stands_there(domain: Any) -> None:
    tried: dict[str, float] = {}
    best = domain.best_rate(lambda lr: abs(math.log(lr / 0.02)), (3e-4, 1e-3), tried)
    assert (best, list(tried)) == (0.03, ["0.0003", "0.001", "0.003", "0.01", "0.03"])
    inside: dict[str, float] = {}
    assert domain.best_rate(lambda lr: abs(math.log(lr / 1e-3)), (3e-4, 1e-3, 3e-3), inside) == 1e-3
    assert len(inside) == 3
    assert domain.best_rate(lambda lr: lr, (3e-4, 1e-3), {}, wider=0) == 3e-4
    assert domain.best_rate(lambda lr: lr, (3e-4, 1e-3), {}) == 1e-5
