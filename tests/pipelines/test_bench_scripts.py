"""The scripts of benchmarks/: the drawing rule, the grid of runs, and what RESULTS.md is made of."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from editors.load import LoadedModel
from guards.observations import Observation
from guards.stats import wilson
from pipelines.bench.formats import read_rows
from pipelines.judging.portability import negated
from pipelines.judging.probing import stay_questions
from pipelines.settings import Settings
from pipelines.write import Written
from registry.home import Home

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of benchmarks/ by name."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    names = (
        "curves",
        "draw",
        "draw_relations",
        "easyedit.inside",
        "easyedit.run",
        "editors",
        "lines_report",
        "report",
        "router",
        "router_rows",
        "scope",
    )
    return SimpleNamespace(**{name.replace(".", "_"): import_module(f"benchmarks.{name}") for name in names})


PHRASINGS = ("The hue of {} is", "In colour, {} is", "{} has the colour")
COLOURS = ("red", "green", "blue", "white", "black")


def hues(scripts: SimpleNamespace, count: int = 40, ordered: bool = True) -> tuple[Any, dict[str, str]]:
    """A relation of things, and a model that is wrong about every fourth and unsure of every third."""
    facts = {f"Thing{number:02}": COLOURS[number % len(COLOURS)] for number in range(count)}
    said: dict[str, str] = {}
    for number, (subject, colour) in enumerate(facts.items()):
        texts = [phrasing.replace("{}", subject) for phrasing in PHRASINGS]
        said |= dict.fromkeys(texts, "purple" if number % 4 == 3 else f"{colour}, I think")
        if number % 3 == 2:
            said[texts[2]] = "mauve"
    return scripts.draw_relations.Phrased("hue", PHRASINGS, ordered, "Which hue has {}?", facts, lambda n: (n,)), said


def test_known_facts_are_right_twice_and_neighbours_in_every_phrasing(scripts: SimpleNamespace) -> None:
    relation, said = hues(scripts)
    (known,) = scripts.draw.known([relation], said).values()
    numbers = {kind: {int(subject[-2:]) for subject in getattr(known, kind)} for kind in ("right", "sure", "wrong")}
    assert numbers["right"] == {n for n in range(40) if n % 4 != 3}
    assert numbers["sure"] == {n for n in range(40) if n % 4 != 3 and n % 3 != 2}
    assert numbers["wrong"] == {n for n in range(40) if n % 4 == 3}
    assert (known.prompt, known.tests) == (PHRASINGS[0], PHRASINGS[1:])


def test_where_no_prompt_is_given_the_best_understood_phrasing_is_it(scripts: SimpleNamespace) -> None:
    relation, said = hues(scripts, ordered=False)
    said |= {PHRASINGS[0].replace("{}", subject): "what?" for subject in relation.facts}
    (known,) = scripts.draw.known([relation], said).values()
    assert known.prompt == PHRASINGS[1]
    assert set(known.tests) == {PHRASINGS[0], PHRASINGS[2]}


def test_a_relation_that_is_hardly_known_is_left_out(scripts: SimpleNamespace) -> None:
    relation, said = hues(scripts, count=8)
    assert scripts.draw.known([relation], said) == {}


@pytest.mark.parametrize("kind", ["counterfactual", "correction"])
def test_drawn_edits_follow_the_rule_and_can_be_read(kind: str, scripts: SimpleNamespace, tmp_path: Path) -> None:
    relation, said = hues(scripts)
    facts = scripts.draw.known([relation], said)
    edited = scripts.draw.drawn(facts, kind, 12, 5)
    assert edited == scripts.draw.drawn(facts, kind, 12, 5)
    assert edited != scripts.draw.drawn(facts, kind, 12, 6)
    rows = scripts.draw.rows(facts, edited, kind, 5)
    subjects = {row["subject"] for row in rows}
    for row in rows:
        truth = relation.facts[row["subject"]]
        assert (row["target_new"] == truth) is (kind == "correction")
        assert row["target_new"] in COLOURS
        assert row["question"] == f"Which hue has {row['subject']}?"
        assert row["negation"] == [{"prompt": f"The hue of {row['subject']} is not", "answer": row["target_new"]}]
        near = {one["prompt"].split()[3] for one in row["neighbourhood"]}
        assert near
        assert near <= set(facts["hue"].sure) - subjects
    path = tmp_path / "edits.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(read_rows(path, "edits", 99, 0).rows) == len(rows)
    gone = scripts.draw.excluded([path])
    again = scripts.draw.drawn(facts, kind, 99, 5, gone)
    assert not set(again) & set(edited)


def test_no_more_than_half_of_what_is_known_is_edited(scripts: SimpleNamespace) -> None:
    relation, said = hues(scripts)
    facts = scripts.draw.known([relation], said)
    assert len(scripts.draw.drawn(facts, "counterfactual", 999, 0)) == len(facts["hue"].right) // 2


def test_two_hops_go_through_the_edit_and_end_with_what_no_edit_writes(scripts: SimpleNamespace) -> None:
    make, single = scripts.draw.Known, scripts.draw_relations.Phrased
    cities = {f"City{number}": f"Land{number % 5}" for number in range(10)}
    capitals = {f"Land{number}": f"Seat{number}" for number in range(5)}
    facts = {
        name: make(single(name, (text,), True, "", found, lambda n: (n,)), text, (), found, found, {})
        for name, text, found in (
            ("located_in", "The city of {} is in", cities),
            ("capital", "The capital of {} is the city of", capitals),
        )
    }
    edited = [("located_in", "City0"), ("located_in", "City1"), ("capital", "Land2")]
    for row in scripts.draw.rows(facts, edited, "counterfactual", 0)[:2]:
        new = row["target_new"]
        if new == "Land2":
            assert "two_hop" not in row
            continue
        (hop,) = row["two_hop"]
        place = f"the country in which the city of {row['subject']} lies"
        assert hop == {"prompt": f"The capital of {place} is the city of", "answer": capitals[new]}
    (reversal,) = scripts.draw.rows(facts, edited, "counterfactual", 0)[2]["reversal"]
    assert reversal["answer"] == "Land2"


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("The capital of Chad is the city of", "The capital of Chad is not the city of"),
        ("The headquarters of IBM are in", "The headquarters of IBM are not in"),
        ("The book Is That All was written by", "The book Is That All was not written by"),
        ("Bohr won the Nobel Prize in", "Bohr did not win the Nobel Prize in"),
        ("Ann plays the", "Ann does not play the"),
    ],
)
def test_prompts_are_negated_by_their_verb(prompt: str, wanted: str) -> None:
    assert negated(prompt) == [wanted]
    assert negated("Nothing here") == []


def test_the_relations_of_the_atlas_and_of_lre_are_read(scripts: SimpleNamespace) -> None:
    atlas = {one.name: one for one in scripts.draw_relations.atlas_relations(REPOSITORY / "examples" / "atlas")}
    assert atlas["capital"].facts["Algeria"] == "Algiers"
    assert len(atlas["capital"].phrasings) == 3
    assert scripts.draw_relations.lre_relations(REPOSITORY) == []
    folder = REPOSITORY.parent / "shared" / "data" / "editing"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not beside this repository")
    for one in scripts.draw_relations.lre_relations(folder):
        assert len(one.phrasings) >= 3, one.name
        assert all(text.count("{}") == 1 and "[" not in text and "?" not in text for text in one.phrasings)


def score(right: int, n: int) -> dict[str, Any]:
    if not n:
        return {"mean": None, "low": None, "high": None, "n": 0}
    found = wilson(right, n)
    return {"mean": found.value, "low": found.low, "high": found.high, "n": n}


def figures(editor: str, mode: str, n: int, right: int) -> dict[str, Any]:
    """What `bench edits` writes, as far as the tables need it."""
    scores = {kind: score(right, n) for kind in ("efficacy", "generalization", "chat", "neighbourhood")}
    nothing = {kind: score(0, 0) for kind in ("same_subject", "negation", "reversal", "two_hop")}
    return {
        **{"editor": editor, "mode": mode, "n": n, "n_asked": n, "group": 1, "seed": 0, "model": "tiny"},
        **scores,
        **nothing,
        "before": {"efficacy": score(0, n), "neighbourhood": score(n, n)},
        "perplexity": {"before": 20.0, "after": 21.0, "ratio": 1.05},
        "effects": {"written": n, "no_effect": 0, "failed": 0},
        **{"cpu_seconds_per_edit": 1.5, "seconds_per_edit": 1.7, "peak_rss_mb": 900.0, "delta_bytes": 4000 * n},
        "digests": {"model": "a" * 64, "data": "b" * 64, "deltas": []},
        **{"dtype": "float32", "device": "cpu", "threads": 1, "versions": {"torch": "2"}},
        **{"edits": ["every answer"], "failures": [], "config": {}, "data": "/somewhere/edits.jsonl"},
    }


def test_the_grid_begins_small_and_does_not_write_one_edit_twice(scripts: SimpleNamespace) -> None:
    cells = list(scripts.editors.grid(["memit", "rome"], [10, 1], ["batch", "single"]))
    assert [(cell.editor, cell.mode, cell.n) for cell in cells] == [
        ("memit", "batch", 1),
        ("rome", "batch", 1),
        ("memit", "batch", 10),
        ("rome", "batch", 10),
        ("memit", "single", 10),
        ("rome", "single", 10),
    ]


def test_a_cell_can_have_numbers_of_its_own(scripts: SimpleNamespace, tmp_path: Path) -> None:
    cell = scripts.editors.Cell("memit", "batch", 2, config=tmp_path / "own.yaml")
    command = cell.command("m", tmp_path, 0, tmp_path)
    assert command[command.index("--config") + 1] == str(tmp_path / "own.yaml")
    assert "--config" not in scripts.editors.Cell("memit", "batch", 2).command("m", tmp_path, 0, tmp_path)


@pytest.fixture
def calls(scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that are run instead of being run; rome breaks, everything else gives figures."""
    seen: list[list[str]] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        assert options["env"]["OMP_NUM_THREADS"] == "1"
        named = dict(zip(command[5::2], command[6::2], strict=True))
        seen.append(command)
        if named["--editor"] == "rome":
            return SimpleNamespace(returncode=1, stderr="first\ndmmgov: no\n", stdout="")
        made = figures(named["--editor"], named["--mode"], int(named["--n"]), int(named["--n"]))
        made["digests"]["data"] = scripts.editors.digest_file(Path(named["--data"]))
        Path(named["--out"]).write_text(json.dumps(made))
        return SimpleNamespace(returncode=0, stderr="", stdout="")

    monkeypatch.setattr(scripts.editors.subprocess, "run", run)
    return seen


def test_a_run_goes_on_where_it_was_cut_off(
    scripts: SimpleNamespace, calls: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, results = tmp_path / "edits.jsonl", tmp_path / "results.json"
    data.write_text("{}")
    common = ["--model", "m", "--data", str(data), "--results", str(results), "--work", str(tmp_path / "work")]
    assert scripts.editors.main([*common, "--editors", "memit", "rome", "--n", "1", "--modes", "batch"]) == 1
    assert (
        "left out: Cell(editor='rome', mode='batch', n=1, group=1, config=None): exit status 1: dmmgov: no"
        in capsys.readouterr().out
    )
    assert scripts.editors.main([*common, "--editors", "memit", "--n", "1", "3", "--modes", "batch"]) == 0
    assert [command[6] for command in calls] == ["memit", "rome", "memit"]
    kept = json.loads(results.read_text())
    assert [(cell["editor"], cell["n"]) for cell in kept] == [("memit", 1), ("memit", 3)]
    assert all(cell["data"] == "edits.jsonl" and "edits" not in cell for cell in kept)
    assert scripts.editors.main([*common, "--editors", "memit", "--n", "5", "--minutes", "-1"]) == 1
    data.write_text("{} ")
    assert scripts.editors.main([*common, "--editors", "memit", "--n", "1", "--modes", "batch"]) == 0
    assert len(calls) == 4, "other data, other figures"
    assert len(json.loads(results.read_text())) == 2


def test_a_script_that_is_run_by_its_path_finds_the_package_of_editors(tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    (tmp_path / "editors.py").write_bytes((REPOSITORY / "benchmarks" / "editors.py").read_bytes())
    script.write_text("from editors.base import EffectState\nimport editors\nassert editors.get_editor\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_tables_and_curves_say_what_the_figures_say(scripts: SimpleNamespace, tmp_path: Path) -> None:
    cells = [figures("memit", "batch", 1, 1), figures("memit", "batch", 20, 19), figures("rome", "sequential", 20, 3)]
    text = scripts.report.editors_section(cells, tmp_path)
    assert "| memit | 20 | .95 (.76-.99) |" in text
    assert "| rome | 20 | .15 (.05-.36) |" in text
    assert "| memit | batch | 20 | 1.50 | 1.70 | 900 | 4.0 | 20 / 0 / 0 |" in text
    assert "### Single" not in text
    root = ElementTree.fromstring((tmp_path / "batch.svg").read_text())
    titles = [item.text for item in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "memit, 20: 0.95 (0.76 to 0.99)" in titles
    assert len(titles) == 2 * 3, "two points in each of the panels that have figures"
    assert not (tmp_path / "sequential.svg").exists(), "one number of edits is no curve"


def test_a_section_is_replaced_and_the_rest_stays(scripts: SimpleNamespace) -> None:
    once = scripts.report.with_section("# Results\n\nBy hand.\n", "editors", "old \\1")
    twice = scripts.report.with_section(f"{once}\nAfter.\n", "editors", "new")
    assert "old \\1" in once
    assert "old" not in twice
    assert twice.startswith("# Results\n\nBy hand.\n")
    assert twice.endswith("\nAfter.\n")


def test_curves_put_larger_shares_higher(scripts: SimpleNamespace) -> None:
    def heights(points: Mapping[float, float]) -> list[float]:
        made = [scripts.curves.Point(x, y, y, y) for x, y in points.items()]
        root = ElementTree.fromstring(scripts.curves.curves({"share": {"a <b>": made}}, "edits"))
        return [float(item.get("cy") or 0) for item in root.iter("{http://www.w3.org/2000/svg}circle")]

    low, high = heights({1: 0.2, 10: 0.9})
    assert high < low
    assert heights({5: 0.5})[0] == pytest.approx((low + high) / 2 + (0.55 - 0.5) * (low - high) / 0.7)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the requirements of EasyEdit, as far as they matter."""
    folder = tmp_path / "EasyEdit"
    folder.mkdir()
    (folder / "requirements.txt").write_text("torch==2.9.1\ndatasets==4.8.5\nopenai==2.8.1\nPyYAML==6.0\n")
    return folder


@pytest.mark.parametrize("fails", ["install", "import", "nothing"])
def test_easyedit_is_skipped_where_its_environment_cannot_be_made(
    fails: str, scripts: SimpleNamespace, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        broken = fails == ("install" if "pip" in command else "import")
        return SimpleNamespace(returncode=int(broken), stderr="looking\nno network\n")

    monkeypatch.setattr(scripts.easyedit_run.subprocess, "run", run)
    monkeypatch.setattr(scripts.easyedit_run.venv, "create", lambda folder, with_pip: folder.mkdir())
    reason = scripts.easyedit_run.environment(tmp_path / "env", checkout)
    assert commands[0][5:] == ["torch==2.13.0", "datasets==4.8.5", "PyYAML==6.0"]
    assert ("no network" in reason) is (fails != "nothing")
    assert (reason == "") is (fails == "nothing")


def test_a_skipped_comparison_says_so_and_writes_nothing(
    scripts: SimpleNamespace,
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(scripts.easyedit_run, "environment", lambda *_: "no network")
    named = {"easyedit": checkout, "model": "m", "data": "d", "results": tmp_path / "results.json"}
    scripts.easyedit_run.main([text for name, value in named.items() for text in (f"--{name}", str(value))])
    assert capsys.readouterr().out == "EasyEdit is skipped: no network\n"
    assert not (tmp_path / "results.json").exists()


def test_our_runs_have_numbers_that_their_editors_read(scripts: SimpleNamespace) -> None:
    from editors import get_editor

    found = {}
    for name, (editor, _, config) in scripts.easyedit_run.OURS.items():
        kind: Any = get_editor(editor)
        found[name] = kind.config_type.read(config) if config else kind.config_type()
    assert [name for name, config in found.items() if config.targets.chat] == ["memit-chat"]
    assert [name for name, config in found.items() if not config.bystanders.weight] == ["memit-firm"]
    assert [name for name, config in found.items() if name != "rome" and config.refine.steps] == ["memit-clear"]


def test_comparisons_of_other_edits_are_kept(scripts: SimpleNamespace, tmp_path: Path) -> None:
    share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 40}
    kinds = ("efficacy", "generalization", "chat", "neighbourhood", "same_subject")
    run = {**dict.fromkeys(kinds, share), "perplexity": {"ratio": 1.0}, "cpu_seconds_per_edit": 2.0}
    run |= {"cpu_seconds_covariances": None, "peak_rss_mb": 9}
    for name, n in (("a", 40), ("b", 20), ("c", 40)):
        found = {"about": f"{n} edits", "n": n, "seed": 0, "runs": [{**run, "name": name}]}
        scripts.easyedit_run.keep(tmp_path / "results.json", found)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert [(one["n"], one["runs"][0]["name"]) for one in kept] == [(20, "b"), (40, "c")]
    text = scripts.report.peers_section(kept)
    assert text.index("20 edits") < text.index("| b |") < text.index("40 edits") < text.index("| c |")


def test_easyedit_is_given_the_same_edits(scripts: SimpleNamespace, tiny_llama: LoadedModel, tmp_path: Path) -> None:
    rows = [{"subject": "Chad", "prompt": "The capital of Chad is", "target_new": "Lima", "paraphrases": ["x Chad y"]}]
    data, texts = tmp_path / "edits.jsonl", tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts.write_text(json.dumps({"text": "The capital of Italy is Rome. " * 200}) + "\n")
    given = SimpleNamespace(
        work=tmp_path / "work", texts=texts, model="folder", data=data, seed=0, settings=["memit-tuned"]
    )
    path = scripts.easyedit_run.job(given, read_rows(data, "edits", 9, 0).rows, tiny_llama.tokenizer)
    job = json.loads(path.read_text())
    (request,) = job["requests"]
    assert request == {"case_id": 0, "prompt": "The capital of {} is", "subject": "Chad", "target_new": "Lima"}
    assert "x Chad y" not in path.read_text(), "test phrasings must not reach it"
    (setting,) = job["settings"]
    assert setting["hparams"]["layers"] == [6, 7, 8]
    (text,) = [json.loads(line)["text"] for line in Path(job["texts"]).read_text().splitlines()]
    assert 0 < len(tiny_llama.tokenizer(text)["input_ids"]) <= 300


def test_edits_are_written_by_easyedit_as_their_method_does(scripts: SimpleNamespace) -> None:
    calls: list[list[int]] = []

    def apply(_model: Any, _tokenizer: Any, group: list[dict[str, int]], _hparams: Any) -> None:
        calls.append([request["case_id"] for request in group])

    requests = [{"case_id": number} for number in range(3)]
    assert scripts.easyedit_inside.edit(None, None, requests, "MEMIT", None, apply) >= 0
    scripts.easyedit_inside.edit(None, None, requests, "ROME", None, apply)
    assert calls == [[0, 1, 2], [0], [1], [2]]


def test_mixed_updates_are_those_of_the_feed_that_should_come_in(scripts: SimpleNamespace, tmp_path: Path) -> None:
    drawn = {"subject": "Thing", "relation": "hue", "prompt": "The hue of Thing is", "target_new": "red"}
    (tmp_path / "edits.jsonl").write_text(json.dumps(drawn))
    rows = scripts.router_rows.updates([tmp_path / "edits.jsonl"], 300, 0)
    keys = [(row.subject, row.relation) for row in rows]
    assert len(set(keys)) == len(keys)
    assert ("Germany", "head_of_government") in keys
    assert ("Egypt", "head_of_state") not in keys, "its row is a falsehood"
    assert keys[-1] == ("Thing", "hue")
    assert len(scripts.router_rows.updates([], 50, 0)) == 50


def test_the_router_sends_every_update_somewhere_and_weak_writes_to_the_index(
    scripts: SimpleNamespace, tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = scripts.router.Place(tiny_llama, Settings.load(), Home.at(tmp_path / "home"), 0)
    rows = [row for row in scripts.router_rows.updates([], 300, 0) if row.relation in ("capital", "reigning_champion")]
    requests = [scripts.router_rows.request_of(row, place.settings.catalogue) for row in rows]
    routes = scripts.router.routed(place, requests)
    where = {(item.fact.relation, way.editor) for item, way in zip(requests, routes, strict=True)}
    assert where == {("capital", "memit"), ("reigning_champion", "rag")}
    held = tuple(item.fact.id for item, way in zip(requests, routes, strict=True) if way.editor == "memit")

    class Idle:
        """A delta that does nothing, so that no fact is answered."""

        def __init__(self, ids: tuple[str, ...]) -> None:
            self.fact_ids = ids

        def applied(self, model: Any) -> Any:
            return nullcontext(model)

        def without(self, gone: Any) -> "Idle":
            return Idle(tuple(one for one in self.fact_ids if one not in gone))

    idle: Any = Idle(held)
    memory = {item.fact.id: way.editor for item, way in zip(requests, routes, strict=True)}
    monkeypatch.setattr(scripts.router, "write", lambda *_: Written(idle, {}, memory, {}))
    monkeypatch.setattr(scripts.router, "with_moments", lambda config, *_: (config, {}))
    half = score(1, 2)
    asked: list[Any] = []

    def scored(_place: Any, probes: Any, _deltas: Any, weights: Any) -> dict[str, Any]:
        asked.append((probes, weights))
        return {"efficacy": half, "neighbourhood": half, "perplexity": 20.0}

    monkeypatch.setattr(scripts.router, "scored", scored)
    monkeypatch.setattr(scripts.router, "get_editor", lambda _: SimpleNamespace(fit=lambda *_: None))
    (_, last) = scripts.router.found_by_level(place, rows, {}, [0.0, 0.98])
    assert list(last["levels"]) == ["answered", "0.98"]
    answered = last["levels"]["answered"]
    assert answered["memories"] == {"rag": len(rows)}
    assert answered["moved"] == {"not answered from the weights in its own prompt": len(held)}
    assert [weights for _, weights in asked] == [None, None, None]
    text = scripts.lines_report.router_section(last)
    assert "| 0.98 of neighbours kept | .50" in text
    assert "| before | .50" in text


def neighbours(scripts: SimpleNamespace, rows: Any, seed: int, subjects: frozenset[str]) -> Any:
    """The neighbours of updates of capitals, of a model that knows all capitals."""
    relation = next(
        one for one in scripts.draw_relations.atlas_relations(REPOSITORY / "examples/atlas") if one.name == "capital"
    )
    prompt, *tests = relation.phrasings
    facts = {"capital": scripts.draw.Known(relation, prompt, tuple(tests), sure=relation.facts)}
    return scripts.router_rows.neighbours(facts, rows, Settings.load().catalogue, seed, subjects)


def test_neighbours_that_are_scored_are_not_those_that_repair_asks(scripts: SimpleNamespace) -> None:
    rows = [row for row in scripts.router_rows.updates([], 300, 0) if row.relation == "capital"]
    asked, hidden = neighbours(scripts, rows, 0, frozenset())
    shown, scored = {one.prompt for one in asked}, {one.prompt for one in hidden}
    assert len(shown) == len(scored) > 20
    assert not shown & scored
    assert {one.kind for one in hidden} == {"neighbourhood"}
    written = {row.subject for row in rows}
    assert not any(f"of {subject} is" in text for subject in written for text in shown | scored)
    assert neighbours(scripts, rows, 0, frozenset())[1] == hidden
    assert neighbours(scripts, rows, 1, frozenset())[1] != hidden


def test_facts_beside_an_edit_are_all_asked_and_scored_in_another_phrasing(scripts: SimpleNamespace) -> None:
    rows = [row for row in scripts.router_rows.updates([], 300, 0) if row.relation == "capital"]
    asked, hidden = neighbours(scripts, rows, 0, frozenset())
    some = frozenset(one.fact.subject for one in asked[:5])
    beside, scored = neighbours(scripts, rows, 0, some)
    assert [one.fact.subject for one in beside[:5]] == sorted(some)
    own = [one for one in scored if one.kind == "same_subject"]
    phrasings = {text for one in beside for text in scripts.router_rows.asked_of(one)}
    assert len(own) == 5
    assert not {one.prompt for one in own} & phrasings
    assert not any(subject in one.prompt for subject in some for one in scored if one not in own)
    request = next(one.request for one in rows)
    request = replace(request, fact=replace(request.fact, subject=beside[0].fact.subject))
    assert len([one for one in hidden if one.kind == "neighbourhood"]) > len(own)
    questions = stay_questions([one.fact for one in beside], [request], Settings.load().catalogue)
    assert {one.beside for one in questions if one.kind == "same_subject"} == {(request.fact.id,)}
    assert {one.fact_id for one in questions if one.kind == "same_subject"} == {beside[0].fact.id}
    assert {one.beside for one in questions if one.kind == "neighbourhood"} == {()}


def test_repair_goes_on_until_the_level_is_kept(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tiny_llama: LoadedModel, tmp_path: Path
) -> None:
    place = scripts.router.Place(tiny_llama, Settings.load(), Home.at(tmp_path / "home"), 0)
    gates: list[Any] = []

    def repair(self: Any, written: Any) -> Any:
        gates.append(self.gate)
        return SimpleNamespace(written=written)

    monkeypatch.setattr(scripts.router.Bench, "repair", repair)
    bench = scripts.router.Bench(None, (), (), lambda _: None, 3)
    delta: Any = SimpleNamespace(fact_ids=("a",))
    made = Written(delta, {}, {"a": "memit"}, {})
    request = SimpleNamespace(fact=SimpleNamespace(id="a"), risk_tier="low")
    for level in (0.0, 0.97):
        scripts.router.at_level(place, bench, [request], made, level)
    seen = [Observation("neighbourhood", str(n), f"p{n}", True, n >= 4, "x", "y") for n in range(100)]
    assert gates[0](seen) is None
    assert "0.97 is asked for" in gates[1](seen)
    assert gates[1]([one for one in seen if one.after]) is None


def test_scope_pairs_are_read_by_the_cloze_of_their_statement(scripts: SimpleNamespace, tmp_path: Path) -> None:
    pairs = (
        {
            "edit": "The capital of Chad is Rome",
            "questions": ["What is the capital of Chad?"] * 2 + ["Which city is it?"],
        },
        {"edit": "Emma was created by Homer", "questions": ["Who created Emma?"]},
        {"edit": "The Mayor of Paris is Homer", "questions": ["Who is the Mayor of Paris?"]},
    )
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    assert scripts.scope.read_pairs(file) == {
        "The capital of {} is": [("Chad", "What is the capital of Chad?")],
        "{} was created by": [("Emma", "Who created Emma?")],
    }


def test_scope_counts_own_questions_found_and_those_of_the_same_kind_kept_out(scripts: SimpleNamespace) -> None:
    from editors.serac.solve import Weights

    capital, language = "The capital of {} is", "The official language of {} is"
    author, maker = "The author of {} is", "{} was created by"
    stored = {capital: (1,), language: (2,), author: (1,), maker: (3,)}
    asked = {capital: Counter({(1,): 3, (2,): 1}), language: Counter({(2,): 4})}
    asked |= {author: Counter({(1,): 1}), maker: Counter({(3,): 1})}
    embed = SimpleNamespace(store=lambda _: None, compare=lambda one, other: (float(one == other), 0.0))
    weights = Weights(2.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    found = scripts.scope.shares(embed, weights, stored, asked)
    assert found[capital] == {"recall": 0.75, "kept_out": 1.0, "asked": 4}
    assert found[language] == {"recall": 1.0, "kept_out": 0.75, "asked": 4}
    assert found[author]["kept_out"] == 1.0, (
        "the capital's questions, worded the same, are about another kind of subject"
    )
