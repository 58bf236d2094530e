import json
import logging
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pipelines.answer
import pipelines.commands.options
import pipelines.loop
from pipelines.answer import Reply
from pipelines.cli import GROUPS, build, run
from pipelines.outcome import UpdateResult
from registry.errors import BlockedError, BusyError, DmmGovError, EditError, InputError, IntegrityError
from registry.home import Home
from registry.records import Fact, KnownFact

Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def dmmgov(capsys: Captured, tmp_path: Path) -> Callable[..., Outcome]:
    """Runs the command line in this process, in a home of its own."""

    def call(*words: str | Path) -> Outcome:
        code = run(["--home", str(tmp_path / "home"), *map(str, words)])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def one_clear_line(outcome: Outcome, code: int) -> str:
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("dmmgov: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    return outcome.err


def test_the_version_is_that_of_the_project(dmmgov: Callable[..., Outcome]) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    outcome = dmmgov("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"dmmgov {project['version']}\n", "")


FEEDS: dict[str, bytes] = {
    "empty.csv": b"",
    "binary.csv": b"\xff\xfe\x00bad",
    "columns.csv": b"a,b\n1,2\n",
    "nonsense.parquet": b"PAR1nonsense",
    "broken.jsonl": b'{"subject": "x", "relation": "y", "object": "z"}\n{"subject": "x"\n',
    "latin1.csv": "subject,relation,object\nC\xf4te d'Ivoire,capital,Yamoussoukro\n".encode("latin-1"),
}


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed_that_cannot_be_read_is_refused_in_one_line(
    dmmgov: Callable[..., Outcome], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(FEEDS[name])
    words = one_clear_line(dmmgov("update", tmp_path / name), 2)
    assert "expected" in words
    assert "got" in words
    assert not (tmp_path / "home" / "ledger.db").exists()


def test_the_broken_line_is_named(dmmgov: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_bytes(FEEDS["broken.jsonl"])
    assert "line 2" in one_clear_line(dmmgov("update", tmp_path / "broken.jsonl"), 2)


def test_a_feed_that_is_missing_or_a_folder_is_refused(dmmgov: Callable[..., Outcome], tmp_path: Path) -> None:
    assert "none.csv" in one_clear_line(dmmgov("update", tmp_path / "none.csv"), 2)
    one_clear_line(dmmgov("update", tmp_path), 2)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("ask", ""), "a question"),
        (("ask", "Who?", "--setting", "ofline"), "did you mean offline"),
        (("ask", "Who?", "--as-of", "30.6.2024"), "2024-06-30"),
        (("ask", "Who?", "--release", "7"), "release"),
        (("releases", "rollback", "999999"), "'999999'"),
        (("releases", "promote", "x"), "'x'"),
        (("releases", "show", "3"), "nothing is published yet"),
        (("releases", "diff", "1", "2"), "nothing is published yet"),
        (("models", "pull", "smolm2"), "did you mean smollm2"),
        (("models", "check", "smollm2", "--setting", "online?"), "did you mean online"),
        (("models", "check", "smollm2", "--sample", "0"), "--sample"),
        (("recall", "nosuchfact"), "No such command 'recall'"),
        (("update",), "Missing argument 'FEED'"),
        (("update", "x.csv", "--modle", "y"), "--model"),
        (("schedule", "no/such/folder"), "folder"),
        (("demo", "--json", "no/such/folder/d.json"), "make no/such/folder first"),
    ],
)
def test_bad_words_are_refused_in_one_line(dmmgov: Callable[..., Outcome], words: tuple[str, ...], named: str) -> None:
    assert named in one_clear_line(dmmgov(*words), 2)


BENCH = {"--editor": "memit", "--model": "smollm2", "--format": "edits", "--n": "1", "--mode": "single"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"--editor": "mimet"}, "did you mean memit"),
        ({"--format": "edit"}, "did you mean edits"),
        ({"--mode": "bach"}, "did you mean batch"),
        ({"--data": "none.json"}, "--data"),
        ({"--out": "no/such/folder/o.json"}, "make no/such/folder first"),
        ({"--n": "0"}, "--n"),
        ({"--n": "many"}, "--n"),
    ],
)
def test_bad_bench_is_refused_in_one_line(
    dmmgov: Callable[..., Outcome], tmp_path: Path, changed: dict[str, str], named: str
) -> None:
    data = tmp_path / "edits.json"
    data.write_text("[]")
    options = BENCH | {"--data": str(data), "--out": str(tmp_path / "o.json")} | changed
    assert named in one_clear_line(dmmgov("bench", "edits", *(word for pair in options.items() for word in pair)), 2)
    assert not (tmp_path / "o.json").exists()


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_: object, **__: object) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DmmGovError("it failed"), 1),
        (EditError("it failed"), 1),
        (BusyError("it failed"), 1),
        (IntegrityError("weights", "a", "b"), 1),
        (InputError("a", "b", "c"), 2),
        (BlockedError("it failed"), 3),
    ],
)
def test_each_error_has_its_exit_code(
    dmmgov: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, error: DmmGovError, code: int
) -> None:
    monkeypatch.setattr(pipelines.loop, "run_update", raising(error))
    assert str(error) in one_clear_line(dmmgov("update", "x.csv"), code)


def test_what_nobody_foresaw_leaves_its_traceback_in_the_home(
    dmmgov: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pipelines.loop, "run_update", raising(ZeroDivisionError("by\nzero")))
    words = one_clear_line(dmmgov("update", "x.csv"), 1)
    (log,) = (tmp_path / "home" / "logs").iterdir()
    assert str(log) in words
    assert "unexpected ZeroDivisionError: by zero" in words
    assert "Traceback" in log.read_text()


def test_a_home_that_cannot_take_the_traceback_is_said(
    dmmgov: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setattr(pipelines.loop, "run_update", raising(ZeroDivisionError("zero")))
    assert "could not be kept" in one_clear_line(dmmgov("update", "x.csv"), 1)


def test_ctrl_c_is_one_line_and_130(dmmgov: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.loop, "run_update", raising(KeyboardInterrupt()))
    assert "stopped" in one_clear_line(dmmgov("update", "x.csv"), 130)


RESULT = UpdateResult(
    "published",
    "news.csv",
    "d" * 64,
    release=2,
    decisions={"ADD": 1, "refused": 1},
    memories={"memit": 1},
    gates=({"guard": "locality", "decision": "pass", "explanation": "lower bound .98 of .97"},),
)


@pytest.mark.parametrize(
    ("status", "code"), [("published", 0), ("nothing_new", 0), ("nothing_accepted", 0), ("blocked", 3)]
)
def test_update_tells_its_result_and_exits_3_when_blocked(
    dmmgov: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: Any, code: int
) -> None:
    seen: dict[str, Any] = {}

    def run_update(home: Home, feed: Path, model: str, **options: Any) -> UpdateResult:
        seen.update(options, home=home, feed=feed, model=model)
        return UpdateResult(**{**vars(RESULT), "status": status})

    monkeypatch.setattr(pipelines.loop, "run_update", run_update)
    outcome = dmmgov("update", "news.csv", "--as", "anna", "--quick", "--model", "m", "--only", "rag", "--most", "8")
    assert outcome.code == code
    assert "gate locality" in outcome.out
    assert seen == {
        "home": Home.at(tmp_path / "home"),
        "feed": Path("news.csv"),
        "model": "m",
        "quick": True,
        "actor": "anna",
        "only": ("rag",),
        "most": 8,
    }
    as_json = dmmgov("update", "news.csv", "--json")
    assert as_json.code == code
    assert json.loads(as_json.out)["status"] == status


def test_an_editor_that_is_not_there_is_refused_before_anything_starts(dmmgov: Callable[..., Outcome]) -> None:
    outcome = dmmgov("update", "news.csv", "--only", "mimet")
    assert outcome.code == 2
    assert "memit" in outcome.err


def test_the_actor_is_the_user_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "bert")
    assert pipelines.commands.options.actor_name("") == "bert"
    assert pipelines.commands.options.actor_name(" anna ") == "anna"
    monkeypatch.setattr("getpass.getuser", raising(KeyError("uid")))
    with pytest.raises(InputError, match="--as NAME"):
        pipelines.commands.options.actor_name("")


def test_an_answer_names_fact_source_memory_and_day(
    dmmgov: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC).date()
    fact = Fact("Kazakhstan", "capital", "Astana", valid_from=datetime(2022, 9, 17).date(), source="decree")
    reply = Reply(
        question="What is the capital of Kazakhstan?",
        text="Astana",
        setting="offline",
        known=True,
        provenance=(KnownFact(fact, "memit", 2),),
        model_words="Nur-Sultan",
        agrees=False,
        release=2,
        as_of=day,
        certainty=0.5,
        why="the one fact that holds",
    )
    monkeypatch.setattr(pipelines.answer, "ask", lambda *_, **__: reply)
    text = dmmgov("ask", reply.question).out
    for part in (
        "Astana",
        "since 2022-09-17",
        "decree",
        "memit, written in r2",
        "2026-01-02",
        "does not hold the fact",
    ):
        assert part in text
    assert json.loads(dmmgov("ask", reply.question, "--json").out)["provenance"][0]["fact"]["source"] == "decree"


def test_an_empty_home_has_no_releases(dmmgov: Callable[..., Outcome]) -> None:
    assert json.loads(dmmgov("releases", "list", "--json").out) == []
    assert "none yet" in dmmgov("releases", "list").out


def test_models_are_listed_as_text_and_json(dmmgov: Callable[..., Outcome]) -> None:
    assert "smollm2" in dmmgov("models", "list").out
    assert "smollm2" in {row["name"] for row in json.loads(dmmgov("models", "list", "--json").out)}


def test_libraries_warn_and_do_not_chat(dmmgov: Callable[..., Outcome], caplog: pytest.LogCaptureFixture) -> None:
    dmmgov("--help")
    logger = logging.getLogger("bm25s")
    logger.setLevel(logging.DEBUG)
    logger.debug("chat")
    logger.warning("careful")
    assert [record.getMessage() for record in caplog.records] == ["careful"]


def test_without_a_command_there_is_help(capsys: Captured) -> None:
    assert run([]) == 0
    assert "Usage: dmmgov" in capsys.readouterr().out
    assert run(["releases"]) == 0
    assert "rollback" in capsys.readouterr().out


def test_every_command_has_help_and_the_json_flag() -> None:
    for group, (_, commands) in GROUPS.items():
        for name, function in commands.items():
            assert function.__doc__, f"{group} {name} has no help"
            assert name in ("schedule", "serve") or {"as_json", "json_file"} & set(function.__annotations__), (
                f"{group} {name}"
            )
    assert build().info.name == "dmmgov"


def test_the_script_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    code = "from pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", str(tmp_path), "update", str(tmp_path / "none.csv")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "none.csv" in one_clear_line(Outcome(done.returncode, done.stdout, done.stderr), 2)
