import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.settings import PROJECT, Policy, Settings
from registry.errors import InputError, UnknownNameError

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


def numbers(section: object, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every number of a policy with its place; seeds may be any."""
    if isinstance(section, Mapping):
        for name, value in section.items():
            yield from numbers(value, (*place, name))
    elif isinstance(section, int | float) and not isinstance(section, bool) and place[-1] != "seed":
        yield place, section


def with_number(place: tuple[str, ...], value: float) -> str:
    """The shipped policy, every section written out, with one number changed."""
    rules = asdict(Policy.read(PROJECT / "conf" / "policy.yaml"))
    *sections, name = place
    at = rules
    for section in sections:
        at = at[section]
    at[name] = value
    return json.dumps(rules, default=str)


SHIPPED = sorted(numbers(asdict(Policy.read(PROJECT / "conf" / "policy.yaml"))))


@pytest.mark.parametrize("place", [place for place, _ in SHIPPED], ids=".".join)
def test_no_number_may_be_negative_or_none_at_all(tmp_path: Path, place: tuple[str, ...]) -> None:
    """A gate that asks for -1 would pass always."""
    for value in (-1, float("nan")):
        with pytest.raises(InputError, match=f"a valid {place[0]}"):
            Policy.read(write(tmp_path, with_number(place, value).replace("NaN", ".nan")))


SHARES = [place for place, value in SHIPPED if 0 < value < 1]


@pytest.mark.parametrize("place", SHARES, ids=".".join)
def test_a_share_is_no_percentage(tmp_path: Path, place: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=rf"{place[-1]} .*\((0 to|between 0 and) 1\), got 97; mend"):
        Policy.read(write(tmp_path, with_number(place, 97)))


def test_the_shipped_numbers_written_out_are_read_again(tmp_path: Path) -> None:
    """The control of the two above: what they change one number of is a valid policy."""
    place, value = SHIPPED[0]
    assert Policy.read(write(tmp_path, with_number(place, value))) == Policy.read(PROJECT / "conf" / "policy.yaml")
    assert len(SHIPPED) > 80
    assert len(SHARES) > 40


@pytest.mark.parametrize(("name", "words"), [("mmeit", "did you mean memit"), ("wise", "there are: memit, rome")])
def test_an_editor_that_the_loop_cannot_use_is_refused(tmp_path: Path, name: str, words: str) -> None:
    """Were it not, all facts would go to the index, as if the run might write nothing else."""
    for key in ("editor_few", "editor_many"):
        with pytest.raises(UnknownNameError, match=words):
            Policy.read(write(tmp_path, HEAD + f"route: {{{key}: {name}}}\n"))


def test_a_missing_policy_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DMMGOV_CONF"):
        Policy.read(tmp_path / "none.yaml")
