"""Answer: code resolves the question, the model words the answer, its words are checked.

Three settings. *parametric*: the weights alone, with the release's deltas on. *offline*: the release's frozen facts
and index. *online*: the facts of the release's lineage as the ledger holds them now. Where nothing supports an answer
it is "not known".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pipelines.answering.indexing import open_index, statements
from pipelines.answering.oblivion import is_clear, marked
from pipelines.answering.reader import Words, joined, read
from pipelines.answering.reply import CONTEXT_MEMORY, NOT_KNOWN, AnswerPolicy, Reply, Setting
from pipelines.answering.resolve import Resolution, Resolver
from pipelines.answering.wording import Wording
from registry.catalogue import Catalogue
from registry.errors import InputError, UnknownNameError
from registry.forgotten import Tombstones
from registry.home import Home
from registry.records import KnownFact
from registry.text import starts_with_answer

if TYPE_CHECKING:
    from editors.generate import Generation
    from editors.load import LoadedModel
    from editors.rag.index import Index

__all__ = ["AnswerPolicy", "Answerer", "Reply", "ask", "open_answerer"]


@dataclass(frozen=True)
class Answerer:
    """Answers questions about one state of what is known.

    Attributes:
        catalogue: the relations and the aliases.
        facts: every version that is known in that state, whenever it holds.
        index: the retrieval index of that state, or its folder; None resolves without one.
        loaded: the model with the state's deltas on, or what loads it when it is first needed; None has no model.
        policy: the thresholds.
        release: number of the release, None outside of one.
        home: where the sentence encoder lies; the default home otherwise.
        forgotten: what was forgotten in this home; nothing is asked of the weights about it.
    """

    catalogue: Catalogue
    facts: Sequence[KnownFact]
    index: "Index | Path | None"
    loaded: "LoadedModel | Callable[[], LoadedModel] | None"
    policy: AnswerPolicy = field(default_factory=AnswerPolicy)
    release: int | None = None
    home: Home | None = None
    forgotten: Tombstones = field(default_factory=Tombstones)

    @cached_property
    def resolver(self) -> Resolver:
        """Finds the fact that a question asks for."""
        index = self.index
        if isinstance(index, Path):
            index = open_index(self.home or Home.default(), index)
        return Resolver(self.catalogue, self.facts, index, self.policy.meaning)

    @cached_property
    def wording(self) -> Wording:
        """Turns facts into what the model is given."""
        return Wording(self.catalogue, self.facts, self.policy.reader.examples)

    @cached_property
    def model(self) -> "LoadedModel | None":
        """The model, loaded at the first use."""
        return self.loaded() if callable(self.loaded) else self.loaded

    def ask(self, question: str, setting: str = "offline", as_of: date | None = None) -> Reply:
        """Answer one question; see `ask_many`."""
        return self.ask_many([question], setting, as_of)[0]

    def ask_many(self, questions: Sequence[str], setting: str = "offline", as_of: date | None = None) -> list[Reply]:
        """Answer questions, in their order; the model is asked in batches.

        Args:
            questions: in words; begun sentences ("The capital of France is") serve as well.
            setting: "parametric", "offline" or "online".
            as_of: the day for questions that name none; today by default.

        Raises:
            InputError: a question is empty, or the weights are asked and there is no model.
            UnknownNameError: there is no such setting.
        """
        if setting not in get_args(Setting):
            raise UnknownNameError("setting", setting, get_args(Setting))
        if any(not question.strip() for question in questions):
            raise InputError("a question in words", "an empty text", "ask something")
        found = self.resolver.resolve_many(questions, as_of or datetime.now(UTC).date())
        resolved = [marked(one, self.forgotten, self.catalogue) for one in found]
        if setting == "parametric":
            return self._from_weights(resolved)
        return self._from_facts(resolved, setting)

    def _from_weights(self, resolved: Sequence[Resolution]) -> list[Reply]:
        """Answers of the weights alone."""
        if not resolved:
            return []
        if self.model is None:
            raise InputError("a model for the parametric setting", "none", "give one, or ask offline")
        clear = [number for number, one in enumerate(resolved) if is_clear(one)]
        said = dict(zip(clear, self._say([self._bare_prompt(resolved[number]) for number in clear]), strict=True))
        return [
            self._judged(one, said[number])
            if number in said
            else self._reply(one, "parametric", NOT_KNOWN, known=False, why=f"the weights were not asked: {one.why}")
            for number, one in enumerate(resolved)
        ]

    def _judged(self, one: Resolution, words: "Generation") -> Reply:
        """The reply to what the weights said: supported by a fact in them, or sure enough, or not known."""
        facts = one.facts if self._in_weights(one) else ()
        agrees = starts_with_answer(words.text, self._accepted(one)) if facts else None
        sure = bool(words.text) and words.certainty >= self.policy.certainty
        if agrees:
            why = "the weights say it, and a fact that was written into them supports it"
        elif facts:
            why = f"the weights do not say what was written into them ({facts[0].fact.object})"
        elif sure:
            why = "the weights say it; no fact that was written into them supports it"
        else:
            why = "the weights are unsure, and no fact that was written into them supports an answer"
        known = bool(agrees) or (sure and not facts)
        return self._reply(
            one,
            "parametric",
            words.text if known else NOT_KNOWN,
            facts=facts if agrees else (),
            known=known,
            said=(words.text, agrees, words.certainty),
            why=f"{why} ({one.why})" if one.why else why,
        )

    def _from_facts(self, resolved: Sequence[Resolution], setting: str) -> list[Reply]:
        """Answers that facts support."""
        found = [number for number, one in enumerate(resolved) if one.status == "found"]
        worded = dict(zip(found, self._worded([resolved[number] for number in found]), strict=True))
        replies = []
        for number, one in enumerate(resolved):
            if number not in worded:
                replies.append(self._reply(one, setting, NOT_KNOWN, known=False, why=one.why))
                continue
            words, by = worded[number]
            said = None if words is None else (words.said, words.agrees, words.certainty)
            text = ", ".join(self.wording.answer(item, one) for item in one.facts) if words is None else words.text
            replies.append(
                self._reply(one, setting, text, facts=one.facts, said=said, known=True, why=f"{one.why}; {by}")
            )
        return replies

    def _worded(self, found: Sequence[Resolution]) -> list[tuple[Words | None, str]]:
        """The words of every resolved question, and whose they are."""
        if not found or self.model is None:
            return [(None, "the object itself, no model was asked") for _ in found]
        own = [number for number, one in enumerate(found) if self._in_weights(one)]
        done: dict[int, tuple[Words | None, str]] = {}
        for number, words in zip(own, self._say([self._bare_prompt(found[number]) for number in own]), strict=True):
            if starts_with_answer(words.text, self._accepted(found[number])):
                memory = found[number].facts[0].memory
                kept = Words(words.text, words.text, True, words.certainty)
                done[number] = (kept, f"in the words of the weights ({memory}), without any context")
        rest = [number for number in range(len(found)) if number not in done]
        readings = {number: self.wording.readings(found[number]) for number in rest}
        flat = [reading for number in rest for reading in readings[number]]
        words_of = iter(read(self.model, flat, self.policy.reader))
        for number in rest:
            done[number] = joined([next(words_of) for _ in readings[number]])
        return [done[number] for number in range(len(found))]

    def _say(self, prompts: Sequence[str]) -> "list[Generation]":
        """What the weights say to each prompt, without any context."""
        from editors.generate import generate

        if not prompts or self.model is None:
            return []
        return generate(self.model.model, self.model.tokenizer, prompts, max_new_tokens=self.policy.max_new_tokens)

    def _bare_prompt(self, one: Resolution) -> str:
        """What the weights are asked: the relation's cloze prompt about the subject."""
        return self.wording.prompt(one.relation or "", one.subject or "")

    def _in_weights(self, one: Resolution) -> bool:
        """Whether the one fact that a question asks for was written into the weights."""
        return len(one.facts) == 1 and not one.reversed and one.facts[0].memory != CONTEXT_MEMORY

    def _accepted(self, one: Resolution) -> tuple[str, ...]:
        """Every way of writing the answer that counts as right."""
        return tuple(form for item in one.facts for form in self.catalogue.answers(self.wording.answer(item, one)))

    def _reply(
        self,
        one: Resolution,
        setting: str,
        text: str,
        *,
        known: bool,
        why: str,
        facts: tuple[KnownFact, ...] = (),
        said: tuple[str, bool | None, float] | None = None,
    ) -> Reply:
        """A reply in this state."""
        words, agrees, certainty = said if said is not None else (None, None, None)
        return Reply(one.question, text, setting, known, facts, words, agrees, self.release, one.day, certainty, why)


def open_answerer(
    home: Home, setting: str = "offline", release: str | int | None = None, known_at: datetime | None = None
) -> Answerer:
    """The answerer of a release; its model is put together when it is first needed.

    Args:
        home: where the release lies.
        setting: "online" takes the facts of the release's lineage as the ledger holds them now, everything else the
            release's own snapshot.
        release: number or alias; the champion by default.
        known_at: only what was recorded up to this moment; the champion is then the one of that moment.

    Raises:
        InputError: there is no such release, nothing was published by then, or it was pruned; the message then names
            those beside it that are kept and the checkpoint that holds its weights.
        IntegrityError: the snapshot or the index is not as recorded.
    """
    from pipelines.releasing.rebuild import rebuild
    from pipelines.settings import Settings
    from registry.artifacts import checked
    from registry.facts import FactStore, read_snapshot, view
    from registry.ledger import Ledger
    from registry.pruning import PruningStore
    from registry.releases import ReleaseStore

    settings = Settings.load()
    with Ledger.open(home) as ledger:
        store = ReleaseStore(ledger)
        forgotten = Tombstones.of(ledger)
        asked = ""
        if release is None:
            release = "champion" if known_at is None else store.champion_at(known_at)
            asked = "" if known_at is None else f", which answered at {known_at.isoformat(timespec='seconds')}"
        chosen = PruningStore(ledger).kept(release, asked)
        index = open_index(home, checked(home.snapshots, chosen.index_snapshot))
        if setting == "online":
            facts = view(FactStore(ledger).events(store.lineage(chosen.number)), known_at=known_at)
            index = index.extended(statements(settings.catalogue, facts))
        else:
            facts = view(read_snapshot(checked(home.snapshots, chosen.facts_snapshot)), known_at=known_at)
    policy = settings.policy.answer
    load = partial(rebuild, home, chosen)
    return Answerer(settings.catalogue, facts, index, load, policy, chosen.number, home, forgotten)


def ask(
    home: Home,
    question: str,
    *,
    setting: str = "offline",
    release: str | int | None = None,
    as_of: date | None = None,
    known_at: datetime | None = None,
) -> Reply:
    """Answer one question from a release of this home.

    Args:
        home: the folder of all state.
        question: in words.
        setting: "parametric", "offline" or "online".
        release: number or alias; the champion by default.
        as_of: the day for a question that names none; today by default, or the day of `known_at`.
        known_at: answer as this system would have at that moment, from what it had recorded by then.

    Raises:
        InputError: the question is empty, or there is no such setting, release or day.
        IntegrityError: model, snapshot or index are not as recorded.
    """
    if not question.strip():
        raise InputError("a question in words", "an empty text", "ask something")
    if setting not in get_args(Setting):
        raise UnknownNameError("setting", setting, get_args(Setting))
    if as_of is not None and not isinstance(as_of, date):
        raise InputError("a day such as 2024-05-01", repr(as_of), "give a date")
    if as_of is None and known_at is not None:
        as_of = known_at.date()
    return open_answerer(home, setting, release, known_at).ask(question, setting, as_of)
