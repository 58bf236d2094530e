"""P1 of a home: its dated facts against the rows that brought them."""

from dataclasses import replace
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pipelines.auditing.dated import dated, neighbours, told_days
from registry.facts import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact
from registry.releases import ReleaseStore

BEGIN = date(2020, 1, 1)
HEADER = ["subject", "relation", "object", "valid_from"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The maker of homes of benchmarks/."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3]))
    return import_module("benchmarks.made_home")


def facts(count: int = 20) -> list[Fact]:
    return [Fact(f"Land {n}", "head_of_state", f"Person {n}", BEGIN + timedelta(days=30 * n)) for n in range(count)]


def row(number: int, fact: Fact, **more: Any) -> dict[str, Any]:
    raw = f"{fact.subject},{fact.relation},{fact.object},{fact.valid_from or ''}"
    own = {"row": number, "decision": "ADD", "relation": fact.relation, "fact_id": fact.id, "raw": raw}
    return {**own, "rules": [], "feed": 1, **({"header": HEADER} if number == 1 else {}), **more}


def panel_of(made: Any, folder: Path, brought: list[Fact], kept: list[Fact], gone: tuple[Fact, ...] = ()) -> Any:
    """P1 of a home whose rows brought one thing and which keeps another."""
    home = Home.at(folder)
    rows = [row(number, fact) for number, fact in enumerate(brought, 1)]
    events = [FactEvent(0, "assert", fact, None, made.BEGIN, "rag", 0) for fact in kept]
    events += [FactEvent(0, "retract", fact, None, made.BEGIN, "rag", 0) for fact in gone]
    with Ledger.open(home) as ledger:
        made.record_release(home, ledger, events, rows, made.BEGIN)
        return dated(home, ledger, ReleaseStore(ledger).get("champion"))


def as_kept(fact: Fact, day: date | None) -> Fact:
    """The fact under its own id, with another first day."""
    other = replace(fact, valid_from=day)
    vars(other)["id"] = fact.id
    return other


def test_what_was_fed_is_kept_with_its_day_and_its_order(made: Any, tmp_path: Path) -> None:
    brought = [*facts(), Fact("Land 99", "capital", "Town")]
    panel = panel_of(made, tmp_path / "home", brought, brought)
    assert (panel.event_f1, panel.window_days) == (1.0, 365)
    assert (panel.anchoring_error.value, panel.anchoring_error.n) == (0.0, 20), "a row without a day is no truth"
    assert (panel.order.value, panel.order.n) == (1.0, 19)


def test_facts_kept_in_another_order_are_seen(made: Any, tmp_path: Path) -> None:
    brought = facts()
    days = [fact.valid_from for fact in brought]
    shuffled = [as_kept(fact, day) for fact, day in zip(brought, [*days[1::2], *days[::2]], strict=True)]
    panel = panel_of(made, tmp_path / "home", brought, shuffled)
    assert panel.event_f1 < 0.2
    assert panel.anchoring_error.low > 0.1
    assert panel.order.high < 1.0


def test_a_lost_day_and_a_lost_fact_are_seen_and_what_was_taken_back_is_not(made: Any, tmp_path: Path) -> None:
    brought = facts()
    lost = panel_of(made, tmp_path / "lost", brought, [as_kept(brought[0], None), *brought[2:]])
    assert lost.event_f1 == pytest.approx(2 * 18 / (20 + 19))
    assert lost.anchoring_error.value == pytest.approx(2 / 20)
    back = panel_of(made, tmp_path / "back", brought, brought, (brought[3],))
    assert (back.event_f1, back.anchoring_error.n) == (1.0, 19)


def test_rows_tell_their_columns_or_are_left_out() -> None:
    fact = facts(1)[0]
    named = row(2, fact, feed=2, raw='{"subject": "Land 0", "Valid From": "2020-01-01"}')
    other = row(3, fact, feed=3)
    released = row(4, fact, rules=["released"])
    held = row(5, fact, decision="quarantined")
    year = row(1, fact, raw="Land 0,head_of_state,Person 0,2020", feed=1)
    assert told_days([named]) == {fact.id: ("head_of_state", BEGIN)}
    assert told_days([year]) == {fact.id: ("head_of_state", None)}
    assert told_days([row(1, facts(2)[1]), other, released, held]).keys() == {facts(2)[1].id}


def test_pairs_are_of_one_relation_and_named_in_either_order() -> None:
    days = {str(n): ("head_of_state" if n % 2 else "capital", BEGIN + timedelta(days=n // 4)) for n in range(80)}
    pairs = list(neighbours(days, 0))
    assert pairs == list(neighbours(dict(reversed(days.items())), 0))
    assert all(days[one][0] == days[other][0] and days[one][1] != days[other][1] for one, other in pairs)
    assert 0 < sum(int(one) < int(other) for one, other in pairs) < len(pairs)
