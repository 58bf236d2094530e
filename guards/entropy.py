"""Whether long generated text still varies: n-gram entropy of what the model goes on with, after against before."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from guards.base import Decision, Score, Verdict
from guards.effects import tost_paired
from guards.stats import CONFIDENCE, RESAMPLES, paired_bootstrap, paired_differences, resampled

MIN_TEXTS = 4
WEIGHTS = {2: 2 / 3, 3: 4 / 3}
"""Weight of each n; their mean is taken (K. Meng et al., "Locating and editing factual associations in GPT", 2022)."""
_WORD = re.compile(r"\w+|[^\w\s]")


def ngram_entropy(text: str, n: int) -> float:
    """Entropy in bits of the n-grams of words and marks in a text; 0 where it has none."""
    words = _WORD.findall(text.casefold())
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    total = counts.total()
    return -sum(count / total * math.log2(count / total) for count in counts.values()) + 0.0


def generation_entropy(text: str) -> float:
    """Weighted mean of the entropies of word pairs and triples, in bits: low where a text repeats itself.

    Meng et al. (2022), section 3.4 and appendix: "fluency is measured by the weighted average of bi- and tri-gram
    entropies", with the weights of their published code.
    """
    return sum(weight * ngram_entropy(text, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


@dataclass(frozen=True)
class EntropyCase:
    """The same beginnings continued before and after.

    Attributes:
        before: the continuations by the model before.
        after: those by the final model, in the same order.
    """

    before: Sequence[str]
    after: Sequence[str]


@dataclass(frozen=True)
class EntropyGuard:
    """Passes when the upper bound of the mean loss of entropy stays at or below the threshold.

    Its null is "texts lose more than the threshold"; the evidence holds the equivalence test (TOST) with the threshold
    as margin in both directions.

    Attributes:
        threshold: bits of mean loss that the bound may reach at most.
        confidence: of the interval (two-sided).
        resamples: draws of the bootstrap over texts.
        seed: of the bootstrap.
    """

    threshold: float
    confidence: float = CONFIDENCE
    resamples: int = RESAMPLES
    seed: int = 0

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "entropy"

    def judge(self, case: EntropyCase) -> Verdict:
        """Decide on the texts; without enough of them, or with other ones after than before, it escalates."""
        problem = _problem(case)
        if problem:
            return Verdict(self.name, "escalate", problem)
        before, after = _entropies(case)
        found = paired_bootstrap(
            after, before, confidence=self.confidence, resamples=self.resamples, seed=self.seed
        )  # before - after: what was lost
        score = Score("entropy_loss", found.value, found.low, found.high, found.n, self.threshold)
        same = tost_paired(before, after, (-self.threshold, self.threshold))
        evidence = (
            ("entropy_before", f"{sum(before) / len(before):.3f}"),
            ("entropy_after", f"{sum(after) / len(after):.3f}"),
            ("tost_margin_bits", f"{self.threshold:g}"),
            ("tost_p", f"{same.p:.4g}"),
            ("equivalent", "yes" if same.equivalent else "not shown"),
        )
        explanation = (
            f"the n-gram entropy of {found.n} long texts falls by {found.value:.3f} bits, at most by {found.high:.3f}; "
            f"{self.threshold:.3f} is allowed"
        )
        decision: Decision = "pass" if found.high <= self.threshold else "block"
        return Verdict(self.name, decision, explanation, (score,), evidence)

    def p_value(self, case: EntropyCase) -> float:
        """Share of the draws in which the loss is above the threshold; 1 where it could not be judged."""
        if _problem(case):
            return 1.0
        losses = -paired_differences(*_entropies(case))
        above = int((resampled(losses, resamples=self.resamples, seed=self.seed) > self.threshold).sum())
        return (above + 1) / (self.resamples + 1)


def _entropies(case: EntropyCase) -> tuple[list[float], list[float]]:
    """Entropy of every text, before and after."""
    return [generation_entropy(text) for text in case.before], [generation_entropy(text) for text in case.after]


def _problem(case: EntropyCase) -> str:
    """Why the case cannot be judged, empty when it can."""
    if len(case.before) != len(case.after):
        return f"{len(case.before)} texts before and {len(case.after)} after: nothing can be compared"
    if len(case.before) < MIN_TEXTS:
        return f"{len(case.before)} long texts: let the model write at least {MIN_TEXTS}"
    return ""
