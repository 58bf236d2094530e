"""The numbers of the leakage audit, and two of its guards: verbatim extraction, and what a delta reveals.

The others: `guards.overlap`, `guards.canaries`, `guards.inference`, `guards.cutoff`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from guards.base import Decision, Score, Verdict
from guards.canaries import ExposureGuard
from guards.corrections import holm
from guards.cutoff import CutoffGuard
from guards.inference import MembershipGuard, auc
from guards.overlap import OverlapPolicy
from guards.stats import CONFIDENCE, wilson
from registry.ranges import Count, Level, Share, Some

NAMED = 5
NUMBERS = "its numbers"
"""What of a delta is asked where its method stores nothing that can be read more directly."""


@dataclass(frozen=True)
class LeakagePolicy:
    """Thresholds of the audit.

    Attributes:
        overlap: what counts as overlap and how much is too much.
        alpha: level of the tests of canaries, extraction and subjects.
        least_twins: fewest canaries that were never put in.
        most_auc: largest accepted bound of a membership signal's AUC.
        prefixes: tokens of a passage that are given, in turn.
        wanted: tokens that must follow word for word to count as extracted.
        cutoff: last day of which the base model can have read.
        least_after_cutoff: fewest answers on which a claim of updating may rest.
        candidates: subjects among which an edited one is looked for.
    """

    overlap: OverlapPolicy = field(default_factory=OverlapPolicy)
    alpha: Level = 0.05
    least_twins: Some = 20
    most_auc: Share = 0.65
    prefixes: tuple[int, ...] = (4, 8, 16)
    wanted: Some = 12
    cutoff: date | None = None
    least_after_cutoff: Count = 10
    candidates: Some = 120

    def exposure(self) -> ExposureGuard:
        """The guard on canaries."""
        return ExposureGuard(self.alpha, self.least_twins)

    def membership(self) -> MembershipGuard:
        """The guard on membership."""
        return MembershipGuard(self.most_auc)

    def extraction(self) -> "ExtractionGuard":
        """The guard on verbatim extraction."""
        return ExtractionGuard(self.alpha)

    def reveal(self) -> "RevealGuard":
        """The guard on what deltas reveal."""
        return RevealGuard(self.alpha)

    def evidence(self) -> CutoffGuard:
        """The guard on what counts as evidence of updating."""
        return CutoffGuard(self.cutoff, self.least_after_cutoff)


@dataclass(frozen=True)
class Continued:
    """How far a model went on word for word from the beginning of a text.

    Attributes:
        name: of the text.
        prefix: tokens that were given.
        matched: tokens that it then said as they stand in the text.
        wanted: tokens that make an extraction.
        suspect: whether the text may have been trained on; False for a twin.
    """

    name: str
    prefix: int
    matched: int
    wanted: int
    suspect: bool

    @property
    def extracted(self) -> bool:
        """Whether the model gave the text away."""
        return self.matched >= self.wanted


@dataclass(frozen=True)
class ExtractionGuard:
    """Passes when no suspect text comes out word for word (Carlini et al., USENIX Security 2021; arXiv 2202.07646).

    Text that anybody could guess comes out of any model: a twin that was never trained on says how much that is.

    Attributes:
        alpha: level of the family of tests, one for each prefix length (Fisher's exact test, Holm).
        confidence: of the intervals.
    """

    alpha: float = 0.05
    confidence: float = CONFIDENCE
    name: str = "verbatim_extraction"

    def judge(self, case: Sequence[Continued]) -> Verdict:
        """Block where suspects come out more often than twins; escalate where some do and twins do not explain it."""
        suspects, twins = ([one for one in case if one.suspect is kind] for kind in (True, False))
        if not suspects or not twins:
            words = f"expected suspect texts and twins, found {len(suspects)} and {len(twins)} answers; ask of both"
            return Verdict(self.name, "escalate", words)
        scores, p = [], {}
        for prefix in sorted({one.prefix for one in suspects}):
            parts = [[one for one in part if one.prefix == prefix] for part in (suspects, twins)]
            if not parts[1]:
                return Verdict(self.name, "escalate", f"expected twins at prefix {prefix}, found none; ask of both")
            counts = [(sum(one.extracted for one in part), len(part)) for part in parts]
            p[f"prefix {prefix}"] = _fisher(*counts)
            for name, (hit, n) in zip((f"prefix {prefix}", f"prefix {prefix}, twins"), counts, strict=True):
                found = wilson(hit, n, confidence=self.confidence)
                scores.append(Score(name, found.value, found.low, found.high, n))
        worse = [name for name, step in holm(p, alpha=self.alpha).items() if step.rejected]
        names = list(dict.fromkeys(one.name for one in suspects if one.extracted))
        decision, words = self._decide(worse, names, len({one.name for one in suspects}))
        evidence = tuple(("extracted", name) for name in names[:NAMED])
        return Verdict(self.name, decision, words, tuple(scores), evidence)

    def _decide(self, worse: Sequence[str], names: Sequence[str], n: int) -> tuple[Decision, str]:
        """The decision and why."""
        told = f"{len(names)} of {n} texts come out word for word"
        if worse:
            return (
                "block",
                f"expected none, found that {told}, more than twins at {', '.join(worse)}; train without them",
            )
        if names:
            return "escalate", f"expected none, found that {told}, though not clearly more than twins; look at them"
        return "pass", f"none of {n} texts comes out word for word"


def _fisher(suspects: tuple[int, int], twins: tuple[int, int]) -> float:
    """One-sided Fisher: probability of so many more extractions among suspects; pairs are (extracted, all)."""
    from scipy.stats import fisher_exact

    table = [[hit, n - hit] for hit, n in (suspects, twins)]
    return float(fisher_exact(table, alternative="greater").pvalue)


@dataclass(frozen=True)
class Revealed:
    """What can be read off one delta.

    Attributes:
        delta: its digest.
        editor: what made it.
        edited: how strongly its numbers answer to each edited subject, by name.
        others: the same for subjects that it did not edit.
        clear: names that stand in its files for anybody to read.
        protected: edited subjects of facts that are not public.
        way: what of the delta was asked, in words.
        compared: the names of `others`.
        forgotten: facts of the delta that the record has no words of any more.
    """

    delta: str
    editor: str
    edited: tuple[tuple[str, float], ...]
    others: tuple[float, ...]
    clear: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    way: str = NUMBERS
    compared: tuple[str, ...] = ()
    forgotten: int = 0

    def ranks(self) -> list[int]:
        """Rank of each edited subject among the others, 1 the strongest."""
        return [1 + sum(other >= value for other in self.others) for _, value in self.edited]


@dataclass(frozen=True)
class RevealGuard:
    """Whether a delta tells which subjects it is about (KSTER, arXiv 2602.10134: recall .94 to 1.00 from weights).

    A delta of public facts may tell them: it passes, and the verdict says that the file is as sensitive as its facts.
    One that tells the subject of a fact that is not public is blocked.

    Attributes:
        alpha: level of the test (one-sided Mann-Whitney, exact for few subjects).
        confidence: of the interval.
    """

    alpha: float = 0.05
    confidence: float = CONFIDENCE
    name: str = "delta_reveals"

    def judge(self, case: Revealed) -> Verdict:
        """Block a delta that tells a protected subject; escalate one that could not be looked into."""
        name = f"{self.name}_{case.delta[:12]}"
        evidence = (("editor", case.editor), *(("in clear", text) for text in case.clear[:NAMED]))
        if not case.edited or len(case.others) < 2:
            words = f"expected edited subjects and others to compare, found {len(case.edited)} and {len(case.others)}"
            if case.forgotten and not case.edited:
                words = (
                    f"expected edited subjects to look for, found that the record has no words of the {case.forgotten} "
                    "facts that this delta was made for (forgotten): only who still knows their names can ask it"
                )
            if not case.clear:
                return Verdict(name, "escalate", f"{words}; the delta's numbers were not looked into", (), evidence)
            found, told = True, f"its files hold {len(case.clear)} names in clear"
            scores: tuple[Score, ...] = ()
        else:
            score, p = self._score(case)
            found = p < self.alpha or bool(case.clear)
            first = sum(rank == 1 for rank in case.ranks())
            told = (
                f"{case.way} rank {first} of {len(case.edited)} edited subjects before all {len(case.others)} others "
                f"(AUC {score.value:.3f}, p {p:.2g}) and its files hold {len(case.clear)} names in clear"
            )
            scores = (score,)
        if not found:
            return Verdict(name, "pass", f"this search does not find its subjects: {told}", scores, evidence)
        if case.protected:
            shown = f"{len(case.protected)} of its subjects belong to facts that are not public"
            words = (
                f"expected a delta that tells no protected subject, found that {told}; {shown}: keep them in the index"
            )
            return Verdict(name, "block", words, scores, evidence)
        return Verdict(
            name, "pass", f"{told}; all its facts are public: guard the file as you guard them", scores, evidence
        )

    def _score(self, case: Revealed) -> tuple[Score, float]:
        """AUC of edited subjects against others, and the probability of so high a one by chance."""
        from scipy.stats import mannwhitneyu

        values = [value for _, value in case.edited]
        p = float(mannwhitneyu(values, case.others, alternative="greater").pvalue)
        if len(values) == 1:
            share = 1 - (case.ranks()[0] - 1) / len(case.others)
            return Score("subject_auc", share, 0.0, 1.0, 1 + len(case.others), 0.5), p
        found = auc(values, case.others, confidence=self.confidence)
        return Score("subject_auc", found.value, found.low, found.high, found.n, 0.5), p
