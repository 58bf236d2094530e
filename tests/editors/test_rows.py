"""The contexts in which a fact is fitted, as tokens."""

from copy import deepcopy
from typing import Any

import pytest

from editors.contexts import MENTIONS, PREFIXES
from editors.generate import chat_prompt
from editors.rows import Row, answer_row, chat_row, drift_row, group_requests, mention_rows, request_rows
from registry.errors import EditError
from registry.records import EditRequest, Fact

TURNS = (
    "{{ bos_token }}{% for turn in messages %}[{{ turn.role }}] {{ turn.content }}\n{% endfor %}{{ '[assistant]\\n' }}"
)


def make(subject: str, prompt: str, value: str = "Paris", **more: Any) -> EditRequest:
    return EditRequest(Fact(subject, more.pop("relation", "capital"), value), "ADD", prompt, (value,), **more)


def end_of(tokenizer: Any, row: Row) -> str:
    return str(tokenizer.decode(row.tokens[: row.subject + 1]))


@pytest.mark.parametrize(
    ("subject", "prompt"),
    [
        ("France", "The capital of France is"),
        ("France", "France is ruled from"),
        ("Côte d'Ivoire", "The capital of Côte d'Ivoire is"),
        ("東京都", "首都は 東京都 の"),
        ("Ελλάδα", "Στην Ελλάδα, πρωτεύουσα"),
        ("New York", "New York, New York is in the state of"),
        ("🏔️ Peak", "The 🏔️ Peak is in"),
        ("Xqzw-77", "Where Xqzw-77's seat is:"),
    ],
)
@pytest.mark.parametrize("begin", ["", "It is known. ", "首. "])
def test_the_text_up_to_the_subjects_token_ends_with_the_subject(
    tiny_llama: Any, subject: str, prompt: str, begin: str
) -> None:
    row = answer_row(tiny_llama.tokenizer, make(subject, prompt), prompt, begin)
    text = end_of(tiny_llama.tokenizer, row)
    assert text.startswith(begin)
    assert subject in text
    rest = tiny_llama.tokenizer.decode(row.tokens[row.subject + 1 :])
    assert text + rest + tiny_llama.tokenizer.decode([row.gold[-1]]) == begin + prompt + " Paris."
    assert tiny_llama.tokenizer.decode(row.tokens[: row.subject]) != text


def test_a_start_token_shifts_the_index_and_nothing_else(tiny_llama: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    marked = deepcopy(tiny_llama.tokenizer)
    marked.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    item = make("France", "The capital of France is")
    plain, other = (answer_row(t, item, item.prompt) for t in (tiny_llama.tokenizer, marked))
    assert (other.subject, other.gold) == (plain.subject + 1, plain.gold)
    assert other.tokens == (0, *plain.tokens)


def test_scored_positions_predict_the_object(tiny_llama: Any) -> None:
    item = make("France", "The capital of France is", "Porto Novo")
    row = answer_row(tiny_llama.tokenizer, item, item.prompt)
    full = tiny_llama.tokenizer(item.prompt + item.target + ".")["input_ids"]
    assert [full[i + 1] for i in row.scored] == list(row.gold)
    assert tiny_llama.tokenizer.decode(row.gold) == " Porto Novo."
    assert tiny_llama.tokenizer.decode(row.gold[: row.object_length]) == " Porto Novo"
    assert row.tokens == tuple(full[:-1])


def test_an_object_that_ends_with_a_full_stop_gets_no_second_one(tiny_llama: Any) -> None:
    item = make("France", "The capital of France is", "St. X.")
    row = answer_row(tiny_llama.tokenizer, item, item.prompt)
    assert (row.ended, row.object_length) == (False, len(row.gold))
    assert tiny_llama.tokenizer.decode(row.gold) == " St. X."


def test_the_drift_row_scores_its_last_token_only(tiny_llama: Any) -> None:
    row = drift_row(tiny_llama.tokenizer, "New York")
    assert tiny_llama.tokenizer.decode(row.tokens) == "New York is a"
    assert end_of(tiny_llama.tokenizer, row) == "New York"
    assert row.scored == (len(row.tokens) - 1,)


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_object_is_refused(tiny_llama: Any, value: str) -> None:
    with pytest.raises(EditError, match="at least one token"):
        answer_row(tiny_llama.tokenizer, make("France", "France is", value), "France is")


def test_contexts_are_prompt_beginnings_and_paraphrases_and_never_held_out(tiny_llama: Any) -> None:
    item = make(
        "Chad", "The capital of Chad is", paraphrases=("Chad has capital", "In Chad it is"), held_out=("Of Chad",)
    )
    rows = request_rows(tiny_llama.tokenizer, item, prefixes=3, paraphrases=1, seed=0)
    texts = [tiny_llama.tokenizer.decode(row.tokens) for row in rows]
    assert len(rows) == 1 + 3 + 1
    assert [row.plain for row in rows] == [True, False, False, False, False]
    assert all(any(text.startswith(prefix) for prefix in PREFIXES) for text in texts[1:4])
    assert texts[4].startswith("Chad has capital")
    assert not any("Of Chad" in text for text in texts)


def test_the_choice_of_beginnings_depends_on_seed_and_fact_alone(tiny_llama: Any) -> None:
    one, two = make("Chad", "In Chad is"), make("Mali", "In Mali is")
    tokenizer = tiny_llama.tokenizer

    def rows(requests: list[EditRequest], seed: int) -> dict[str, tuple[Row, ...]]:
        groups, _ = group_requests(tokenizer, requests, prefixes=3, paraphrases=0, seed=seed)
        return {group.subject: group.rows for group in groups}

    assert rows([one, two], 0)["Chad"] == rows([one], 0)["Chad"] == rows([two, one], 0)["Chad"]
    assert rows([one], 0) != rows([one], 1)


def test_facts_of_one_subject_share_a_group_and_a_repeat_counts_once(tiny_llama: Any) -> None:
    capital = make("Chad", "The capital of Chad is")
    money = make("CHAD", "The money of Chad is", "franc", relation="currency")
    bad = make("Mali", "no subject here")
    groups, refused = group_requests(
        tiny_llama.tokenizer, [capital, bad, money, capital], prefixes=0, paraphrases=0, seed=0
    )
    assert [group.fact_ids for group in groups] == [(capital.fact.id, money.fact.id)]
    assert [row.kind for row in groups[0].rows] == ["answer", "answer", "drift"]
    assert list(refused) == [bad.fact.id]


def test_rows_at_position_0_count_as_keys_only_when_there_are_no_others(tiny_llama: Any) -> None:
    tokenizer = tiny_llama.tokenizer
    name = "a"
    assert len(tokenizer(name)["input_ids"]) == 1
    first = make(name, f"{name} is in", paraphrases=(f"The {name} is in",))
    groups, _ = group_requests(tokenizer, [first], prefixes=0, paraphrases=1, seed=0)
    assert [row.subject > 0 for row in groups[0].key_rows] == [True]
    groups, _ = group_requests(tokenizer, [first], prefixes=0, paraphrases=0, seed=0)
    assert [row.subject for row in groups[0].key_rows] == [0]


def test_mentions_name_the_subject_in_different_places_and_are_cut_at_it(tiny_llama: Any) -> None:
    tokenizer = tiny_llama.tokenizer
    rows = mention_rows(tokenizer, " Burkina Faso ", len(MENTIONS))
    texts = [end_of(tokenizer, row) for row in rows]
    assert texts == [tokenizer.decode(tokenizer(form.format("Burkina Faso"))["input_ids"]) for form in MENTIONS]
    assert all(row.subject == len(row.tokens) - 1 and not row.scored for row in rows)
    assert mention_rows(tokenizer, "Chad", 0) == ()


def test_mentions_count_as_keys_and_never_as_contexts_of_a_target(tiny_llama: Any) -> None:
    request = make("Chad", "The capital of Chad is")
    groups, _ = group_requests(tiny_llama.tokenizer, [request], prefixes=1, paraphrases=0, seed=0, mentions=4)
    (group,) = groups
    assert not any(row.kind == "mention" for row in (*group.rows, *group.answer_rows))
    named = [row for row in group.key_rows if row.kind == "mention"]
    assert named == [row for row in mention_rows(tiny_llama.tokenizer, "Chad", 4) if row.subject > 0] != []
    assert set(group.key_rows) == {*group.answer_rows, *named}


def test_a_subject_with_phrasings_of_its_own_needs_no_mentions(tiny_llama: Any) -> None:
    request = make("Chad", "The capital of Chad is", paraphrases=("In Chad the capital is",))

    def mentions(paraphrases: int) -> int:
        groups, _ = group_requests(
            tiny_llama.tokenizer, [request], prefixes=0, paraphrases=paraphrases, seed=0, mentions=4
        )
        return len(groups[0].mentions)

    assert (mentions(1), mentions(0)) == (0, 4)


def test_a_subject_at_the_very_beginning_alone_has_no_mentions_among_its_keys(tiny_llama: Any) -> None:
    first = make("a", "a is in")
    groups, _ = group_requests(tiny_llama.tokenizer, [first], prefixes=0, paraphrases=0, seed=0, mentions=4)
    assert [row.subject for row in groups[0].key_rows] == [0]


def test_of_requests_for_different_answers_to_one_prompt_the_last_is_written(tiny_llama: Any) -> None:
    requests = [
        make("Atlantis", "The capital of Atlantis is", "Paris"),
        make("Atlantis", "The capital of  atlantis is", "Rome"),
        make("Atlantis", "The river of Atlantis is the", "Nile"),
    ]
    groups, refused = group_requests(tiny_llama.tokenizer, requests, prefixes=0, paraphrases=0, seed=0)
    assert groups[0].fact_ids == (requests[1].fact.id, requests[2].fact.id)
    assert list(refused) == [requests[0].fact.id]
    assert "'Rome'" in refused[requests[0].fact.id]


@pytest.fixture
def chatting(tiny_llama: Any) -> Any:
    """The tokenizer with a chat template that writes the start token out, and puts one before every text by itself."""
    from tokenizers.processors import TemplateProcessing

    found = deepcopy(tiny_llama.tokenizer)
    found.bos_token = "<|endoftext|>"
    found.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    found.chat_template = TURNS
    return found


def test_in_a_chat_the_object_answers_the_prompt_as_the_model_will_be_asked(chatting: Any) -> None:
    item = make("Chad", "The capital of Chad is", "Porto Novo")
    row = chat_row(chatting, item)
    asked = chat_prompt(chatting, item.prompt)
    assert chatting.decode([*row.tokens, row.gold[-1]]) == f"{asked}Porto Novo."
    assert chatting.decode(row.gold[: row.object_length]) == "Porto Novo"
    assert end_of(chatting, row).endswith("Chad")
    assert row.tokens.count(0) == 1
    assert (row.asked, row.plain, row.kind) == (True, False, "answer")
    assert [(*row.tokens, row.gold[-1])[place + 1] for place in row.scored] == list(row.gold)


def test_without_a_template_the_prompt_is_a_question_and_the_object_its_answer(tiny_llama: Any) -> None:
    bare = deepcopy(tiny_llama.tokenizer)
    bare.chat_template = None
    row = chat_row(bare, make("Chad", "The capital of Chad is"))
    assert bare.decode([*row.tokens, row.gold[-1]]) == "Question: The capital of Chad is\nAnswer: Paris."
    assert bare.decode(row.gold) == " Paris."


def test_a_template_that_changes_what_is_said_is_refused(chatting: Any) -> None:
    chatting.chat_template = TURNS.replace("turn.content", "turn.content | upper")
    with pytest.raises(EditError, match="keeps what is said"):
        chat_row(chatting, make("Chad", "The capital of Chad is"))


def test_the_chats_turn_is_a_context_only_where_it_is_asked_for(chatting: Any) -> None:
    item = make("Chad", "The capital of Chad is", paraphrases=("Chad has capital",))
    numbers: dict[str, Any] = {"prefixes": 1, "paraphrases": 1, "seed": 0}
    assert [row.asked for row in request_rows(chatting, item, **numbers)] == [False] * 3
    assert [row.asked for row in request_rows(chatting, item, **numbers, chat=True)] == [*[False] * 3, True]
    (group,), _ = group_requests(chatting, [item], **numbers, chat=True)
    assert sum(row.asked for row in group.key_rows) == 1
