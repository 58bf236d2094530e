import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import gguf
import numpy as np
import pytest

from editors.gguf_file import plain_model, reading_gguf
from editors.load import LoadedModel, load_model, weights_digest

WORDS = [f"word {number}" for number in range(40)]


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", WORDS)
    writer.add_tensor("output.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_header_is_read_once_and_the_reader_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reader: Any = read.append
    monkeypatch.setattr(gguf, "GGUFReader", reader)

    def read_and_break() -> None:
        with reading_gguf():
            for path in ("one", "one", "other", "one"):
                gguf.GGUFReader(path)
            assert not gc.isenabled()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        read_and_break()
    assert read == ["one", "other"]
    assert gguf.GGUFReader is reader
    assert gc.isenabled()
    with reading_gguf(False):
        gguf.GGUFReader("one")
    assert read == ["one", "other", "one"]


def test_two_threads_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    reader: Any = list
    monkeypatch.setattr(gguf, "GGUFReader", reader)
    came, left, order = Event(), Event(), list[str]()

    def second() -> None:
        came.set()
        with reading_gguf():
            order.append("second")
            assert left.wait(60)

    with ThreadPoolExecutor(1) as pool:
        with reading_gguf():
            later = pool.submit(second)
            assert came.wait(60)
            sleep(0.2)  # room to come in, if it could
            order.append("first")
        left.set()
        later.result()
    assert order == ["first", "second"]
    assert gguf.GGUFReader is reader
    assert gc.isenabled()


def test_what_is_read_from_a_plain_array_is_what_the_memory_map_holds(small_file: Path) -> None:
    usual: Any = gguf.GGUFReader(small_file)
    with reading_gguf(), reading_gguf():  # one within the other
        quick: Any = gguf.GGUFReader(small_file)
    assert isinstance(usual.data, np.memmap)
    assert type(quick.data) is np.ndarray
    assert list(quick.fields) == list(usual.fields)
    for name, field in usual.fields.items():
        assert [part.tolist() for part in quick.fields[name].parts] == [part.tolist() for part in field.parts]
    words = quick.fields["tokenizer.ggml.tokens"]
    assert [bytes(words.parts[place]).decode() for place in words.data] == WORDS
    (tensor,) = quick.tensors
    assert np.array_equal(tensor.data, usual.tensors[0].data)
    assert tensor.data.sum() == 66


def test_a_plain_model_has_the_same_values_and_can_be_saved(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    import copy

    odd = copy.deepcopy(tiny_llama.model)
    odd.config.quantization_config = {"quant_method": "gguf"}
    plain = plain_model(odd)
    assert not hasattr(plain.config, "quantization_config")
    assert weights_digest(plain) == tiny_llama.digest
    assert plain.lm_head.weight.data_ptr() == plain.model.embed_tokens.weight.data_ptr()
    folder = tmp_path / "plain"
    plain.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    assert load_model(folder).digest == tiny_llama.digest
