"""Code chooses: subject, relation and time of a question, or a refusal with its reason."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from editors.rag import Index, MiniLM, RagConfig
from editors.rag.embed import PACKAGE, package_folder
from pipelines.answering.about import Mention, Names, shape_of, tokens, without_template
from pipelines.answering.indexing import statements
from pipelines.answering.resolve import Resolution, Resolver
from registry.catalogue import SUBJECT, Catalogue
from registry.errors import ModelError
from registry.records import Fact, KnownFact

ATLAS = Path(__file__).resolve().parents[3] / "examples" / "atlas" / "relations.yaml"
TODAY = date(2025, 6, 1)
ROWS: Sequence[tuple[str, str, str, date | None, date | None]] = [
    ("France", "capital", "Paris", None, None),
    ("France", "currency", "euro", None, None),
    ("France", "head_of_state", "François Hollande", date(2012, 5, 15), date(2017, 5, 14)),
    ("France", "head_of_state", "Emmanuel Macron", date(2017, 5, 14), None),
    ("Switzerland", "official_language", "German", None, None),
    ("Switzerland", "official_language", "French", None, None),
    ("Guinea", "capital", "Conakry", None, None),
    ("Guinea-Bissau", "capital", "Bissau", None, None),
    ("United States", "head_of_state", "Donald Trump", date(2025, 1, 20), None),
    ("Hess", "chief_executive", "John Hess", date(1995, 5, 3), date(2025, 7, 18)),
    ("Nineteen Eighty-Four", "author", "George Orwell", None, None),
    ("Nokia", "headquarters", "Espoo", None, None),
    ("Gold", "chemical_symbol", "Au", None, None),
    ("Dubai", "tallest_building", "Burj Khalifa", None, None),
]


def known_facts() -> list[KnownFact]:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    return [
        KnownFact(Fact(subject, relation, value, since, until, moment, "gazette"), "rag", 1)
        for subject, relation, value, since, until in ROWS
    ]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.read(ATLAS)


@pytest.fixture(scope="module")
def plain(catalogue: Catalogue) -> Resolver:
    """Without an index: wording decides, meaning is judged by shared words alone."""
    return Resolver(catalogue, known_facts())


@pytest.fixture(scope="module")
def full(catalogue: Catalogue) -> Resolver:
    """With the real encoder; skips where its package is not installed."""
    try:
        encoder = MiniLM(package_folder())
    except ModelError:
        pytest.skip(f"{PACKAGE} is not installed")
    facts = known_facts()
    return Resolver(catalogue, facts, Index.of(statements(catalogue, facts), encoder, RagConfig(), {}))


def said(found: Resolution) -> list[str]:
    return [item.fact.object for item in found.facts]


def test_every_template_of_every_fact_resolves(plain: Resolver, catalogue: Catalogue) -> None:
    asked = [
        (item, template.replace(SUBJECT, item.fact.subject))
        for item in known_facts()
        for template in plain.shapes[item.fact.relation].templates
        if item.fact.holds_on(TODAY)
    ]
    for (item, question), found in zip(asked, plain.resolve_many([text for _, text in asked], TODAY), strict=True):
        assert found.status == "found", (question, found.why)
        assert item.fact.object in said(found), question
        assert found.relation == item.fact.relation


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("what is the capital of france", ["Paris"]),
        ("The capital of Guinea-Bissau is the city of", ["Bissau"]),
        ("What is the capital of Guinea?", ["Conakry"]),
        ("Who is the head of state of the USA?", ["Donald Trump"]),
        ("Who wrote Nineteen Eighty-Four?", ["George Orwell"]),
        ("What is the official language of Switzerland?", ["German", "French"]),
        ("What is the tallest building of Dubai?", ["Burj Khalifa"]),
    ],
)
def test_names_and_wording(plain: Resolver, question: str, answers: list[str]) -> None:
    assert sorted(said(plain.resolve(question, TODAY))) == sorted(answers)


@pytest.mark.parametrize(
    ("question", "as_of", "answer"),
    [
        ("Who is the head of state of France?", TODAY, "Emmanuel Macron"),
        ("Who is the head of state of France?", date(2015, 1, 1), "François Hollande"),
        ("Who is the head of state of France in 2015?", TODAY, "François Hollande"),
        ("Who is the head of state of France as of 14 May 2017?", TODAY, "Emmanuel Macron"),
        ("Who is the head of state of France today?", TODAY, "Emmanuel Macron"),
        ("Who is the chief executive of Hess?", TODAY, "John Hess"),
    ],
)
def test_time_decides_the_version(plain: Resolver, question: str, as_of: date, answer: str) -> None:
    assert said(plain.resolve(question, as_of)) == [answer]


@pytest.mark.parametrize(
    ("question", "status", "why"),
    [
        ("Who is the head of state of France in 1990?", "no_fact", "begins on 2012-05-15"),
        ("Who is the chief executive of Hess in 2026?", "no_fact", "ended on 2025-07-18"),
        ("What is the capital of Nokia?", "no_fact", "nothing is known of it"),
        ("What is the capital of Freedonia?", "unknown_subject", "names nothing that is known"),
        ("How do I bake bread?", "unknown_subject", "names nothing that is known"),
        ("What is the population of France?", "unknown_relation", "no relation"),
        ("Who is the head of state of France on 2023-02-31?", "no_day", "no day of the calendar"),
    ],
)
def test_refusals_say_why(plain: Resolver, question: str, status: str, why: str) -> None:
    found = plain.resolve(question, TODAY)
    assert (found.status, found.facts) == (status, ())
    assert why in found.why


def test_turned_round(plain: Resolver) -> None:
    found = plain.resolve("Which country has the capital Paris?", TODAY)
    assert (found.subject, found.reversed, said(found)) == ("France", True, ["Paris"])
    assert plain.resolve("Which element has the symbol Au?", TODAY).subject == "Gold"
    past = plain.resolve("Which country has the head of state François Hollande?", TODAY)
    assert past.facts == (), "what has ended is not found backwards either"
    assert plain.resolve("Which city has the capital Paris?", TODAY).facts == ()


NEW_WORDINGS = [
    ("Which city is the capital of France?", "Paris"),
    ("What money do people use in France?", "euro"),
    ("Who is the president of France?", "Emmanuel Macron"),
    ("Who's the CEO of Hess?", "John Hess"),
    ("Which languages are official in Switzerland?", "German"),
    ("Where is Nokia based?", "Espoo"),
    ("Who is the author of 1984?", "George Orwell"),
]
OUT_OF_SCOPE = [
    "What is the population of France?",
    "What is the second largest city in France?",
    "What was the former capital of France?",
    "What is the exchange rate of the currency of France?",
    "Who is the vice president of France?",
    "Who was the first CEO of Hess?",
    "When was Nokia founded?",
    "In which language was Nineteen Eighty-Four written?",
    "What is the capital of New France?",
    "What is the atomic number of Gold?",
    "Is Paris nice?",
]


@pytest.mark.parametrize(("question", "answer"), NEW_WORDINGS)
def test_new_wordings_are_understood(full: Resolver, question: str, answer: str) -> None:
    found = full.resolve(question, TODAY)
    assert answer in said(found), found.why


@pytest.mark.parametrize("question", OUT_OF_SCOPE)
def test_what_is_not_known_is_never_guessed(full: Resolver, question: str) -> None:
    found = full.resolve(question, TODAY)
    assert found.facts == (), found.why
    assert found.why


def test_a_phrasing_left_out_is_still_understood(full: Resolver, catalogue: Catalogue) -> None:
    shape = full.shapes["capital"]
    for template in shape.templates:
        shapes = {**full.shapes, "capital": without_template(shape, template)}
        partly = Resolver(catalogue, known_facts(), full.index, shapes=shapes)
        assert said(partly.resolve(template.replace(SUBJECT, "France"), TODAY)) == ["Paris"], template


def test_mentions_are_whole_words_the_longest_first(catalogue: Catalogue) -> None:
    names = Names(catalogue, ["Guinea", "Guinea-Bissau", "McDonald's"])
    words = tokens("The capital of Guinea-Bissau")
    assert [item.keys for item in names.mentions(words)] == [("guinea bissau",), ("guinea",)]
    assert names.mentions(tokens("Guineas and Guineans")) == []
    assert names.mentions(tokens("Who runs McDonald's?"))
    assert names.mentions(tokens("Who runs McDonald's's shops?"))


def test_a_mask_takes_the_article_along(catalogue: Catalogue) -> None:
    words = tokens("What is the capital of the Netherlands?")
    (mention,) = Names(catalogue, ["Netherlands"]).mentions(words)
    assert mention.masked(words) in set(shape_of(catalogue.relation("capital")).masked())
    assert Mention(0, 1, ()).masked(("x", "y")) == ("subjectslot", "y")
