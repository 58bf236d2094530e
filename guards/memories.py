"""Which of the memories that an agent retrieved it may rely on, and what lesson speaks against what it is about to do.

    guard = MemoryGuard(sources, embed)
    review = guard.review(Recall("Where is the depot?", memories, action="the harbour"))
    review.usable, review.kept, review.lesson, review.verdict

A-MemGuard (arXiv 2510.02373) checks a memory against the paths of those retrieved with it, and so needs most of them to
be honest. Here each memory is asked, in this order; the first that speaks against it is its reason:

    instruction   does its text give orders to the reader? (questions logged with their outcome do not) Of a passage
                  the sentences that do are left out, and the rest goes on ("cut" where it passes; guards/excerpts.py)
    trigger       is it still about the question without the words that it shares with it letter by letter, and free
                  of a phrase that fetched another memory which is not?
                  (AgentPoison, arXiv 2407.12784: poison is found by a phrase, not by its matter)
    lesson        was this end found false for this matter before?
    divergence    does more independent trust speak against its end than `tau` allows? (guards/divergence.py)
    judge         does the optional judge (a language model, by configuration) call its path inconsistent?
    quorum        is there enough independent trust behind its end? One vote a source, copies are one.
    unclear       could it, written by a stranger, mean other things than the one that a listed source says clearly?

The proposed action passes when a kept memory about the question ends in it, or when none of them ends otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol

from guards.admission import SHOWN_CHARS
from guards.base import Decision, Score, Verdict
from guards.divergence import Divergence, Voice, divergences
from guards.excerpts import Excerpt, beside, excerpt, orders_in, statements
from guards.lessons import Embed, Lesson, Lessons, consult
from guards.origins import Statement, independent
from guards.paths import Path, PathReader, TextReader, of_triple
from guards.recalls import USED, Memory, MemoryPolicy, Recall, Review, Rule, Weighed
from guards.sources import Sources, Tier
from guards.triggers import fetched, stripped
from registry.text import normalise

__all__ = ["Memory", "MemoryGuard", "MemoryPolicy", "PathJudge", "Recall", "Review", "Weighed", "lesson_of"]


class PathJudge(Protocol):
    """A judge of paths, such as a language model; optional, and never the only check."""

    def __call__(self, query: str, paths: Sequence[str]) -> Sequence[bool]:
        """For every path whether it is consistent with the others and safe."""
        ...


@dataclass(frozen=True)
class MemoryGuard:
    """Reviews retrieved memories; everything that needs a model is handed in.

    Attributes:
        sources: who is trusted how far; records may have lowered it (guards/reliability.py).
        embed: makes vectors of texts, local.
        lessons: what was found false before.
        policy: thresholds.
        reader: reads the path of a text.
        judge_of_paths: optional further judge; one that fails keeps nothing.
        orders: what in a text that would be used is an instruction, in words; empty for none.
        passages: what of a passage may be used for a question, before `orders` sees it.
    """

    sources: Sources
    embed: Embed
    lessons: Lessons = field(default_factory=Lessons)
    policy: MemoryPolicy = field(default_factory=MemoryPolicy)
    reader: PathReader = field(default_factory=TextReader)
    judge_of_paths: PathJudge | None = None
    orders: Callable[[str], str] = orders_in
    passages: Callable[[str, str], Excerpt] = excerpt
    name: str = "memories"

    def judge(self, case: Recall) -> Verdict:
        """The verdict of `review`."""
        return self.review(case).verdict

    def review(self, case: Recall, at: date | None = None) -> Review:
        """Weigh every memory, and then the proposed action.

        Args:
            case: question, memories, action.
            at: the day of the act, for lessons that expire; today by default.
        """
        at = at or date.today()
        excerpts = [self._excerpt(case.query, memory) for memory in case.memories]
        whole = case.memories
        case = replace(case, memories=tuple(map(_in_part, whole, excerpts)))
        paths = [self._path(case.query, memory) for memory in case.memories]
        related, matter = self._relations(case)
        first = [
            self._alone(case.query, memory, read, path, near, at)
            for memory, read, path, near in zip(case.memories, excerpts, paths, related, strict=True)
        ]
        phrases = fetched(case, [rule == "trigger" for rule, _ in first], self.policy)
        first = [each if each[0] or not phrase else _by(phrase) for each, phrase in zip(first, phrases, strict=True)]
        far = self._divergences(case, paths, matter, first)
        problem, calls = self._judged(case.query, paths)
        items = []
        for place, memory in enumerate(whole):
            rule, words = first[place]
            if not rule:
                rule, words = self._together(far[place], calls[place])
            read = excerpts[place]
            if not rule and read.cut:
                rule, words = "cut", f"without {_quoted(read)}, and memories are data"
            seen = far[place], related[place], matter[place]
            text = "" if rule not in USED else read.text
            items.append(Weighed(memory, paths[place], rule, words, *seen, text, read.cut))
        lesson = consult(self.lessons, case.query, {normalise(case.action)} - {""}, at, self.embed)
        return Review(tuple(items), lesson, self._verdict(case, items, lesson, problem))

    def _excerpt(self, query: str, memory: Memory) -> Excerpt:
        """What of a memory's text may be used; a fact, and one that led to an action, is used whole or not at all."""
        passage = not memory.action and memory.triple is None
        read = self.passages(query, memory.text) if passage else Excerpt(memory.text)
        if read.problem or (passage and self.orders is orders_in):
            return read  # what is left was looked at by the same rules, and at the threshold of a passage
        order = self.orders(beside(query, statements(read.text) if memory.action else read.text))
        return Excerpt("", read.cut, order) if order else read

    def _path(self, query: str, memory: Memory) -> Path:
        """A fact's own path, or the one read in its text, which goes on to the action that it led to."""
        path = of_triple(*memory.triple) if memory.triple else self.reader(query, memory.text)
        return path.then("therefore", memory.action) if memory.action else path

    def _relations(self, case: Recall) -> tuple[list[float], list[bool]]:
        """Per memory its cosine with the question without a trigger, and whether it is about the question itself."""
        if not case.memories:
            return [], []
        texts = [case.query]
        pairs: list[tuple[int, int] | None] = []
        for memory in case.memories:
            rest = stripped(case.query, memory.text, self.policy)
            pairs.append((len(texts) + 1, len(texts) + 2) if rest else None)
            texts += [memory.text, *rest]
        vectors: Any = self.embed(texts)
        related, matter, place = [], [], 1
        for pair in pairs:
            related.append(float(vectors[pair[0]] @ vectors[pair[1]]) if pair else 1.0)
            matter.append(float(vectors[0] @ vectors[place]) >= self.policy.about)
            place += 3 if pair else 1
        return related, matter

    def _alone(
        self, query: str, memory: Memory, read: Excerpt, path: Path, related: float, at: date
    ) -> tuple[Rule, str]:
        """What speaks against a memory whatever the others say."""
        if read.problem:
            return "instruction", f"its text holds {read.problem}, and memories are data"
        if related < self.policy.related:
            words = f"without the words that both share it is about something else than the question ({related:.2f}"
            return "trigger", f"{words}, {self.policy.related:.2f} needed)"
        about = " \u2192 ".join(memory.triple[:2]) if memory.triple else memory.text if memory.action else query
        lesson = consult(self.lessons, about, path.ends, at, self.embed)
        if lesson is not None:
            return "lesson", f"{lesson.object} was found false on {lesson.learned_at.date()} ({lesson.reason})"
        return "", ""

    def _divergences(
        self, case: Recall, paths: Sequence[Path], matter: Sequence[bool], first: Sequence[tuple[Rule, str]]
    ) -> list[Divergence]:
        """S_div per memory: among those about the question together, each of the others by itself.

        A memory that something else speaks against has no voice.
        """
        voices = []
        origins = self._origins(case.memories, paths)
        for place, memory in enumerate(case.memories):
            tier = None if first[place][0] else self._tier(memory)
            voices.append(Voice(tier, {end: origins[place, end] for end in paths[place].ends}))
        together = [place for place, here in enumerate(matter) if here]
        found = dict(zip(together, divergences([voices[place] for place in together]), strict=True))
        return [found[place] if place in found else divergences([voice])[0] for place, voice in enumerate(voices)]

    def _origins(self, memories: Sequence[Memory], paths: Sequence[Path]) -> dict[tuple[int, str], int]:
        """Per memory and end the independent source; only statements that end alike are copies of one another."""
        found: dict[tuple[int, str], int] = {}
        for end in {end for path in paths for end in path.ends}:
            places = [place for place, path in enumerate(paths) if end in path.ends]
            statements = [Statement(memories[one].source, memories[one].url, memories[one].text) for one in places]
            for number, group in enumerate(independent(statements, self.sources, self.policy.near_copy)):
                found.update({(places[one], end): number for one in group})
        return found

    def _tier(self, memory: Memory) -> Tier | None:
        found = self.sources.find(memory.source, memory.url)
        return found.tier if found.votes else None

    def _judged(self, query: str, paths: Sequence[Path]) -> tuple[str, list[bool]]:
        """What the optional judge calls consistent; a judge that fails calls nothing so."""
        if self.judge_of_paths is None:
            return "", [True] * len(paths)
        try:
            calls = [bool(call) for call in self.judge_of_paths(query, [path.words for path in paths])]
        except Exception as error:
            return f"the judge did not run ({type(error).__name__}: {error})", [False] * len(paths)
        if len(calls) != len(paths):
            return f"the judge gave {len(calls)} calls for {len(paths)} paths", [False] * len(paths)
        return "", calls

    def _together(self, far: Divergence, call: bool) -> tuple[Rule, str]:
        """What speaks against a memory beside the others."""
        if far.value > self.policy.tau:
            words = f"trust {far.against:g} speaks against it and {far.trust:g} for it"
            return "divergence", f"{words} (S_div {far.value:.2f} over {self.policy.tau:.2f})"
        if not call:
            return "judge", "the judge does not call its path consistent"
        if far.end and far.trust < self.policy.trust:
            return (
                "quorum",
                f"independent trust of {far.trust:g} stands behind it, where {self.policy.trust:g} is needed",
            )
        if far.end and not far.listed and not self.policy.strangers:
            return "quorum", "only sources that nobody listed stand behind it, which carry nothing by themselves here"
        if far.clearer:
            return "unclear", f"a listed source says {far.end}, and it could mean that or something else"
        return "", "kept"

    def _verdict(self, case: Recall, items: Sequence[Weighed], lesson: Lesson | None, problem: str) -> Verdict:
        """On the action: a lesson or a kept memory that ends otherwise blocks it, nothing to rely on escalates it."""
        kept = [item for item in items if item.rule in USED]
        about = [item for item in kept if item.matter and item.path.ends]
        worst = max((item.divergence.value for item in kept), default=0.0)
        total = len(items)
        share = len(kept) / total if total else 0.0
        scores = (
            Score("kept", share, share, share, total),
            Score("divergence", worst, worst, worst, len(kept), self.policy.tau),
        )
        decision: Decision
        wanted = normalise(case.action)
        if lesson is not None:
            decision, words = "block", f"{lesson.object} was found false before ({lesson.reason}); revise the action"
        elif problem:
            decision, words = "escalate", f"{problem}; a person has to decide"
        elif not kept:
            decision, words = "escalate", "none of the memories may be relied on; act without them or ask a person"
        elif wanted and about and not any(wanted in item.path.ends for item in about):
            best = max(about, key=lambda item: item.divergence.trust)
            decision, words = "block", f"memory {best.memory.id} says {best.divergence.end}; revise the action"
        else:
            decision, words = "pass", f"{len(kept)} of {total} memories may be relied on"
        dropped = tuple((item.rule, f"{item.memory.id}: {item.words}") for item in items if item.rule)
        return Verdict(self.name, decision, words, scores, dropped)


def _by(phrase: str) -> tuple[Rule, str]:
    """What speaks against a memory that came by a trigger."""
    return "trigger", f'the words "{phrase}" fetched a memory about something else too'


def _in_part(memory: Memory, read: Excerpt) -> Memory:
    """A memory with what of its text may be used; one of which nothing may be is looked at as it is."""
    return replace(memory, text=read.text) if read.cut and read.text else memory


def _quoted(read: Excerpt) -> str:
    """What was left out of a passage, shortened, and why."""
    first, more = read.cut[0], len(read.cut) - 1
    shown = first.text if len(first.text) <= SHOWN_CHARS else f"{first.text[:SHOWN_CHARS]}\u2026"
    return f'"{shown}"{f" and {more} more" if more else ""} ({first.words})'


def lesson_of(query: str, item: Weighed, reason: str, at: datetime) -> Lesson:
    """The lesson that a memory found false leaves: the matter, its end, why, and who had said it.

    Args:
        query: the question for which it was found.
        item: the memory.
        reason: how it was found false, in words.
        at: when (a datetime with its zone).
    """
    memory = item.memory
    if memory.triple is not None:
        subject, relation, end = memory.triple
        return Lesson(subject, relation, end, reason, memory.source or memory.url, at)
    end = memory.action or item.divergence.end or ", ".join(sorted(item.path.ends))
    return Lesson(query, "therefore", end, reason, memory.source or memory.url, at)
