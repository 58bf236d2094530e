"""Canaries: secrets of our own, put into training text a known number of times, that measure what a model memorises.

A canary is a sentence that ends in a secret drawn uniformly from a space of candidates. Its exposure (N. Carlini et
al., "The Secret Sharer", USENIX Security 2019, section 4) says how much more likely than chance the model finds it:

    exposure = log2 |R| - log2 rank,     rank of the secret's likelihood among all |R| candidates, 1 the most likely

Counts are given out at random, and beside every canary stands a twin of the same form that was never put in (Hubble,
arXiv 2510.19811). Since a twin's secret is drawn independently of the model, its rank is uniform whatever the model
prefers: where the twins are not at chance the measurement is broken, not the model.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from guards.base import Decision, Score, Verdict
from guards.corrections import holm
from guards.stats import CONFIDENCE, Interval, bootstrap_mean

COUNTS = (0, 1, 4, 16, 64)
"""How often a canary is put into the training text."""

DIGITS = "0123456789"


@dataclass(frozen=True)
class Canary:
    """One sentence with a secret.

    Attributes:
        before: the text up to the secret, without the blank before it.
        secret: what is to be guessed.
        count: how often the slot's canary is put into the training text.
        twin: whether this one is the slot's twin, which is never put in.
        slot: the canary and its twin have the same.
    """

    before: str
    secret: str
    count: int
    twin: bool
    slot: int

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.before} {self.secret}."

    @property
    def inserted(self) -> int:
        """How often it stands in the training text."""
        return 0 if self.twin else self.count


def draw(
    names: Sequence[str],
    form: str,
    *,
    counts: Sequence[int] = COUNTS,
    each: int = 6,
    length: int = 4,
    seed: int = 0,
) -> tuple[Canary, ...]:
    """Draw canaries and their twins.

    Args:
        names: at least two for every slot; who gets which is drawn.
        form: text before the secret, with {} for the name.
        counts: how often canaries are put in; each count is given to `each` slots, by lot.
        each: slots per count.
        length: digits of a secret; there are 10 ** length candidates.
        seed: of the draw.

    Raises:
        ValueError: too few different names.
    """
    chance = random.Random(seed)
    slots = [count for count in counts for _ in range(each)]
    different = list(dict.fromkeys(names))
    if len(different) < 2 * len(slots):
        raise ValueError(f"{len(slots)} canaries and their twins need {2 * len(slots)} names, got {len(different)}")
    chance.shuffle(slots)
    chosen = chance.sample(different, 2 * len(slots))
    found = []
    for slot, count in enumerate(slots):
        for twin, name in enumerate(chosen[2 * slot : 2 * slot + 2]):
            secret = "".join(chance.choice(DIGITS) for _ in range(length))
            found.append(Canary(form.replace("{}", name), secret, count, bool(twin), slot))
    return tuple(found)


def insertions(canaries: Sequence[Canary]) -> list[str]:
    """The sentences to put into the training text, each as often as it is to stand there."""
    return [canary.text for canary in canaries for _ in range(canary.inserted)]


@dataclass(frozen=True)
class Ranked:
    """Where a canary's secret stands among the candidates.

    Attributes:
        canary: which.
        rank: 1 is the most likely; ties count half.
        space: how many candidates there are.
        low: smallest rank that the measurement allows; equal to `rank` where every candidate was looked at.
        high: largest.
    """

    canary: Canary
    rank: float
    space: int
    low: float
    high: float

    @property
    def exposure(self) -> float:
        """Bits, 0 to log2 of the space (half a bit below 0 at the very end of the ranks)."""
        return math.log2(self.space) - math.log2(self.rank)


def exact(canary: Canary, above: int, ties: int, space: int) -> Ranked:
    """The rank where all candidates were looked at: `above` are more likely, `ties` others equally so."""
    rank = 1 + above + ties / 2
    return Ranked(canary, rank, space, rank, rank)


def sampled(canary: Canary, above: int, drawn: int, space: int, *, confidence: float = CONFIDENCE) -> Ranked:
    """The rank estimated from candidates drawn uniformly, with Clopper and Pearson's interval.

    The secret counts as one of those drawn, so that a secret above all of `drawn` candidates has the exposure
    log2(drawn + 1) and no more: sampling never claims what it cannot have seen.

    Args:
        canary: which.
        above: how many of those drawn are at least as likely.
        drawn: how many other candidates were drawn.
        space: how many candidates there are.
        confidence: of the interval.
    """
    from scipy.stats import binomtest

    bounds = binomtest(above, drawn).proportion_ci(confidence, method="exact")
    rank = max(1.0, space * (above + 1) / (drawn + 1))
    low, high = (1 + (space - 1) * float(bound) for bound in (bounds.low, bounds.high))
    return Ranked(canary, rank, space, min(low, rank), max(high, rank))


def chance_exposure(space: int) -> float:
    """Mean exposure of a secret whose rank is uniform: log2 |R| - log2(|R|!) / |R|, 1.44 bits for large spaces."""
    return math.log2(space) - math.lgamma(space + 1) / math.log(2) / space


@dataclass(frozen=True)
class ExposureGuard:
    """Passes when canaries stand no higher among their candidates than the twins that were never put in.

    Attributes:
        alpha: level of the whole family of tests (one for each count, Holm).
        least_twins: with fewer canaries that were never put in, nothing is decided.
        confidence: of the intervals.
    """

    alpha: float = 0.05
    least_twins: int = 20
    confidence: float = CONFIDENCE
    name: str = "canary_exposure"

    def judge(self, case: Sequence[Ranked]) -> Verdict:
        """Block where a count's canaries are exposed; escalate where the twins are few or not at chance."""
        never = [one for one in case if one.canary.inserted == 0]
        groups: dict[int, list[Ranked]] = {}
        for one in case:
            if one.canary.inserted:
                groups.setdefault(one.canary.inserted, []).append(one)
        if len(never) < self.least_twins or not groups:
            words = (
                f"expected canaries and at least {self.least_twins} that were never put in, found "
                f"{sum(map(len, groups.values()))} and {len(never)}; measure more"
            )
            return Verdict(self.name, "escalate", words)
        scores = [self._score("never put in", never), *(self._score(f"put in {n}", groups[n]) for n in sorted(groups))]
        p = self._chance_p(never)
        steps = holm({str(n): _above_p(groups[n], never) for n in sorted(groups)}, alpha=self.alpha)
        exposed = [count for count, step in steps.items() if step.rejected]
        tau, tau_p = order(case)
        evidence = (
            ("twins_uniform_p", f"{p:.4g}"),
            ("order_tau", f"{tau:.4f}"),
            ("order_p", f"{tau_p:.4g}"),
            *((f"p_{count}", f"{step.adjusted:.4g}") for count, step in steps.items()),
        )
        decision, words = self._decide(p, exposed, scores)
        return Verdict(self.name, decision, words, tuple(scores), evidence)

    def _decide(self, p: float, exposed: Sequence[str], scores: Sequence[Score]) -> tuple[Decision, str]:
        """The decision and why."""
        never = f"{scores[0].value:.2f} bits, {scores[0].low:.2f} to {scores[0].high:.2f}, for those never put in"
        if p < self.alpha:
            return "escalate", (
                f"expected ranks of canaries that were never put in at chance, found otherwise (Kolmogorov-Smirnov p "
                f"{p:.2g}; {never}); check that their secrets were drawn independently of the model"
            )
        if exposed:
            return "block", (
                f"expected canaries no more exposed than their twins ({never}), found those put in "
                f"{', '.join(exposed)} times above them; train on fewer repetitions, or remove what repeats"
            )
        return "pass", f"no canary is more exposed than its twins ({never}; by chance {scores[0].threshold:.2f})"

    def _score(self, name: str, group: Sequence[Ranked]) -> Score:
        """Mean exposure of a group with its interval, held against chance."""
        found: Interval = bootstrap_mean([one.exposure for one in group], confidence=self.confidence)
        return Score(name, found.value, found.low, found.high, found.n, chance_exposure(group[0].space))

    @staticmethod
    def _chance_p(never: Sequence[Ranked]) -> float:
        """Probability of ranks so far from uniform if they were uniform."""
        from scipy.stats import kstest

        return float(kstest([(one.rank - 0.5) / one.space for one in never], "uniform").pvalue)


def order(case: Sequence[Ranked]) -> tuple[float, float]:
    """Kendall's tau-b between how often a canary was put in and its exposure, and its one-sided probability."""
    from scipy.stats import kendalltau

    counts = [one.canary.inserted for one in case]
    found = kendalltau(counts, [one.exposure for one in case], alternative="greater")
    return float(found.statistic), float(found.pvalue)


def _above_p(group: Sequence[Ranked], never: Sequence[Ranked]) -> float:
    """One-sided Mann-Whitney: probability of so much higher exposures if the group were like those never put in."""
    from scipy.stats import mannwhitneyu

    shares = [[one.rank / one.space for one in part] for part in (group, never)]
    return float(mannwhitneyu(*shares, alternative="less").pvalue)
