import hashlib
import json
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel, load_model, quiet, weights_digest
from registry.errors import InputError, ModelError


def saved(loaded: LoadedModel, folder: Path) -> Path:
    with quiet():
        loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_a_folder_comes_back_as_it_was_saved(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    import torch

    original: LoadedModel = request.getfixturevalue(family)
    folder = saved(original, tmp_path / "mine")
    loaded = load_model(folder)
    assert (loaded.name, loaded.folder, loaded.digest) == ("mine", folder, original.digest)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert loaded.tokenizer("The capital")["input_ids"] == original.tokenizer("The capital")["input_ids"]
    assert load_model(str(folder), device="cpu", dtype="float64").model.dtype == torch.float64


def test_the_digest_sees_every_value_name_type_and_shape(tiny_llama: LoadedModel) -> None:
    import copy

    import torch

    model = copy.deepcopy(tiny_llama.model)
    assert weights_digest(model) == tiny_llama.digest
    weight = model.model.layers[1].mlp.down_proj.weight
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    changed = weights_digest(model)
    assert changed != tiny_llama.digest
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(-9.0))
    assert weights_digest(model) == tiny_llama.digest
    assert weights_digest(copy.deepcopy(model).double()) != tiny_llama.digest


def test_the_digest_is_the_documented_one(tiny_llama: LoadedModel) -> None:
    state = hashlib.sha256()
    tensors = dict(tiny_llama.model.state_dict())
    assert tensors["lm_head.weight"].data_ptr() == tensors["model.embed_tokens.weight"].data_ptr()
    del tensors["model.embed_tokens.weight"]
    for name, tensor in sorted(tensors.items()):
        state.update(json.dumps([name, "torch.float32", list(tensor.shape)]).encode())
        state.update(tensor.numpy().tobytes())
    assert state.hexdigest() == tiny_llama.digest


def test_bfloat16_and_strided_tensors_have_a_digest() -> None:
    import torch

    layer: Any = torch.nn.Linear(3, 4, bias=False).bfloat16()
    first = weights_digest(layer)
    layer.weight = torch.nn.Parameter(layer.weight.detach().t().contiguous().t())
    assert not layer.weight.is_contiguous()
    assert weights_digest(layer) == first


def broken(kind: str, loaded: LoadedModel, folder: Path) -> Path:
    """A folder that is no model in the named way."""
    if kind == "missing":
        return folder / "nowhere"
    if kind == "empty":
        folder.mkdir()
        return folder
    if kind == "text file":
        folder.write_text("hello")
        return folder
    if kind == "broken gguf":
        path = folder.with_suffix(".gguf")
        path.write_bytes(b"GGUF" + bytes(40))
        return path
    saved(loaded, folder)
    config = json.loads((folder / "config.json").read_text())
    if kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "config is no JSON":
        (folder / "config.json").write_text("{")
    elif kind == "unknown family":
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "florp"}))
    elif kind == "no language model":
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    elif kind == "no weights":
        (folder / "model.safetensors").unlink()
    elif kind == "truncated weights":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif kind == "missing layers":
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6, "layer_types": None}))
    elif kind == "no tokenizer":
        for path in (*folder.glob("tokenizer*"), *folder.glob("*.jinja")):
            path.unlink()
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "empty",
        "text file",
        "broken gguf",
        "no config",
        "config is no JSON",
        "unknown family",
        "no language model",
        "no weights",
        "truncated weights",
        "missing layers",
        "no tokenizer",
    ],
)
def test_what_is_no_model_is_refused_in_one_line(
    kind: str, tiny_llama: LoadedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = broken(kind, tiny_llama, tmp_path / "thing")
    capfd.readouterr()
    with pytest.raises(ModelError) as caught:
        load_model(source)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("expected ")
    assert str(source) in message or "thing" in message
    text = "".join(traceback.format_exception(caught.value))
    assert "During handling" not in text
    assert "direct cause" not in text
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_no_path_and_no_id_asks_nobody() -> None:
    started = time.perf_counter()
    with pytest.raises(ModelError, match="does not exist"):
        load_model("smollm3")
    assert time.perf_counter() - started < 1


def test_a_hub_that_does_not_answer_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(ModelError, match="on the hub or in its cache"):
        load_model("nobody/nothing")


@pytest.mark.parametrize(("device", "dtype"), [("tpu", "auto"), ("cpu", "int8")])
def test_unknown_devices_and_types_are_refused(
    device: str, dtype: str, tiny_llama: LoadedModel, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="expected one of"):
        load_model(saved(tiny_llama, tmp_path / "m"), device=device, dtype=dtype)


def test_a_device_that_is_not_here_is_refused(
    tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = saved(tiny_llama, tmp_path / "m")
    with pytest.raises(InputError, match="a machine with cuda"):
        load_model(folder, device="cuda")
    assert load_model(folder).model.device.type == "cpu"


@pytest.mark.model
def test_the_digest_of_the_reference_model_takes_under_a_second(smollm2: LoadedModel) -> None:
    seconds = []
    for _ in range(3):
        started = time.process_time()
        assert weights_digest(smollm2.model) == smollm2.digest
        seconds.append(time.process_time() - started)
    assert min(seconds) < 1.5
