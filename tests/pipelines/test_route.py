from dataclasses import replace
from datetime import date

import pytest

from guards.volatility import Spell, change_rate
from pipelines.route import RAG, Evidence, RoutePolicy, barrier, route
from registry.catalogue import Catalogue, Relation
from registry.records import Belief, EditRequest, Fact


def relation(name: str, **changes: object) -> Relation:
    plain = Relation(
        name=name,
        label=name.replace("_", " "),
        prompt="The thing of {subject} is",
        question="What is the thing of {subject}?",
        paraphrases=("{subject} has the thing", "For {subject} it is", "{subject}:", "Thing of {subject}:"),
        held_out=("The thing that {subject} has is", "Its thing, says {subject}, is"),
        statement="The thing of {subject} is {object}.",
        cardinality="one",
        subject_type="country",
        object_type="city",
        lifetime_days=36500,
        risk_tier="low",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


CATALOGUE = Catalogue(
    {
        "capital": relation("capital"),
        "currency": relation("currency"),
        "head_of_state": relation("head_of_state", lifetime_days=1500),
        "official_language": relation("official_language", cardinality="many"),
    }
)
POLICY = RoutePolicy()


def ask(relation_name: str = "capital", number: int = 1, **changes: object) -> EditRequest:
    fact = Fact(f"Land {number}", relation_name, "Somewhere", source="s")
    return CATALOGUE.request(replace(fact, **changes), "ADD")  # type: ignore[arg-type]


def test_a_few_stable_facts_go_to_the_editor_for_few() -> None:
    routes = route([ask(number=n) for n in range(2)], Evidence(), CATALOGUE, POLICY)
    assert [item.editor for item in routes] == ["rome"] * 2


def test_many_stable_facts_go_to_the_editor_for_many() -> None:
    routes = route([ask(number=n) for n in range(3)], Evidence(), CATALOGUE, POLICY)
    assert [item.editor for item in routes] == ["memit"] * 3


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (ask("head_of_state"), "volatile"),
        (ask("official_language"), "several"),
        (ask(valid_to=date(2030, 1, 1)), "until"),
        (ask(sensitivity="internal"), "sensitivity"),
        (ask(object="a very long name of a place"), "long"),
        (replace(ask(), operation="DELETE"), "ends"),
        (replace(ask(), fact=Fact("x", "no_such_relation", "y")), "catalogue"),
    ],
)
def test_every_barrier_sends_to_the_index_and_says_why(request_: EditRequest, word: str) -> None:
    (chosen,) = route([request_], Evidence(), CATALOGUE, POLICY)
    assert chosen.editor == RAG
    assert word in chosen.reason


def test_a_disputed_fact_goes_to_the_index() -> None:
    request = ask()
    (chosen,) = route([request], Evidence(disputed=frozenset({request.fact.id})), CATALOGUE, POLICY)
    assert chosen.editor == RAG
    assert "disagree" in chosen.reason


def test_what_the_model_knows_is_not_written_again() -> None:
    request = ask()
    knows = Belief(request.fact.id, "known", ("Somewhere",), (True,), 0.9)
    (chosen,) = route([request], Evidence(beliefs={request.fact.id: knows}), CATALOGUE, POLICY)
    assert chosen.editor == RAG
    wrong = replace(knows, state="wrong", answers=("Elsewhere",), right=(False,))
    (other,) = route([request], Evidence(beliefs={request.fact.id: wrong}), CATALOGUE, POLICY)
    assert other.editor == "rome"
    assert "Elsewhere" in other.reason


def test_full_weights_send_the_rest_to_the_index() -> None:
    policy = RoutePolicy(max_per_run=2)
    routes = route([ask(number=n) for n in range(5)], Evidence(), CATALOGUE, policy)
    assert [item.editor for item in routes] == ["rome", "rome", RAG, RAG, RAG]
    assert "full" in routes[-1].reason


def test_room_goes_to_the_facts_that_the_model_is_least_sure_of() -> None:
    requests = [ask(number=n) for n in range(3)]
    sure = {0: 0.9, 1: 0.2, 2: 0.5}
    beliefs = {
        requests[n].fact.id: Belief(requests[n].fact.id, "wrong", ("Elsewhere",), (False,), value)
        for n, value in sure.items()
    }
    routes = route(requests, Evidence(beliefs=beliefs), CATALOGUE, RoutePolicy(max_per_run=1))
    assert [item.editor for item in routes] == [RAG, "rome", RAG]


def test_scarce_room_is_spread_over_relations() -> None:
    certainty = (("capital", 0.1), ("capital", 0.2), ("currency", 0.8))
    requests = [ask(name, number) for number, (name, _) in enumerate(certainty)]
    beliefs = {
        request.fact.id: Belief(request.fact.id, "wrong", ("Elsewhere",), (False,), value)
        for request, (_, value) in zip(requests, certainty, strict=True)
    }
    for room, expected in ((1, ["rome", RAG, RAG]), (2, ["rome", RAG, "rome"])):
        routes = route(requests, Evidence(beliefs=beliefs), CATALOGUE, RoutePolicy(max_per_run=room))
        assert [item.editor for item in routes] == expected


def test_capacity_counts_what_lives_in_the_weights_already() -> None:
    evidence = Evidence(in_weights=POLICY.max_in_weights)
    (chosen,) = route([ask()], evidence, CATALOGUE, POLICY)
    assert chosen.editor == RAG


def test_a_run_that_may_use_the_index_only_says_so() -> None:
    (chosen,) = route([ask()], Evidence(allowed=frozenset({RAG})), CATALOGUE, POLICY)
    assert chosen.editor == RAG
    assert "index only" in chosen.reason


def test_the_other_weight_editor_stands_in() -> None:
    routes = route([ask(number=n) for n in range(9)], Evidence(allowed=frozenset({RAG, "rome"})), CATALOGUE, POLICY)
    assert {item.editor for item in routes} == {"rome"}


def test_routing_is_pure() -> None:
    requests = [ask(number=n) for n in range(5)]
    assert route(requests, Evidence(), CATALOGUE, POLICY) == route(requests, Evidence(), CATALOGUE, POLICY)


def test_nothing_speaks_against_a_plain_stable_fact() -> None:
    assert barrier(ask(), Evidence(), CATALOGUE, POLICY) is None


def test_a_relation_that_was_seen_to_change_is_volatile_whatever_the_catalogue_says() -> None:
    often, seldom = [Spell(300, True)] * 5, [Spell(300, True)] * 4
    few = Evidence(rates={"capital": change_rate(seldom)})
    assert barrier(ask(), few, CATALOGUE, POLICY) is None, "four changes are too few to go by"
    still = Evidence(rates={"capital": change_rate([*often, *[Spell(36500, False)] * 9])})
    assert barrier(ask(), still, CATALOGUE, POLICY) is None, "its lifetime may be long enough"
    (chosen,) = route([ask()], Evidence(rates={"capital": change_rate(often)}), CATALOGUE, POLICY)
    assert chosen.editor == RAG
    assert "volatile as observed: 5 changes" in chosen.reason
    assert chosen.evidence["observed_lifetime_days"] == 300


def test_persuadability_is_told_and_decides_nothing() -> None:
    request = ask()
    (chosen,) = route([request], Evidence(persuasion={request.fact.id: 0.01}), CATALOGUE, POLICY)
    assert chosen.editor != RAG
    assert chosen.evidence["persuasion"] == 0.01
