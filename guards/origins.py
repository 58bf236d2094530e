"""Which statements are of one origin, and so have one vote together.

Marks of an origin: the source's name, the name without words of an echo ("mirror 2"), whom it says it quotes, the
registrable domain of the link, the listed source that owns it or that it copies, and the page's own title in the link.
Statements that share a mark, or whose texts are near copies, are of one origin.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from guards.copies import NEAR_COPY, near_copies
from guards.sources import PLAIN_LINK, Heard, Sources, host_of, registrable_domain, remember
from registry.text import normalise

_VIA = re.compile(
    r"\b(?:via|mirror of|mirroring|copy of|copied from|reprint(?:ed)? (?:of|from)|syndicated (?:by|from)|"
    r"republished from|reposted from|feed of|quoting|citing|according to)\s+(.+)",
    re.IGNORECASE,
)
_ECHOES = frozenset(
    (
        *("mirror", "mirrors", "cdn", "copy", "copies", "cache", "cached", "mobile", "amp", "lite", "app", "rss"),
        *("feed", "syndication", "syndicated", "repost", "reposts", "reprint", "backup", "archive", "archived"),
        *("edition", "online", "web", "website", "site", "net", "com", "org", "www", "bot", "beta", "live", "daily"),
    )
)
"""Words in a source's name that make it an echo of the name without them ("Factblog mirror 2")."""
_MIN_SLUG_WORDS = 4
_SUFFIX = re.compile(r"\.\w{2,5}$")
_NOBODY = (("nobody", ""),)


@dataclass(frozen=True)
class Statement:
    """One row that says something, as far as its origin goes.

    Attributes:
        source: name of the source as the row gives it.
        url: where it says so.
        text: words of the source that came with the row, empty when none did.
    """

    source: str
    url: str = ""
    text: str = ""


def independent(statements: Sequence[Statement], sources: Sources, near_copy: float = NEAR_COPY) -> list[list[int]]:
    """Group statements (by position) so that copies of one another are together: one group, one vote."""
    return grouped(statements, [heard_of(statement, sources) for statement in statements], near_copy)


def grouped(statements: Sequence[Statement], heard: Sequence[Heard], near_copy: float) -> list[list[int]]:
    """See `independent`; `heard` is what follows from each statement's name and host."""
    parent = list(range(len(statements)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, statement in enumerate(statements):
        for mark in _marks(statement, heard[place]):
            earlier = first.setdefault(mark, place)
            if earlier != place:
                parent[root(place)] = root(earlier)
    if any(statement.text for statement in statements):
        for place, original in near_copies([statement.text for statement in statements], near_copy).items():
            parent[root(place)] = root(original)
    groups: dict[int, list[int]] = {}
    for place in range(len(statements)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _marks(statement: Statement, heard: Heard) -> Sequence[tuple[str, str]]:
    """What shows the origin of a statement; two statements with a mark in common are of one origin."""
    title = _title(statement.url)
    if title:
        return (*heard.marks, ("title", title))
    # Whoever leaves no mark at all is the same nobody.
    return heard.marks or _NOBODY


def _title(url: str) -> str:
    """The page's own title in a link, empty where its last part is none."""
    plain = PLAIN_LINK.fullmatch(url)
    tail = (plain[2] if plain else _path(url)).rstrip("/").rsplit("/", 1)[-1]
    if len(tail) < _MIN_SLUG_WORDS or (tail.isascii() and tail.isalnum()):
        return ""
    title = normalise(_SUFFIX.sub("", tail))
    return title if len(title.split()) >= _MIN_SLUG_WORDS else ""


def heard_of(statement: Statement, sources: Sources) -> Heard:
    """What follows from a source's name and the host of its link; remembered, since both repeat from row to row."""
    key = statement.source, host_of(statement.url)
    heard = sources.heard.get(key)
    if heard is None:
        found = sources.find(statement.source, statement.url)
        marks = tuple(mark for mark in _origin(statement, sources) if mark[1])
        tier = found.tier if found.votes else None
        heard = Heard(marks, tier, sources.impersonates(statement.source, statement.url))
        remember(sources.heard, key, heard)
    return heard


def _origin(statement: Statement, sources: Sources) -> tuple[tuple[str, str], ...]:
    """The marks that follow from a source's name and the host of its link."""
    found = sources.find(statement.source, statement.url)
    fold = sources.fold
    marks = [("name", fold(_VIA.sub("", statement.source))), ("name", fold(found.copies or found.name))]
    marks += [("name", fold(hit)) for hit in _VIA.findall(statement.source)]
    words = [word for word in fold(statement.source).split() if word not in _ECHOES and not word.isdigit()]
    marks.append(("name", " ".join(words)))
    domain = registrable_domain(statement.url)
    marks.append(("domain", domain))
    owner = sources.owner(statement.url)
    if owner is not None:
        marks.append(("name", fold(owner.copies or owner.name)))
    return tuple(marks)


def _path(url: str) -> str:
    """The path of a link; empty where it is none."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
