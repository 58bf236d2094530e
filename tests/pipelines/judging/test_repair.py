"""The bench, with a model made of two tables: what each fact's edit says, and which other answers it breaks."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from editors.base import EditDelta, FactEffect
from guards.observations import Observation
from pipelines.judging.costs import Costs
from pipelines.judging.probing import Asker, Question
from pipelines.judging.repair import Bench, unanswered
from pipelines.write import Written

EDITS = [Question("efficacy", name, f"{name} is", (f"new {name}",)) for name in ("a", "b", "c")]
UNTOUCHED = [Question("drawdown", f"u{n}", f"u{n} is", (f"old {n}",)) for n in range(10)]


@dataclass
class World:
    """What the model says: the truth about untouched facts, changed by whatever delta is on."""

    breaks: dict[str, set[str]]
    mute: set[str] = field(default_factory=set)
    on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delta:
    """A delta over the world."""

    world: World
    fact_ids: tuple[str, ...]
    editor: str = "fake"
    scope: str = "weights"
    effects: tuple[FactEffect, ...] = ()
    digest: str = ""

    @contextmanager
    def applied(self, model: Any) -> Iterator[Any]:
        self.world.on = self.fact_ids
        yield model
        self.world.on = ()

    def without(self, fact_ids: Collection[str]) -> "Delta":
        return replace(self, fact_ids=tuple(name for name in self.fact_ids if name not in set(fact_ids)))

    def apply(self, model: Any) -> None: ...

    def revert(self, model: Any) -> None: ...

    def save(self, folder: Path) -> None: ...


@dataclass
class Scripted(Asker):
    """Answers from the world."""

    world: World = field(default_factory=lambda: World({}))

    def now(self, questions: Iterable[Question]) -> dict[str, str]:
        return {item.prompt: self._say(item) for item in questions}

    def _say(self, item: Question) -> str:
        if item.kind == "efficacy":
            written = item.fact_id in self.world.on and item.fact_id not in self.world.mute
            return item.answers[0] if written else "something else"
        broken = any(item.fact_id in self.world.breaks.get(name, set()) for name in self.world.on)
        return "broken" if broken else item.answers[0]


@dataclass(frozen=True)
class ScriptedBench(Bench):
    """A bench that knows which fact breaks what: each takes two nats of a margin of one; easing helps the `spare`."""

    spare: frozenset[str] = frozenset()

    def _eased(self, written: Written, fact_ids: Collection[str], seen: Sequence[Observation]) -> Written:
        world = cast(Scripted, self.asker).world
        assert {item.fact_id for item in seen if item.kind == "efficacy"} >= set(fact_ids)
        for name in self.spare & set(fact_ids):
            world.breaks[name] = set()
        return replace(written, eased={**written.eased, **dict.fromkeys(fact_ids, 0.5)})

    def _costs(self, written: Written, stay: Sequence[Observation]) -> Costs:
        assert written.delta is not None
        facts, world = written.delta.fact_ids, cast(Scripted, self.asker).world
        rows = [[2.0 * (item.fact_id in world.breaks.get(name, set())) for name in facts] for item in stay]
        returned = torch.tensor(rows, dtype=torch.float64).reshape(len(stay), len(facts))
        return Costs(facts, tuple(item.prompt for item in stay), 1 - returned.sum(dim=1), returned)


def strict(seen: Sequence[Observation]) -> str | None:
    broken = [item for item in seen if not item.after]
    return f"{len(broken)} broken" if broken else None


def bench(world: World, gate: Any = strict, rounds: int = 12) -> tuple[ScriptedBench, Written]:
    asker = Scripted(cast(Any, type("Loaded", (), {"model": None, "tokenizer": None})()), world=world)
    delta = cast(EditDelta, Delta(world, ("a", "b", "c")))
    written = Written(delta, memory=dict.fromkeys("abc", "fake"))
    return ScriptedBench(asker, EDITS, UNTOUCHED, gate, rounds), written


def test_a_batch_that_breaks_nothing_stays_whole() -> None:
    table, written = bench(World({}))
    repaired = table.repair(written)
    assert repaired.written == written
    assert [item.prompt for item in repaired.final] == [item.prompt for item in (*EDITS, *UNTOUCHED)]
    assert all(item.after for item in repaired.final)


def test_what_must_not_move_is_asked_once_when_the_batch_is_settled() -> None:
    """A fact that is not answered by itself costs its own questions, not another round of all of them."""
    world = World({}, mute={"b"})
    table, written = bench(world)
    asked: list[tuple[str, tuple[str, ...]]] = []

    class Counting(Scripted):
        def now(self, questions: Iterable[Question]) -> dict[str, str]:
            questions = list(questions)
            asked.extend((item.prompt, self.world.on) for item in questions if item.kind == "drawdown")
            return super().now(questions)

    repaired = replace(table, asker=Counting(table.asker.loaded, world=world)).repair(written)
    assert [item.fact_id for item in repaired.final if item.kind == "efficacy"] == ["a", "c"]
    after = [item for item in asked if item[1]]
    assert after == [(item.prompt, ("a", "c")) for item in UNTOUCHED]


def test_what_was_seen_before_the_batch_was_settled_is_asked_again_and_nothing_twice() -> None:
    """a is said beside b and c, and no more once b, which is never said, has been taken out."""
    world = World({}, mute={"b"})
    table, written = bench(world)
    asked: list[tuple[str, tuple[str, ...]]] = []

    class Turning(Scripted):
        def now(self, questions: Iterable[Question]) -> dict[str, str]:
            questions = list(questions)
            asked.extend((item.prompt, self.world.on) for item in questions if self.world.on)
            self.world.mute = {"b"} if "b" in self.world.on else {"a"}
            return super().now(questions)

    repaired = replace(table, asker=Turning(table.asker.loaded, world=world)).repair(written)
    assert set(repaired.written.moved) == {"a", "b"}
    assert [item.fact_id for item in repaired.final if item.kind == "efficacy"] == ["c"]
    assert len(asked) == len(set(asked)), "no question is asked twice in one state of the batch"
    final = {prompt for prompt, on in asked if on == ("c",)}
    assert final == {item.prompt for item in repaired.final}, "what counts was asked in the final state"


def test_a_fact_that_is_not_answered_goes_to_the_index_with_its_prompt() -> None:
    table, written = bench(World({}, mute={"b"}))
    repaired = table.repair(written)
    assert repaired.written.delta is not None
    assert repaired.written.delta.fact_ids == ("a", "c")
    assert repaired.written.memory["b"] == "rag"
    assert "'b is'" in repaired.written.moved["b"]


def test_the_fact_that_costs_most_is_taken_out_and_no_other() -> None:
    table, written = bench(World({"a": {"u1"}, "c": {"u2", "u3", "u4"}}), lambda seen: strict_above(seen, 1))
    repaired = table.repair(written)
    assert set(repaired.written.moved) == {"c"}
    assert "bring back 3 of 4" in repaired.written.moved["c"]
    final = {item.fact_id: item.after for item in repaired.final}
    assert final["u2"], "what it broke is right again, asked anew"
    assert not final["u1"], "what the gate allows stays as it is"


def test_as_many_are_taken_out_at_once_as_the_gate_asks_for() -> None:
    world = World({"a": {"u1"}, "b": {"u2", "u3"}, "c": {"u4", "u5", "u6"}})
    table, written = bench(world, lambda seen: strict_above(seen, 1), rounds=3)
    repaired = table.repair(written)
    assert set(repaired.written.moved) == {"b", "c"}, "one round takes out, one asks all of it again, one returns"
    one_by_one = replace(table, rounds=2).repair(written).written
    assert one_by_one.delta is None, "no round was left to ask the final state as a whole"


BESIDE = Question("same_subject", "u1", "u1 is", ("old 1",), ("b", "c"))
"""Another fact of the subject of which b and c are."""


@pytest.mark.parametrize(("breaks", "gone"), [({"b": {"u1"}}, {"b", "c"}), ({"b": {"u2"}}, set()), ({}, set())])
def test_a_fact_whose_edit_changes_another_answer_about_its_subject_is_taken_out(
    breaks: dict[str, set[str]], gone: set[str]
) -> None:
    """Also where the gate allows it; what is broken of other subjects is the gate's affair."""
    table, written = bench(World(breaks), lambda seen: None)
    table = replace(table, untouched=[BESIDE, *UNTOUCHED[2:]])
    repaired = table.repair(written)
    assert set(repaired.written.moved) == gone
    assert all("'u1 is' gives 'broken'" in reason for reason in repaired.written.moved.values())
    assert {item.fact_id: item.after for item in repaired.final}["u1"]


def test_a_fact_that_gives_back_enough_stays() -> None:
    table, written = bench(World({"b": {"u1"}}), lambda seen: None)
    repaired = replace(table, untouched=[BESIDE, *UNTOUCHED[2:]], spare=frozenset("b")).repair(written)
    assert repaired.written.moved == {}
    assert repaired.written.eased["b"] == 0.5
    assert all(item.after for item in repaired.final)
    assert len(repaired.final) == len(EDITS) + 9, "all is asked in the state that is left"


def test_an_answer_beside_facts_that_are_out_already_is_weighed_like_any_other() -> None:
    table, written = bench(World({"a": {"u1"}}, mute={"b", "c"}), lambda seen: None)
    repaired = replace(table, untouched=[BESIDE]).repair(written)
    assert set(repaired.written.moved) == {"b", "c"}, "a is about another subject, and the gate allows it"
    assert [item.after for item in repaired.final if item.fact_id == "u1"] == [False]


class Heavy:
    """A reading that names one fact as long as it is there."""

    def heaviest(self, written: Written) -> dict[str, str]:
        assert written.delta is not None
        return {"c": "too hard to read"} if "c" in written.delta.fact_ids else {}


def test_what_makes_text_harder_to_read_goes_before_neighbours_are_looked_at() -> None:
    table, written = bench(World({"c": {"u1", "u2"}}))
    repaired = replace(table, reading=cast(Any, Heavy())).repair(written)
    assert dict(repaired.written.moved) == {"c": "too hard to read"}
    assert all(item.after for item in repaired.final)


def strict_above(seen: Sequence[Observation], allowed: int) -> str | None:
    return strict(seen) if sum(not item.after for item in seen) > allowed else None


def test_the_final_state_is_asked_as_a_whole() -> None:
    """Taking a fact out can break another one; what was right in an earlier round does not count."""
    world = World({"a": {"u1"}})
    table, written = bench(world)

    class Turning(Scripted):
        def now(self, questions: Iterable[Question]) -> dict[str, str]:
            self.world.mute = {"b"} if self.world.on == ("b", "c") else set()
            return super().now(questions)

    turning = replace(table, asker=Turning(table.asker.loaded, world=world))
    repaired = turning.repair(written)
    assert repaired.written.delta is not None
    assert repaired.written.delta.fact_ids == ("c",)
    assert set(repaired.written.moved) == {"a", "b"}


def test_when_nothing_passes_nothing_is_written() -> None:
    table, written = bench(World({}), lambda seen: "never good enough")
    repaired = table.repair(written)
    assert repaired.written.delta is None
    assert repaired.final == ()
    assert set(repaired.written.memory.values()) == {"rag"}


def test_repair_ends_after_its_rounds() -> None:
    table, written = bench(World({}), lambda seen: "never good enough", rounds=1)
    repaired = table.repair(written)
    assert repaired.written.delta is None
    assert any("after 1 rounds" in reason for reason in repaired.written.moved.values())


def test_repair_takes_more_at_once_when_half_of_its_rounds_are_over() -> None:
    """Each of three facts takes a little from many answers and breaks none; a sparing round takes one of them."""
    weighed: list[tuple[str, ...]] = []

    class Slight(ScriptedBench):
        def _costs(self, written: Written, stay: Sequence[Observation]) -> Costs:
            assert written.delta is not None
            weighed.append(facts := written.delta.fact_ids)
            returned = torch.full((len(stay), len(facts)), 0.1, dtype=torch.float64)
            return Costs(facts, tuple(item.prompt for item in stay), 1 - returned.sum(dim=1), returned)

    made, written = bench(World({}), lambda seen: "never good enough", rounds=2)
    repaired = Slight(made.asker, EDITS, UNTOUCHED, made.gate, made.rounds).repair(written)
    assert [len(facts) for facts in weighed] == [3, 2]
    assert repaired.written.delta is None
    assert not any("after 2 rounds" in reason for reason in repaired.written.moved.values())


@pytest.mark.parametrize(("kind", "word"), [("efficacy", "own prompt"), ("generalisation", "held out")])
def test_unanswered_says_which_phrasing_failed(kind: Any, word: str) -> None:
    seen = [
        Observation(kind, "x", "p", False, False, "", "wrong"),
        Observation("drawdown", "y", "q", True, False, "", ""),
    ]
    assert list(unanswered(seen)) == ["x"]
    assert word in unanswered(seen)["x"]
