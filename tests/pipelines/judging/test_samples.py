from datetime import date

from pipelines.answering.reply import Reply
from pipelines.judging.freshness import ask_changed, question_of
from pipelines.judging.samples import CHANGED, COUNT, Samples
from pipelines.settings import Settings
from registry.records import EditRequest, Fact, KnownFact

CATALOGUE = Settings.load().catalogue


def request(subject: str, object: str = "Somewhere") -> EditRequest:
    return CATALOGUE.request(Fact(subject, "capital", object, source="s"), "ADD")


def reply(asked: EditRequest, text: str, *, known: bool = True, agrees: bool | None = True) -> Reply:
    found = (KnownFact(asked.fact, "rag", 1),) if known else ()
    return Reply(asked.question, text, "offline", known, found, text, agrees, 1, date(2026, 1, 1), 0.9, "")


NEW = [request(f"New {n}") for n in range(30)]
OLD = [KnownFact(request(f"Old {n}").fact, "rag", 1) for n in range(30)]
MEMORY = {item.fact.id: "memit" if n < 10 else "rag" for n, item in enumerate(NEW)}


def test_samples_hold_changed_facts_of_every_memory_and_untouched_ones() -> None:
    drawn = Samples.drawn(NEW, MEMORY, OLD, CATALOGUE, 1)
    assert len(drawn.requests) == COUNT
    assert drawn.changed == CHANGED
    assert {MEMORY[item.fact.id] for item in drawn.requests[:CHANGED]} == {"memit", "rag"}
    assert all(item.fact.subject.startswith("Old") for item in drawn.requests[CHANGED:])
    assert drawn == Samples.drawn(NEW, MEMORY, OLD, CATALOGUE, 1)


def test_a_changed_fact_is_never_drawn_as_untouched() -> None:
    same = [KnownFact(item.fact, "rag", 1) for item in NEW]
    assert Samples.drawn(NEW[:2], MEMORY, same, CATALOGUE, 1).changed == 2
    assert len({item.fact.id for item in Samples.drawn(NEW, MEMORY, same, CATALOGUE, 1).requests}) == CHANGED


def test_before_and_after_stand_side_by_side() -> None:
    drawn = Samples((NEW[0], NEW[1]), 1)
    after = {NEW[0].question: reply(NEW[0], "It is Somewhere"), NEW[1].question: reply(NEW[1], "Elsewhere")}
    first, second = drawn.compared({}, after, MEMORY)
    assert (first["changed"], first["right_before"], first["right_after"]) == (True, False, True)
    assert (second["changed"], second["right_after"], second["after"]) == (False, False, "Elsewhere")
    assert first["memory"] == "memit"


def test_a_fact_in_the_index_is_right_only_when_the_system_answers_it() -> None:
    memory = dict.fromkeys(MEMORY, "rag")
    answers = {
        question_of(NEW[0]): reply(NEW[0], "Somewhere"),
        question_of(NEW[1]): reply(NEW[1], "Elsewhere", agrees=False),
        question_of(NEW[2]): reply(NEW[2], "Somewhere", known=False, agrees=None),
    }
    found = ask_changed(NEW[:4], memory, None, answers)
    assert [one.right for one in found.answers] == [True, False, False, False]
    assert found.share == 0.25
    assert found.reader_agreement == 0.5
    assert found.to_dict()["by_memory"]["rag"]["right"] == 1


def test_nothing_asked_is_no_share_of_one() -> None:
    found = ask_changed([], {}, None, {})
    assert found.share == 0
    assert found.reader_agreement is None
    assert found.to_dict()["share"] is None
