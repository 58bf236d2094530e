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
of them as `high_risk_votes`): what one of them says falsely then comes in. With `listed` so many of a quorum must be
sources that somebody listed: what strangers say then waits for them, however many they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

from guards.admission import AdmissionPolicy
from guards.base import Decision, Score, Verdict
from guards.conflicts import Change
from guards.copies import NEAR_COPY
from guards.divergence import TAU, WEIGHTS, share_against, trust_of
from guards.origins import Statement, grouped, heard_of
from guards.sources import RANK, Sources, Tier
from registry.records import Fact, RiskTier


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

    @property
    def listed(self) -> int:
        """Independent sources that somebody listed as more than weak."""
        return sum(count for tier, count in self.by_tier.items() if tier != "weak")

    @cached_property
    def trust(self) -> float:
        """The trust of its independent sources together (guards/divergence.py)."""
        return trust_of(self.by_tier)


def support(statements: Sequence[Statement], sources: Sources, near_copy: float = NEAR_COPY) -> Support:
    """Count the independent sources behind statements that say the same."""
    heard = [heard_of(statement, sources) for statement in statements]
    groups = grouped(statements, heard, near_copy)
    by_tier: dict[Tier, int] = {}
    silenced = 0
    for group in groups:
        tiers = [tier for place in group if (tier := heard[place].tier) is not None]
        if tiers:
            best = max(tiers, key=RANK.__getitem__)
            by_tier[best] = by_tier.get(best, 0) + 1
        else:
            silenced += 1
    first: Tier = max(by_tier, key=RANK.__getitem__, default="weak")
    names = tuple(dict.fromkeys([each.source or each.url for each in statements]))
    false_names = [each.source for each, one in zip(statements, heard, strict=True) if one.impersonated]
    rows = len(statements)
    return Support(len(groups) - silenced, rows, first, by_tier, names, tuple(dict.fromkeys(false_names)))


@dataclass(frozen=True)
class Claim:
    """A statement with what it does and who stands behind it.

    Attributes:
        change: what it does to what is known.
        support: who says so.
        rivals: who says otherwise in the same feed, for the same time.
        known_tier: trust tier of the source of the known fact that it touches.
        risk_tier: of the relation.
        fact: the row as a fact, so that a reason can quote it.
    """

    change: Change
    support: Support
    rivals: tuple[Support, ...] = ()
    known_tier: Tier = "weak"
    risk_tier: RiskTier = "low"
    fact: Fact | None = None

    @cached_property
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
    listed: int = 0
    name: str = "consensus"

    @classmethod
    def of(cls, policy: AdmissionPolicy) -> Self:
        """The guard with a policy's numbers."""
        return cls(policy.quorum, policy.high_risk_votes, policy.established_alone, listed=policy.listed)

    def credible(self, backing: Support) -> bool:
        """Whether it is more than a few weak voices; where listed sources are needed, strangers never are."""
        return backing.tier != "weak" or (backing.votes >= self.quorum and not self.listed)

    def judge(self, case: Claim) -> Verdict:
        """Decide by the table at the head of this module."""
        effect, backing, words = case.change.effect, case.support, case.change.words
        if effect == "NOOP":
            return self._verdict("pass", case, words)
        if effect == "older":
            return self._verdict("block", case, f"{words}; give the time at which it ended", "older")
        rivals = [rival for rival in case.rivals if self.credible(rival)]
        if rivals and self.credible(backing):
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
        if backing.votes >= self.quorum and backing.listed >= self.listed:
            return self._verdict("pass", case, f"{backing.votes} independent sources say so")
        also = f", {self.listed} of them listed," if self.listed else ""
        needed = f"{self._who(backing)}, where {self.quorum}{also} are needed"
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
        scores = _scores(case.support.votes, case.support.rows, case.divergence, self.quorum, self.tau)
        column, value = _cell_of(rule, case)
        evidence = (("rule", rule), ("column", column), ("value", value))
        return Verdict(self.name, decision, words, scores, evidence)


def _cell_of(rule: str, case: Claim) -> tuple[str, str]:
    """The column and value that a reason is about: the day, the object, or else who says so."""
    if case.fact is not None and rule == "older" and case.fact.valid_from is not None:
        return "valid_from", case.fact.valid_from.isoformat()
    if case.fact is not None and rule in ("contradiction", "disputed"):
        return "object", case.fact.object
    return "source", ", ".join(case.support.names[:3])


@lru_cache(maxsize=1 << 12)
def _scores(sources: int, rows: int, far: float, quorum: int, tau: float) -> tuple[Score, Score]:
    """The measured figures of a verdict; most rows of a feed have the same."""
    votes = float(sources)
    return (
        Score("independent_sources", votes, votes, votes, rows, float(quorum)),
        Score("divergence", far, far, far, rows, tau),
    )
