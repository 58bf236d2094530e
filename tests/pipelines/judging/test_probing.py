from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from pipelines.judging.probing import (
    FITTED,
    MUST_STAY,
    PILOT,
    Asker,
    ProbePolicy,
    Question,
    edit_questions,
    sure,
    untouched_questions,
)
from pipelines.settings import Settings
from registry.records import Belief, Fact, KnownFact

CATALOGUE = Settings.load().catalogue
POLICY = ProbePolicy(seed=1)


def fact(subject: str, relation: str = "capital", object: str = "Somewhere") -> Fact:
    return Fact(subject, relation, object, source="s")


def known(*facts: Fact, memory: str = "rag") -> list[KnownFact]:
    return [KnownFact(one, memory, 1) for one in facts]


@dataclass
class Counting(Asker):
    """Says what it is told to, and counts what it was asked."""

    says: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def now(self, questions: Any) -> dict[str, str]:
        prompts = [item.prompt for item in questions]
        self.asked += prompts
        return {prompt: self.says.get(prompt, "nothing") for prompt in prompts}


def asker(**says: str) -> Counting:
    return Counting(cast(Any, None), says=dict(says))


def test_held_out_phrasings_are_asked_as_generalisation_and_never_as_efficacy() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    questions = edit_questions([request])
    held = {item.prompt for item in questions if item.kind == "generalisation"}
    fitted = {item.prompt for item in questions if item.kind == "efficacy"}
    assert held == set(request.held_out)
    assert fitted == {request.prompt, *request.paraphrases}


def test_many_facts_are_asked_fewer_of_the_fitted_phrasings() -> None:
    requests = [CATALOGUE.request(fact(f"Land {n}"), "ADD") for n in range(20)]
    efficacy = [item for item in edit_questions(requests) if item.kind == "efficacy"]
    assert len(efficacy) == 20 * (1 + FITTED)


def test_what_a_request_changes_is_not_asked_as_untouched() -> None:
    request = CATALOGUE.request(fact("Nauru"), "UPDATE")
    stock = known(fact("Nauru"), fact("France"), fact("France", "currency"), fact("Nauru", "currency"))
    drawn = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 10)
    asked = {(item.kind, item.fact_id) for item in drawn}
    assert asked == {
        ("neighbourhood", fact("France").id),
        ("drawdown", fact("France", "currency").id),
        ("same_subject", fact("Nauru", "currency").id),
    }
    assert all(item.kind in MUST_STAY for item in drawn)


def test_facts_that_live_in_the_weights_are_always_asked() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    stock = known(*(fact(f"Land {n}") for n in range(50))) + known(fact("France"), memory="memit")
    drawn = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 2)
    assert fact("France").id in {item.fact_id for item in drawn}


def test_other_facts_of_the_edited_subjects_are_asked_besides_and_name_the_edits_beside_them() -> None:
    request = CATALOGUE.request(fact("Nauru"), "UPDATE")
    stock = known(
        *(fact(f"Land {n}") for n in range(50)),
        *(fact("Nauru", relation) for relation in ("currency", "continent", "largest_city", "official_language")),
        fact("France", "currency"),
    )
    drawn = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 2)
    more = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 2, None, 2)
    assert more[: len(drawn)] == drawn, "what is drawn otherwise stays as it is"
    every = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 2, None, 9)
    own = {item.fact_id for item in every if item.kind == "same_subject"}
    assert own == {fact("Nauru", name).id for name in ("currency", "continent", "largest_city")}
    assert len({item.fact_id for item in more} - {item.fact_id for item in drawn}) == 2
    assert {item.beside for item in every if item.fact_id in own} == {(request.fact.id,)}
    assert {item.beside for item in every if item.fact_id not in own} == {()}


def test_of_the_edited_subjects_most_is_asked_that_the_model_knows() -> None:
    requests = [CATALOGUE.request(fact(f"Land {n}"), "UPDATE") for n in range(20)]
    stock = known(*(fact(f"Land {n}", name, f"{name} {n}") for n in range(20) for name in ("currency", "continent")))
    prompts = {CATALOGUE.request(item.fact, "ADD").prompt: item.fact.object for item in stock}
    knows = asker(**{prompt: thing for prompt, thing in prompts.items() if thing.startswith("currency")})
    for most, currencies in ((12, 12 - PILOT), (40, 20)):
        drawn = untouched_questions(stock, requests, requests, CATALOGUE, POLICY, 0, knows, most)
        asked = Counter(next(one.fact.relation for one in stock if one.fact.id == item.fact_id) for item in drawn[::2])
        assert asked == {"currency": currencies, "continent": PILOT}


def test_relations_with_several_objects_are_left_out() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    stock = known(fact("France", "official_language"))
    assert untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 10) == []


def test_the_draw_is_the_same_for_the_same_seed() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    stock = known(*(fact(f"Land {n}") for n in range(50)))
    draws = [untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 5) for _ in range(2)]
    assert draws[0] == draws[1]
    assert len({item.fact_id for item in draws[0]}) <= 5


def test_only_facts_right_in_every_phrasing_are_sure() -> None:
    questions = [Question("drawdown", name, f"{name}{n}", ("yes",)) for name in "abc" for n in (1, 2)]
    ask = asker(a1="yes", a2="yes", b1="yes", b2="no", c1="no", c2="yes")
    assert {item.fact_id for item in sure(questions, ask)} == {"a"}
    assert "c2" not in ask.asked, "a second phrasing is not asked of a fact that failed the first"


def test_what_was_asked_before_is_not_asked_again() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    ask = asker()
    ask.knows(request, Belief(request.fact.id, "wrong", ("this", "that"), (False, False), 0.5))
    ask.remember(edit_questions([request]))
    assert request.prompt not in ask.asked
    assert request.paraphrases[0] not in ask.asked
    assert request.paraphrases[1] in ask.asked
    assert ask.before[request.prompt] == "this"


def test_most_is_drawn_from_the_relations_that_the_model_knows() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    stock = known(
        *(fact(f"Land {n}", "head_of_state", f"Person {n}") for n in range(60)),
        *(fact(f"Metal {n}", "chemical_symbol", f"M{n}") for n in range(60)),
    )
    prompts = {CATALOGUE.request(item.fact, "ADD").prompt: item.fact.object for item in stock}
    knows = asker(**{prompt: thing for prompt, thing in prompts.items() if thing.startswith("M")})
    drawn = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 30, knows)
    relations = Counter(
        next(item.fact.relation for item in stock if item.fact.id == fact_id)
        for fact_id in {item.fact_id for item in drawn}
    )
    assert relations == {"chemical_symbol": 30 - PILOT, "head_of_state": PILOT}
    assert len(knows.asked) == 2 * PILOT, "only the pilot is asked to find out"
    alike = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 30)
    assert {item.kind for item in alike} == {"drawdown"}


def test_where_nothing_is_known_the_draw_still_has_its_size() -> None:
    request = CATALOGUE.request(fact("Nauru"), "ADD")
    stock = known(*(fact(f"Land {n}", "head_of_state", f"Person {n}") for n in range(20)))
    drawn = untouched_questions(stock, [request], [request], CATALOGUE, POLICY, 8, asker())
    assert len({item.fact_id for item in drawn}) == 8
