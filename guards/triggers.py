"""Phrases by which poison is found: runs of words that stand letter by letter in the question and in a memory.

AgentPoison (arXiv 2407.12784) writes memories about anything with a phrase that its author also brings into questions.
Without the shared words such a memory is about something else; and a phrase that fetched one memory about something
else is a trigger in every memory that holds it, also in one that is close to the question by chance, unless that memory
is the question itself.
"""

from collections.abc import Sequence

from guards.paths import content, shared_runs, without
from guards.recalls import Memory, MemoryPolicy, Recall
from registry.text import normalise


def suspects(query: str, text: str, policy: MemoryPolicy) -> list[tuple[str, ...]]:
    """The runs of words that a memory shares with the question and that may be a trigger."""
    shared = shared_runs(query, text, policy.trigger_words)
    return [run for run in shared if len(content(" ".join(run))) > 1]


def stripped(query: str, text: str, policy: MemoryPolicy) -> tuple[str, ...]:
    """Question and memory without the runs that they share, where these may be a trigger.

    They are the question itself, and no trigger, where they make up most of what it says.
    """
    runs = suspects(query, text, policy)
    left, whole = len(content(without(query, runs))), len(content(query))
    rest = without(text, runs)
    if not runs or not content(rest) or left <= (1 - policy.same_question) * whole:
        return ()
    return without(query, runs), rest


def fetched(case: Recall, found: Sequence[bool], policy: MemoryPolicy) -> list[str]:
    """Per memory the phrase in it by which another one came that is about something else; empty for none.

    Args:
        case: the recall.
        found: per memory whether it is about something else without the words that it shares with the question.
        policy: thresholds.
    """
    phrases = {
        " ".join(run)
        for memory, far in zip(case.memories, found, strict=True)
        for run in (suspects(case.query, memory.text, policy) if far else ())
        if len(content(" ".join(run))) >= policy.phrase
    }
    return [_held(memory, phrases) if stripped(case.query, memory.text, policy) else "" for memory in case.memories]


def _held(memory: Memory, phrases: set[str]) -> str:
    text = f" {normalise(memory.text)} "
    return next((one for one in sorted(phrases) if f" {one} " in text), "")
