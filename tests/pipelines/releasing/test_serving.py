"""The MLflow model of a release answers with provenance, from the version's own artefacts."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from editors.load import LoadedModel
from pipelines.answering.reply import Reply
from pipelines.releasing import opening
from pipelines.releasing.tracking import build, files_of, model_name, silent, versions_folder
from registry.errors import InputError, UnknownNameError
from registry.facts import read_snapshot, view
from registry.home import Home
from registry.ledger import Ledger
from registry.releases import ReleaseStore


class Parrot:
    """Answers with the object of the first fact that holds; remembers how it was asked."""

    def __init__(self, artifacts: Mapping[str, Path]) -> None:
        self.facts = view(read_snapshot(artifacts["facts"]))
        self.calls: list[tuple[list[str], str, date]] = []

    def ask_many(self, questions: list[str], setting: str, day: date) -> list[Reply]:
        self.calls.append((list(questions), setting, day))
        found = tuple(one for one in self.facts if one.fact.holds_on(day))[:1]
        text = found[0].fact.object
        return [Reply(asked, text, setting, True, found, None, None, 2, day, None, "why") for asked in questions]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> list[Parrot]:
    """Every answerer that was opened."""
    opened: list[Parrot] = []

    def open_answerer(artifacts: Mapping[str, Path]) -> Parrot:
        opened.append(Parrot(artifacts))
        return opened[-1]

    monkeypatch.setattr(opening, "open_answerer", open_answerer)
    return opened


@pytest.fixture
def served(weights_home: Home) -> Any:
    """The champion, loaded by MLflow from its folder."""
    with Ledger.open(weights_home) as ledger:
        version = ReleaseStore(ledger).version(2)
    assert version is not None
    return load(versions_folder(weights_home) / version[1])


def load(folder: Path) -> Any:
    with silent():
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize(
    "asked",
    [
        pd.DataFrame({"question": ["Capital of France?", "And of Nauru?"]}),
        [{"question": "Capital of France?"}, {"question": "And of Nauru?"}],
    ],
)
def test_it_answers_every_row_with_provenance(served: Any, parrot: list[Parrot], asked: Any) -> None:
    replies = served.predict(asked)
    assert [one["question"] for one in replies] == ["Capital of France?", "And of Nauru?"]
    assert [one["text"] for one in replies] == ["Paris", "Paris"]
    fact = replies[0]["provenance"][0]
    assert (fact["fact"]["source"], fact["memory"], fact["release"]) == ("atlas", "rag", 1)
    assert parrot[0].calls == [(["Capital of France?", "And of Nauru?"], "offline", datetime.now(UTC).date())]


def test_rows_are_grouped_by_setting_and_day_and_keep_their_order(served: Any, parrot: list[Parrot]) -> None:
    rows = [
        {"question": "a", "setting": "online", "as_of": "2024-05-01"},
        {"question": "b", "setting": "offline", "as_of": "2024-05-01"},
        {"question": "c", "setting": "online", "as_of": "2024-05-01"},
    ]
    replies = served.predict(pd.DataFrame(rows))
    assert [(one["question"], one["setting"], one["as_of"]) for one in replies] == [
        ("a", "online", "2024-05-01"),
        ("b", "offline", "2024-05-01"),
        ("c", "online", "2024-05-01"),
    ]
    day = date(2024, 5, 1)
    assert parrot[0].calls == [(["a", "c"], "online", day), (["b"], "offline", day)]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"question": " "}, InputError),
        ({"question": "a", "setting": "sideways"}, UnknownNameError),
        ({"question": "a", "as_of": "yesterday"}, InputError),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(served: Any, parrot: list[Parrot], row: Any, error: Any) -> None:
    with pytest.raises(error):
        served.predict(pd.DataFrame([row]))
    assert parrot == []


def test_it_loads_by_name_and_leaves_the_home_sound(
    weights_home: Home, parrot: list[Parrot], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.auditing.integrity import verify_home

    with Ledger.open(weights_home) as ledger:
        releases = ReleaseStore(ledger)
        release, model = releases.get(2), model_name(releases.get(2).model)
        digest, _ = build(weights_home, release)
        kept = releases.version(2)
        assert kept is None or digest != kept[1], "the version of the original lies in another home"
    uri = f"sqlite:///{weights_home.mlflow / 'mlflow.db'}"
    with silent():
        import mlflow

        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        version = client.create_model_version(model, (versions_folder(weights_home) / digest).as_uri())
        loaded = mlflow.pyfunc.load_model(f"models:/{model}/{version.version}")
    assert loaded.predict([{"question": "a"}])[0]["text"] == "Paris"
    assert verify_home(weights_home) == []


def test_a_version_holds_the_release_its_facts_index_and_deltas_and_nothing_pickled(weights_home: Home) -> None:
    with Ledger.open(weights_home) as ledger:
        releases = ReleaseStore(ledger)
        release, version = releases.get(2), releases.version(2)
    assert version is not None
    files = files_of(versions_folder(weights_home) / version[1])
    assert f"artifacts/deltas/{release.deltas[0]}/delta.safetensors" in files
    assert "artifacts/release.json" in files
    assert any(name.endswith("facts.parquet") for name in files)
    assert any(name.endswith("ids.json") for name in files)
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".bin"))]


@pytest.mark.parametrize("named", [True, False])
def test_the_home_is_the_one_around_the_version_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if not named:
        monkeypatch.delenv("DMMGOV_HOME")
    found = opening.home_of(tmp_path / "there" / "mlflow" / "versions" / "d" / "artifacts" / "release.json")
    assert found.root == (tmp_path / "home" if named else tmp_path / "there")


@pytest.mark.slow
@pytest.mark.model
def test_the_reference_model_answers_from_all_memories(
    smollm2: LoadedModel,
    smollm2_folder: Path,
    home: Home,
    test_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    real_release: Any,
) -> None:
    monkeypatch.setenv("DMMGOV_HOME", str(test_home))
    real_release(home, smollm2, str(smollm2_folder), Home.at(test_home))
    with Ledger.open(home) as ledger:
        version = ReleaseStore(ledger).version(1)
    assert version is not None
    served = load(versions_folder(home) / version[1])
    reply = served.predict([{"question": "What is the capital of Nauru?", "setting": "offline"}])[0]
    assert reply["known"]
    assert "Yaren" in reply["text"]
    assert [one["fact"]["source"] for one in reply["provenance"]] == ["atlas"]
