from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.sources import Source, Sources, host_of, registrable_domain
from registry.errors import InputError

SOURCES = Sources.of(
    [Source("Gazette", "authoritative", ("gazette.example", "go.jp")), Source("Bulletin", "established")]
)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://news.bbc.co.uk/x", "bbc.co.uk"),
        ("http://www.a.example:80/x?y", "a.example"),
        ("a.example/x", "a.example"),
        ("https://10.0.0.1/x", "10.0.0.1"),
        ("https://gazette.example.evil.test/", "evil.test"),
        ("https://[broken", ""),
        ("https://gazette.example@evil.test/", "evil.test"),
        ("https://evil.test\\@gazette.example/", "evil.test"),
        ("", ""),
    ],
)
def test_the_registrable_domain(url: str, domain: str) -> None:
    assert registrable_domain(url) == domain


def test_sources_are_found_by_name_and_by_domain_and_others_are_weak() -> None:
    assert SOURCES.find("the GAZETTE").tier == "authoritative"
    assert SOURCES.find("", "https://www.gazette.example/1").name == "Gazette"
    assert SOURCES.find("Who?", "https://who.example").tier == "weak"
    assert SOURCES.find("Bulletin", "https://anywhere.example").tier == "established"


def test_a_listed_name_with_a_foreign_link_is_not_believed() -> None:
    assert SOURCES.find("Gazette", "https://kantei.go.jp/").tier == "authoritative"
    for url in ("https://gazette-example.test/", "https://notgo.jp/", "https://gazette.example.evil.test/"):
        assert SOURCES.impersonates("Gazette", url)
        assert SOURCES.find("Gazette", url).tier == "weak"


def test_a_list_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text("sources:\n  A: authoritative\n  B: {tier: established, domains: [B.example], copies: A}\n")
    sources = Sources.read(path)
    assert sources.find("a").tier == "authoritative"
    assert sources.find("B") == Source("B", "established", ("b.example",), "A")


@pytest.mark.parametrize(
    "text",
    [
        "sources: [A]",
        "A: weak",
        "sources: {A: trusted}",
        "sources: {A: {rank: 1}}",
        "sources: {A: {domains: x}}",
        "a: [",
    ],
)
def test_a_list_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="expected"):
        Sources.read(path)


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name an existing file"):
        Sources.read(tmp_path / "none.yaml")


@given(st.text(), st.text())
def test_arbitrary_sources_never_raise(name: str, url: str) -> None:
    assert SOURCES.find(name, url).tier in ("weak", "established", "authoritative")
    assert isinstance(host_of(url), str)
