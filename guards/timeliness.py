"""Timeliness in three settings: what is answered freshly, what out of date, and what is rightly refused.

DMM-Gov's protocol (arXiv 2509.18868, section 4): the same questions are asked in the parametric, the offline (frozen
snapshot) and the online setting; answerable and unanswerable ones are reported apart; settings are compared in pairs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

from guards.base import Decision, Score, Verdict
from guards.stats import CONFIDENCE, Interval, holm, mcnemar_exact, paired_bootstrap, wilson
from registry.text import holds_answer, normalise

Outcome = Literal["fresh", "out_of_date", "wrong", "refused"]
"""What an answer is: the current object, a superseded one, something else, or none."""
Slice = Literal["answerable", "unanswerable"]
OUTCOMES: tuple[Outcome, ...] = ("fresh", "out_of_date", "wrong", "refused")
SLICES: tuple[Slice, ...] = ("answerable", "unanswerable")


@dataclass(frozen=True)
class Case:
    """One question, asked in every setting.

    Attributes:
        question: in words.
        current: every way of writing an object that holds on the day asked for; none makes it unanswerable.
        superseded: every way of writing an object that held before and does no longer.
    """

    question: str
    current: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()

    @property
    def slice(self) -> Slice:
        """Where it is reported."""
        return "answerable" if self.current else "unanswerable"


MOST = 10_000
"""Where looking for the fewest questions ends."""


@dataclass(frozen=True)
class Said:
    """What was answered.

    Attributes:
        text: as it was said.
        known: whether it is an answer at all ("not known" is none).
        cited: whether it names a fact that it rests on.
        supported: whether it says the object of such a fact.
        words: what the model itself said; empty where it was not asked.
        certainty: the model's of its words, 0 to 1; None where it was not asked.
    """

    text: str
    known: bool
    cited: bool = False
    supported: bool = False
    words: str = ""
    certainty: float | None = None


def grounded(said: Sequence[Said]) -> dict[str, Interval]:
    """Of the answers (refusals are none): the share that cites a fact, and the share that no cited fact supports."""
    answers = [one for one in said if one.known and one.text.strip()]
    if not answers:
        return {}
    cited, unsupported = sum(one.cited for one in answers), sum(not one.supported for one in answers)
    return {"cited": wilson(cited, len(answers)), "unsupported": wilson(unsupported, len(answers))}


def outcome_of(case: Case, said: Said) -> Outcome:
    """What an answer is; one that names a superseded object beside the current one is out of date."""
    if not said.known or not said.text.strip():
        return "refused"
    rest = f" {normalise(said.text)} "
    fresh = holds_answer(said.text, case.current)
    for form in sorted(map(normalise, case.current), key=len, reverse=True):
        if form:
            rest = rest.replace(f" {form} ", "  ")
    if holds_answer(rest, case.superseded):
        return "out_of_date"
    return "fresh" if fresh else "wrong"


def is_right(case: Case, outcome: Outcome) -> bool:
    """Whether an outcome is what the case asks for: a fresh answer, or a refusal where nothing holds."""
    return outcome == ("fresh" if case.current else "refused")


@dataclass(frozen=True)
class Share:
    """How often one outcome came, with Wilson's interval; None where nothing was asked."""

    count: int
    n: int
    interval: Interval | None


@dataclass(frozen=True)
class SettingScore:
    """One setting on one slice.

    Attributes:
        setting: "parametric", "offline" or "online".
        slice: "answerable" or "unanswerable".
        n: questions.
        right: FreshHit on answerable questions, correct refusal on unanswerable ones.
        outcomes: every outcome.
        selective: share of right ones among the questions that were answered at all.
    """

    setting: str
    slice: Slice
    n: int
    right: Share
    outcomes: Mapping[Outcome, Share]
    selective: Share


@dataclass(frozen=True)
class Comparison:
    """Two settings on the same questions.

    Attributes:
        slice: which questions.
        measure: "right" or "out_of_date".
        before: the first setting.
        after: the second one.
        difference: after minus before, by paired bootstrap.
        p: exact McNemar, two-sided.
        adjusted: the same after Holm's correction over all comparisons of the report.
        differs: whether it is rejected that they are alike, at the family's 5 %.
    """

    slice: Slice
    measure: str
    before: str
    after: str
    difference: Interval
    p: float
    adjusted: float = 1.0
    differs: bool = False


@dataclass(frozen=True)
class Timeliness:
    """All settings, and how they compare."""

    scores: tuple[SettingScore, ...]
    comparisons: tuple[Comparison, ...]

    def score(self, setting: str, which: Slice) -> SettingScore | None:
        """One setting on one slice, None where it was not asked."""
        return next((one for one in self.scores if (one.setting, one.slice) == (setting, which)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure(cases: Sequence[Case], said: Mapping[str, Sequence[Said]]) -> Timeliness:
    """Score every setting on every slice and compare the settings.

    Args:
        cases: the questions.
        said: per setting the answers, in the order of `cases`.

    Raises:
        ValueError: a setting has not one answer per question.
    """
    for setting, answers in said.items():
        if len(answers) != len(cases):
            raise ValueError(f"{len(answers)} answers to {len(cases)} questions in the setting {setting}")
    found = {
        name: [outcome_of(one, text) for one, text in zip(cases, texts, strict=True)] for name, texts in said.items()
    }
    scores = [_score(cases, outcomes, setting, part) for setting, outcomes in found.items() for part in SLICES]
    return Timeliness(tuple(one for one in scores if one.n), tuple(_compared(cases, found)))


def _score(cases: Sequence[Case], outcomes: Sequence[Outcome], setting: str, part: Slice) -> SettingScore:
    """One setting on one slice."""
    kept = [(case, outcome) for case, outcome in zip(cases, outcomes, strict=True) if case.slice == part]
    counts = Counter(outcome for _, outcome in kept)
    right = sum(is_right(case, outcome) for case, outcome in kept)
    answered = len(kept) - counts["refused"]
    fresh = counts["fresh"]
    return SettingScore(
        setting,
        part,
        len(kept),
        _share(right, len(kept)),
        {name: _share(counts[name], len(kept)) for name in OUTCOMES},
        _share(fresh, answered),
    )


def _share(count: int, n: int) -> Share:
    """A share with its interval."""
    return Share(count, n, wilson(count, n) if n else None)


def _compared(cases: Sequence[Case], found: Mapping[str, Sequence[Outcome]]) -> list[Comparison]:
    """Every pair of settings on every slice and measure, with Holm's correction over all of them."""
    raw: list[Comparison] = []
    for part in SLICES:
        places = [place for place, case in enumerate(cases) if case.slice == part]
        if not places:
            continue
        for before, after in combinations(found, 2):
            for name in ("right", "out_of_date"):
                pair = [[_holds(cases[place], found[one][place], name) for place in places] for one in (before, after)]
                difference = paired_bootstrap(*([float(value) for value in values] for values in pair))
                raw.append(Comparison(part, name, before, after, difference, mcnemar_exact(*pair).p))
    steps = holm({str(place): one.p for place, one in enumerate(raw)})
    return [
        Comparison(**{**vars(one), "adjusted": steps[str(place)].adjusted, "differs": steps[str(place)].rejected})
        for place, one in enumerate(raw)
    ]


def _holds(case: Case, outcome: Outcome, measure_name: str) -> bool:
    """Whether the measure counts this answer."""
    return is_right(case, outcome) if measure_name == "right" else outcome == "out_of_date"


@dataclass(frozen=True)
class TimelinessGuard:
    """Passes when the bounds of the intervals show that a setting is fresh, seldom out of date, and refuses rightly.

    Attributes:
        fresh: what the lower bound of FreshHit must reach (DMM-Gov's certificate: .75 to .85).
        out_of_date: what the upper bound of out-of-date use on answerable questions must not pass.
        refusal: what the lower bound of correct refusal must reach.
        confidence: of the intervals.
    """

    fresh: float = 0.75
    out_of_date: float = 0.10
    refusal: float = 0.75
    confidence: float = CONFIDENCE

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "timeliness"

    def judge(self, case: tuple[Timeliness, str]) -> Verdict:
        """Decide on one setting of a measurement; a slice that was not asked, or too little, makes it escalate."""
        measured, setting = case
        answerable, unanswerable = (measured.score(setting, part) for part in SLICES)
        if answerable is None or unanswerable is None:
            missing = "answerable" if answerable is None else "unanswerable"
            reason = f"no {missing} question was asked in the setting {setting}: nothing shows how it fares; ask some"
            return Verdict(self.name, "escalate", reason)
        stale = answerable.outcomes["out_of_date"]
        checks = (
            ("fresh_hit", answerable.right, self.fresh, True),
            ("out_of_date", stale, self.out_of_date, False),
            ("correct_refusal", unanswerable.right, self.refusal, True),
        )
        scores: list[Score] = []
        words: list[str] = []
        found: set[Decision] = set()
        for name, share, threshold, at_least in checks:
            held = wilson(share.count, share.n, confidence=self.confidence)
            bound = held.low if at_least else held.high
            told = f"{name} {share.count} of {share.n}, bound {bound:.3f}, "
            told += f"{'at least' if at_least else 'at most'} {threshold:.3f} is asked for"
            if not (bound >= threshold if at_least else bound <= threshold):
                enough = self._needed(threshold, at_least)
                against = held.high < threshold if at_least else held.low > threshold
                few = share.n < enough and not against
                found.add("escalate" if few else "block")
                told += f", which takes {enough} questions at least" if few else ""
            scores.append(Score(name, held.value, held.low, held.high, held.n, threshold))
            words.append(told)
        decision: Decision = "block" if "block" in found else "escalate" if found else "pass"
        return Verdict(self.name, decision, f"{setting}: {'; '.join(words)}", tuple(scores))

    def _needed(self, threshold: float, at_least: bool) -> int:
        """The fewest questions of which all must be right for the bound to reach the threshold."""
        for n in range(1, MOST):
            held = wilson(n if at_least else 0, n, confidence=self.confidence)
            if held.low >= threshold if at_least else held.high <= threshold:
                return n
        return MOST
