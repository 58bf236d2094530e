"""Models: a Hugging Face folder, a hub id or a GGUF file becomes one plain model with its tokenizer and its digest.

What comes out is always an ordinary `transformers` causal LM in evaluation mode, without gradients, which
`save_pretrained` accepts. A GGUF file is dequantised into such a model. Nothing is asked of a hub when the source lies
on this machine.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editors.gguf_file import plain_model, reading_gguf
from registry.errors import InputError, ModelError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
GGUF_SUFFIX = ".gguf"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FORMS = "a model folder, a .gguf file, a hub id (owner/name) or a short name"
_SHOWN = 3
_HUB_SECONDS = 10.0


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to be asked and edited.

    Attributes:
        model: causal LM in evaluation mode, its parameters without gradients.
        tokenizer: its fast tokenizer.
        name: what it was asked for by: the folder's or file's name, or the hub id.
        folder: where it was read from, None for a hub id.
        digest: `weights_digest` of the model as loaded.
    """

    model: Any
    tokenizer: Any
    name: str
    folder: Path | None
    digest: str


def load_model(source: str | Path, *, device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Load a causal LM.

    Args:
        source: Hugging Face folder, hub id ("owner/name") or GGUF file.
        device: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or "mps".
        dtype: "auto" (float32, on CUDA the checkpoint's own) or the name of a torch floating type.

    Raises:
        ModelError: the source is missing, empty, damaged, incomplete, or of a family that has no causal LM.
        InputError: the device or the dtype is unknown or not on this machine.
    """
    place = _device(device)
    kind = _dtype(dtype, place)
    local = Path(source).expanduser()
    if local.is_dir():
        _check_folder(local)
        model, tokenizer = _read(str(local), kind, {"local_files_only": True})
        name, folder = local.resolve().name, local
    elif local.is_file():
        if local.suffix.lower() != GGUF_SUFFIX:
            raise ModelError(_FORMS, f"the file {local}", "name one of these")
        extra = {"local_files_only": True, "gguf_file": local.name}
        model, tokenizer = _read(str(local.parent), _gguf_dtype(kind), extra)
        model = plain_model(model)
        name, folder = local.stem, local.parent
    elif isinstance(source, str) and _HUB_ID.fullmatch(source):
        model, tokenizer = _read(source, kind, {"local_files_only": _cached(source)})
        name, folder = source, None
    else:
        raise ModelError(
            _FORMS, f"{str(source)!r}, which does not exist", "check the path, or see `dmmgov models list`"
        )
    model = model.to(place).eval().requires_grad_(False)
    return LoadedModel(model, tokenizer, name, folder, weights_digest(model))


def weights_digest(model: Any) -> str:
    """SHA-256 over the sorted (name, dtype, shape, bytes) of every parameter and buffer in the state dict.

    A tensor that two names share (tied embeddings) counts once, under the name that sorts first. The device does not
    matter.
    """
    import torch

    state = hashlib.sha256()
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    for name, tensor in sorted(model.state_dict().items()):
        identity = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        state.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        if flat.numel():
            state.update(memoryview(flat.view(torch.uint8).numpy()))
    return state.hexdigest()


def _device(name: str) -> str:
    """The torch device for a setting.

    Raises:
        InputError: unknown, or not on this machine.
    """
    import torch

    if name not in DEVICES:
        raise InputError(f"one of the devices {', '.join(DEVICES)}", repr(name), "name one of them")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        raise InputError(f"a machine with {name}", "one without", "use the device 'auto' or 'cpu'")
    return name


def _dtype(name: str, device: str) -> "torch.dtype | str":
    """The torch type for a setting; "auto" is what transformers calls the checkpoint's own."""
    import torch

    if name not in DTYPES:
        raise InputError(f"one of the types {', '.join(DTYPES)}", repr(name), "name one of them")
    if name == "auto":
        return "auto" if device == "cuda" else torch.float32
    return getattr(torch, name)  # type: ignore[no-any-return]


def _gguf_dtype(kind: "torch.dtype | str") -> "torch.dtype":
    """Dequantised values come in float32 unless a type is named."""
    import torch

    return torch.float32 if isinstance(kind, str) else kind


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is no model, before anything heavy is imported.

    Raises:
        ModelError: names what is missing.
    """
    config = folder / "config.json"
    if not config.is_file():
        what = "an empty folder" if not any(folder.iterdir()) else "a folder without config.json"
        raise ModelError(f"a Hugging Face model folder in {folder}", what, "name a folder that save_pretrained wrote")
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        family = values["model_type"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise ModelError(f"JSON with 'model_type' in {config}", "something else", "mend or replace the file") from None
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            "the family of a causal language model that transformers knows",
            f"{family!r} in {config}",
            "take a model of another family, or a newer transformers",
        )


def _cached(repository: str) -> bool:
    """Whether the hub's copy lies in the cache of this machine, so that nothing need be asked.

    Raises:
        ModelError: it does not, and the hub does not answer or does not have it.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(repository, "config.json"), str):
        return True
    try:
        HfApi().model_info(repository, timeout=_HUB_SECONDS)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"the model {repository} on the hub or in its cache", reason[:200], "check the id and the connection"
        ) from None
    return False


def _read(place: str, dtype: "torch.dtype | str", extra: dict[str, Any]) -> tuple[Any, Any]:
    """Model and tokenizer from `place`, complete or not at all.

    Raises:
        ModelError: one line that says what was wrong, without the chain of causes.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    models: Any = AutoModelForCausalLM
    try:
        with quiet("gguf_file" in extra), reading_gguf("gguf_file" in extra):
            model, info = models.from_pretrained(place, dtype=dtype, output_loading_info=True, **extra)
            tokenizer = AutoTokenizer.from_pretrained(place, **extra)
    except Exception as error:
        # Readers of other people's files raise anything; whatever it is, the source cannot be used.
        reason = " ".join(str(error).split()) or type(error).__name__
        shown = str(Path(place) / extra["gguf_file"]) if "gguf_file" in extra else place
        raise ModelError(f"a model that transformers can load from {shown}", reason[:300], "check the source") from None
    lost = sorted(info.get("missing_keys", ()))
    if lost:
        raise ModelError(
            f"all weights of {type(model).__name__} in {place}",
            f"{len(lost)} missing ({', '.join(lost[:_SHOWN])}{', ...' if len(lost) > _SHOWN else ''})",
            "fetch the model again",
        )
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"a fast tokenizer in {place}", type(tokenizer).__name__, "add its tokenizer.json")
    return model, tokenizer


@contextmanager
def quiet(everything: bool = False) -> Iterator[None]:
    """Keep transformers from writing progress bars and load reports; as before afterwards.

    Args:
        everything: drop all that is written to standard error meanwhile; the reader of GGUF files has a bar that no
            setting reaches.
    """
    import contextlib
    import io

    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    reports: Any = logging
    bars, level, hub_level = reports.is_progress_bar_enabled(), reports.get_verbosity(), hub.get_verbosity()
    reports.disable_progress_bar()
    reports.set_verbosity(reports.CRITICAL)
    hub.set_verbosity(reports.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()) if everything else contextlib.nullcontext():
            yield
    finally:
        reports.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if bars:
            reports.enable_progress_bar()
