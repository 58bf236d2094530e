"""How often facts of a kind change, and how far a model yields to context.

Lifetimes are taken as exponential: a relation changes at a rate, and a gamma prior with the catalogue's expected
lifetime stands for what is known before anything was seen. A spell that has not ended counts with the time that it has
lasted so far. Persuadability is DynamicQA's coherent-persuasion score (Marjanovic et al., 2024): answers that mean the
same are one cluster, and the score is the mean divergence KL(P with context || P without) over pairs of clusters. There
an entailment model tells what means the same; here answers do that are equal after normalisation.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from guards.stats import CONFIDENCE
from registry.records import Fact
from registry.text import normalise

YEAR_DAYS = 365.25
_TINY = 1e-9


@dataclass(frozen=True)
class Spell:
    """How long one object held.

    Attributes:
        days: how long it was watched, in days; up to now where it holds still.
        ended: whether it ended, so that the end was seen.
    """

    days: float
    ended: bool


@dataclass(frozen=True)
class ChangeRate:
    """How often a kind of fact changes.

    Attributes:
        changes: ends that were seen.
        years: time under observation, in years, over all spells.
        per_year: changes in a year of one fact.
        low: lower bound of the exact Poisson interval.
        high: upper bound.
    """

    changes: int
    years: float
    per_year: float
    low: float
    high: float

    @property
    def lifetime_days(self) -> float:
        """Expected time until a change, in days; infinite where none was seen."""
        return YEAR_DAYS / self.per_year if self.per_year > 0 else math.inf

    @property
    def longest_lifetime_days(self) -> float:
        """Upper bound of the expected lifetime, in days."""
        return YEAR_DAYS / self.low if self.low > 0 else math.inf


def spell(start: date, end: date | None, watched_from: date, today: date) -> Spell | None:
    """What was seen of one object's time; None where nothing was.

    Time before anybody watched does not count: of the spells of that time only those are known that lasted long enough
    to be seen (left truncation), and counting them would make everything look lasting.

    Args:
        start: first day on which it held.
        end: first day on which it held no longer; None while it holds.
        watched_from: day from which a change would have been seen.
        today: day up to which something is known.
    """
    ended = end is not None and end <= today
    begin, stop = max(start, watched_from), end if ended and end is not None else today
    return Spell(float((stop - begin).days), ended) if stop > begin else None


def spells_of(known: Iterable[Fact], today: date) -> dict[str, list[Spell]]:
    """The spells of facts as a ledger holds them, by relation; watched from the day of a subject's first record.

    A fact without its start holds from before that day.
    """
    facts = list(known)
    watched: dict[tuple[str, str], date] = {}
    for fact in facts:
        if fact.recorded_at is not None:
            key, day = (fact.subject, fact.relation), fact.recorded_at.date()
            watched[key] = min(day, watched.get(key, day))
    found: dict[str, list[Spell]] = defaultdict(list)
    for fact in facts:
        since = watched.get((fact.subject, fact.relation))
        seen = spell(fact.valid_from or since, fact.valid_to, since, today) if since is not None else None
        if seen is not None:
            found[fact.relation].append(seen)
    return dict(found)


def change_rate(spells: Sequence[Spell], *, confidence: float = CONFIDENCE) -> ChangeRate:
    """Observed rate of change with its exact Poisson interval (Garwood, 1936).

    Raises:
        ValueError: there is no spell.
    """
    from scipy.stats import chi2

    if not spells:
        raise ValueError("expected at least one spell, got none; a rate needs time under observation")
    changes, years = sum(one.ended for one in spells), sum(one.days for one in spells) / YEAR_DAYS
    tail = (1.0 - confidence) / 2.0
    low = float(chi2.ppf(tail, 2 * changes)) / 2.0 / years if changes else 0.0
    high = float(chi2.ppf(1.0 - tail, 2 * changes + 2)) / 2.0 / years
    return ChangeRate(changes, years, changes / years, low, high)


def rates_of(known: Iterable[Fact], today: date) -> dict[str, ChangeRate]:
    """The observed rate of change of every relation that was watched for at least a day, by relation."""
    return {relation: change_rate(spells) for relation, spells in spells_of(known, today).items()}


def expected_lifetime(spells: Sequence[Spell], prior_days: float | None, prior_weight: float = 1.0) -> float:
    """Expected lifetime in days: what was seen together with what the catalogue expects.

    Args:
        spells: what was seen.
        prior_days: lifetime expected beforehand; None where it is for ever.
        prior_weight: how many changes the expectation counts for.
    """
    changes, days = sum(one.ended for one in spells), sum(one.days for one in spells)
    if prior_days is None:
        return days / changes if changes else math.inf
    return (days + prior_weight * prior_days) / (changes + prior_weight)


def chance_of_change(within_days: float, lifetime_days: float) -> float:
    """Probability that a fact of this expected lifetime changes within a time, both in days."""
    return 0.0 if math.isinf(lifetime_days) else 1.0 - math.exp(-within_days / lifetime_days)


@dataclass(frozen=True)
class Said:
    """One sampled answer.

    Attributes:
        text: what was said.
        tokens: mean probability of each token over the steps of the answer.
    """

    text: str
    tokens: Mapping[int, float]


def coherent_persuasion(alone: Sequence[Said], told: Sequence[Said]) -> float:
    """How far context moves a model (nats): 0 where it gives one and the same answer.

    Args:
        alone: answers sampled without context.
        told: answers sampled with it.

    Raises:
        ValueError: one side is empty.
    """
    if not alone or not told:
        raise ValueError(f"expected answers with and without context, got {len(told)} and {len(alone)}; sample both")
    before, after = _clusters(alone), _clusters(told)
    pairs = [_divergence(one, other) for one in after for other in before]
    return sum(pairs) / len(pairs)


def _clusters(said: Sequence[Said]) -> list[Mapping[int, float]]:
    """Mean token probabilities of the answers that are the same after normalisation."""
    groups: dict[str, list[Said]] = defaultdict(list)
    for one in said:
        groups[normalise(one.text)].append(one)
    means: list[Mapping[int, float]] = []
    for group in groups.values():
        mean: dict[int, float] = defaultdict(float)
        for one in group:
            for token, share in one.tokens.items():
                mean[token] += share / len(group)
        means.append(mean)
    return means


def _divergence(first: Mapping[int, float], second: Mapping[int, float]) -> float:
    """Kullback-Leibler divergence in nats over the tokens of both, each made to sum to 1 with a floor of 1e-9."""
    tokens = {*first, *second}
    one = {token: first.get(token, 0.0) + _TINY for token in tokens}
    two = {token: second.get(token, 0.0) + _TINY for token in tokens}
    whole, other = sum(one.values()), sum(two.values())
    return max(0.0, sum(one[t] / whole * math.log((one[t] / whole) / (two[t] / other)) for t in tokens))
