"""The conf file and the defaults are the same numbers."""

from dataclasses import asdict
from pathlib import Path

import yaml

from editors.rag import RagConfig

CONF = Path(__file__).resolve().parents[3] / "conf" / "rag.yaml"


def test_the_conf_file_holds_the_defaults() -> None:
    assert yaml.safe_load(CONF.read_text(encoding="utf-8")) == asdict(RagConfig())
