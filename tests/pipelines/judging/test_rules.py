"""Every threshold that judges in the log: once, and again only when one of them is another."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.judging import rules
from pipelines.judging.rules import (
    JUDGING,
    RULES,
    RULES_CHANGED,
    differences,
    judging_rules,
    record_judging,
    unrecorded,
)
from pipelines.settings import PROJECT, Policy, Settings
from pipelines.workplace import Workplace
from registry.digests import digest_json
from registry.home import Home
from registry.ledger import Ledger

AT = datetime(2026, 1, 2, tzinfo=UTC)
Place = Callable[[Settings], Workplace]
LISTED = "examples/atlas/sources.yaml"


@pytest.fixture
def place(home: Home, ledger: Ledger) -> Place:
    return lambda settings: Workplace(home, ledger, settings, "tiny", "tester", AT, None)


def with_policy(**sections: dict[str, Any]) -> Settings:
    """The settings of the project with other values in some sections."""
    settings = Settings.load()
    changed: dict[str, Any] = {
        name: replace(getattr(settings.policy, name), **values) for name, values in sections.items()
    }
    return replace(settings, policy=replace(settings.policy, **changed))


@pytest.mark.parametrize(
    ("section", "key", "before", "after"),
    [
        ("admission", "quorum", 3, 2),
        ("admission", "established_alone", True, False),
        ("admission", "near_copy", 0.45, 0.9),
        ("admission", "skipped", [], ["consensus"]),
        ("route", "stable_days", 3650, 30),
        ("probes", "kept", 0.99, 0.5),
        ("leakage", "most_auc", 0.65, 0.99),
        ("answer", "certainty", 0.7, 0.1),
    ],
)
def test_a_changed_threshold_is_one_event_with_both_values(
    place: Place, ledger: Ledger, section: str, key: str, before: Any, after: Any
) -> None:
    record_judging(place(Settings.load()))
    given = tuple(after) if isinstance(after, list) else after
    other = with_policy(**{section: {key: given}})
    for _ in range(2):
        record_judging(place(other))
    first, changed = ledger.entries()
    assert (first.kind, changed.kind, changed.actor) == (RULES, RULES_CHANGED, "tester")
    assert changed.payload["section"] == JUDGING
    assert changed.payload["keys"] == {f"{section}.{key}": [before, after]}
    assert changed.payload["before"] == first.payload["after"] == digest_json(first.payload["rules"])
    assert changed.payload["after"] == digest_json(judging_rules(other))
    assert ledger.verify() == []


def test_an_unchanged_policy_adds_nothing(place: Place, ledger: Ledger) -> None:
    for _ in range(3):
        record_judging(place(Settings.load()))
    assert [entry.kind for entry in ledger.entries()] == [RULES]


def test_back_to_what_it_was_is_a_change_too(place: Place, ledger: Ledger) -> None:
    for settings in (Settings.load(), with_policy(admission={"quorum": 2}), Settings.load()):
        record_judging(place(settings))
    assert [entry.payload.get("keys") for entry in ledger.entries()] == [
        None,
        {"admission.quorum": [3, 2]},
        {"admission.quorum": [2, 3]},
    ]


def test_a_nested_threshold_and_a_date_have_dotted_names(place: Place, ledger: Ledger) -> None:
    record_judging(place(Settings.load()))
    softer = replace(Settings.load().policy.leakage.overlap, jaccard=0.95)
    record_judging(place(with_policy(leakage={"overlap": softer, "cutoff": None})))
    (changed,) = ledger.entries(RULES_CHANGED)
    assert changed.payload["keys"] == {
        "leakage.cutoff": ["2024-11-01", None],
        "leakage.overlap.jaccard": [0.8, 0.95],
    }


def test_who_is_trusted_and_how_long_a_relation_holds_are_rules(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    settings = Settings.load()
    record_judging(place(settings))
    listed = yaml.safe_load((PROJECT / LISTED).read_text(encoding="utf-8"))
    listed["sources"]["ISO 4217"]["tier"] = "weak"
    listed["sources"]["Morning Paper"] = "authoritative"
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(listed), encoding="utf-8")
    sources = type(settings.sources).read(tmp_path / "sources.yaml")
    name, relation = next(iter(settings.catalogue.relations.items()))
    relations = {**settings.catalogue.relations, name: replace(relation, lifetime_days=7)}
    catalogue = replace(settings.catalogue, relations=relations)
    record_judging(place(replace(settings, sources=sources, catalogue=catalogue)))
    (changed,) = ledger.entries(RULES_CHANGED)
    assert changed.payload["keys"] == {
        f"relations.{name}.lifetime_days": [relation.lifetime_days, 7],
        "sources.ISO 4217.tier": ["authoritative", "weak"],
        "sources.Morning Paper": [None, {"tier": "authoritative", "domains": [], "copies": ""}],
    }


def test_what_is_built_in_is_recorded_as_well(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    record_judging(place(Settings.load()))
    monkeypatch.setattr("guards.divergence.TAU", 0.9)
    monkeypatch.setattr("guards.patterns.SECRETS", ())
    record_judging(place(Settings.load()))
    (changed,) = ledger.entries(RULES_CHANGED)
    assert set(changed.payload["keys"]) == {"consensus.tau", "sensitivity.patterns.secrets"}


def test_every_section_of_the_policy_that_judges_is_covered() -> None:
    """A new section has to be listed, or named here with the reason why it needs none."""
    elsewhere = {
        "gates": "declared with each run, with `system`",
        "system": "with the gates",
        "approval": "with the requests",
        "write": "how editors write; the deltas' own records hold it",
        "retention": "what is kept; every pruning is an entry",
        "catalogue": "read into `relations`",
        "sources": "read into `sources`",
        "running_text": "a file",
        "general": "its digest is declared with each run",
    }
    assert set(Policy.__dataclass_fields__) == {*rules.SECTIONS, *elsewhere}


def test_what_the_log_does_not_know_yet_is_told_and_not_written(place: Place, ledger: Ledger) -> None:
    other = with_policy(leakage={"most_auc": 0.99})
    assert unrecorded(ledger, other) == {}, "nothing is recorded that it could differ from"
    record_judging(place(Settings.load()))
    size = ledger.head().size
    assert unrecorded(ledger, other) == {"leakage.most_auc": [0.65, 0.99]}
    assert unrecorded(ledger, Settings.load()) == {}
    assert ledger.head().size == size
    record_judging(place(other))
    assert unrecorded(ledger, other) == {}


def test_differences_name_what_came_and_what_went() -> None:
    assert dict(differences({"a": {"b": 1, "c": (2,)}}, {"a": {"c": [2], "d": 3}})) == {
        "a.b": [1, None],
        "a.d": [None, 3],
    }
