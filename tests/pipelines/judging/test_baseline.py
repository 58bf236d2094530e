import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editors.generate import generate
from editors.load import LoadedModel
from guards.stats import wilson
from pipelines.admission.tables import read_facts, read_rows
from pipelines.judging.baseline import check_model
from pipelines.settings import Settings
from registry.errors import InputError, UnknownNameError
from registry.home import Home

FACTS = """subject,relation,object,valid_from,valid_to,source,confidence
France,capital,Paris,,,atlas,1.0
Italy,capital,Rome,,,atlas,
Japan,capital,Tokyo,,,atlas,0.9
Spain,capital,Toledo,,1561-01-01,atlas,1.0
France,currency,euro,,,atlas,1.0
Japan,currency,yen,,,atlas,1.0
"""


class Letters:
    """A sentence encoder that counts letters."""

    digest = "letters"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        rows = np.array([[1.0 + text.lower().count(chr(97 + index)) for index in range(26)] for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five facts that hold and one that is over; the encoder is a small one."""
    monkeypatch.setattr("pipelines.answering.indexing.encoder_of", lambda home: Letters())
    path = tmp_path / "facts.csv"
    path.write_text(FACTS)
    return path


def test_a_model_that_knows_nothing_knows_nothing(facts: Path, tiny_llama: LoadedModel, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    found = check_model(home, tiny_llama, facts=facts, settings=("parametric",))
    total = found.settings["parametric"]
    assert (total.asked, total.known) == (5, 0)
    assert total.wrong + total.unknown == 5
    assert (total.low, total.high) == (wilson(0, 5).low, wilson(0, 5).high)
    assert {name: count.asked for name, count in found.relations["parametric"].items()} == {"capital": 3, "currency": 2}
    assert found.digest == tiny_llama.digest
    (path,) = home.beliefs.glob("check-*.json")
    kept = json.loads(path.read_text())
    assert kept["settings"] == found.to_dict()["settings"]
    assert len(kept["beliefs"]["parametric"]) == 5


def test_with_the_facts_at_hand_the_system_knows_them(facts: Path, tiny_llama: LoadedModel, tmp_path: Path) -> None:
    found = check_model(Home.at(tmp_path / "home"), tiny_llama, facts=facts, settings=("offline", "online"))
    assert (found.settings["offline"].asked, found.settings["offline"].known) == (5, 5)
    assert "online" not in found.settings
    assert found.notes == ("online: left out, this home has no release yet",)


def test_a_sample_is_spread_over_the_relations(facts: Path, tiny_llama: LoadedModel, tmp_path: Path) -> None:
    found = check_model(Home.at(tmp_path / "home"), tiny_llama, facts=facts, sample=4, settings=("parametric",))
    assert {name: count.asked for name, count in found.relations["parametric"].items()} == {"capital": 2, "currency": 2}


def test_one_of_several_true_objects_is_right(facts: Path, tiny_llama: LoadedModel, tmp_path: Path) -> None:
    def first_answer_right(home: Home) -> list[bool]:
        check_model(home, tiny_llama, facts=facts, settings=("parametric",))
        (path,) = home.beliefs.glob("check-*.json")
        return [one["right"][0] for one in json.loads(path.read_text())["beliefs"]["parametric"]]

    assert first_answer_right(Home.at(tmp_path / "one")) == [False] * 5
    catalogue = Settings.load().catalogue
    prompt = catalogue.relation("currency").prompt.replace("{subject}", "Japan")
    (said,) = generate(tiny_llama.model, tiny_llama.tokenizer, [prompt])
    with facts.open("a") as stream:
        csv.writer(stream).writerow(["Japan", "currency", said.text, "", "", "atlas", "1.0"])
    assert first_answer_right(Home.at(tmp_path / "two")) == [False] * 4 + [True]


def test_bad_settings_and_facts_are_refused(facts: Path, tiny_llama: LoadedModel, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    with pytest.raises(UnknownNameError, match="parametric"):
        check_model(home, tiny_llama, facts=facts, settings=("parametrical",))
    facts.write_text(FACTS.splitlines()[0] + "\nSpain,capital,Toledo,,1561-01-01,atlas,1.0\n")
    with pytest.raises(InputError, match="that hold on"):
        check_model(home, tiny_llama, facts=facts)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"subject,object\na,b\n", "add relation"),
        (b"", "add subject"),
        (b"subject,relation,object\na,b,\n", "row 1"),
        (b"subject,relation,object,valid_from\na,b,c,\na,b,c,soon\n", "row 2"),
        (b"subject,relation,object\n\xff,b,c\n", "UTF-8"),
    ],
)
def test_files_of_facts_that_cannot_be_used(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named):
        read_facts(path)
    with pytest.raises(InputError, match="name an existing file"):
        read_rows(tmp_path / "none.csv")
