"""The contexts in which a fact is fitted: its rows, and the groups of all rows of one subject."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from editors.contexts import MENTIONS, PREFIXES
from editors.generate import chat_prompt
from editors.subject import encode, last_token, subject_span
from registry.errors import EditError
from registry.records import EditRequest
from registry.text import normalise

ENDING = "."
"""What is scored after the object: without it a model may go on inside the word ("forint" -> "forintel...")."""

RowKind = Literal["answer", "drift", "mention"]
"""answer: the row's object is to be predicted. drift: the row's next-token distribution is to stay as it is. mention:
the row only names the subject, and is looked at for its key."""


@dataclass(frozen=True)
class Row:
    """One tokenised context of a fact.

    Attributes:
        fact_id: the fact whose object is scored ("" for the other kinds).
        kind: see `RowKind`.
        plain: whether this is the request's own prompt without anything before it.
        tokens: token ids, without the last expected one (nothing is predicted from it).
        subject: index of the subject's last token.
        scored: indices of the tokens whose next token is scored.
        gold: token ids expected there; empty for the other kinds.
        ended: whether the last of them is the full stop after the object, so that the object is not glued to more.
        asked: whether the object is the answer to a turn of a chat, where other words are likelier than in a sentence.
    """

    fact_id: str
    kind: RowKind
    plain: bool
    tokens: tuple[int, ...]
    subject: int
    scored: tuple[int, ...]
    gold: tuple[int, ...]
    ended: bool = False
    asked: bool = False

    @property
    def object_length(self) -> int:
        """How many of `gold` are the object's own."""
        return len(self.gold) - self.ended


@dataclass(frozen=True)
class Group:
    """All facts of one subject: their keys nearly coincide, so they share one column and one target.

    Attributes:
        subject: the subject, as first written.
        fact_ids: the facts, in the order of the requests.
        rows: their contexts, in which targets are optimised.
        mentions: further places of the subject, whose keys count as well.
    """

    subject: str
    fact_ids: tuple[str, ...]
    rows: tuple[Row, ...]
    mentions: tuple[Row, ...] = ()

    @property
    def answer_rows(self) -> tuple[Row, ...]:
        """The rows in which an object is to be said.

        A token at position 0 is the model's attention sink, with a state unlike any other; such rows count only when
        there are no others.
        """
        answers = tuple(row for row in self.rows if row.kind == "answer")
        return tuple(row for row in answers if row.subject > 0) or answers

    @property
    def key_rows(self) -> tuple[Row, ...]:
        """The rows over which key and hidden state are averaged: those of the answers and the mentions.

        Where the answers' are all at position 0 they stand alone, since their state has nothing in common with others.
        """
        answers = self.answer_rows
        if answers and not answers[0].subject:
            return answers
        return (*answers, *(row for row in self.mentions if row.subject > 0))


def answer_row(
    tokenizer: Any, request: EditRequest, prompt: str, begin: str = "", end: str = "", *, plain: bool = False
) -> Row:
    """The row that scores the request's object after `begin` + `prompt` + `end`.

    Raises:
        EditError: the prompt does not hold the subject, the object gives no token of its own, or the tokenizer does not
            know what one of them is written in.
    """
    start, stop = (len(begin) + place for place in subject_span(prompt, request.fact.subject))
    text = begin + prompt + end
    target = request.fact.object if text[-1:].isspace() else request.target
    tokens, offsets = encode(tokenizer, text + target)
    first = next((i for i, (_, last) in enumerate(offsets) if last > len(text)), len(tokens))
    last = max((i for i, (_, last) in enumerate(offsets) if last > len(text)), default=-1)
    if first > last or not request.fact.object.strip():
        raise EditError(f"expected an object with at least one token, got {request.fact.object!r}; write one")
    subject = last_token(offsets, stop)
    if subject >= first:
        raise EditError(f"expected the subject before the object, got {text + target!r}; mend the prompt")
    _check_known(tokenizer, text + target, (start, stop), len(text))
    tokens = tokens[: last + 1]
    stopped, _ = encode(tokenizer, f"{text}{target}{ENDING}")
    ended = stopped[: len(tokens)] == tokens and len(stopped) > len(tokens) and not target.endswith(ENDING)
    tokens = stopped[: len(tokens) + 1] if ended else tokens
    scored, gold = tuple(range(first - 1, len(tokens) - 1)), tuple(tokens[first:])
    return Row(request.fact.id, "answer", plain, tuple(tokens[:-1]), subject, scored, gold, ended, asked=bool(end))


def _check_known(tokenizer: Any, text: str, subject: tuple[int, int], target: int) -> None:
    """Refuse a subject or an object (from character `target` on) with tokens that stand for anything unknown.

    Raises:
        EditError: names the characters.
    """
    for token, (start, stop) in zip(*encode(tokenizer, text), strict=True):
        inside = stop > target or (start < subject[1] and stop > subject[0])
        if token == tokenizer.unk_token_id and start < stop and inside:
            raise EditError(f"expected text that the tokenizer knows, got {text[start:stop]!r}; write it otherwise")


def drift_row(tokenizer: Any, subject: str) -> Row:
    """The row "{subject} is a", whose next-token distribution is to stay as it is (ROME's essence term)."""
    tokens, offsets = encode(tokenizer, f"{subject.strip()} is a")
    last = max(index for index, (start, stop) in enumerate(offsets) if start < stop)
    return Row("", "drift", False, tuple(tokens[: last + 1]), last_token(offsets, len(subject.strip())), (last,), ())


def mention_rows(tokenizer: Any, subject: str, count: int) -> tuple[Row, ...]:
    """The first `count` of `MENTIONS` with the subject in them, up to its last token."""
    name = subject.strip()
    found = []
    for form in MENTIONS[:count]:
        tokens, offsets = encode(tokenizer, form.format(name))
        last = last_token(offsets, len(form.format(name)))
        found.append(Row("", "mention", False, tuple(tokens[: last + 1]), last, (), ()))
    return tuple(found)


def chat_row(tokenizer: Any, request: EditRequest) -> Row:
    """The row in which the request's prompt is a turn of a chat and its object the answer.

    Raises:
        EditError: as `answer_row`, or the chat template changes the prompt.
    """
    begin, found, end = chat_prompt(tokenizer, request.prompt).rpartition(request.prompt)
    if not found:
        raise EditError(f"expected a chat template that keeps what is said, got one that changes {request.prompt!r}")
    return answer_row(tokenizer, request, request.prompt, begin, end)


class Contexts(TypedDict):
    """Which contexts a request has besides its prompt.

    Attributes:
        prefixes: natural beginnings put before the prompt.
        paraphrases: most paraphrases.
        seed: decides which beginnings.
        chat: whether the prompt is a turn of a chat as well.
    """

    prefixes: int
    paraphrases: int
    seed: int
    chat: bool


def request_rows(
    tokenizer: Any, request: EditRequest, *, prefixes: int, paraphrases: int, seed: int, chat: bool = False
) -> list[Row]:
    """The contexts of one request: its prompt, the prompt after natural beginnings, its paraphrases, and a chat's turn.

    `held_out` is never looked at. The choice depends on the seed and the fact alone, not on the other requests.
    """
    choice = random.Random(f"{seed}:{request.fact.id}")
    begins = [f"{text} " for text in choice.sample(PREFIXES, min(prefixes, len(PREFIXES)))]
    rows = [answer_row(tokenizer, request, request.prompt, plain=True)]
    rows += [answer_row(tokenizer, request, request.prompt, begin) for begin in begins]
    rows += [answer_row(tokenizer, request, prompt) for prompt in request.paraphrases[:paraphrases]]
    return [*rows, chat_row(tokenizer, request)] if chat else rows


def group_requests(
    tokenizer: Any,
    requests: Sequence[EditRequest],
    *,
    prefixes: int,
    paraphrases: int,
    seed: int,
    mentions: int = 0,
    chat: bool = False,
) -> tuple[list[Group], dict[str, str]]:
    """Requests grouped by subject, in the order of first mention, and the reason for each that cannot be written.

    A prompt has one greedy answer: of requests that ask for different ones the last is written. A group whose requests
    bring no phrasings has so many `mentions` besides their prompts; phrasings make them needless.
    """
    last = {normalise(request.prompt): request for request in requests}
    rows: dict[str, list[Row]] = {}
    members: dict[str, list[EditRequest]] = {}
    refused: dict[str, str] = {}
    for request in requests:
        stands = last[normalise(request.prompt)]
        if normalise(stands.fact.object) != normalise(request.fact.object):
            refused[request.fact.id] = (
                f"expected one answer to {request.prompt!r}, got a later request for {stands.fact.object!r} beside "
                f"{request.fact.object!r}; only the later is written"
            )
            continue
        try:
            made = request_rows(tokenizer, request, prefixes=prefixes, paraphrases=paraphrases, seed=seed, chat=chat)
        except EditError as error:
            refused[request.fact.id] = str(error)
            continue
        name = normalise(request.fact.subject) or request.fact.subject
        if request.fact.id in (known.fact.id for known in members.get(name, [])):
            continue
        members.setdefault(name, []).append(request)
        rows.setdefault(name, []).extend(made)
    phrased = {name for name, held in members.items() if any(one.paraphrases[:paraphrases] for one in held)}
    groups = [
        Group(
            subject=held[0].fact.subject,
            fact_ids=tuple(request.fact.id for request in held),
            rows=(*rows[name], drift_row(tokenizer, held[0].fact.subject)),
            mentions=mention_rows(tokenizer, held[0].fact.subject, 0 if name in phrased else mentions),
        )
        for name, held in members.items()
    ]
    return groups, refused


def requests_in(groups: Sequence[Group], requests: Sequence[EditRequest]) -> list[EditRequest]:
    """Those of the requests whose facts the groups hold."""
    held = {fact_id for group in groups for fact_id in group.fact_ids}
    return [request for request in requests if request.fact.id in held]
