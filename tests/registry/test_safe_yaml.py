import pytest
import yaml

from registry.safe_yaml import load_yaml


def test_plain_values_are_read_as_the_plain_parser_reads_them() -> None:
    text = "a: [1, 2.5, true]\nb: {c: 2024-01-01, d: null}\n"
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "a: [1, 2", "a: b: c"])
def test_objects_and_what_is_no_yaml_are_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)
