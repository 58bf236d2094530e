"""The figures of a card that come of what every audit asks by code: retrieval, refusal, confidence, tokens, P4."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from guards.calibration import calibrated
from guards.card import Figure
from guards.ranking import doubling_slope, ndcg
from guards.retention import Check, retention
from guards.stats import Interval, bootstrap_mean, wilson
from guards.timeliness import grounded, measure
from pipelines.auditing.asked import Asked, Turn
from pipelines.auditing.card_figures import figure, grounded_figures, setting_figures

BY_CODE = "offline, answered by code: no model words it"
NAMES = {"brier": "Brier", "ace": "ACE", "aurc": "AURC"}
PASSAGE = "confidence: cosine of the first passage, right where it states what holds"
SETTING = "offline"


def asked_figures(asked: Asked, settled: frozenset[int] = frozenset()) -> dict[str, list[Figure]]:
    """Every figure, by family and panel.

    Args:
        asked: what was asked.
        settled: releases whose every changed fact was answered rightly when they were published.
    """
    turns = asked.turns
    sure = confidence_figures(turns)
    spent = _tokens(turns)
    return {
        "groundedness": _grounded(turns),
        "retrieval": _retrieval(turns),
        "sensitivity": _length(turns),
        "timeliness_and_selective": [*_settings(turns), *sure],
        "maintainability": _recalled(asked),
        "efficiency": spent,
        "P3": [*_settings(turns), *_consistency(asked), *(one for one in sure if one.name == "AURC")],
        "P4": _horizon(asked, settled),
        "P5": spent,
    }


def without(figures: Sequence[Figure], measured: Sequence[Figure]) -> list[Figure]:
    """Those whose name is not measured otherwise."""
    names = {one.name for one in measured}
    return [one for one in figures if one.name not in names]


def confidence_figures(turns: Sequence[Turn]) -> list[Figure]:
    """Brier and ACE by slice, and AURC of what is answerable, of the confidence that retrieval states.

    Of what has no answer every passage is wrong: there the figures say how sure the index is of nothing, and a
    risk-coverage curve has no risk to lower.
    """
    found = []
    for which, parts in (("answerable", tuple(NAMES)), ("unanswerable", ("brier", "ace"))):
        kept = [one for one in turns if one.case.slice == which]
        measured = calibrated([one.sure for one in kept], [one.first for one in kept], parts)
        found += [figure(NAMES[key], one, f"{which}; {PASSAGE}") for key, one in measured.items()]
    return found


def _answerable(turns: Sequence[Turn]) -> list[Turn]:
    """The questions that have an answer."""
    return [one for one in turns if one.wanted]


def _retrieval(turns: Sequence[Turn]) -> list[Figure]:
    """How early the passages come that a question asks for, and whether the answer comes of them."""
    kept = _answerable(turns)
    if not kept:
        return []
    gains = bootstrap_mean([ndcg(one.ranks, one.wanted) for one in kept])
    known = wilson(sum(one.right for one in kept), len(kept))
    return [
        figure("recall of known facts", known, BY_CODE),
        figure("nDCG@10", gains, "questions about what holds; passages of the frozen index"),
    ]


def _length(turns: Sequence[Turn]) -> list[Figure]:
    """Whether long passages come later."""
    kept = _answerable(turns)
    slope = doubling_slope([one.words for one in kept], [ndcg(one.ranks, one.wanted) for one in kept])
    return [figure("length slope", slope, "nDCG@10 per doubling of the passage's words")] if slope else []


def _settings(turns: Sequence[Turn]) -> list[Figure]:
    """FreshHit, out-of-date answers and correct refusal."""
    if not turns:
        return []
    measured = measure([one.case for one in turns], {SETTING: [one.said for one in turns]})
    return setting_figures(measured.to_dict(), SETTING, BY_CODE)


def _grounded(turns: Sequence[Turn]) -> list[Figure]:
    """What the answers rest on."""
    rests = grounded([one.said for one in turns])
    return grounded_figures(
        {key: asdict(one) for key, one in rests.items()}, f"{BY_CODE}; the cited fact has the object"
    )


def _tokens(turns: Sequence[Turn]) -> list[Figure]:
    """Tokens that a question costs."""
    counts = [float(one.tokens) for one in turns if one.tokens is not None]
    about = "what the reader is given and the answer; a refused question costs none"
    return [figure("tokens per turn", bootstrap_mean(counts), about, "tokens")] if counts else []


def _recalled(asked: Asked) -> list[Figure]:
    """Which facts in the weights the model goes on with."""
    says = [one.says for one in asked.recalled]
    about = "greedy decoding goes on from the prompt with the object, word for word"
    return [figure("edit success", wilson(sum(says), len(says)), about)] if says else []


def _consistency(asked: Asked) -> list[Figure]:
    """Whether the weights and the index say the same."""
    same = [one.same for one in asked.recalled]
    about = "facts in the weights; their words and the index's answer are the same object"
    return [figure("conflict consistency", wilson(sum(same), len(same)), about)] if same else []


def _horizon(asked: Asked, settled: frozenset[int]) -> list[Figure]:
    """What the index answers about earlier and later batches."""
    placed = [(one, asked.later("index", one.release)) for one in _answerable(asked.turns) if one.release is not None]
    if len({later for _, later in placed}) < 2:
        return []
    kept = retention("recall", [Check(str(n), later, one.right) for n, (one, later) in enumerate(placed)])
    most = max(later for _, later in placed)
    found = []
    if kept.slope is not None:
        about = f"facts in the index, answered by code after 0 to {most} later facts"
        found.append(figure("slope per 100 edits", kept.slope, about))
    again = [one.right for one, later in placed if later and one.release in settled]
    if again:
        about = "facts in the index, all right when they were published, asked again after later facts"
        found.append(figure("long-term retention", wilson(sum(again), len(again)), about))
    return found


def checks_now(recorded: Sequence[Check], asked: Asked) -> list[Check]:
    """Recorded checks of facts in the weights, with what was read of them now.

    That a fact was recalled when it was written is what its gate found; of two checks after equally many edits the
    present one counts.
    """
    found = {(one.fact_id, one.edits_after): one for one in recorded}
    for one in asked.recalled:
        key, later = one.item.fact.id, asked.later("weights", one.item.release)
        found.setdefault((key, 0), Check(key, 0, True))
        found[key, later] = Check(key, later, one.says)
    return list(found.values())


def stated(calibration: Mapping[str, Any]) -> list[Figure]:
    """Brier, ACE and AURC of the model's own certainty, by setting and slice, where it was asked."""
    found = []
    for setting, slices in calibration.items():
        for which, values in slices.items():
            about = f"{which}; confidence: the model's certainty of its words, {setting}"
            found += [figure(NAMES[key], Interval(**values[key]), about) for key in NAMES if key in values]
    return found
