"""The sources that somebody has listed, how far each is trusted, and which domains are theirs.

A list is a YAML file:

    sources:
      Government Gazette: {tier: authoritative, domains: [gazette.example]}
      Daily Digest: {tier: established, domains: [digest.example], copies: Wire Agency}
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

from registry.errors import InputError
from registry.safe_yaml import load_yaml
from registry.text import normalise

Tier = Literal["weak", "established", "authoritative"]
"""How far a source is trusted; a source that nobody has listed is weak."""
RANK: Mapping[Tier, int] = {tier: rank for rank, tier in enumerate(get_args(Tier))}

KEPT = 1 << 14
PLAIN_LINK = re.compile(r"https?://([A-Za-z0-9.-]+)((?:/[A-Za-z0-9._~-]*)*)")
"""A link of plain letters, its host and its path: most are, and `urlsplit` finds the same in them in more time."""
_SECOND_LEVEL = frozenset(
    (
        "ac",
        "co",
        "com",
        "edu",
        "gob",
        "gouv",
        "go",
        "gov",
        "govt",
        "ltd",
        "mil",
        "ne",
        "net",
        "nom",
        "or",
        "org",
        "plc",
        "sch",
    )
)
"""Labels under a country's domain below which names are registered ("co.uk")."""


@dataclass(frozen=True)
class Source:
    """A source that somebody has listed.

    Attributes:
        name: its canonical name.
        tier: how far it is trusted.
        domains: domains that belong to it, with all below them.
        copies: name of the source that it mirrors or syndicates; empty when it speaks for itself.
        votes: whether it has a vote; its own record can take it away (guards/reliability.py).
    """

    name: str
    tier: Tier = "weak"
    domains: tuple[str, ...] = ()
    copies: str = ""
    votes: bool = True


@dataclass(frozen=True)
class Heard:
    """What follows from a source's name and the host of its link, for every statement that has both.

    Attributes:
        marks: they show its origin; two statements with a mark in common are of one origin.
        tier: how far it is trusted; None where it has no vote.
        impersonated: whether it names a listed source and links elsewhere.
    """

    marks: tuple[tuple[str, str], ...]
    tier: Tier | None
    impersonated: bool


@dataclass(frozen=True)
class Sources:
    """The listed sources, by normalised name and by domain."""

    by_name: Mapping[str, Source] = field(default_factory=dict)
    by_domain: Mapping[str, Source] = field(default_factory=dict)
    _folded: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _found: "dict[tuple[str, str], Source]" = field(default_factory=dict, repr=False, compare=False)
    heard: "dict[tuple[str, str], Heard]" = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, sources: Iterable[Source]) -> Self:
        """Index `sources`."""
        listed = list(sources)
        by_domain = {domain: source for source in listed for domain in source.domains}
        return cls({normalise(source.name): source for source in listed}, by_domain)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the mapping `sources: {NAME: {tier, domains, copies}}` from YAML; a plain tier may stand for the values.

        Raises:
            InputError: the file is missing or not of this shape.
        """
        import yaml

        if not path.is_file():
            raise InputError("a list of sources (YAML)", str(path), "name an existing file")
        try:
            raw = load_yaml(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"YAML in {path}", str(error).replace("\n", " "), "mend the file") from error
        listed = raw.get("sources") if isinstance(raw, dict) else None
        if not isinstance(listed, dict):
            raise InputError(f"a mapping with the key 'sources' in {path}", type(listed).__name__, "mend the file")
        return cls.of(_source(str(name), values, path) for name, values in listed.items())

    def fold(self, name: str) -> str:
        """A source's name normalised; names repeat from row to row, so what was folded is remembered."""
        found = self._folded.get(name)
        if found is None:
            found = self._folded[name] = normalise(name)
        return found

    def find(self, name: str, url: str = "") -> Source:
        """The listed source that a row names, else the one whose domain it links to, else one that is weak.

        A row that names a listed source but links elsewhere is not believed to come from it (see `impersonates`).
        """
        key = name, host_of(url)
        found = self._found.get(key)
        if found is None:
            found = self._find(name, url)
            remember(self._found, key, found)
        return found

    def _find(self, name: str, url: str) -> Source:
        named = self.by_name.get(self.fold(name)) if name else None
        if named is None:
            return self.owner(url) or Source(name or registrable_domain(url))
        return Source(name) if self.impersonates(name, url) else named

    def owner(self, url: str) -> Source | None:
        """The listed source to which a link's host, or a domain above it, belongs."""
        labels = host_of(url).split(".")
        above = (".".join(labels[place:]) for place in range(len(labels)))
        return next((self.by_domain[domain] for domain in above if domain in self.by_domain), None)

    def impersonates(self, name: str, url: str) -> bool:
        """Whether a row names a listed source that has domains, and links to none of them."""
        named, host = self.by_name.get(self.fold(name)), host_of(url)
        if named is None or not named.domains or not host:
            return False
        return not any(host == domain or host.endswith(f".{domain}") for domain in named.domains)


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def remember(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Keep what was worked out for a key; of a feed with ever new sources and hosts no more than `KEPT`."""
    if len(kept) < KEPT:
        kept[key] = value


def _source(name: str, values: Any, path: Path) -> Source:
    """Check the values of one listed source."""
    values = {"tier": values} if isinstance(values, str) else values
    allowed = {"tier", "domains", "copies"}
    if not isinstance(values, dict) or not allowed.issuperset(values):
        raise InputError(f"the keys {', '.join(sorted(allowed))} for {name} in {path}", repr(values), "mend the file")
    tier = values.get("tier", "weak")
    if tier not in get_args(Tier):
        raise InputError(f"one of {', '.join(get_args(Tier))} as the tier of {name}", repr(tier), f"mend {path}")
    domains = values.get("domains") or []
    if not isinstance(domains, list):
        raise InputError(f"a list of domains for {name}", repr(domains), f"mend {path}")
    return Source(name, tier, tuple(str(domain).lower() for domain in domains), str(values.get("copies") or ""))


@lru_cache(maxsize=1 << 12)
def host_of(url: str) -> str:
    """The host of a link, lower case; empty when it has none. A backslash is a slash, as browsers read it."""
    plain = PLAIN_LINK.fullmatch(url)
    if plain is not None:
        return plain[1].lower().strip(".")
    url = url.replace("\\", "/")
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").lower().strip(".")
    except ValueError:
        return ""


def registrable_domain(url: str) -> str:
    """The part of a link's host that somebody registered ("news.bbc.co.uk" -> "bbc.co.uk"); empty without a host."""
    host = host_of(url)
    labels = host.split(".")
    if len(labels) < 2 or labels[-1].isdigit():
        return host
    size = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-size:])
