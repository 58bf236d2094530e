import math

import pytest

from guards.consistency import ConsistencyGuard, TwoAnswers
from guards.entropy import EntropyCase, EntropyGuard, generation_entropy, ngram_entropy


def test_entropy_is_low_where_a_text_repeats_itself() -> None:
    # By hand: "a b a b" has the pairs ab, ba, ab (2/3, 1/3) and the triples aba, bab (a half each).
    pairs = -(2 / 3) * math.log2(2 / 3) - (1 / 3) * math.log2(1 / 3)
    assert ngram_entropy("a b a b", 2) == pytest.approx(pairs)
    assert generation_entropy("a b a b") == pytest.approx((2 / 3 * pairs + 4 / 3 * 1.0) / 2)
    assert generation_entropy("no no no no no no") == 0.0 == generation_entropy("")
    words = " ".join(f"word{n}" for n in range(50))
    assert generation_entropy(words) == pytest.approx((2 / 3 * math.log2(49) + 4 / 3 * math.log2(48)) / 2)


def written(repeated: int, count: int = 8) -> list[str]:
    """Texts of forty words, the last `repeated` of which are one and the same."""
    return [
        " ".join([*(f"w{number}x{n}" for n in range(40 - repeated)), *["again"] * repeated]) for number in range(count)
    ]


def test_a_model_that_repeats_itself_fails_on_entropy() -> None:
    guard = EntropyGuard(0.5)
    same = guard.judge(EntropyCase(written(0), written(0)))
    assert (same.decision, dict(same.evidence)["equivalent"]) == ("pass", "yes")
    worse = guard.judge(EntropyCase(written(0), written(20)))
    assert (worse.decision, dict(worse.evidence)["equivalent"]) == ("block", "not shown")
    assert guard.p_value(EntropyCase(written(0), written(20))) > 0.9
    assert guard.judge(EntropyCase(written(20), written(0))).decision == "pass", "a gain is no loss"
    assert guard.judge(EntropyCase(written(0, 3), written(0, 3))).decision == "escalate"
    assert guard.judge(EntropyCase(written(0), written(0)[:-1])).decision == "escalate"


def test_memories_that_contradict_each_other_block() -> None:
    agreed = [TwoAnswers(f"q{n}", "x", "x", True) for n in range(40)]
    guard = ConsistencyGuard(0.97)
    assert guard.judge(agreed).decision == "pass"
    bad = guard.judge([*agreed[:5], TwoAnswers("Whose?", "mine", "yours", False)])
    assert bad.decision == "block"
    assert "'Whose?': 'mine' and 'yours'" in bad.explanation
    assert guard.judge([]).decision == "escalate"
