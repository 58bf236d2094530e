import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.bench.formats import read_rows
from pipelines.bench.rows import Asked
from registry.errors import InputError, UnknownNameError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "editing"

EDIT: dict[str, Any] = {
    "subject": "France",
    "relation": "capital",
    "prompt": "The capital of France is",
    "target_new": "Lyon",
    "target_true": "Paris",
    "paraphrases": ["In France, the capital is"],
    "neighbourhood": [{"prompt": "The capital of Italy is", "answer": "Rome"}],
    "same_subject": [{"prompt": "People in France speak", "answer": "French"}],
}


def written(path: Path, *rows: Any, as_list: bool = False) -> Path:
    path.write_text(json.dumps(rows) if as_list else "\n".join(json.dumps(row) for row in rows) + "\n")
    return path


@pytest.mark.parametrize("as_list", [True, False])
def test_the_projects_own_form(as_list: bool, tmp_path: Path) -> None:
    bare = {"subject": "Peru", "prompt": "The capital of Peru is", "target_new": "Cusco"}
    data = read_rows(written(tmp_path / "edits.json", EDIT, bare, as_list=as_list), "edits", 9, 0)
    first, second = data.rows
    assert (first.subject, first.relation, first.target_new, first.target_true) == (
        "France",
        "capital",
        "Lyon",
        "Paris",
    )
    assert first.paraphrases == ("In France, the capital is",)
    assert first.neighbourhood == (Asked("The capital of Italy is", ("Rome",)),)
    assert first.same_subject == (Asked("People in France speak", ("French",)),)
    assert (second.relation, second.paraphrases, second.neighbourhood) == ("edit", (), ())
    assert (second.question, second.negation, second.reversal, second.two_hop) == ("", (), (), ())
    assert (data.available, data.skipped) == (2, {})


def test_the_further_probes_of_the_own_form(tmp_path: Path) -> None:
    probe = [{"prompt": "Lyon is the capital of", "answer": "France"}]
    more = {"question": "What is the capital of France?", "negation": probe, "reversal": probe, "two_hop": probe}
    (row,) = read_rows(written(tmp_path / "edits.jsonl", {**EDIT, **more}), "edits", 1, 0).rows
    asked = (Asked("Lyon is the capital of", ("France",)),)
    assert (row.question, row.negation, row.reversal, row.two_hop) == (more["question"], asked, asked, asked)


def test_test_phrasings_are_held_out_of_fitting(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path / "edits.jsonl", EDIT), "edits", 1, 0).rows
    assert row.request.paraphrases == ()
    assert row.request.held_out == row.paraphrases
    assert row.request.target == " Lyon"


def test_the_draw_follows_the_seed_and_keeps_the_order(tmp_path: Path) -> None:
    rows = [{**EDIT, "target_new": f"City{number:02}"} for number in range(40)]
    path = written(tmp_path / "edits.jsonl", *rows)
    drawn = {seed: [row.target_new for row in read_rows(path, "edits", 10, seed).rows] for seed in (0, 1)}
    assert drawn[0] == sorted(drawn[0]) != drawn[1]
    assert drawn[0] == [row.target_new for row in read_rows(path, "edits", 10, 0).rows]
    assert read_rows(path, "edits", 99, 0).available == len(read_rows(path, "edits", 99, 0).rows) == 40


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"subject": None}, "'subject'"),
        ({"prompt": ""}, "'prompt'"),
        ({"target_new": 3}, "'target_new'"),
        ({"paraphrases": "In France"}, "'paraphrases'"),
        ({"neighbourhood": ["The capital of Italy is"]}, "'prompt'"),
        ({"neighbourhood": [{"prompt": "The capital of Italy is"}]}, "'answer'"),
        ({"question": 3}, "'question'"),
        ({"two_hop": [{"answer": "x"}]}, "'prompt'"),
        ({"subject": "Spain"}, "does not hold the subject"),
    ],
)
def test_a_bad_row_of_the_own_form_is_named(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    path = written(tmp_path / "edits.jsonl", EDIT, {**EDIT, "target_new": "Nice", **change})
    with pytest.raises(InputError, match=named) as caught:
        read_rows(path, "edits", 5, 0)
    assert "line 2" in str(caught.value) or "Spain" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "usable edits"),
        (b"{}\n{oops\n", "line 2"),
        (b"[1, 2]", "item 1"),
        (b"[{", "JSON in"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'"text"', "an object"),
    ],
)
def test_a_bad_file_is_refused(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named):
        read_rows(path, "edits", 5, 0)


def test_missing_files_folders_formats_and_counts_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "edits.jsonl", EDIT)
    with pytest.raises(InputError, match="does not exist"):
        read_rows(tmp_path / "none", "edits", 5, 0)
    with pytest.raises(InputError, match="the folder"):
        read_rows(tmp_path, "edits", 5, 0)
    with pytest.raises(UnknownNameError, match="edits"):
        read_rows(path, "edit", 5, 0)
    with pytest.raises(InputError, match="at least one"):
        read_rows(path, "edits", 0, 0)


COUNTERFACT = {
    "case_id": 0,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "English", "id": "Q1860"},
        "target_true": {"str": "French", "id": "Q150"},
        "subject": "Danielle Darrieux",
    },
    "paraphrase_prompts": ["Shayna does this. Danielle Darrieux, a native"],
    "neighborhood_prompts": ["The native language of Montesquieu is "],
}
ZSRE = {
    "subject": "Watts Humphrey",
    "src": "What university did Watts Humphrey attend?",
    "alt": "University of Michigan",
    "answers": ["Trinity College"],
    "rephrase": "What university did Watts Humphrey take part in?",
    "loc": "nq question: who played desmond doss father in hacksaw ridge",
    "loc_ans": "Hugo Weaving",
}
KNOWEDIT = {
    "subject": "Leonardo DiCaprio",
    "prompt": "The country of citizenship of Leonardo DiCaprio is",
    "target_new": "Syria",
    "portability": {
        "Subject_Aliasing": {"prompt": ["The country of citizenship of Leo is"], "ground_truth": ["Syria"]},
        "reasoning": {"prompt": ["His currency is"], "ground_truth": [["Syrian pound", "SYP"]]},
    },
    "locality": {"Relation_Specificity": {"prompt": ["His father is"], "ground_truth": ["George DiCaprio"]}},
}


def test_counterfact(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path / "c.json", COUNTERFACT, as_list=True), "counterfact", 1, 0).rows
    assert row.prompt == "The mother tongue of Danielle Darrieux is"
    assert (row.target_new, row.target_true, row.relation) == ("English", "French", "P103")
    assert row.neighbourhood == (Asked("The native language of Montesquieu is", ("French",)),)
    assert len(row.paraphrases) == 1


def test_zsre(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path / "z.json", ZSRE, as_list=True), "zsre", 1, 0).rows
    assert (row.target_new, row.target_true) == ("University of Michigan", "Trinity College")
    assert row.paraphrases == ("What university did Watts Humphrey take part in?",)
    assert row.neighbourhood[0].answers == ("Hugo Weaving",)


def test_knowedit_and_rows_that_cannot_be_used(tmp_path: Path) -> None:
    other = {**KNOWEDIT, "subject": "Someone else"}
    data = read_rows(written(tmp_path / "k.jsonl", KNOWEDIT, other, KNOWEDIT), "knowedit", 5, 0)
    (row,) = data.rows
    assert row.paraphrases == ("The country of citizenship of Leo is",)
    assert row.same_subject == (Asked("His father is", ("George DiCaprio",)),)
    assert row.portability == (Asked("His currency is", ("Syrian pound", "SYP")),)
    assert data.skipped == {"the prompt does not hold the subject": 1, "a second row of the same content": 1}


@pytest.mark.parametrize("name", ["counterfact", "zsre", "knowedit"])
def test_another_shape_names_the_key(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the key .* in .*line 1"):
        read_rows(written(tmp_path / "e.jsonl", {"hello": 1}), name, 1, 0)


def relation(name: str, templates: list[str], *samples: tuple[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "prompt_templates": templates,
        "samples": [{"subject": subject, "object": truth} for subject, truth in samples],
    }


def test_relations_are_made_counterfactual_within_their_objects(tmp_path: Path) -> None:
    pairs = [("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Chad", "N'Djamena")]
    capital = relation("capital", ["The capital of {} is", "{} has the capital"], *pairs)
    speaks = relation("speaks", ["People in {} speak"], ("France", "French"), ("Italy", "Italian"))
    written(tmp_path / "capital.json", capital)
    written(tmp_path / "speaks.json", speaks)
    data = read_rows(tmp_path, "relations", 99, 3, together=False)
    assert data.available == 7
    france = next(row for row in data.rows if (row.subject, row.relation) == ("France", "capital"))
    assert france.target_true == "Paris"
    assert france.target_new in {"Rome", "Tokyo", "Lima", "N'Djamena"}
    assert france.paraphrases == ("France has the capital",)
    assert {one.prompt for one in france.neighbourhood} == {f"The capital of {name} is" for name, _ in pairs[1:]}
    assert france.same_subject == (Asked("People in France speak", ("French",)),)
    assert read_rows(tmp_path, "relations", 99, 3, together=False) == data
    assert read_rows(tmp_path, "relations", 99, 4, together=False) != data
    with pytest.raises(InputError, match="LRE"):
        read_rows(written(tmp_path / "bad.json", {"name": 1}), "relations", 1, 0)


def test_a_neighbour_that_another_edit_writes_is_none(tmp_path: Path) -> None:
    other = {
        **EDIT,
        "subject": "Italy",
        "prompt": "The capital of Italy is",
        "target_new": "Milan",
        "neighbourhood": [],
    }
    path = written(tmp_path / "edits.jsonl", EDIT, other)
    together, alone = read_rows(path, "edits", 2, 0), read_rows(path, "edits", 2, 0, together=False)
    assert together.rows[0].neighbourhood == ()
    assert together.dropped == 1
    assert alone.rows[0].neighbourhood == (Asked("The capital of Italy is", ("Rome",)),)
    assert alone.dropped == 0
    samples = [(f"Land{number:02}", f"City{number:02}") for number in range(30)]
    written(tmp_path / "r.json", relation("capital", ["The capital of {} is"], *samples))
    rows = read_rows(tmp_path / "r.json", "relations", 12, 0).rows
    subjects = {row.subject for row in rows}
    for row in rows:
        assert len(row.neighbourhood) == 4
        assert not any(one.prompt == f"The capital of {name} is" for one in row.neighbourhood for name in subjects)


def test_a_feed_is_read_with_its_catalogue(tmp_path: Path) -> None:
    atlas = Path(__file__).resolve().parents[3] / "examples" / "atlas"
    (tmp_path / "relations.yaml").write_bytes((atlas / "relations.yaml").read_bytes())
    (tmp_path / "facts.csv").write_text(
        "subject,relation,object,valid_from,valid_to\nFrance,capital,Paris,,\nItaly,capital,Rome,,\n"
        "Italy,continent,Europe,,\nSpain,capital,Toledo,,1561-01-01\n"
    )
    (tmp_path / "feed.csv").write_text(
        "subject,relation,object,valid_from,op\nItaly,capital,Turin,,UPDATE\nFrance,capital,,,\n"
        "France,florp,Lyon,,\nFrance,capital,Lyon,never,\nFrance,capital,Nice,,DELETE\n"
    )
    (row,) = read_rows(tmp_path / "feed.csv", "feed", 9, 0).rows
    assert (row.subject, row.target_new, row.target_true) == ("Italy", "Turin", "Rome")
    assert [one.answers[0] for one in row.neighbourhood] == ["Paris"]
    assert [one.answers[0] for one in row.same_subject] == ["Europe"]
    assert row.fit_paraphrases
    assert not set(row.fit_paraphrases) & set(row.paraphrases)


def test_a_feed_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="add subject, relation, object"):
        read_rows(tmp_path / "feed.csv", "feed", 9, 0)


@pytest.mark.parametrize(
    ("name", "data_format", "least"),
    [
        ("knowedit_counterfact_a.jsonl", "knowedit", 350),
        ("knowedit_zsre_a.jsonl", "knowedit", 500),
        ("relations", "relations", 5000),
    ],
)
def test_the_public_files_can_be_read(name: str, data_format: str, least: int) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"{name}: the shared data folder is not beside this repository")
    data = read_rows(SHARED / name, data_format, 20, 0)
    assert data.available >= least
    assert len(data.rows) == 20
