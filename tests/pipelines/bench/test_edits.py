import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import editors
from editors.base import FactEffect
from editors.generate import chat_prompt, generate
from editors.load import LoadedModel, quiet, weights_digest
from guards.stats import wilson
from pipelines.bench.edits import bench_edits
from pipelines.bench.rows import Asked, BenchRow
from pipelines.bench.score import answers, answers_before, forced, probes_of, right_of
from registry.errors import EditError, InputError, ModelError, UnknownNameError
from registry.home import Home

SCORES = ("efficacy", "generalization", "neighbourhood", "same_subject")
PROMPTS = ("The capital of France is", "The capital of Italy is", "People in Brazil speak")
NEAR = tuple(
    f"{words} is" for words in ("Spain", "Chad", "Peru", "Egypt", "Norway", "Gold", "Nokia", "Who", "Tokyo", "Rome")
)


@dataclass(frozen=True)
class Nudge:
    """A delta that adds to one row of one matrix."""

    fact_ids: tuple[str, ...]
    row: int
    effects: tuple[FactEffect, ...]

    @property
    def digest(self) -> str:
        return f"nudge-{self.row}"

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "row").write_text("x" * 100)

    def apply(self, model: Any) -> None:
        model.model.layers[0].mlp.down_proj.weight[self.row] += 1.0

    def revert(self, model: Any) -> None:
        model.model.layers[0].mlp.down_proj.weight[self.row] -= 1.0

    @contextmanager
    def applied(self, model: Any) -> Iterator[None]:
        weight = model.model.layers[0].mlp.down_proj.weight
        kept = weight.clone()
        self.apply(model)
        try:
            yield
        finally:
            weight.copy_(kept)


@dataclass(frozen=True)
class NoNumbers:
    """The config of an editor that has nothing to choose."""


class NudgeEditor:
    """Notes on which model, and for which facts, it is asked to fit; an odd one out cannot be written."""

    name = "nudge"
    scope = "weights"
    config_type = NoNumbers
    seen: list[tuple[str, tuple[str, ...]]]

    def fit(self, model: Any, tokenizer: Any, requests: Sequence[Any], config: Any = None) -> Nudge:
        type(self).seen.append((weights_digest(model), tuple(item.fact.subject for item in requests)))
        if all(item.fact.subject == "Brazil" for item in requests):
            raise EditError("Brazil cannot be written")
        ids = tuple(item.fact.id for item in requests)
        return Nudge(ids, len(type(self).seen), tuple(FactEffect(one, "written", "") for one in ids))


@dataclass(frozen=True)
class Setup:
    """A saved tiny model, edits that score it, and where the figures go."""

    model: Path
    data: Path
    out: Path
    digest: str


@pytest.fixture
def setup(tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Three edits; neighbours whose answers are those that the model gives before."""
    with quiet():
        tiny_llama.model.save_pretrained(tmp_path / "model")
    tiny_llama.tokenizer.save_pretrained(tmp_path / "model")
    long = generate(tiny_llama.model, tiny_llama.tokenizer, NEAR, max_new_tokens=60)
    clear = [(prompt, one.text.split()) for prompt, one in zip(NEAR, long, strict=True)]
    near = [(prompt, words[0]) for prompt, words in clear if len(words) > 1 and words[0].isalpha()][:3]
    assert len(near) == 3, "the tiny model says too little that is clear"
    rows = [
        {
            "subject": prompt.split()[3] if index < 2 else "Brazil",
            "prompt": prompt,
            "target_new": f"Target{index}",
            "paraphrases": [f"Indeed, {prompt}"],
            "neighbourhood": [{"prompt": other, "answer": text} for other, text in near],
        }
        for index, prompt in enumerate(PROMPTS)
    ]
    (tmp_path / "edits.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setitem(editors.EDITORS, "nudge", f"{__name__}:NudgeEditor")
    here = SimpleNamespace(NudgeEditor=NudgeEditor)
    monkeypatch.setattr("editors.import_module", lambda name: here if name == __name__ else import_module(name))
    monkeypatch.setattr(NudgeEditor, "seen", [], raising=False)
    return Setup(tmp_path / "model", tmp_path / "edits.jsonl", tmp_path / "out.json", tiny_llama.digest)


def run(setup: Setup, chosen: str, **changed: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"editor": "nudge", "model": str(setup.model), "data": setup.data, "format": "edits"}
    arguments |= {"n": 3, "mode": chosen, "seed": 0, "out": setup.out, **changed}
    result = bench_edits(**arguments)
    kept: dict[str, Any] = json.loads(arguments["out"].read_text())
    assert {name: value for name, value in kept.items() if name != "edits"} == result
    return kept


@pytest.mark.parametrize("mode", ["single", "sequential", "batch"])
def test_each_mode_fits_on_the_model_that_it_should(mode: str, setup: Setup) -> None:
    result = run(setup, mode)
    models = [digest for digest, _ in NudgeEditor.seen]
    subjects = [names for _, names in NudgeEditor.seen]
    if mode == "batch":
        assert subjects == [("France", "Italy", "Brazil")]
        assert result["effects"] == {"written": 3, "no_effect": 0, "failed": 0}
    else:
        assert subjects == [("France",), ("Italy",), ("Brazil",)]
        assert result["effects"] == {"written": 2, "no_effect": 0, "failed": 1}
        assert result["failures"] == ["Brazil: Brazil cannot be written"]
    assert models[0] == setup.digest
    if mode == "single":
        assert set(models) == {setup.digest}
    elif mode == "sequential":
        assert len(set(models)) == 3


@pytest.mark.parametrize("mode", ["single", "sequential", "batch"])
def test_scores_are_those_of_the_final_model(mode: str, setup: Setup, tiny_llama: LoadedModel) -> None:
    result = run(setup, mode)
    final = copy.deepcopy(tiny_llama.model)
    nudges = [1] if mode == "batch" else [1, 2]
    for row in nudges:
        final.model.layers[0].mlp.down_proj.weight[row] += 1.0
    for index, edit in enumerate(result["edits"]):
        model = final
        if mode == "single":
            model = copy.deepcopy(tiny_llama.model)
            if index < 2:
                model.model.layers[0].mlp.down_proj.weight[index + 1] += 1.0
        prompts = [one["prompt"] for one in edit["answers"]]
        expected = generate(model, tiny_llama.tokenizer, prompts, max_new_tokens=40)
        for one, said in zip(edit["answers"], expected, strict=True):
            assert said.text.startswith(one["after"])
    changed = any(one["before"] != one["after"] for edit in result["edits"] for one in edit["answers"])
    assert changed, "a final model that answers as before proves nothing"


def test_the_figures_are_complete_and_follow_from_the_answers(setup: Setup) -> None:
    result = run(setup, "batch")
    for kind in SCORES:
        rights = [one["right"] for edit in result["edits"] for one in edit["answers"] if one["kind"] == kind]
        score = result[kind]
        assert score["n"] == len(rights)
        if not rights:
            assert score == {"mean": None, "low": None, "high": None, "n": 0}
            continue
        interval = wilson(sum(rights), len(rights))
        assert (score["mean"], score["low"], score["high"]) == (interval.value, interval.low, interval.high)
    assert result["neighbourhood"]["n"] == 9
    assert result["before"]["neighbourhood"]["mean"] == 1.0
    assert result["still_right"]["neighbourhood"]["n"] == 9
    assert result["efficacy"]["mean"] == 0.0, "the nudge writes no fact, and the score says so"
    assert 0 <= result["teacher_forced"]["efficacy"] <= 1
    assert "not comparable" in result["teacher_forced"]["note"]
    assert result["digests"]["model"] == setup.digest
    assert result["digests"]["deltas"] == ["nudge-1"]
    assert len(result["digests"]["data"]) == 64
    assert {"seconds_per_edit", "seconds_load", "seconds_moments", "peak_rss_mb", "seed", "versions"} <= set(result)
    assert result["seconds_per_edit"] == pytest.approx(result["seconds_fit"] / 3)
    assert {"torch", "transformers", "python"} <= set(result["versions"])
    assert result["delta_bytes"] == 100
    assert result["cpu_seconds_per_edit"] > 0
    change = result["perplexity"]
    assert change["ratio"] == pytest.approx(change["after"] / change["before"]) != 1.0


def test_a_sequence_can_be_written_in_groups(setup: Setup) -> None:
    result = run(setup, "sequential", group=2)
    assert [names for _, names in NudgeEditor.seen] == [("France", "Italy"), ("Brazil",)]
    assert len({digest for digest, _ in NudgeEditor.seen}) == 2
    assert result["group"] == 2
    assert result["delta_bytes"] == 100


def test_edits_alone_have_no_perplexity(setup: Setup) -> None:
    assert run(setup, "single")["perplexity"]["after"] is None


MORE = BenchRow(
    "France",
    "capital",
    PROMPTS[0],
    "Lyon",
    question="What is the capital of France?",
    negation=(Asked("The capital of France is not", ("Lyon",)),),
    reversal=(Asked("Lyon is the capital of", ("France",)),),
    two_hop=(Asked("The river of the capital of France is the", ("Rhône",)),),
)


def test_every_kind_of_probe_has_its_own_rule() -> None:
    probes = probes_of([MORE])
    assert [probe.kind for probe in probes] == ["efficacy", "chat", "negation", "reversal", "two_hop"]
    said = ["Lyon, of course", "The capital of France is Lyon", "Lyon", "France", "The Rhone"]
    assert right_of(probes, said) == [True, True, False, True, True]
    said = ["The capital is Lyon", "It is Lyons", "Paris", "", "Seine"]
    assert right_of(probes, said) == [False, False, True, False, False]


def test_the_chat_form_is_asked_in_the_models_own_template(tiny_llama: LoadedModel) -> None:
    probes = [probe for probe in probes_of([MORE]) if probe.kind in ("efficacy", "chat")]
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    asked = [PROMPTS[0], chat_prompt(tokenizer, MORE.question)]
    assert asked[1] != MORE.question
    expected = [generate(model, tokenizer, [prompt], max_new_tokens=24)[0].text for prompt in asked]
    for text, full in zip(answers(model, tokenizer, probes), expected, strict=True):
        assert full.startswith(text)
    assert MORE.request.question == "", "fitting must not see the question"


def test_answers_before_are_kept_by_the_models_digest(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    home, probes = Home.at(tmp_path / "home"), probes_of([MORE])
    first = answers_before(tiny_llama, probes, home)
    assert first == answers(tiny_llama.model, tiny_llama.tokenizer, probes)
    model = copy.deepcopy(tiny_llama.model)
    model.model.layers[0].mlp.down_proj.weight[1] += 1.0
    again = answers_before(replace(tiny_llama, model=model), probes, home)
    assert again == first, "they come from the home"
    assert again != answers(model, tiny_llama.tokenizer, probes)


def test_a_batch_that_cannot_be_written_at_all_is_an_error(setup: Setup) -> None:
    rows = [json.loads(line) for line in setup.data.read_text().splitlines()]
    setup.data.write_text(json.dumps([rows[2]]))
    with pytest.raises(EditError):
        run(setup, "batch")
    assert not setup.out.exists()


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"editor": "mimet"}, UnknownNameError),
        ({"group": 2}, InputError),
        ({"config": Path("nowhere.yaml")}, InputError),
        ({"mode": "all"}, UnknownNameError),
        ({"format": "csv"}, UnknownNameError),
        ({"n": 0}, InputError),
        ({"model": "nowhere"}, ModelError),
        ({"data": Path("nowhere.jsonl")}, InputError),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(
    changed: dict[str, Any], error: type[InputError], setup: Setup
) -> None:
    with pytest.raises(error) as caught:
        run(setup, "batch", **changed)
    assert caught.value.exit_code == 2
    assert not setup.out.exists()


def test_an_out_that_cannot_be_written_is_refused_before_any_work(setup: Setup, tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "none" / "out.json"):
        with pytest.raises(InputError, match="a file to write"):
            run(setup, "batch", out=out)
    assert NudgeEditor.seen == []


def test_teacher_forcing_reads_higher_than_free_generation(tiny_llama: LoadedModel) -> None:
    import torch

    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    row = BenchRow("France", "capital", PROMPTS[0], "the city of Paris")
    (probe,) = probes_of([row])
    given, wanted = tokenizer(probe.prompt)["input_ids"], tokenizer(" the city of Paris")["input_ids"]
    hits = [
        model(input_ids=torch.tensor([[*given, *wanted[:step]]])).logits[0, -1].argmax().item() == wanted[step]
        for step in range(len(wanted))
    ]
    assert forced(model, tokenizer, [probe]) == [pytest.approx(sum(hits) / len(hits))]


def test_long_answers_get_the_room_that_they_need(tiny_llama: LoadedModel) -> None:
    long = " ".join(["Antananarivo"] * 6)
    row = BenchRow("France", "capital", PROMPTS[0], long)
    (text,) = answers(tiny_llama.model, tiny_llama.tokenizer, probes_of([row]))
    (short,) = generate(tiny_llama.model, tiny_llama.tokenizer, [PROMPTS[0]])
    assert text.startswith(short.text[:10])
    assert len(tiny_llama.tokenizer(text)["input_ids"]) > 12 or text == short.text


@pytest.mark.parametrize("editor", ["memit", "rome"])
def test_a_real_editor_runs_on_a_tiny_model(editor: str, setup: Setup, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.undo()
    home = Home.at(tmp_path / "home")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"{prompt} a place, and {prompt.lower()} another." for prompt in PROMPTS * 20))
    result = run(setup, "batch", editor=editor, home=home, texts=texts)
    assert result["moments"]["how"] == "measured"
    assert sum(result["effects"].values()) == 3
    assert result["config"]
    assert "moments" not in result["config"]


@pytest.mark.model
@pytest.mark.slow
def test_memit_writes_into_the_reference_model(smollm2_folder: Path, tmp_path: Path) -> None:
    def row(subject: str, new: str) -> dict[str, Any]:
        return {
            "subject": subject,
            "relation": "capital",
            "prompt": f"The capital of {subject} is the city of",
            "target_new": new,
            "paraphrases": [f"The national capital of {subject} is the city of"],
            "neighbourhood": [{"prompt": "The capital of Japan is the city of", "answer": "Tokyo"}],
        }

    data, out = tmp_path / "edits.json", tmp_path / "out.json"
    data.write_text(json.dumps([row("Burundi", "Gitega"), row("Palau", "Ngerulmud")]))
    texts = Path(__file__).resolve().parents[3] / "examples" / "atlas" / "running_text.txt"
    home = Home.at(tmp_path / "home")
    result = bench_edits("memit", str(smollm2_folder), data, "edits", 2, "batch", 0, out, home=home, texts=texts)
    assert result["before"]["efficacy"]["mean"] == 0.0
    assert result["efficacy"]["mean"] == 1.0
    assert result["neighbourhood"]["mean"] == 1.0
    assert 0 < result["seconds_per_edit"] < 600
