from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.settings import PROJECT, Policy, Settings
from registry.errors import InputError

HEAD = "catalogue: c.yaml\nsources: s.yaml\nrunning_text: t.txt\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_projects_own_rules_are_read() -> None:
    settings = Settings.load()
    assert settings.conf == PROJECT / "conf"
    assert "capital" in settings.catalogue.relations
    assert len(settings.running_text) >= settings.policy.probes.texts
    assert len(settings.digest) == 64


def test_what_the_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    policy = Policy.read(write(tmp_path, HEAD + "route: {few: 7}\n"))
    assert policy.route.few == 7
    assert policy.probes == type(policy.probes)()


def test_the_projects_numbers_are_the_defaults() -> None:
    shipped = Policy.read(PROJECT / "conf" / "policy.yaml")
    plain = Policy(shipped.catalogue, shipped.sources, shipped.running_text)
    # What is asked needs files beside the numbers; the shipped policy names them, a policy without them cannot.
    plain = replace(plain, gates=replace(plain.gates, gates=shipped.gates.gates, informs=shipped.gates.informs))
    for section in ("route", "write", "gates", "system"):
        assert asdict(getattr(shipped, section)) == asdict(getattr(plain, section)), section


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (HEAD + "route: {fewer: 3}\n", "route.fewer"),
        (HEAD + "colour: red\n", "colour"),
        (HEAD + "route: {few: many}\n", "route.few"),
        ("sources: s.yaml\n", "catalogue"),
        ("route: [\n", "YAML"),
    ],
)
def test_a_wrong_policy_is_refused_by_name(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Policy.read(write(tmp_path, text))


def test_a_missing_policy_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DMMGOV_CONF"):
        Policy.read(tmp_path / "none.yaml")
