from itertools import combinations
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.consensus import Support, support
from guards.copies import near_copies
from guards.origins import Statement, independent
from guards.sources import RANK, Source, Sources, Tier, host_of, registrable_domain
from registry.text import normalise

LISTED = [
    Source("Gazette", "authoritative", ("gazette.example",)),
    Source("Wire", "established", ("wire.example", "wire.co.uk")),
    Source("Evening Post", "weak", ("post.example",), copies="Rumour Mill"),
    Source("Muted", "weak", ("muted.example",), votes=False),
]
NAMES = [
    "",
    "Gazette",
    "Wire",
    "the wire",
    "Evening Post",
    "Muted",
    "Factz mirror 2",
    "Factz",
    "One, via Wire",
    "Blog a",
]
WORDS = "The parliament of Atlantis voted on Monday to move its seat to the city of {}"
LINKS = [
    "",
    "https://gazette.example/a/1",
    "HTTPS://Gazette.Example:443/a?x=1#y",
    "http://user@wire.example/b",
    "https:\\\\wire.example\\b",
    "//news.wire.co.uk/x",
    "https://post.example",
    "https://muted.example/",
    "https://a.example/2025/a-city-becomes-the-capital.html",
    "https://b.example/news/a_city_becomes_the_capital/",
    "https://b.example/a%20city%20becomes%20capital",
    "https://[::1/",
    "nowhere",
    "https://c.example/abcdef.",
]
ROWS = st.builds(
    Statement,
    source=st.sampled_from(NAMES),
    url=st.sampled_from(LINKS),
    text=st.sampled_from(["", "short", WORDS.format("Nowhere"), WORDS.format("nowhere!"), "Quite another " * 5]),
)


def plain_groups(rows: list[Statement], sources: Sources) -> list[list[int]]:
    """The same without anything remembered or left out: every pair is looked at, until nothing joins any more."""
    from guards.origins import _origin

    def marks(row: Statement) -> set[tuple[str, str]]:
        found = {mark for mark in _origin(row, sources) if mark[1]}
        try:
            tail = urlsplit(row.url).path.rstrip("/").rsplit("/", 1)[-1]
        except ValueError:
            tail = ""
        if tail[-1:] != "." and "." in tail and 2 <= len(tail.rsplit(".", 1)[1]) <= 5:
            tail = tail.rsplit(".", 1)[0]
        title = normalise(tail)
        return (found | ({("title", title)} if len(title.split()) >= 4 else set())) or {("nobody", "")}

    copies = near_copies([row.text for row in rows])
    groups = [{place} for place in range(len(rows))]
    marked = [marks(row) for row in rows]
    joined = True
    while joined:
        joined = False
        for one, other in combinations(range(len(groups)), 2):
            pairs = [(a, b) for a in groups[one] for b in groups[other]]
            if any(marked[a] & marked[b] or copies.get(a) == b or copies.get(b) == a for a, b in pairs):
                groups[one] |= groups.pop(other)
                joined = True
                break
    return sorted(sorted(group) for group in groups)


@given(st.lists(ROWS, max_size=7))
def test_groups_are_those_that_every_pair_looked_at_gives(rows: list[Statement]) -> None:
    sources = Sources.of(LISTED)
    assert sorted(independent(rows, sources)) == plain_groups(rows, sources)


@given(st.lists(ROWS, max_size=7))
def test_who_stands_behind_a_claim_is_counted_as_told(rows: list[Statement]) -> None:
    sources = Sources.of(LISTED)
    heard: list[Tier] = []
    for group in plain_groups(rows, sources):
        found = [sources.find(rows[place].source, rows[place].url) for place in group]
        heard += sorted((each.tier for each in found if each.votes), key=RANK.__getitem__)[-1:]
    expected = Support(
        votes=len(heard),
        rows=len(rows),
        tier=max(heard, key=RANK.__getitem__, default="weak"),
        by_tier={tier: heard.count(tier) for tier in heard},
        names=tuple(dict.fromkeys(each.source or each.url for each in rows)),
        impersonated=tuple(dict.fromkeys(e.source for e in rows if sources.impersonates(e.source, e.url))),
    )
    for _ in range(2):
        assert support(rows, sources) == expected, "the same when it is remembered"


@pytest.mark.parametrize(
    "url",
    ["https://a.b.Example.co.uk/x/y-z", "http://x.example", "https://x.example.//a//", "https://./a", "https://-/"],
)
def test_a_plain_link_has_the_host_that_the_library_finds(url: str) -> None:
    assert host_of(url) == (urlsplit(url).hostname or "").strip(".")


@pytest.mark.parametrize("url", ["https://x.example\n", "https://a@x.example/", "https://x.example:80/a"])
def test_a_link_that_is_not_plain_goes_the_long_way(url: str) -> None:
    assert registrable_domain(url) == "x.example"
