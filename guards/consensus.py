"""Who says it, how far each is trusted, and how many of them say it independently.

One vote per independent source: statements that share a registrable domain, a source's name, a declared original, the
page's own title in the link, or near-identical text are copies of one another and count once, however many there are
(A-MemGuard, arXiv 2510.02373, counts memories and is outvoted by repetition; FARMA, arXiv 2607.05029).

    effect               authoritative   others
    NOOP                 pass            pass
    ADD, UPDATE, DELETE  pass            a quorum of independent ones, else wait
    contradiction        pass only over a less trusted known fact; else wait
    older                blocked: what is known is newer
    a credible rival statement in the same feed: both wait, as disputed
    S_div over tau       wait (guards/divergence.py): weak sources alone end no fact of a better one

With `established_alone` an established source carries an ADD, UPDATE or DELETE without others (at risk "high" so many
of them as `high_risk_votes`): what one of them says falsely then comes in.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from guards.base import Decision, Score, Verdict
from guards.conflicts import Change
from guards.copies import NEAR_COPY, near_copies
from guards.divergence import TAU, WEIGHTS, share_against, trust_of
from guards.sources import RANK, Sources, Tier, host_of, registrable_domain, remember
from registry.records import RiskTier
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


@dataclass(frozen=True)
class Support:
    """Who stands behind one object for one subject and relation.

    Attributes:
        votes: number of independent sources that have a vote.
        rows: number of rows.
        tier: the best trust tier among them.
        by_tier: independent sources of each tier.
        names: the sources' names.
        impersonated: listed sources that are named beside a link to a domain that is not theirs.
    """

    votes: int
    rows: int
    tier: Tier
    by_tier: Mapping[Tier, int]
    names: tuple[str, ...]
    impersonated: tuple[str, ...] = ()

    def credible(self, quorum: int) -> bool:
        """Whether it is more than a few weak voices."""
        return self.tier != "weak" or self.votes >= quorum

    @property
    def trust(self) -> float:
        """The trust of its independent sources together (guards/divergence.py)."""
        return trust_of(self.by_tier)


def support(statements: Sequence[Statement], sources: Sources, near_copy: float = NEAR_COPY) -> Support:
    """Count the independent sources behind statements that say the same."""
    groups = independent(statements, sources, near_copy)
    by_tier: dict[Tier, int] = defaultdict(int)
    silenced = 0
    for group in groups:
        found = [sources.find(statements[place].source, statements[place].url) for place in group]
        heard = [each.tier for each in found if each.votes]
        if heard:
            by_tier[max(heard, key=RANK.__getitem__)] += 1
        else:
            silenced += 1
    best: Tier = max(by_tier, key=RANK.__getitem__, default="weak")
    names = tuple(dict.fromkeys(each.source or each.url for each in statements))
    false_names = dict.fromkeys(each.source for each in statements if sources.impersonates(each.source, each.url))
    return Support(len(groups) - silenced, len(statements), best, dict(by_tier), names, tuple(false_names))


def independent(statements: Sequence[Statement], sources: Sources, near_copy: float = NEAR_COPY) -> list[list[int]]:
    """Group statements (by position) so that copies of one another are together: one group, one vote."""
    parent = list(range(len(statements)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, statement in enumerate(statements):
        for mark in _marks(statement, sources):
            parent[root(place)] = root(first.setdefault(mark, place))
    for place, original in near_copies([statement.text for statement in statements], near_copy).items():
        parent[root(place)] = root(original)
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(len(statements)):
        groups[root(place)].append(place)
    return list(groups.values())


def _marks(statement: Statement, sources: Sources) -> list[tuple[str, str]]:
    """What shows the origin of a statement; two statements with a mark in common are of one origin."""
    key = statement.source, host_of(statement.url)
    origin = sources.origins.get(key)
    if origin is None:
        origin = _origin(statement, sources)
        remember(sources.origins, key, origin)
    marks = list(origin)
    tail = _path(statement.url).rstrip("/").rsplit("/", 1)[-1]
    title = normalise(re.sub(r"\.\w{2,5}$", "", tail)) if len(tail) >= _MIN_SLUG_WORDS else ""
    if len(title.split()) >= _MIN_SLUG_WORDS:
        marks.append(("title", title))
    # Whoever leaves no mark at all is the same nobody.
    return [mark for mark in marks if mark[1]] or [("nobody", "")]


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


@dataclass(frozen=True)
class Claim:
    """A statement with what it does and who stands behind it.

    Attributes:
        change: what it does to what is known.
        support: who says so.
        rivals: who says otherwise in the same feed, for the same time.
        known_tier: trust tier of the source of the known fact that it touches.
        risk_tier: of the relation.
    """

    change: Change
    support: Support
    rivals: tuple[Support, ...] = ()
    known_tier: Tier = "weak"
    risk_tier: RiskTier = "low"

    @property
    def divergence(self) -> float:
        """S_div of the claim: those who say it against the strongest rival, or against the known fact that it touches.

        The known fact counts where it would be called false, and where weak sources alone would end it.
        """
        others = [rival.trust for rival in self.rivals]
        ends = self.change.effect in ("UPDATE", "DELETE") and self.support.tier == "weak"
        if self.change.effect == "contradiction" or ends:
            others.append(WEIGHTS[self.known_tier])
        return share_against(self.support.trust, max(others, default=0.0))


@dataclass(frozen=True)
class ConsensusGuard:
    """Whether those who say it are enough for what it would change."""

    quorum: int = 3
    high_risk_votes: int = 1
    established_alone: bool = False
    tau: float = TAU
    name: str = "consensus"

    def judge(self, case: Claim) -> Verdict:
        """Decide by the table at the head of this module."""
        effect, backing, words = case.change.effect, case.support, case.change.words
        if effect == "NOOP":
            return self._verdict("pass", case, words)
        if effect == "older":
            return self._verdict("block", case, f"{words}; give the time at which it ended", "older")
        rivals = [rival for rival in case.rivals if rival.credible(self.quorum)]
        if rivals and backing.credible(self.quorum):
            names = ", ".join(rivals[0].names[:3])
            return self._verdict("escalate", case, f"{names} say otherwise; a person has to decide", "disputed")
        verdict = self._contradicts(case) if effect == "contradiction" else self._enough(case)
        if verdict.decision == "pass" and case.divergence > self.tau:
            far = f"S_div {case.divergence:.2f} over {self.tau:.2f}"
            words = f"{words}; more trust stands against it than for it ({far}); a person has to decide"
            return self._verdict("escalate", case, words, "divergence")
        return verdict

    def _contradicts(self, case: Claim) -> Verdict:
        """Whether the sources carry that what is known was never true."""
        backing, words = case.support, case.change.words
        if backing.tier == "authoritative" and RANK[case.known_tier] < RANK["authoritative"]:
            return self._verdict("pass", case, f"corrects a {case.known_tier} source: {words}")
        words = f"{words}; {self._who(backing)} against it; a person has to decide"
        return self._verdict("escalate", case, words, "contradiction")

    def _enough(self, case: Claim) -> Verdict:
        """Whether the sources carry an ADD, UPDATE or DELETE that nothing contradicts."""
        backing = case.support
        if backing.tier == "authoritative":
            return self._verdict("pass", case, "an authoritative source says so")
        established = backing.by_tier.get("established", 0) if self.established_alone else 0
        if established and (case.risk_tier != "high" or established >= self.high_risk_votes):
            return self._verdict("pass", case, "an established source says so")
        if backing.votes >= self.quorum:
            return self._verdict("pass", case, f"{backing.votes} independent sources say so")
        needed = f"{self._who(backing)}, where {self.quorum} are needed"
        words = f"{case.change.words}; {needed}; wait for more or for an authoritative one"
        return self._verdict("escalate", case, words, "quorum")

    @staticmethod
    def _who(backing: Support) -> str:
        """The sources in words, with copies counted apart and false names said."""
        plural = "" if backing.votes == 1 else "s"
        words = f"{backing.votes} independent {backing.tier} source{plural}"
        if backing.rows > backing.votes:
            words = f"{words} in {backing.rows} rows (copies of one source count once)"
        if backing.impersonated:
            words = f"{words} (names {', '.join(backing.impersonated)} but links to a domain that is not its own)"
        return words

    def _verdict(self, decision: Decision, case: Claim, words: str, rule: str = "consensus") -> Verdict:
        votes = float(case.support.votes)
        rows, far = case.support.rows, case.divergence
        scores = (
            Score("independent_sources", votes, votes, votes, rows, float(self.quorum)),
            Score("divergence", far, far, far, rows, self.tau),
        )
        evidence = (("rule", rule), ("column", "source"), ("value", ", ".join(case.support.names[:3])))
        return Verdict(self.name, decision, words, scores, evidence)
