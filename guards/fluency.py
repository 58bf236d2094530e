"""Whether the model still writes as it did: perplexity of running text, after against before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from guards.base import Score, Verdict
from guards.effects import tost_paired
from guards.stats import CONFIDENCE, RESAMPLES, resampled

MIN_TEXTS = 5


@dataclass(frozen=True)
class FluencyCase:
    """The same running texts read before and after.

    Attributes:
        before: per text, the summed negative log-likelihood in nats and the number of tokens.
        after: the same of the final model.
    """

    before: Sequence[tuple[float, int]]
    after: Sequence[tuple[float, int]]


@dataclass(frozen=True)
class FluencyGuard:
    """Passes when the upper bound of perplexity after / before stays at or below the threshold.

    The interval is a percentile bootstrap over texts, each drawn with its tokens.

    Attributes:
        threshold: what the bound may reach at most; 1 is "no worse".
        confidence: of the interval (two-sided).
        resamples: draws of the bootstrap.
        seed: of the bootstrap.
    """

    threshold: float
    confidence: float = CONFIDENCE
    resamples: int = RESAMPLES
    seed: int = 0

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "fluency"

    def judge(self, case: FluencyCase) -> Verdict:
        """Decide on the texts; without enough of them, or with other texts after than before, it escalates."""
        problem = _problem(case)
        if problem:
            return Verdict(self.name, "escalate", problem)
        if not all(math.isfinite(nll) for nll, _ in case.after):
            return Verdict(self.name, "block", "the model gives running text a likelihood that is not finite")
        ratios = self._ratios(case)
        tail = (1 - self.confidence) / 2
        low, high = (float(bound) for bound in np.quantile(ratios, [tail, 1 - tail]))
        tokens = sum(count for _, count in case.before)
        value = math.exp(min((_sum(case.after) - _sum(case.before)) / tokens, _MAX_LOG))
        score = Score("perplexity_ratio", value, low, high, len(case.before), self.threshold)
        explanation = (
            f"perplexity of {len(case.before)} texts is {value:.3f} times what it was, at most {high:.3f}; "
            f"{self.threshold:.3f} is allowed"
        )
        return Verdict(
            self.name, "pass" if high <= self.threshold else "block", explanation, (score,), self._equivalence(case)
        )

    def _equivalence(self, case: FluencyCase) -> tuple[tuple[str, str], ...]:
        """The equivalence test (TOST) of nats per token, whose margin is the threshold in both directions."""
        if self.threshold <= 1:
            return ()
        before = [nll / count for nll, count in case.before]
        after = [nll / count for nll, count in case.after]
        margin = math.log(self.threshold)
        same = tost_paired(before, after, (-margin, margin))
        return (
            ("tost_margin_nats", f"{margin:.4f}"),
            ("tost_p", f"{same.p:.4g}"),
            ("equivalent", "yes" if same.equivalent else "not shown"),
        )

    def p_value(self, case: FluencyCase) -> float:
        """Share of the draws in which the ratio is above the threshold; 1 where it could not be judged."""
        if _problem(case) or not all(math.isfinite(nll) for nll, _ in case.after):
            return 1.0
        above = int((self._ratios(case) > self.threshold).sum())
        return (above + 1) / (self.resamples + 1)

    def _ratios(self, case: FluencyCase) -> npt.NDArray[np.float64]:
        """Perplexity ratio of every draw, (resamples,)."""
        data = np.array(
            [(new - old, count) for (old, count), (new, _) in zip(case.before, case.after, strict=True)],
            dtype=np.float64,
        )
        means = resampled(data, resamples=self.resamples, seed=self.seed, columns=True)
        ratios: npt.NDArray[np.float64] = np.exp(np.minimum(means[:, 0] / means[:, 1], _MAX_LOG))
        return ratios


_MAX_LOG = 700.0


def _sum(texts: Sequence[tuple[float, int]]) -> float:
    """Negative log-likelihood of all texts together."""
    return sum(nll for nll, _ in texts)


def _problem(case: FluencyCase) -> str:
    """Why the case cannot be judged, empty when it can."""
    counts = [count for _, count in case.before]
    if counts != [count for _, count in case.after]:
        return "other texts were read after than before: nothing can be compared; read the same ones"
    if len(counts) < MIN_TEXTS or min(counts) < 1:
        return f"{len(counts)} running texts, some maybe empty: read at least {MIN_TEXTS} with two tokens or more"
    if not all(math.isfinite(nll) for nll, _ in case.before):
        return "the base model gives running text a likelihood that is not finite: nothing can be compared"
    return ""
