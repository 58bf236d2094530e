"""What a release answers by code alone, how early its index has the passage, and what its weights go on with.

Whether an answer from facts is right is decided by code; how the model words it costs a hundred times as much and
changes nothing of it. So a sample is asked of every audit: the questions are resolved without a model, the index ranks
its passages for each, the tokenizer counts what the reader would be given. Facts in the weights are read once, prompt
and object together: greedy decoding says the object just when each of its tokens is the likeliest one there.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from typing import TYPE_CHECKING

from editors.rag.index import Hit, Index
from guards.ranking import CUT
from guards.timeliness import Case, Said
from pipelines.answering.indexing import ENCODER
from pipelines.auditing.leakage_ask import read
from pipelines.auditing.timeliness import drawn, said_of
from pipelines.route import RAG
from registry.catalogue import Catalogue
from registry.errors import DmmGovError
from registry.home import Home
from registry.records import KnownFact, Release
from registry.text import holds_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.answer import Answerer
    from pipelines.answering.reply import Reply

RECALLED = 8
"""Facts in the weights that are read at most, drawn by seed."""
NEWER = 0.5
"""Share of the answerable questions that ask what releases after the first one brought."""


@dataclass(frozen=True)
class Searched(Index):
    """An index that remembers what it found, so that nothing is encoded twice.

    Attributes:
        found: the first passages by query.
    """

    found: Mapping[str, Sequence[Hit]] = field(default_factory=dict)

    def search(self, query: str, k: int, *, allow: Collection[str] | None = None) -> list[Hit]:
        """As of `Index`."""
        if allow is None and k <= CUT and query in self.found:
            return list(self.found[query][:k])
        return super().search(query, k, allow=allow)


@dataclass(frozen=True)
class Turn:
    """One question.

    Attributes:
        case: the question, with what is right.
        said: what code answers.
        wanted: how many passages state what holds on the day.
        ranks: at which of the first ten places such passages stand, from 1.
        sure: cosine of the first passage with the question, 0 to 1.
        words: of the shortest passage that is wanted; 0 where none is.
        release: which release brought what holds; None where nothing does, or it is not in the index alone.
        tokens: of what the reader is given and of the answer; 0 where it is refused, None without a tokenizer.
    """

    case: Case
    said: Said
    wanted: int
    ranks: tuple[int, ...]
    sure: float
    words: int
    release: int | None
    tokens: int | None = None

    @property
    def first(self) -> bool:
        """Whether the first passage states what holds."""
        return 1 in self.ranks

    @property
    def right(self) -> bool:
        """Whether code answers what holds, or refuses where nothing does."""
        if not self.case.current:
            return not self.said.known
        return self.said.known and holds_answer(self.said.text, self.case.current)


@dataclass(frozen=True)
class Recalled:
    """One fact in the weights.

    Attributes:
        item: the fact.
        says: whether greedy decoding goes on from its prompt with the object, word for word.
        same: whether, besides, code answers its question with that object from the index.
    """

    item: KnownFact
    says: bool
    same: bool


@dataclass(frozen=True)
class Asked:
    """What was asked of a release.

    Attributes:
        turns: the questions.
        recalled: facts in the weights; nothing where the model was not at hand.
        batches: how many facts of the index and of the weights ("index", "weights") came with which release.
        problem: why nothing was asked; empty where something was.
    """

    turns: tuple[Turn, ...] = ()
    recalled: tuple[Recalled, ...] = ()
    batches: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    problem: str = "nobody asked"

    def later(self, memory: str, release: int) -> int:
        """How many facts of a memory came after a release."""
        return sum(count for number, count in self.batches.get(memory, {}).items() if number > release)


def ask(
    home: Home, release: Release, day: date, *, count: int, loaded: "LoadedModel | None" = None, seed: int = 0
) -> Asked:
    """Ask a sample of a release by code, and read the facts in its weights.

    What cannot be opened is told as a problem: a card says so, and is written all the same. Nothing is fetched for it.

    Args:
        home: where it lies.
        release: which release.
        day: the day asked for.
        count: how many questions.
        loaded: its model; without one no tokens are counted and no weights are read.
        seed: of the draw.
    """
    from pipelines.answer import open_answerer
    from pipelines.running.models import is_pulled

    if not is_pulled(home, ENCODER):
        return Asked(problem=f"the sentence encoder is not on this machine; `dmmgov models pull {ENCODER}` fetches it")
    try:
        answerer = replace(open_answerer(home, "offline", release.number), loaded=None)
        turns = turns_of(answerer, day, count, loaded=loaded, seed=seed)
        recalled = recall(answerer, loaded, day, seed=seed) if loaded is not None else ()
    except (DmmGovError, OSError) as error:
        return Asked(problem=str(error))
    return Asked(turns, recalled, batches_of(answerer.facts), "" if turns else "nothing is known to be asked about")


def batches_of(known: Sequence[KnownFact]) -> dict[str, dict[int, int]]:
    """How many facts of the index and of the weights came with which release."""
    found: dict[str, dict[int, int]] = {}
    for memory in ("index", "weights"):
        counts = Counter(item.release for item in known if (item.memory == RAG) == (memory == "index"))
        found[memory] = dict(sorted(counts.items()))
    return found


def turns_of(
    answerer: "Answerer", day: date, count: int, *, loaded: "LoadedModel | None" = None, seed: int = 0
) -> tuple[Turn, ...]:
    """Questions about what each later release brought, then about the rest, answered by code.

    Args:
        answerer: without a model; without an index no passage is found.
        day: the day asked for.
        count: how many questions.
        loaded: whose tokenizer counts.
        seed: of the draw.
    """
    known, catalogue = answerer.facts, answerer.catalogue
    newer = frozenset(item.release for item in known) - {min((item.release for item in known), default=0)}
    asked = drawn(known, catalogue, day, count, first=newer, share=NEWER, seed=seed) if known else ()
    questions = [one.case.question for one in asked]
    found: list[list[Hit]] = [[] for _ in questions]
    if (index := answerer.resolver.index) is not None:
        found = index.search_many(questions, CUT)
        answerer = replace(answerer, index=Searched(**vars(index), found=dict(zip(questions, found, strict=True))))
    replies = answerer.ask_many(questions, "offline", day)
    tokens = turn_tokens(answerer, loaded, replies)
    turns = []
    for one, reply, hits, size in zip(asked, replies, found, tokens, strict=True):
        holding = [item for item in one.about if item.fact.holds_on(day)]
        turns.append(_turn(one.case, holding, said_of(reply, catalogue), hits, catalogue, size))
    return tuple(turns)


def _turn(
    case: Case,
    holding: Sequence[KnownFact],
    said: Said,
    hits: Sequence[Hit],
    catalogue: Catalogue,
    tokens: int | None,
) -> Turn:
    """One question, with the places of its passages."""
    wanted = {item.fact.id for item in holding}
    ranks = tuple(place for place, hit in enumerate(hits, 1) if hit.fact_id in wanted)
    words = min((len(catalogue.statement(item.fact).split()) for item in holding), default=0)
    brought = {item.release for item in holding} if all(item.memory == RAG for item in holding) else set()
    sure = min(1.0, max(0.0, hits[0].cosine)) if hits else 0.0
    return Turn(case, said, len(wanted), ranks, sure, words, min(brought, default=None), tokens)


def turn_tokens(answerer: "Answerer", loaded: "LoadedModel | None", replies: "Sequence[Reply]") -> list[int | None]:
    """Tokens of what the reader is given for each reply, and of its answer; 0 where there is none.

    Raises:
        UnknownNameError: the policy names no known form of the reader.
    """
    if loaded is None:
        return [None for _ in replies]
    from pipelines.answering.reader import FORMS
    from pipelines.answering.resolve import Resolution

    form, tokenizer = FORMS[answerer.policy.reader.form], loaded.tokenizer
    counts: list[int | None] = []
    for reply in replies:
        texts: list[str] = []
        if reply.known:
            asked = Resolution(reply.question, "found", reply.as_of, facts=reply.provenance)
            for reading in answerer.wording.readings(asked):
                texts += [form(tokenizer, reading), f" {reading.case.answer}"]
        counts.append(sum(map(len, tokenizer(texts, verbose=False)["input_ids"])) if texts else 0)
    return counts


def recall(answerer: "Answerer", loaded: "LoadedModel", day: date, *, seed: int = 0) -> tuple[Recalled, ...]:
    """Which facts in the weights the model goes on with, and which of them code answers alike from the index."""
    catalogue = answerer.catalogue
    held = [
        item
        for item in sorted(answerer.facts, key=lambda one: one.fact.id)
        if item.memory != RAG and item.fact.holds_on(day) and item.fact.relation in catalogue.relations
    ]
    chosen = held if len(held) <= RECALLED else Random(seed).sample(held, RECALLED)
    if not chosen:
        return ()
    requests = [catalogue.request(item.fact, "ADD") for item in chosen]
    readings = read(loaded, [one.prompt + one.target for one in requests])
    replies = answerer.ask_many([one.question for one in requests], "offline", day)
    found = []
    for item, request, reading, reply in zip(chosen, requests, readings, replies, strict=True):
        given = len(loaded.tokenizer(request.prompt, verbose=False)["input_ids"])
        says = len(reading.greedy) >= given and all(reading.greedy[given - 1 :])
        found.append(Recalled(item, says, says and reply.known and holds_answer(reply.text, request.answers)))
    return tuple(found)
