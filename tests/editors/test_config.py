"""Every number of every editor's file in `conf`, changed to one that cannot be meant."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from editors.config import build_config, read_values
from editors.grace.config import GraceConfig
from editors.lora.config import LoraSettings
from editors.memit.config import MemitConfig
from editors.mend.config import MendConfig
from editors.rome.config import RomeConfig
from editors.serac.config import SeracConfig
from editors.sst.config import SstConfig
from editors.svfit.config import SvfitConfig
from editors.wise.config import WiseConfig
from registry.errors import InputError

CONF = Path(__file__).parents[2] / "conf"
KINDS: dict[str, type] = {
    "grace": GraceConfig,
    "lora": LoraSettings,
    "memit": MemitConfig,
    "mend": MendConfig,
    "rome": RomeConfig,
    "serac": SeracConfig,
    "sst": SstConfig,
    "svfit": SvfitConfig,
    "wise": WiseConfig,
}
SIGNED = {"similarity", "agreement", "agreement_centre", "contrast", "bias", "context", "seed"}
"""Weights of a logistic regression, a cosine, and seeds, which no range but that of their type holds for."""


def numbers(values: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from numbers(value, (*place, name))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*place, name), value


def changed(values: Mapping[str, Any], place: tuple[str, ...], value: float) -> dict[str, Any]:
    made = deepcopy(dict(values))
    at = made
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    return made


@pytest.mark.parametrize("editor", KINDS)
def test_no_number_lies_out_of_its_range(editor: str) -> None:
    shipped = read_values(CONF / f"{editor}.yaml", editor)
    assert build_config(KINDS[editor], shipped, editor) is not None, "the control: as shipped it is read"
    for place, value in numbers(shipped):
        wrong = [float("nan"), float("inf")] if isinstance(value, float) else []
        if place[-1] not in SIGNED:
            wrong.append(-1 if isinstance(value, int) else -1.0)
        for bad in wrong:
            with pytest.raises(InputError, match=f"for {' in '.join(reversed(place))} in {editor},"):
                build_config(KINDS[editor], changed(shipped, place, bad), editor)


def test_a_refusal_says_the_range_and_what_stood_there() -> None:
    with pytest.raises(InputError, match=r"expected more than 0 for lr in targets in memit.yaml, got -0\.1"):
        build_config(MemitConfig, {"targets": {"lr": -0.1}}, "memit.yaml")
