"""Forgetting: content goes from everywhere, proofs stay, and a killed run is ended by the next one."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from editors.base import FactEffect
from editors.delta import WeightDelta, parameters_digest
from editors.factors import LayerDelta
from editors.load import LoadedModel, weights_digest
from guards.base import Score, Verdict
from guards.family import judge_family
from pipelines import guard
from pipelines.answer import Answerer
from pipelines.answering.oblivion import FORGOTTEN_WORDS
from pipelines.auditing.integrity import verify_home
from pipelines.forgetting.forget import BLOCKED, forget
from pipelines.forgetting.forgotten import check
from pipelines.forgetting.leftovers import search
from pipelines.forgetting.release import OVERRULED
from pipelines.forgetting.result import ForgetResult
from pipelines.judging import rechecks
from pipelines.publish import FeedRecord, publish, recover
from pipelines.releasing.certify import read_certificate
from pipelines.releasing.rebuild import rebuild
from pipelines.releasing.tracking import mlflow_client
from pipelines.settings import Settings
from registry.artifacts import store
from registry.errors import BlockedError, InputError
from registry.facts import FactEvent, FactStore, read_snapshot
from registry.feeds import FeedStore
from registry.forgotten import Tombstones
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, KnownFact
from registry.releases import ReleaseStore
from registry.sealed import sealed
from registry.shredding import FORGOTTEN

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = Fact("Zefiria", "capital", "Quobbleton", source="a letter", source_url="https://example.org/z")
KEPT = Fact("Nauru", "capital", "Yaren", source="atlas")
FRANCE = Fact("France", "capital", "Paris", source="atlas")
NAMES = ("Zefiria", "Quobbleton")


class Killed(Exception):
    """Stands for a kill."""


@pytest.fixture(autouse=True)
def gates(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Gates pass as they would with a model that has learnt something; what they say is changed here."""
    said: dict[str, Any] = {"weights": lambda number: "pass", "index": "pass"}
    asked: list[int] = []

    def weights(*case: Any, **more: Any) -> SimpleNamespace:
        asked.append(1)
        decision = said["weights"](len(asked))
        return SimpleNamespace(
            verdicts=[replace(one, decision=decision) for one in judge_family(*case, **more).verdicts]
        )

    def index(*_: Any) -> Iterator[Verdict]:
        yield Verdict("retrieval", said["index"], "as the test says", (Score("retrieval", 1.0, 0.9, 1.0, 60, 0.85),))

    monkeypatch.setattr(rechecks, "judge_family", weights)
    monkeypatch.setattr(guard, "system_gates", index)
    return said


def until(point: str) -> Callable[[str], None]:
    """A checkpoint at which the run ends."""

    def checkpoint(name: str) -> None:
        if name == point:
            raise Killed(name)

    return checkpoint


def delta_of(loaded: LoadedModel, layer: int, facts: tuple[Fact, ...]) -> WeightDelta:
    """A real delta of one column per fact."""
    import torch

    parameter = f"model.layers.{layer}.mlp.down_proj.weight"
    d_out, d_in = loaded.model.get_parameter(parameter).shape
    numbers = torch.Generator().manual_seed(layer)
    targets = torch.randn(d_out, len(facts), generator=numbers, dtype=torch.float64)
    basis = torch.randn(len(facts), d_in, generator=numbers, dtype=torch.float64)
    solved = LayerDelta.solved(parameter, False, "ridge", targets, basis, basis @ basis.t())
    effects = tuple(FactEffect(fact.id, "written", "for the test") for fact in facts)
    before = parameters_digest(loaded.model, (parameter,))
    return WeightDelta("memit", "ridge", tuple((fact.id,) for fact in facts), (solved,), before, effects, {})


def index_of(folder: Path, facts: tuple[Fact, ...]) -> Path:
    """An index that needs no encoder."""
    folder.mkdir(parents=True)
    ids = sorted(fact.id for fact in facts)
    by_id = {fact.id: fact for fact in facts}
    sentences = [f"The capital of {by_id[one].subject} is {by_id[one].object}." for one in ids]
    content = {"ids": ids, "sentences": sentences, "encoder": "e" * 64}
    (folder / "ids.json").write_text(json.dumps(content))
    save_file({"embeddings": np.eye(len(ids), 8, dtype=np.float32)}, folder / "embeddings.safetensors")
    from editors.rag.config import RagConfig
    from editors.rag.index import _lexical

    _lexical(sentences, RagConfig()).save(folder / "bm25", allow_pickle=False, show_progress=False)
    return folder


def row_of(number: int, fact: Fact, decision: str = "ADD", words: str = "") -> dict[str, Any]:
    """A row of a feed as a run keeps it."""
    own = {"row": number, "decision": decision, "fact_id": fact.id, "reasons": [words] if words else [], "rules": []}
    said = {name: getattr(fact, name) for name in ("subject", "relation", "object")}
    return {**own, **said, "raw": ",".join(said.values())}


def fill(root: Path, home: Home, loaded: LoadedModel, drafts: Any) -> None:
    """Two releases; the second writes the secret and another fact into the weights."""
    delta = delta_of(loaded, 1, (SECRET, KEPT))
    with delta.applied(loaded.model):
        edited = weights_digest(loaded.model)
    base = {"model": str(root / "tiny-llama"), "base_digest": loaded.digest}
    rows = (row_of(1, SECRET), row_of(2, FRANCE, "quarantined", "Zefiria has Quobbleton"), row_of(3, KEPT))
    summary = {
        "samples": ({"question": "What is the capital of Zefiria?"}, {"question": "of Nauru?"}),
        "moved": ({"fact": "Zefiria, capital: Quobbleton", "reason": "no"},),
        "notes": ("fine",),
    }
    gate = {"guard": "efficacy", "decision": "pass", "explanation": "Quobbleton is said", "evidence": ()}
    first = replace(
        drafts.of(drafts.brings(FRANCE)),
        **base,
        weights_digest=loaded.digest,
        deltas=(),
        index=index_of(root / "index-1", (FRANCE,)),
    )
    second = replace(
        drafts.of(drafts.brings(SECRET, "memit"), drafts.brings(KEPT, "memit"), parent=1),
        **base,
        weights_digest=edited,
        deltas=(store(home.deltas, delta.save).digest,),
        index=index_of(root / "index-2", (FRANCE, SECRET, KEPT)),
        feed=FeedRecord("2" * 64, "second.csv", rows),
        summary=summary,
        gates=(gate,),
    )
    with Ledger.open(home) as ledger:
        publish(home, ledger, first, AT)
        publish(home, ledger, second, AT)


def traces(home: Home) -> None:
    """What a home may hold beside its releases."""
    for folder in (home.beliefs, home.reports, home.root / "logs", home.prefect):
        folder.mkdir(parents=True, exist_ok=True)
    answers = {"a": {"text": "Quobbleton", "certainty": 0.5}, "b": {"text": "Paris", "certainty": 0.5}}
    (home.beliefs / "m.json").write_bytes(sealed({"format": 1, "answers": answers}))
    (home.reports / "r2.html").write_text("<p>Zefiria &middot; capital &middot; Quobbleton</p>")
    (home.reports / "r1.html").write_text("<p>France</p>")
    (home.root / "logs" / "run.log").write_text("fine\nKeyError: 'Zefiria'\nfine too\n")
    lines = [json.dumps({"subject": name, "object": thing}) for name, thing in (("Zefiria", "X"), ("Elsewhere", "Y"))]
    home.lessons.write_text("\n".join(lines) + "\n")
    with sqlite3.connect(home.prefect / "prefect.db") as connection:
        connection.execute("CREATE TABLE flow_run (id INTEGER, parameters TEXT)")
        connection.execute("INSERT INTO flow_run VALUES (1, ?), (2, 'plain')", (json.dumps({"row": "Zefiria"}),))
    connection.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: Any, mlflow_ready: Path, publishing: Any, tiny_llama: LoadedModel) -> Path:
    """A home that holds the secret everywhere."""
    root = tmp_path_factory.mktemp("forget")
    home = Home.at(root / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
    tiny_llama.model.save_pretrained(root / "tiny-llama")
    tiny_llama.tokenizer.save_pretrained(root / "tiny-llama")
    fill(root, home, tiny_llama, publishing(home))
    traces(home)
    return home.root


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Home:
    """A copy of it."""
    shutil.copytree(original, tmp_path / "forget-home")
    return Home.at(tmp_path / "forget-home")


def gone(home: Home) -> None:
    """What must be true of a home in which the secret was forgotten, however that came about."""
    assert search(home, NAMES) == []
    assert verify_home(home) == []
    with Ledger.open(home) as ledger:
        assert ledger.verify() == []
        champion = ReleaseStore(ledger).get("champion")
        known = {event.fact.object for event in FactStore(ledger).events()}
        assert known == {"Paris", "Yaren"}
        assert len(ledger.entries(FORGOTTEN)) == 1
        for release in ReleaseStore(ledger).all():
            events = read_snapshot(home.snapshots / release.facts_snapshot)
            assert SECRET.id not in {event.fact.id for event in events}
            assert rebuild(home, release).digest == release.weights_digest
        assert champion.number == 3
        assert ReleaseStore(ledger).get(2).summary["samples"] == [{"question": "of Nauru?"}]
        assert [row["row"] for row in FeedStore(ledger).rows(run=2)] == [3]


def test_the_secret_is_everywhere_before(home: Home) -> None:
    assert verify_home(home) == []
    places = {one.file.split("/")[0] for one in search(home, NAMES)}
    assert places == {"snapshots", "mlflow", "beliefs", "reports", "logs", "lessons.jsonl", "prefect"}


def test_it_is_gone_from_everywhere_and_every_proof_stands(home: Home) -> None:
    with Ledger.open(home) as ledger:
        before = [(entry.seq, entry.leaf) for entry in ledger.entries()]
    result = forget(home, [SECRET.id], actor="Ann", reason="a request about Zefiria")
    assert result.fact_ids == (SECRET.id,)
    assert result.leftovers == ()
    assert (result.release, result.rewritten, result.unbuildable) == (3, (2, 3), {})
    assert result.suppression["said"] == 0
    gone(home)
    with Ledger.open(home) as ledger:
        assert [(entry.seq, entry.leaf) for entry in ledger.entries()[: len(before)]] == before
        (entry,) = ledger.entries(FORGOTTEN)
        assert (entry.actor, entry.payload["facts"], entry.payload["release"]) == ("Ann", [SECRET.id], 3)
        assert FactStore(ledger).shredded()[0]["fact_id"] == SECRET.id
    assert not (home.reports / "r2.html").exists()
    assert (home.reports / "r1.html").exists()
    assert (home.root / "logs" / "run.log").read_text() == "fine\nfine too\n"
    assert "Elsewhere" in home.lessons.read_text()
    assert json.loads((home.beliefs / "m.json").read_bytes())["answers"] == {"b": {"text": "Paris", "certainty": 0.5}}
    assert check(home)["problems"] == []
    assert check(home, SECRET.id)["facts"] == [SECRET.id]
    assert result.audit["weights_exact"] is True
    counts = {one.place: one.count for one in result.places}
    assert (counts["reports"], counts["logs"], counts["lessons"], counts["prefect"]) == (1, 1, 1, 1)
    assert counts["mlflow/versions"] == 2


def test_the_weights_are_those_of_a_release_without_it(home: Home, tiny_llama: LoadedModel) -> None:
    with delta_of(tiny_llama, 1, (SECRET, KEPT)).without([SECRET.id]).applied(tiny_llama.model):
        wanted = weights_digest(tiny_llama.model)
    forget(home, [SECRET.id], actor="Ann", reason="because")
    with Ledger.open(home) as ledger:
        assert {one.weights_digest for one in ReleaseStore(ledger).all()[1:]} == {wanted}


def test_mlflow_serves_the_new_versions_alone(home: Home) -> None:
    forget(home, [SECRET.id], actor="Ann", reason="because")
    with mlflow_client(home) as client:
        versions = client.search_model_versions("name='dmm-gov-tiny-llama'")
        champion = client.get_model_version_by_alias("dmm-gov-tiny-llama", "champion")
    assert sorted(one.tags["dmmgov.release"] for one in versions) == ["1", "2", "3"]
    assert champion.tags["dmmgov.release"] == "3"


@pytest.mark.parametrize(
    "point",
    [
        "forgetting noted",
        "committed",
        "artefacts made again",
        "places cleaned",
        "before the keys are gone",
        "keys deleted",
        "version written anew",
        "version created anew",
        "versions renewed",
        "database written anew",
    ],
)
def test_a_killed_run_is_ended_by_the_next_one(home: Home, point: str) -> None:
    with pytest.raises(Killed):
        forget(home, [SECRET.id], actor="Ann", reason="because", checkpoint=until(point))
    with Ledger.open(home) as ledger:
        assert any("forgetting" in line for line in recover(home, ledger))
        assert recover(home, ledger) == []
    gone(home)


def test_a_subject_goes_with_rows_that_never_became_facts(home: Home) -> None:
    rows = [row_of(1, Fact("Lutetia Prime", "capital", "Nowhere"), "refused")]
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        FeedStore(ledger).record(txn, "9" * 64, "ninth.csv", None, "nothing_accepted", rows, AT)
    result = forget(home, actor="Ann", reason="because", subject="lutetia prime")
    assert (result.fact_ids, result.release, result.keys, result.leftovers) == ((), None, 1, ())
    with Ledger.open(home) as ledger:
        assert FeedStore(ledger).rows(run=3) == []
        assert Tombstones.of(ledger).holds_question("lutetia prime", "currency")
    assert verify_home(home) == []


def test_the_same_statement_of_another_source_goes_too(home: Home, publishing: Any) -> None:
    again = replace(SECRET, source="another letter", source_url="")
    with Ledger.open(home) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        event = FactEvent(0, "assert", again, None, AT, "rag", 0, "because")
        draft = publishing(home).of(event, parent=2)
        publish(
            home,
            ledger,
            replace(
                draft,
                model=champion.model,
                base_digest=champion.base_digest,
                deltas=champion.deltas,
                weights_digest=champion.weights_digest,
                index=champion.index_snapshot,
                feed=None,
            ),
            AT,
        )
    result = forget(home, [SECRET.id[:8]], actor="Ann", reason="because")
    assert set(result.fact_ids) == {SECRET.id, again.id}
    assert result.leftovers == ()


def test_names_that_others_use_stay_and_the_statement_goes(home: Home, tmp_path: Path) -> None:
    shared = Fact("Nauru", "currency", "Zefiria")
    plan_home = home
    with Ledger.open(plan_home) as ledger, ledger.transaction() as txn:
        seq = 3
        FactStore(ledger).append(txn, FactEvent(seq, "assert", shared, None, AT, "rag", 2, ""))
    result = forget(plan_home, [SECRET.id], actor="Ann", reason="because")
    assert result.shared == 1
    assert [one for one in result.leftovers if "ledger" in one.file] == []
    assert search(plan_home, ("Quobbleton",)) == []


def test_a_copy_that_was_left_is_found(home: Home) -> None:
    with gzip.open(home.root / "backup.gz", "wt") as stream:
        stream.write("the capital of ZEFIRIA")
    (home.root / "notes.txt").write_bytes("Quobbleton".encode("utf-16-le"))
    result = forget(home, [SECRET.id], actor="Ann", reason="because")
    assert {(one.file, one.how) for one in result.leftovers} == {
        ("backup.gz", "inside gzip"),
        ("notes.txt", "as it is"),
    }


def test_it_is_not_known_and_does_not_come_back_by_itself(home: Home) -> None:
    forget(home, [SECRET.id], actor="Ann", reason="because")
    with Ledger.open(home) as ledger:
        forgotten = Tombstones.of(ledger)
    assert forgotten.holds_statement("zefiria", "capital", "quobbleton")
    assert not forgotten.holds_statement("zefiria", "capital", "elsewhere")
    facts = [KnownFact(FRANCE, "rag", 1), KnownFact(Fact("Zefiria", "currency", "zef"), "rag", 1)]
    answerer = Answerer(Settings.load().catalogue, facts, None, None, forgotten=forgotten)
    for setting in ("offline", "online"):
        reply = answerer.ask("What is the capital of Zefiria?", setting, date(2026, 1, 2))
        assert (reply.known, reply.why) == (False, FORGOTTEN_WORDS)
    assert answerer.ask("What is the capital of France?", "offline").text == "Paris"
    silent = Answerer(Settings.load().catalogue, facts[:1], None, None, forgotten=forgotten)
    assert silent.ask("What is the capital of Zefiria?", "offline").why == FORGOTTEN_WORDS
    assert silent.ask("What is the capital of Ruritania?", "offline").why != FORGOTTEN_WORDS


def test_the_weights_are_not_asked_about_it(home: Home, tiny_llama: LoadedModel) -> None:
    forget(home, [SECRET.id], actor="Ann", reason="because")
    with Ledger.open(home) as ledger:
        forgotten = Tombstones.of(ledger)
    facts = [KnownFact(Fact("Zefiria", "currency", "zef"), "rag", 1)]
    answerer = Answerer(Settings.load().catalogue, facts, None, tiny_llama, forgotten=forgotten)
    reply = answerer.ask("What is the capital of Zefiria?", "parametric")
    assert (reply.known, reply.model_words) == (False, None)


@pytest.mark.parametrize(
    ("ids", "more", "words"),
    [
        ([], {"reason": "because"}, "name what to forget"),
        ([SECRET.id], {"reason": " "}, "say both"),
        (["0" * 24], {"reason": "because"}, "0 facts"),
        ([], {"reason": "because", "subject": "Nobody At All"}, "check the spelling"),
    ],
)
def test_what_cannot_be_forgotten_is_refused(home: Home, ids: list[str], more: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        forget(home, ids, actor="Ann", **more)
    with Ledger.open(home) as ledger:
        assert not any("forgetting" in line for line in recover(home, ledger))


def test_what_was_forgotten_cannot_be_forgotten_again(home: Home) -> None:
    result = forget(home, [SECRET.id], actor="Ann", reason="because")
    assert isinstance(result, ForgetResult)
    with pytest.raises(InputError, match="forgotten already"):
        forget(home, [SECRET.id], actor="Ann", reason="because")


def test_a_kept_fact_of_another_relation_with_the_same_two_names_stays_whole(home: Home) -> None:
    twin = Fact("Zefiria", "largest_city", "Quobbleton")
    rows = [row_of(1, twin)]
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        FeedStore(ledger).record(txn, "8" * 64, "eighth.csv", None, "nothing_accepted", rows, AT)
        FactStore(ledger).append(txn, FactEvent(3, "assert", twin, None, AT, "rag", 2, ""))
    result = forget(home, [SECRET.id], actor="Ann", reason="because")
    assert (result.shared, result.leftovers) == (2, ())
    with Ledger.open(home) as ledger:
        assert twin in [event.fact for event in FactStore(ledger).events()]
        assert [row["row"] for row in FeedStore(ledger).rows(run=3)] == [1]


def test_the_release_has_its_gates_and_a_complete_certificate(home: Home) -> None:
    result = forget(home, [SECRET.id], actor="Ann", reason="because")
    judged = [gate["guard"] for gate in result.gates]
    assert {"efficacy", "generalisation", "neighbourhood", "drawdown", "fluency", "retrieval"} <= set(judged)
    assert (result.moved, result.overruled) == ({}, ())
    with Ledger.open(home) as ledger:
        release = ReleaseStore(ledger).get(3)
        certificate = read_certificate(home, ledger, "3")
        passed = [entry.payload["gate"] for entry in ledger.entries("gate_passed")]
    assert [gate["guard"] for gate in release.gates] == judged
    assert passed[-len(judged) :] == judged
    assert certificate.body["F1"]["ended"] == [{"fact": SECRET.id, "how": "retract"}]
    assert certificate.body["F3"]["changes_weights"] is True
    assert SECRET.subject not in certificate.text


def test_the_rest_of_the_batch_goes_to_the_index_where_its_gates_do_not_pass(
    home: Home, gates: dict[str, Any], tiny_llama: LoadedModel
) -> None:
    gates["weights"] = lambda number: "block" if number == 1 else "pass"
    result = forget(home, [SECRET.id], actor="Ann", reason="because")
    assert list(result.moved) == [KEPT.id]
    with Ledger.open(home) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        memory = {event.fact.id: event.memory for event in FactStore(ledger).events()}
    assert (champion.deltas, champion.weights_digest) == ((), tiny_llama.digest)
    assert memory[KEPT.id] == "rag"
    assert verify_home(home) == []
    assert search(home, NAMES) == []


def test_a_gate_that_does_not_pass_forbids_it_and_nothing_is_gone(home: Home, gates: dict[str, Any]) -> None:
    gates["index"] = "block"
    with pytest.raises(BlockedError, match="gate retrieval: as the test says; nothing was forgotten"):
        forget(home, [SECRET.id], actor="Ann", reason="because")
    with Ledger.open(home) as ledger:
        assert not any("forgetting" in line for line in recover(home, ledger))
        (entry,) = ledger.entries(BLOCKED)
        assert (entry.payload["gates"], entry.payload["facts"]) == (["retrieval"], [SECRET.id])
        assert ledger.entries(FORGOTTEN) == []
        assert ReleaseStore(ledger).get("champion").number == 2
        assert SECRET in [event.fact for event in FactStore(ledger).events()]
    assert verify_home(home) == []


def test_a_person_may_overrule_the_gates_which_is_told_aloud_and_certified_by_nobody(
    home: Home, gates: dict[str, Any]
) -> None:
    gates["index"] = "block"
    result = forget(home, [SECRET.id], actor="Ann", reason="because", despite_gates="Zefiria asked a court")
    assert (result.overruled, result.leftovers) == (("retrieval",), ())
    gone(home)
    with Ledger.open(home) as ledger:
        (entry,) = ledger.entries(OVERRULED)
        assert (entry.actor, entry.payload["gates"]) == ("Ann", ["retrieval"])
        with pytest.raises(BlockedError, match="the gate retrieval did not pass"):
            read_certificate(home, ledger, "3")


def test_a_killed_run_that_a_gate_forbids_is_given_up(home: Home, gates: dict[str, Any]) -> None:
    with pytest.raises(Killed):
        forget(home, [SECRET.id], actor="Ann", reason="because", checkpoint=until("forgetting noted"))
    gates["index"] = "block"
    with Ledger.open(home) as ledger:
        assert any("gave up forgetting" in line for line in recover(home, ledger))
        assert recover(home, ledger) == []
        assert len(ledger.entries(BLOCKED)) == 1
    assert verify_home(home) == []
