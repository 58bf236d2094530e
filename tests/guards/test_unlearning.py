"""Verdicts on forgetting: what is given away blocks, what is too little to show is not passed, a probe finds traces."""

import numpy as np

from guards.unlearning import Extraction, UnlearningGuard, probe


def test_what_only_this_model_gives_away_blocks() -> None:
    found = UnlearningGuard().judge(Extraction([True] + [False] * 39, [False] * 40))
    assert found.decision == "block"


def test_nothing_given_away_passes_with_enough_prompts_alone() -> None:
    assert UnlearningGuard().judge(Extraction([False] * 40, [False] * 40)).decision == "pass"
    assert UnlearningGuard().judge(Extraction([False] * 3, [False] * 3)).decision == "escalate"
    assert UnlearningGuard().judge(Extraction([], [])).decision == "escalate"


def test_what_anybody_can_guess_is_for_a_person() -> None:
    assert UnlearningGuard().judge(Extraction([True] * 9, [True] * 9)).decision == "escalate"


def test_the_probe_finds_a_trace_and_no_trace() -> None:
    draw = np.random.default_rng(1)
    plain, marked = draw.normal(size=(12, 30)), draw.normal(size=(12, 30))
    share, p = probe(marked + 2.0, plain)
    assert share > 0.9
    assert p < 0.01
    share, p = probe(marked, plain)
    assert p > 0.05
