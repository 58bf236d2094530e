"""Publishing, from draft to champion, with a base model that nothing loads."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.publish import publish, recover
from pipelines.releasing.tracking import mlflow_client, model_name
from registry.artifacts import verify
from registry.consistency import table_problems
from registry.errors import InputError, IntegrityError
from registry.facts import FactEvent, FactStore, read_snapshot, view
from registry.feeds import FeedStore
from registry.home import Home
from registry.intents import IntentStore
from registry.ledger import Ledger
from registry.records import Fact
from registry.releases import ReleaseStore

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRANCE = Fact("France", "capital", "Paris", source="atlas")
NAURU = Fact("Nauru", "capital", "Yaren", date(1968, 1, 31), source="atlas")


def test_publish_makes_the_release_the_champion_everywhere(home: Home, ledger: Ledger, drafts: Any) -> None:
    release = publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    releases = ReleaseStore(ledger)
    assert (release.number, release.parent, release.mlflow_version) == (1, None, "1")
    assert releases.alias("champion") == releases.alias("challenger") == 1
    assert releases.get("champion") == releases.get("r1") == releases.get(1) == release
    assert [one.fact for one in view(FactStore(ledger).events())] == [FRANCE]
    assert read_snapshot(home.snapshots / release.facts_snapshot) == FactStore(ledger).events()
    for digest in (release.facts_snapshot, release.index_snapshot):
        assert verify(home.snapshots / digest) == []
    with mlflow_client(home) as client:
        model = client.get_registered_model("dmm-gov-tiny")
        assert model.aliases == {"champion": 1, "challenger": 1}
        tags = client.get_model_version("dmm-gov-tiny", "1").tags
    assert tags["dmmgov.release"] == "1"
    assert IntentStore(ledger).open() == {}
    assert ledger.verify() == []
    kinds = [entry.kind for entry in ledger.entries()]
    kept = ["feed", "routed", "fact", "published", "alias", "alias", "registered", "certificate_refused", "log_key"]
    assert kinds == kept
    assert [entry.payload["alias"] for entry in ledger.entries("alias")] == ["challenger", "champion"]
    assert FeedStore(ledger).rows(release=1)[0]["raw"] == "France,capital,Paris"
    seen = FeedStore(ledger).seen("f" * 64, releases.lineage(1))
    assert seen is not None
    assert seen.release == 1
    assert FeedStore(ledger).seen("f" * 64, ()) is None


def test_a_second_release_adds_to_the_first(home: Home, ledger: Ledger, drafts: Any) -> None:
    first = publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    end = FactEvent(0, "close", FRANCE, date(2025, 1, 1), AT, "rag", 0)
    second = publish(home, ledger, drafts.of(drafts.brings(NAURU), end, parent=1), AT)
    releases = ReleaseStore(ledger)
    assert releases.lineage(2) == (1, 2)
    now = view(read_snapshot(home.snapshots / second.facts_snapshot), valid_at=date(2026, 1, 1))
    assert [(one.fact.subject, one.release) for one in now] == [("Nauru", 2)]
    before = view(FactStore(ledger).events(), releases=releases.lineage(1))
    assert [one.fact for one in before] == [FRANCE]
    assert [event.seq for event in FactStore(ledger).events()] == [0, 1, 2]
    assert first.index_snapshot == second.index_snapshot


def test_an_end_may_name_the_fact_as_it_is_known_by_now(home: Home, ledger: Ledger, drafts: Any) -> None:
    publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    for parent, year in ((1, 2030), (2, 2028)):
        (known,) = view(FactStore(ledger).events())
        end = FactEvent(0, "close", known.fact, date(year, 1, 1), AT, "rag", 0)
        publish(home, ledger, drafts.of(end, parent=parent), AT)
    (known,) = view(FactStore(ledger).events())
    assert (known.fact.valid_to, known.fact.id) == (date(2028, 1, 1), FRANCE.id)
    assert list(table_problems(ledger)) == []


def test_a_branch_does_not_see_what_its_sibling_brought(home: Home, ledger: Ledger, drafts: Any) -> None:
    publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    publish(home, ledger, drafts.of(drafts.brings(NAURU), parent=1), AT)
    third = publish(home, ledger, drafts.of(drafts.brings(replace(NAURU, object="Aiwo")), parent=1), AT)
    assert ReleaseStore(ledger).lineage(3) == (1, 3)
    objects = [one.fact.object for one in view(read_snapshot(home.snapshots / third.facts_snapshot))]
    assert objects == ["Paris", "Aiwo"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parent": 7}, "number of a release"),
        ({"deltas": ()}, "weights without a delta"),
        ({"events": (FactEvent(0, "close", NAURU, date(2025, 1, 1), AT, "rag", 0),)}, "Nauru"),
        ({"events": (FactEvent(0, "retract", NAURU, None, AT, "rag", 0),)}, "Nauru"),
        ({"index": Path("nowhere")}, "nowhere"),
    ],
)
def test_a_draft_that_does_not_fit_is_refused_and_leaves_nothing(
    home: Home, ledger: Ledger, drafts: Any, change: dict[str, object], words: str
) -> None:
    draft = replace(drafts.of(drafts.brings(FRANCE)), **change)
    with pytest.raises(InputError, match=words):
        publish(home, ledger, draft, AT)
    recover(home, ledger)
    assert ReleaseStore(ledger).all() == []
    assert FactStore(ledger).events() == []
    assert FeedStore(ledger).runs() == []


def test_another_base_than_the_parent_s_is_refused(home: Home, ledger: Ledger, drafts: Any) -> None:
    publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    with pytest.raises(InputError, match="base model of release 1"):
        publish(home, ledger, replace(drafts.of(parent=1), base_digest="c" * 64), AT)


def test_a_delta_that_was_changed_is_not_published(home: Home, ledger: Ledger, drafts: Any) -> None:
    draft = drafts.of(drafts.brings(FRANCE))
    (home.deltas / draft.deltas[0] / "delta.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"delta\.json"):
        publish(home, ledger, draft, AT)
    assert ReleaseStore(ledger).all() == []


def test_recover_has_nothing_to_do_after_a_run_that_ended(home: Home, ledger: Ledger, drafts: Any) -> None:
    publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    head = ledger.head()
    assert recover(home, ledger) == []
    assert ledger.head() == head


def test_recover_removes_what_no_release_holds_and_keeps_the_rest(home: Home, ledger: Ledger, drafts: Any) -> None:
    release = publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    orphan = drafts.delta("[1]")
    (home.snapshots / ".staged-left").mkdir()
    done = recover(home, ledger)
    assert len(done) == 2
    assert not (home.deltas / orphan).exists()
    assert not (home.snapshots / ".staged-left").exists()
    assert (home.deltas / release.deltas[0]).is_dir()
    assert (home.snapshots / release.facts_snapshot).is_dir()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("smollm2", "dmm-gov-smollm2"),
        ("a/b c", "dmm-gov-b-c"),
        ("some/folder/", "dmm-gov-folder"),
        ("x:y", "dmm-gov-x-y"),
    ],
)
def test_the_registered_model_is_named_after_the_base(model: str, name: str) -> None:
    assert model_name(model) == name
