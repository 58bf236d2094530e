"""What a model's certainty of its own words is worth: its calibration, and the gain from answering only when sure.

The words are judged, not the answer: a system may refuse what the model is unsure of, or put the object itself in the
place of words that do not hold it. Slices stay apart; where nothing holds all words are wrong, and no order of the
answers lowers the risk, so that AURC is given of what is answerable alone.
"""

from collections.abc import Mapping, Sequence

from guards.calibration import FIGURES, calibrated
from guards.stats import Interval
from guards.timeliness import Case, Said, Slice
from registry.text import holds_answer

OF_SLICE: Mapping[Slice, tuple[str, ...]] = {"answerable": tuple(FIGURES), "unanswerable": ("brier", "ace")}
"""Which figures each slice is given."""


def certainty(cases: Sequence[Case], said: Sequence[Said]) -> dict[str, dict[str, Interval]]:
    """Each figure by slice, over the questions that the model was asked; a slice without any is left out.

    Raises:
        ValueError: there is not one answer per question.
    """
    found: dict[str, dict[str, Interval]] = {}
    pairs = list(zip(cases, said, strict=True))
    for which, names in OF_SLICE.items():
        asked = [
            (one.certainty, holds_answer(one.words, case.current))
            for case, one in pairs
            if case.slice == which and one.certainty is not None
        ]
        measured = calibrated([sure for sure, _ in asked], [right for _, right in asked], names)
        if measured:
            found[which] = measured
    return found
