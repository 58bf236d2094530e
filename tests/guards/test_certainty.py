from dataclasses import replace

import pytest

from guards.certainty import certainty
from guards.timeliness import Case, Said

PARIS, NOTHING = Case("Capital of France?", ("Paris",)), Case("Capital of Atlantis?")
RIGHT, WRONG = Said("Paris", True, words="It is Paris", certainty=0.9), Said("Paris", True, words="Rome", certainty=0.2)


def test_words_are_judged_and_not_the_answer_that_code_put_in_their_place() -> None:
    cases, said = [PARIS] * 100, [RIGHT] * 70 + [WRONG] * 30
    honest = certainty(cases, said)["answerable"]
    boasting = certainty(cases, [replace(one, certainty=0.95) for one in said])["answerable"]
    assert honest["brier"].value == pytest.approx(0.7 * 0.01 + 0.3 * 0.04)
    for name in ("brier", "ace", "aurc"):
        assert boasting[name].low > honest[name].high
    assert boasting["aurc"].value == pytest.approx(0.3), "what says nothing has the error rate"


def test_slices_stay_apart_and_what_the_model_was_not_asked_is_left_out() -> None:
    unasked = Said("not known", False)
    sure = Said("not known", False, words="Poseidonis", certainty=0.8)
    found = certainty([PARIS, NOTHING, NOTHING], [RIGHT, sure, unasked])
    assert set(found["answerable"]) == {"brier", "ace", "aurc"}
    assert set(found["unanswerable"]) == {"brier", "ace"}, "a risk of one has no curve"
    assert found["unanswerable"]["brier"].value == pytest.approx(0.64)
    assert found["unanswerable"]["brier"].n == 1
    assert certainty([PARIS, NOTHING], [unasked, unasked]) == {}
    with pytest.raises(ValueError, match="shorter"):
        certainty([PARIS, PARIS], [RIGHT])
