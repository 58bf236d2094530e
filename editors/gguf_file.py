"""GGUF files: read in less time than transformers takes by itself, and made into ordinary models."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

_ONE_AT_A_TIME = RLock()
"""The reader and the collector are the process's; two threads would give back each other's."""


@contextmanager
def reading_gguf(of_gguf: bool = True) -> Iterator[None]:
    """Inside the block the header of a GGUF file is read once, from a plain array, without the garbage collector.

    transformers reads it anew for the config, the weights and the tokenizer, and maps its names anew for every module;
    the reader cuts a memory map into hundreds of thousands of pieces, each an object that numpy makes in Python; and
    the collector would walk millions of small objects again and again. A second thread waits until the first has read.

    Args:
        of_gguf: whether such a file is read at all; nothing changes otherwise.
    """
    import gc
    from functools import cache
    from importlib import import_module

    if not of_gguf:
        yield
        return
    gguf: Any = import_module("gguf")
    with _ONE_AT_A_TIME:
        was = gc.isenabled()
        asked = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
        gc.disable()
        try:
            gguf.GGUFReader = cache(_of_plain_data(asked["GGUFReader"]))
            gguf.get_tensor_name_map = cache(asked["get_tensor_name_map"])
            yield
        finally:
            for name, read in asked.items():
                setattr(gguf, name, read)
            if was:
                gc.enable()


def _of_plain_data(reader: Any) -> Any:
    """`reader` whose memory-mapped `data` is an ordinary array over the same memory; one that is so already stays."""
    import numpy as np

    if not isinstance(reader, type):
        return reader

    class PlainReader(reader):  # type: ignore[misc]
        """Slices of what it reads are numpy's own arrays."""

        @property
        def data(self) -> Any:
            """The bytes of the file."""
            return self._plain

        @data.setter
        def data(self, mapped: Any) -> None:
            self._plain = mapped.view(np.ndarray)

    return PlainReader


def plain_model(model: Any) -> Any:
    """An ordinary model with the weights of `model`, which was read from a GGUF file.

    A model read from GGUF calls itself quantised and refuses to be saved; this one has the same class, config (without
    the quantisation) and values, and can be.
    """
    from transformers.initialization import no_init_weights

    config = model.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        config.pop(key, None)
    with no_init_weights():  # every one of them is about to be replaced
        fresh = type(model)(type(model.config).from_dict(config)).to(model.dtype)
    fresh.load_state_dict(model.state_dict())
    fresh.tie_weights()
    if getattr(model, "generation_config", None) is not None:
        fresh.generation_config = model.generation_config
    return fresh
