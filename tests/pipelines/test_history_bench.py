"""What benchmarks/history.py counts: which rows were wrong, what became of them, and the tables."""

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guards.admission import AdmissionPolicy

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {
    "leaders": "leader_timeline_to_2023",
    "countries": "country_changes_to_2019",
    "sp500": "sp500_changes_to_2022",
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the benchmark by name."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    names = ("history", "history_names", "history_planted", "history_replay", "history_report", "history_rows")
    found = {name.removeprefix("history_"): import_module(f"benchmarks.{name}") for name in names}
    return SimpleNamespace(**found, speed=import_module("benchmarks.admission_speed"))


def leader(observed: str, person: str, since: str, country: str = "Atoll") -> dict[str, Any]:
    row = {"observed": observed, "code": f"x/{country}.json", "country": country, "role": "chief_of_state"}
    return {**row, "title": "President", "person": person, "since": since}


def country(date: str, field: str, old: Any, new: Any) -> dict[str, Any]:
    return {"date": date, "cca3": "ATL", "country": "Atoll", "field": field, "old": old, "new": new}


def member(date: str, event: str, symbol: str = "ABC", **cells: Any) -> dict[str, Any]:
    return {"date": date, "event": event, "symbol": symbol, "name": "Able Inc", "sector": "Energy", **cells}


LEADERS = [
    leader("2020-01-05", "Ann Able", "2019-12-10"),
    leader("2021-04-06", "Bob Baker", "2021-04-02"),
    leader("2021-05-27", "Ann Able", "2019-12-10"),
    leader("2021-06-24", "Bob Baker", "2021-06-20"),
    leader("2022-01-09", "Bob Bakker", "2021-06-20"),
    leader("2022-03-09", "Cy Coe", "2022-03-01"),
    leader("2022-05-09", "Dan Doe", "2022-03-01"),
    leader("2022-05-09", "Eve Early", "2022-05-01", "Reef"),
    leader("2022-07-09", "Fay Former", "2018-05-01", "Reef"),
]
COUNTRIES = [
    country("2014-01-02", "currencies", ["AAA"], ["AAA", "BBB[G]"]),
    country("2014-05-02", "currencies", ["AAA", "BBB[G]"], ["AAA", "BBB"]),
    country("2014-03-02", "capital", ["Ottowa"], ["Ottawa"]),
    country("2014-06-02", "languages", ["One"], ["One", "Two"]),
]
MEMBERS = [
    member("2014-01-05", "changed", "XYZ", field="sector", old="Energy", new="Utilities"),
    member("2014-03-05", "added"),
    member("2014-03-20", "removed"),
    member("2014-05-05", "changed", "XYZ", field="sector", old="Utilities", new="Energy"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The three files, small."""
    (tmp_path / "temporal").mkdir()
    for name, records in (("leaders", LEADERS), ("countries", COUNTRIES), ("sp500", MEMBERS)):
        text = "".join(f"{json.dumps(each)}\n" for each in records)
        (tmp_path / "temporal" / f"{FILES[name]}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def golds(bench: SimpleNamespace, name: str, data: Path) -> list[tuple[str, str]]:
    return [(row.object, row.gold) for row in bench.rows.read_history(name, data).rows if row.gold != "good"]


def test_what_the_history_took_back_was_wrong_and_a_spelling_was_not(bench: SimpleNamespace, data: Path) -> None:
    wrong, unclear = ("Bob Baker", "Cy Coe"), ("Eve Early", "Fay Former")
    assert golds(bench, "leaders", data) == [*((each, "wrong") for each in wrong), *((e, "unclear") for e in unclear)]
    assert golds(bench, "countries", data) == [("BBB[G]", "wrong")]
    assert golds(bench, "sp500", data) == [
        *(("Utilities", "wrong"), ("S&P 500", "wrong"), ("Able Inc", "wrong"), ("Energy", "wrong"))
    ]


def test_a_replay_publishes_nothing_that_is_taken_back_in_its_month_and_learns_from_a_correction(
    bench: SimpleNamespace, data: Path
) -> None:
    history = bench.rows.read_history("leaders", data)
    fates = bench.replay.replay(history, AdmissionPolicy())
    told = {(fate.row.object, fate.row.observed.isoformat()): (fate.decision, fate.rule) for fate in fates}
    assert told[("Bob Baker", "2021-04-06")] == ("UPDATE", "conflict")
    assert told[("Ann Able", "2021-05-27")] == ("UPDATE", "correction")
    assert told[("Bob Baker", "2021-06-24")] == ("quarantined", "lessons")
    assert told[("Dan Doe", "2022-05-09")] == ("UPDATE", "correction")
    assert told[("Fay Former", "2022-07-09")] == ("quarantined", "contradiction")
    before = bench.history.halves(fates)["before"]
    after = bench.history.halves(fates)["after"]
    assert (before["good_held"]["hits"], before["wrong_caught"]) == (0, None)
    assert (after["wrong_caught"]["hits"], after["wrong_caught"]["n"]) == (0, 2)
    assert after["good_held"]["hits"] == 1


def test_footnotes_are_caught_and_without_any_rule_nothing_is(bench: SimpleNamespace, data: Path) -> None:
    history = bench.rows.read_history("countries", data)
    for policy, hits in ((AdmissionPolicy(), 1), (AdmissionPolicy(skipped=bench.history.RULES), 0)):
        score = bench.history.score(bench.replay.replay(history, policy))
        assert (score["wrong_caught"]["hits"], score["wrong_caught"]["n"]) == (hits, 1)
        assert score["good_held"]["hits"] == 0


def test_planted_rows_take_the_place_of_good_ones(bench: SimpleNamespace, data: Path) -> None:
    rows = [
        leader(f"2021-{n % 9 + 1:02}-03", f"Person {chr(65 + n)}x", f"2021-0{n % 9 + 1}-01", f"L{n % 5}")
        for n in range(25)
    ]
    (data / "temporal" / f"{FILES['leaders']}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    history = bench.rows.read_history("leaders", data)
    changed, kinds = bench.planted.planted(history, 3)
    assert changed == bench.planted.planted(history, 3)[0]
    assert {changed.rows[place].why for place in kinds} == set(kinds.values())
    assert [row.place for row in changed.rows] == list(range(len(changed.rows)))
    more = sum(kind == "taken back in days" for kind in kinds.values())
    assert len(changed.rows) == len(history.rows) + more
    assert bench.planted.swapped("Iceland") == "Icealnd"


def test_names_are_scored_against_the_day_of_office(bench: SimpleNamespace, data: Path) -> None:
    pairs = bench.names.pairs_of(bench.rows.read_history("leaders", data), False, 1)
    assert [(one.object, other.object) for one, other in pairs.same] == [("Bob Baker", "Bob Bakker")]
    assert ("Cy Coe", "Dan Doe") in [(one.object, other.object) for one, other in pairs.successors]
    assert not bench.names.merged(pairs.successors[-1], 0.8)
    assert bench.names.merged(pairs.same[0], 0.8)


def test_the_committed_figures_make_the_tables(bench: SimpleNamespace) -> None:
    results = REPOSITORY / "benchmarks" / "results"
    text = bench.report.section(json.loads((results / "history.json").read_text(encoding="utf-8")))
    assert all(f"### {title}" in text for title in bench.report.TITLES.values())
    assert "| plausible |" in text
    speed = bench.speed.section(json.loads((results / "admission_speed.json").read_text(encoding="utf-8")))
    assert "without consensus" in speed


def test_a_feed_of_any_size_is_made_and_measured(bench: SimpleNamespace, tmp_path: Path) -> None:
    bench.speed.write_feed(tmp_path / "feed.csv", 30, 1)
    found = bench.speed.measure_one(tmp_path / "feed.csv", 4, 1, ())
    assert found["counts"] == {"NOOP": 24, "ADD": 6}
