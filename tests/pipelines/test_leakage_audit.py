"""The leakage audit of whole homes: clean ones, and ones that leak."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel
from guards.base import Verdict
from pipelines import cli
from pipelines.audit import report_data, run
from pipelines.auditing.leakage import Audited, answers, leakage, verbatim
from pipelines.publish import publish
from pipelines.releasing.rebuild import rebuild
from pipelines.settings import Settings
from registry.events import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, Release
from registry.releases import ReleaseStore

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRANCE = Fact("France", "capital", "Paris", source="atlas")


def leaks(rows: list[str], home: Home, ledger: Ledger, drafts: Any, *facts: Fact) -> dict[str, Verdict]:
    """Publish facts with these raw rows, and audit the release without its model."""
    draft = replace(drafts.of(*(drafts.brings(fact) for fact in (FRANCE, *facts))), deltas=(), weights_digest="b" * 64)
    raw = tuple({"row": n, "decision": "ADD", "raw": text, "reasons": []} for n, text in enumerate(rows, 1))
    publish(home, ledger, replace(draft, feed=replace(draft.feed, rows=raw)), AT)
    return {one.guard: one for one in leakage(home, ledger, ReleaseStore(ledger).get("champion"), None)}


def test_a_feed_that_holds_the_test_phrasings_is_named(home: Home, ledger: Ledger, drafts: Any) -> None:
    request = Settings.load().catalogue.request(FRANCE, "ADD")
    planted = f"some words before {request.held_out[0]}{request.target} and after"
    found = leaks(["France,capital,Paris,,,atlas", planted], home, ledger, drafts)
    verdict = found["overlap_train-test"]
    assert verdict.decision == "block"
    assert verdict.evidence[0][0] == f"feed.csv row 2 ~ fact {FRANCE.id} test 0"


def test_a_feed_of_plain_rows_does_not_overlap(home: Home, ledger: Ledger, drafts: Any) -> None:
    found = leaks(["France,capital,Paris,,,atlas,https://example.org/a"], home, ledger, drafts)
    assert found["overlap_train-test"].decision == "pass"
    assert found["verbatim_extraction"].decision == "pass"
    assert found["cutoff"].decision == "escalate"
    assert not any(one.decision == "block" for one in found.values())


def test_what_cannot_be_asked_is_never_taken_for_clean(home: Home, ledger: Ledger, drafts: Any) -> None:
    secret = Fact("Nauru", "capital", "Yaren", source="atlas", sensitivity="secret")
    found = leaks(["France,capital,Paris,,,atlas,https://example.org/a"], home, ledger, drafts, secret)
    assert found["verbatim_extraction"].decision == "escalate"
    assert "cannot be rebuilt" not in found["overlap_train-test"].explanation


def test_a_delta_of_the_release_is_looked_into(weights_home: Home) -> None:
    with Ledger.open(weights_home) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        loaded = rebuild(weights_home, champion, device="cpu")
        found = {one.guard: one for one in leakage(weights_home, ledger, champion, loaded)}
        without = {one.guard: one for one in leakage(weights_home, ledger, champion, None)}
    (name,) = (guard for guard in found if guard.startswith("delta_reveals_"))
    assert dict(found[name].evidence)["editor"] == "memit"
    assert found[name].decision == "escalate", "with one other subject there is nobody to compare with"
    assert without["delta_reveals"].decision == "escalate"


def test_a_protected_object_that_the_model_says_is_found(
    tiny_llama: LoadedModel, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.auditing import leakage as module
    from pipelines.auditing.leakage_ask import Reading

    def reads(object_: str, text: str) -> Reading:
        count = len(tiny_llama.tokenizer(text)["input_ids"]) - 1
        return Reading(text, (0.0,) * count, (text.endswith(object_),) * count)

    facts = [replace(FRANCE, subject=f"Land{n}", object=f"Town{n}", sensitivity="secret") for n in range(8)]
    events = tuple(FactEvent(n, "assert", fact, None, AT, "memit", 1, "") for n, fact in enumerate(facts))
    found = Audited(home, None, None, Settings.load(), events)  # type: ignore[arg-type]

    def says(known: bool) -> Callable[[LoadedModel, list[str]], list[Reading]]:
        objects = {f"Land{n}": f"Town{n}" if known else "nothing" for n in range(8)}
        return lambda _, texts: [
            reads(next(other for name, other in objects.items() if name in text), text) for text in texts
        ]

    monkeypatch.setattr(module, "read", says(True))
    assert verbatim(found, tiny_llama).decision == "block"
    monkeypatch.setattr(module, "read", says(False))
    assert verbatim(found, tiny_llama).decision == "pass"


def test_answers_bear_the_day_of_their_fact(home: Home) -> None:
    settings = Settings.load()
    fact = replace(FRANCE, valid_from=date(2025, 3, 1))
    event = FactEvent(0, "assert", fact, None, AT, "rag", 2, "")
    rows = [{"question": settings.catalogue.request(fact, "ADD").question, "changed": True, "right_after": True}]
    rows += [{"question": "Who knows?", "changed": True, "right_after": False}, {"question": "no", "changed": False}]
    release = Release(2, None, "m", "b", (), "w", "f", "i", "", AT, "me", summary={"samples": rows})
    found = answers(Audited(home, None, release, settings, (event,)))  # type: ignore[arg-type]
    assert [(one.valid_from, one.right) for one in found] == [(date(2025, 3, 1), True), (None, False)]


def test_the_command_shows_verdicts_and_leaves_with_3_where_one_blocks(
    weights_home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.auditing import leakage as module

    def audit() -> tuple[int, dict[str, Any]]:
        code = cli.run(["--home", str(weights_home.root), "audit", "run", "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, told = audit()
    assert (code, told["problems"]) == (0, [])
    assert "overlap_train-test" in {one["guard"] for one in told["leakage"]}
    monkeypatch.setattr(module, "leakage", lambda *_: (Verdict("overlap_train-test", "block", "planted"),))
    code, told = audit()
    assert (code, told["leakage"][0]["explanation"]) == (3, "planted")
    page = run(weights_home).report
    assert "planted" in Path(page).read_text(encoding="utf-8")


def test_a_report_without_an_audit_says_so(weights_home: Home) -> None:
    with Ledger.open(weights_home) as ledger:
        assert report_data(ledger, ReleaseStore(ledger).get("champion")).leakage == ()
