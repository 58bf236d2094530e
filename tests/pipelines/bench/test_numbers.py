"""The numbers that an editor is benchmarked with are those of the file that is named."""

from pathlib import Path

import pytest

from editors import EDITORS, get_editor
from pipelines.bench.moments import config_of
from registry.errors import InputError, UnknownNameError


@pytest.mark.parametrize("editor", EDITORS)
def test_every_editor_gets_a_config_of_its_own(editor: str) -> None:
    assert type(config_of(editor, 0)) is get_editor(editor).config_type


@pytest.mark.parametrize("editor", ["lora", "sst", "svfit"])
def test_a_named_file_and_the_seed_reach_what_is_trained(editor: str, tmp_path: Path) -> None:
    named = tmp_path / "own.yaml"
    named.write_text("training:\n  steps: 7\n", encoding="utf-8")
    config = config_of(editor, 5, named)
    assert (config.training.steps, config.training.seed) == (7, 5)
    assert config_of(editor, 5).training.steps != 7


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        config_of("lora", 0, tmp_path / "none.yaml")
    with pytest.raises(UnknownNameError):
        config_of("lore", 0)
