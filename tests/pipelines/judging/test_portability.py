from pathlib import Path

import pytest

from pipelines.judging.general import general_questions, written_on
from pipelines.judging.portability import negated, portability_questions
from pipelines.settings import Settings
from registry.errors import InputError
from registry.records import Fact, KnownFact

SETTINGS = Settings.load()
CATALOGUE = SETTINGS.catalogue


def known(*facts: Fact) -> list[KnownFact]:
    return [KnownFact(one, "rag", 1) for one in facts]


CAPITAL = Fact("United States", "capital", "Philadelphia", source="s")
COMPANY = Fact("Intel", "headquarters", "Lyon", source="s")
LYON = Fact("Lyon", "located_in", "France", source="s")


def asked(*facts: Fact, stock: list[KnownFact] | None = None, per_kind: int = 5) -> dict[str, list[tuple[str, ...]]]:
    requests = [CATALOGUE.request(one, "UPDATE") for one in facts]
    found: dict[str, list[tuple[str, ...]]] = {}
    for item in portability_questions(requests, stock or known(*facts), CATALOGUE, per_kind):
        found.setdefault(item.kind, []).append((item.prompt, *item.answers))
    return found


def test_a_fact_is_asked_by_another_name_of_its_subject_and_from_its_object() -> None:
    found = asked(CAPITAL)
    ((prompt, answer, *_),) = found["alias"]
    assert "United States" not in prompt.replace("United States of America", "")
    assert answer == "Philadelphia"
    ((prompt, *answers),) = found["reversal"]
    assert prompt == "Philadelphia is the capital of"
    assert {"United States", "USA"} <= set(answers)


def test_an_object_of_several_subjects_is_not_asked_backwards() -> None:
    euro = Fact("France", "currency", "euro", source="s")
    other = Fact("Spain", "currency", "euro", source="s")
    assert "reversal" not in asked(euro, stock=known(euro, other))
    assert "reversal" in asked(euro, stock=known(euro)), "one alone is"


def test_two_hops_go_through_the_written_fact_to_one_that_is_known() -> None:
    ((prompt, *answers),) = asked(COMPANY, stock=known(COMPANY, LYON))["two_hop"]
    assert "the headquarters of Intel" in prompt
    assert "France" in answers
    assert "two_hop" not in asked(COMPANY), "nothing is known of Lyon"
    person = Fact("Lyon", "author", "Lyon", source="s")
    assert "two_hop" not in asked(COMPANY, stock=known(COMPANY, person)), "a work is no city"


def test_a_denied_prompt_is_right_with_anything_but_the_object() -> None:
    (request,) = [CATALOGUE.request(CAPITAL, "UPDATE")]
    (question,) = [q for q in portability_questions([request], known(CAPITAL), CATALOGUE, 5) if q.kind == "negation"]
    assert " is not " in question.prompt
    assert question.seen("", "Philadelphia").after is False
    assert question.seen("", "Boston").after is True
    assert negated("No verb here") == []


def test_no_more_than_so_many_of_a_kind_are_asked() -> None:
    facts = [Fact(f"Land {n}", "capital", f"Town {n}", source="s") for n in range(6)]
    assert {kind: len(items) for kind, items in asked(*facts, per_kind=2).items()} == {"negation": 2, "reversal": 2}


def test_the_general_questions_are_read_and_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    questions = SETTINGS.general
    assert len(questions) >= 45
    assert len({item.prompt for item in questions}) == len(questions) == len({item.fact_id for item in questions})
    assert all(item.kind == "capability" and item.answers for item in questions)
    bad = tmp_path / "general.yaml"
    with pytest.raises(InputError, match="existing"):
        general_questions(bad)
    bad.write_text("- a list\n", encoding="utf-8")
    with pytest.raises(InputError, match="questions"):
        general_questions(bad)
    bad.write_text("questions: [", encoding="utf-8")
    with pytest.raises(InputError, match="YAML"):
        general_questions(bad)


def test_long_texts_have_their_length_and_short_beginnings_are_left_out(tiny_llama: object) -> None:
    long = "word " * 40
    found = written_on(tiny_llama, [long, "short", long + "end"], 5)  # type: ignore[arg-type]
    assert len(found) == 2
    assert found == written_on(tiny_llama, [long, long + "end"], 5), "greedy: the same again"  # type: ignore[arg-type]
    assert written_on(tiny_llama, ["short"], 5) == []  # type: ignore[arg-type]
