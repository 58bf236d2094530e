from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editors.subject import last_token, subject_span, subject_tokens
from registry.errors import EditError


@pytest.mark.parametrize(
    ("text", "subject", "expected"),
    [
        ("The capital of France is", "France", "France"),
        ("Mali and Malibu: Mali is", "Mali", "Mali"),
        ("The GUINEA road to Guinea-Bissau", "Guinea", "Guinea"),
        ("the eiffel tower is in", "The Eiffel Tower", "the eiffel tower"),
        ("abcabc", "bc", "bc"),
    ],
)
def test_the_span_is_the_last_mention_as_whole_words(text: str, subject: str, expected: str) -> None:
    start, end = subject_span(text, subject)
    assert text[start:end] == expected
    assert start == max(i for i in range(len(text)) if text.startswith(expected, i)) or "Malibu" in text


def test_whole_words_win_over_a_later_part_of_a_word() -> None:
    assert subject_span("Mali borders Malibu", "Mali") == (0, 4)


@pytest.mark.parametrize("subject", ["Atlantis", "", "  "])
def test_a_prompt_without_its_subject_is_refused(subject: str) -> None:
    with pytest.raises(EditError, match="holds its subject"):
        subject_span("The capital of France is", subject)


@given(
    before=st.text(alphabet="abc é東 ", max_size=12),
    subject=st.text(alphabet="XYZé京", min_size=1, max_size=6),
    after=st.text(alphabet="abc ", max_size=12),
)
def test_for_any_text_the_last_token_covers_the_subjects_end(
    tiny_llama: Any, before: str, subject: str, after: str
) -> None:
    text = f"{before} {subject} {after}"
    spans = tiny_llama.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    _, end = subject_span(text, subject)
    index = last_token(spans, end)
    assert spans[index][0] < end <= spans[index][1]
    assert all(start >= end or start == stop for start, stop in spans[index + 1 :])


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(EditError, match="fast tokenizer"):
        subject_tokens(Slow(), "France is", "France")
