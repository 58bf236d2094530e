import pytest

from guards.paths import TextReader, ends_of, of_triple, shared_runs, without


def test_a_facts_path_is_the_fact() -> None:
    path = of_triple("Peru", "capital", "Lima")
    assert path.words == "Peru \u2192 capital \u2192 Lima"
    assert path.ends == {"lima"}
    assert (
        path.then("therefore", "go there").words == "Peru \u2192 capital \u2192 Lima \u2192 therefore \u2192 go there"
    )


def test_a_text_is_read_as_a_chain() -> None:
    path = TextReader()("Who led Atlantis in 1900?", "Mara Quill led Atlantis and was born in Nowhere.")
    assert path.words == "Mara Quill \u2192 led \u2192 Atlantis \u2192 born \u2192 Nowhere"
    assert path.ends == {"mara quill", "nowhere"}


def test_a_text_without_two_entities_has_a_path_all_the_same() -> None:
    assert TextReader()("where is the key", "under the mat").words == "key \u2192 is \u2192 mat"
    assert TextReader()("", "").words == "? \u2192 is \u2192 ?"


@pytest.mark.parametrize(
    ("query", "text", "ends"),
    [
        ("how many episodes are in season 4", "Season 4 of the series has 23 episodes, says Fox.", {"23"}),
        ("how many moons", "It has twelve moons.", {"12"}),
        ("who wrote The Silver Door", "The Silver Door was written by Mara Quill.", {"mara quill"}),
        (
            "where is the mitochondrial matrix",
            "the matrix lies within the inner membrane",
            {"lies", "within", "inner", "membrane"},
        ),
        ("what is it", "it is", set()),
        ("which letter is it like", "Which letter it is like: S.", {"s"}),
        ("who made the mill's wheel", "Nobody's sure, but Quill's wheel doesn't turn.", {"nobodys", "quills"}),
    ],
)
def test_what_a_text_may_answer(query: str, text: str, ends: set[str]) -> None:
    assert ends_of(query, text) == ends


def test_shared_runs_are_maximal_and_can_be_taken_out() -> None:
    query, text = "Is it so, be calm and act now?", "Be calm and act. It rains, is it so"
    assert shared_runs(query, text, 3) == [("be", "calm", "and", "act"), ("is", "it", "so")]
    assert without(text, shared_runs(query, text, 3)) == "it rains"
    assert shared_runs(query, text, 5) == []
