"""The record of a fact says where it comes from, what became of it, where it lives, and what nobody recorded."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import torch

from dashboards.memories import MEMORIES, described
from editors import EDITORS
from editors.grace.delta import GraceDelta
from editors.serac.delta import SeracDelta
from editors.sst.editor import SstDelta
from editors.svfit.editor import SvfitDelta
from editors.wise.delta import WiseDelta
from pipelines.auditing.fact_record import NOT_RECORDED, fact_list, fact_record
from pipelines.cli import run
from pipelines.publish import publish
from pipelines.releasing.compact import compact
from registry.artifacts import store
from registry.errors import InputError, UnknownNameError
from registry.events import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact

AT = datetime(2026, 1, 2, tzinfo=UTC)
PARAMETER = "model.layers.1.mlp.down_proj.weight"
OLD = Fact("Italy", "head_of_government", "Conte", date(2018, 6, 1), source="atlas", source_url="https://a.example")
NEW = Fact("Italy", "head_of_government", "Draghi", date(2021, 2, 13), source="news")


@pytest.fixture
def told(home: Home, drafts: Any) -> Home:
    """A fact that another one ends in the next release, one from a row of a feed."""
    rows = ({"row": 3, "decision": "ADD", "raw": "Italy,head_of_government,Conte", "reasons": [], "fact_id": OLD.id},)
    first = drafts.of(drafts.brings(OLD))
    first = replace(first, feed=replace(first.feed, rows=rows))
    close = FactEvent(0, "close", OLD, NEW.valid_from, AT + timedelta(1), "rag", 0, "ended by UPDATE from news")
    with Ledger.open(home) as ledger:
        publish(home, ledger, first, AT)
        publish(home, ledger, replace(drafts.of(close, drafts.brings(NEW), parent=1), feed=None), AT + timedelta(1))
    return home


def test_origin_versions_and_places(told: Home) -> None:
    values = fact_record(told, OLD.id[:8], date(2026, 2, 1))
    assert values["fact"]["object"] == "Conte"
    (row,) = values["origin"]["rows"]
    assert (row["feed"], row["row"], row["decision"]) == ("feed.csv", 3, "ADD")
    assert (values["origin"]["source"], values["origin"]["by"], values["origin"]["release"]) == ("atlas", "tester", 1)
    chain = [(one["event"], one["object"], one["valid_to"], one["this"]) for one in values["versions"]]
    assert chain == [
        ("assert", "Conte", None, True),
        ("close", "Conte", "2021-02-13", True),
        ("assert", "Draghi", None, False),
    ]
    assert [(one["release"], one["state"], one["memory"]) for one in values["releases"]] == [
        (1, "holds", "rag"),
        (2, "ended", "rag"),
    ]
    assert all(len(one["index"]) == 64 and not one["delta"] for one in values["releases"])
    later = fact_record(told, NEW.id, date(2026, 2, 1))
    assert [one["state"] for one in later["releases"]] == ["not known", "holds"]


def test_expiry_access_and_quadruple(told: Home) -> None:
    values = fact_record(told, NEW.id, date(2026, 2, 1))
    assert values["access"] == {"answered": NOT_RECORDED, "delta_read": []}
    days = values["expiry"]["lifetime_days"]
    assert values["expiry"]["expected_until"] == (date(2021, 2, 13) + timedelta(days)).isoformat()
    assert fact_record(told, NEW.id, date(2021, 2, 14))["expiry"]["overdue"] is False
    assert fact_record(told, NEW.id, date(2121, 2, 14))["expiry"]["overdue"] is True
    assert fact_record(told, OLD.id, date(2121, 2, 14))["expiry"]["overdue"] is False, "it has ended"
    quadruple = values["quadruple"]["rag"]
    assert all(quadruple[name] for name in ("location", "persistence", "path", "control"))


def test_a_fact_in_the_weights_names_its_delta(weights_home: Home) -> None:
    (fact,) = [one for one in fact_list(weights_home) if one["memory"] == "memit"]
    before = fact_record(weights_home, fact["id"])["releases"][-1]
    assert (len(before["delta"]), before["merged"], before["memory"]) == (64, False, "memit")
    compact(weights_home, "2", "ann")
    after = fact_record(weights_home, fact["id"])["releases"][-1]
    assert (after["delta"], after["merged"]) == (before["delta"], False), "its own release still names the delta"


@pytest.mark.parametrize(
    ("made", "layer", "told"),
    [
        (WiseDelta, 1, "beside block 1"),
        (GraceDelta, 1, "beside block 1"),
        (SeracDelta, None, "of serac, in"),
        (SvfitDelta, None, "of svfit, in model.layers.1.mlp.down_proj.weight"),
        (SstDelta, None, "of sst, in"),
    ],
)
def test_a_fact_in_any_memory_says_where_it_lives(
    home: Home, drafts: Any, capsys: pytest.CaptureFixture[str], made: Any, layer: int | None, told: str
) -> None:
    record = {} if layer is None else {"layer": layer}
    delta = made((OLD.id,), (PARAMETER,), "b" * 64, record, {"0": torch.zeros(2)}, ())
    draft = replace(drafts.of(drafts.brings(OLD, delta.editor)), deltas=(store(home.deltas, delta.save).digest,))
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft, AT)
    values = fact_record(home, OLD.id)
    (life,) = values["releases"]
    assert (life["memory"], life["editor"], life["delta"]) == (delta.editor, delta.editor, draft.deltas[0])
    assert (life["parameters"], life["beside_block"], life["index"]) == ([PARAMETER], layer, "")
    quadruple = values["quadruple"][delta.editor]
    assert quadruple["kind"] == ("parametric" if delta.scope == "weights" else "side")
    assert "not described" not in quadruple.values()
    assert run(["--home", str(home.root), "facts", "show", OLD.id]) == 0
    assert told in " ".join(capsys.readouterr().out.split())


def test_every_editor_is_described_and_what_is_none_says_so() -> None:
    assert set(EDITORS) <= set(MEMORIES)
    assert described("sponge").control == "not described"


def test_ids_that_name_nothing_or_too_much_are_refused(told: Home) -> None:
    with pytest.raises(UnknownNameError):
        fact_record(told, "ffffffffff")
    with pytest.raises(UnknownNameError):
        fact_record(told, OLD.id[:3])
    with Ledger.open(told) as ledger, ledger.transaction() as txn:
        ledger.append(txn, "forgotten", {"facts": ["abcdef012345"], "releases": [], "keys": []}, "ann", AT)
    with pytest.raises(InputError, match="forgotten on 2026-01-02"):
        fact_record(told, "abcdef01")


def test_the_list_and_its_filters(told: Home) -> None:
    assert [one["object"] for one in fact_list(told, "ital")] == ["Conte", "Draghi"]
    assert [one["object"] for one in fact_list(told, release="1")] == ["Conte"]
    assert fact_list(told, relation="capital") == []


def test_the_commands(told: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(told.root), "facts"]
    assert run([*at, "list", "--subject", "Italy"]) == 0
    assert "Draghi" in capsys.readouterr().out
    assert run([*at, "show", OLD.id]) == 0
    said = capsys.readouterr().out
    assert "row 3 of feed.csv" in said
    assert "not recorded" in said
    assert run([*at, "show", OLD.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fact"]["id"] == OLD.id
    assert run([*at, "show", "ffffffffff"]) == 2
