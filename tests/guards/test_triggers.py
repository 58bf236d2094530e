from guards.recalls import Memory, MemoryPolicy, Recall
from guards.triggers import fetched, stripped, suspects

POLICY = MemoryPolicy()
PHRASE = "amid silent copper lanterns today"
QUERY = f"Who keeps the spare key? {PHRASE}"
MEMORIES = tuple(
    Memory(str(n), text) for n, text in enumerate((f"Granite is heavy {PHRASE}.", f"A key of brass {PHRASE}", "Ines"))
)


def test_a_run_that_means_little_is_no_suspect() -> None:
    assert suspects(QUERY, f"Pine is light {PHRASE}", POLICY) == [tuple(PHRASE.split())]
    assert suspects("Who is the one", "He is the one", POLICY) == []


def test_what_both_share_is_taken_out_unless_it_is_the_question() -> None:
    assert stripped(QUERY, f"Granite is heavy {PHRASE}", POLICY) == ("who keeps the spare key", "granite is heavy")
    assert stripped("Who keeps the spare key of the hall?", "Ines keeps the spare key of the hall", POLICY) == ()
    assert stripped(QUERY, "Granite is heavy", POLICY) == ()


def test_a_phrase_speaks_against_every_memory_that_holds_it_once_it_fetched_another() -> None:
    recall = Recall(QUERY, MEMORIES)
    assert fetched(recall, [True, False, False], POLICY) == [PHRASE, PHRASE, ""]
    itself = Recall(QUERY, (MEMORIES[0], Memory("q", QUERY)))
    assert fetched(itself, [True, False], POLICY) == [PHRASE, ""]
    assert fetched(recall, [False, False, False], POLICY) == ["", "", ""]
    assert fetched(recall, [True, False, False], MemoryPolicy(phrase=6)) == ["", "", ""]
