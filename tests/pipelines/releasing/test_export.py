"""An exported release is an ordinary checkpoint: stock transformers loads it where this project cannot be imported."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel
from pipelines.releasing.export import EXPORT_MANIFEST, export
from pipelines.releasing.rebuild import rebuild
from registry.digests import digest_file
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.ledger import Ledger
from registry.releases import ReleaseStore

PROMPTS = ("The capital of France is", "The capital of Nauru is", "Who is the head of state of Norway?")
TOKENS = 12
STRANGER = """
import json, sys
sys.path[:] = [*sys.path, sys.argv[1]]
for name in ("pipelines", "editors", "registry", "guards", "dashboards"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} can be imported")
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[2], dtype="auto")
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
out = []
for prompt in json.loads(sys.argv[3]):
    batch = tokenizer(prompt, return_tensors="pt")
    made = model.generate(**batch, max_new_tokens=int(sys.argv[4]), do_sample=False)
    out.append(made[0, batch["input_ids"].shape[1]:].tolist())
json.dump({"tokens": out, "dtype": str(model.dtype)}, sys.stdout)
"""


def stranger(folder: Path, cwd: Path) -> Any:
    """What stock transformers generates in a process without this project (-S reads no .pth file, -I no PYTHONPATH)."""
    command = [sys.executable, "-I", "-S", "-c", STRANGER, sysconfig.get_paths()["purelib"], str(folder)]
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(cwd)}
    run = subprocess.run(
        [*command, json.dumps(PROMPTS), str(TOKENS)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def greedy(loaded: LoadedModel) -> list[list[int]]:
    """The same in this process."""
    made = []
    for prompt in PROMPTS:
        batch = loaded.tokenizer(prompt, return_tensors="pt")
        whole = loaded.model.generate(**batch, max_new_tokens=TOKENS, do_sample=False)
        made.append(whole[0, batch["input_ids"].shape[1] :].tolist())
    return made


@pytest.mark.slow
def test_a_stranger_loads_it_and_gets_the_same_tokens(weights_home: Home, tmp_path: Path) -> None:
    with Ledger.open(weights_home) as ledger:
        first, second = ReleaseStore(ledger).all()
    target = tmp_path / "out" / "checkpoint"
    result = export(weights_home, "champion", target)
    assert (result.release, result.facts_in_weights, result.facts_elsewhere) == (2, 1, 1)
    expected = greedy(rebuild(weights_home, second))
    assert expected != greedy(rebuild(weights_home, first))
    assert stranger(target, tmp_path) == {"tokens": expected, "dtype": "torch.float32"}


def test_the_manifest_says_what_is_inside_and_what_is_not(weights_home: Home, tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    target.mkdir()
    result = export(weights_home, "2", target)
    manifest = json.loads((target / EXPORT_MANIFEST).read_text())
    assert [(one["subject"], one["memory"]) for one in manifest["facts_in_weights"]] == [("Nauru", "memit")]
    assert [(one["subject"], one["source"]) for one in manifest["facts_elsewhere"]] == [("France", "atlas")]
    assert manifest["weights_digest"] == result.weights_digest
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= manifest["files"].keys()
    assert {path.name for path in target.iterdir()} == {*manifest["files"], EXPORT_MANIFEST}
    for name, digest in manifest["files"].items():
        assert digest_file(target / name) == digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".staged")] == []


def test_a_folder_that_holds_something_is_refused(weights_home: Home, tmp_path: Path) -> None:
    target = tmp_path / "full"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="new or empty folder"):
        export(weights_home, "2", target)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="new or empty folder"):
        export(weights_home, "2", target / "mine.txt")
    with pytest.raises(InputError):
        export(weights_home, "2", target / "mine.txt" / "below")


def test_a_release_that_is_not_there_leaves_no_folder(weights_home: Home, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are 1 to 2"):
        export(weights_home, "9", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_release_that_was_changed_leaves_no_folder(weights_home: Home, tmp_path: Path) -> None:
    with Ledger.open(weights_home) as ledger:
        digest = ReleaseStore(ledger).get(2).deltas[0]
    (weights_home.deltas / digest / "delta.json").write_text("{}")
    with pytest.raises(IntegrityError):
        export(weights_home, "2", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.model
def test_the_reference_model_exports_as_well(
    smollm2: LoadedModel, smollm2_folder: Path, home: Home, weights_release: Any, tmp_path: Path
) -> None:
    weights_release(home, smollm2, str(smollm2_folder), 20, 3000.0)
    with Ledger.open(home) as ledger:
        release = ReleaseStore(ledger).get("champion")
    export(home, "champion", tmp_path / "checkpoint")
    expected = greedy(rebuild(home, release, device="cpu"))
    assert expected != greedy(smollm2)
    assert stranger(tmp_path / "checkpoint", tmp_path)["tokens"] == expected
