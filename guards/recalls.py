"""What an agent retrieved for a question, and what a guard found about it (guards/memories.py)."""

from dataclasses import dataclass, replace
from typing import Literal

from guards.base import Verdict
from guards.copies import NEAR_COPY
from guards.divergence import TAU, Divergence
from guards.excerpts import Cut
from guards.lessons import Lesson
from guards.paths import Path

Rule = Literal["", "instruction", "trigger", "lesson", "divergence", "judge", "quorum", "unclear", "cut"]
"""What speaks against a memory; empty for one that is kept, "cut" for one of which only a part may be used."""
USED: tuple[Rule, ...] = ("", "cut")
"""The rules of memories that are used, whole or in part."""


@dataclass(frozen=True)
class Memory:
    """One memory as it was retrieved.

    Attributes:
        id: by which the caller knows it.
        text: its words.
        source: who wrote it, or where it was observed.
        url: where it says so.
        action: what it led to, or what it says the answer is; empty where only the text tells.
        triple: subject, relation and object, where it is a fact.
    """

    id: str
    text: str
    source: str = ""
    url: str = ""
    action: str = ""
    triple: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Recall:
    """A question, what was retrieved for it, and what the agent is about to do.

    Attributes:
        query: the question or task.
        memories: best first.
        action: proposed; empty where nothing is proposed yet.
    """

    query: str
    memories: tuple[Memory, ...]
    action: str = ""


@dataclass(frozen=True)
class MemoryPolicy:
    """Thresholds of `MemoryGuard`.

    Attributes:
        tau: highest S_div of a memory that is kept.
        trust: least trust behind a memory's end: 3 is three weak sources, or an established or authoritative one.
        about: cosine with the question from which a memory is about the same matter, and votes on it.
        trigger_words: shortest run of words, shared letter by letter, that may be a trigger; two must mean something.
        phrase: how many words that mean something a trigger has that speaks against every memory that holds it.
        related: least cosine between question and memory without the shared runs.
        same_question: share of the question's words from which shared runs are the question itself and no trigger.
        near_copy: overlap from which two texts are one (guards/copies.py).
        strangers: whether sources that nobody listed may carry an end together, where no listed one says the same.
    """

    tau: float = TAU
    trust: float = 3.0
    about: float = 0.8
    trigger_words: int = 3
    phrase: int = 4
    related: float = 0.25
    same_question: float = 0.75
    near_copy: float = NEAR_COPY
    strangers: bool = True


@dataclass(frozen=True)
class Weighed:
    """One memory with what was found.

    Attributes:
        memory: the memory.
        path: its reasoning path.
        rule: what speaks against it; empty when it is kept.
        words: why, for a person.
        divergence: its S_div with what stands for and against it.
        related: cosine with the question without shared runs of words; 1 where there are none.
        matter: whether it is about the question itself.
        text: what of its text may be used; empty where nothing may be.
        cut: the sentences that were left out of it.
    """

    memory: Memory
    path: Path
    rule: Rule
    words: str
    divergence: Divergence
    related: float
    matter: bool
    text: str = ""
    cut: tuple[Cut, ...] = ()


@dataclass(frozen=True)
class Review:
    """What the guard made of a recall.

    Attributes:
        items: every memory, in the order of the recall.
        lesson: what speaks against the proposed action; None when nothing does.
        verdict: on the proposed action, or on whether anything may be relied on.
    """

    items: tuple[Weighed, ...]
    lesson: Lesson | None
    verdict: Verdict

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the memories that may be relied on as they stand, best first."""
        return tuple(item.memory.id for item in self.items if not item.rule)

    @property
    def usable(self) -> tuple[Memory, ...]:
        """The memories that may be relied on, best first, each with that part of its text that may be used."""
        return tuple(replace(item.memory, text=item.text) for item in self.items if item.rule in USED)
