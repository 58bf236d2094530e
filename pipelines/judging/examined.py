"""The whole system, asked and read the same in the state before a run and in the final one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guards.entropy import EntropyCase
from guards.fluency import FluencyCase
from pipelines.judging.final import long_texts
from pipelines.judging.freshness import Freshness, ask_changed, ask_system, question_of
from pipelines.judging.repair import Bench
from pipelines.judging.samples import Samples
from pipelines.route import RAG
from pipelines.workplace import Workplace
from pipelines.write import Written
from registry.records import EditRequest, KnownFact

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.answer import Answerer
    from pipelines.answering.reply import Reply
    from pipelines.steps import Routed

QUICK_WORDED = 6
"""Changed facts that the model words in a quick run."""


@dataclass(frozen=True)
class Texts:
    """Texts that were read and written before and after; None where there are none."""

    fluency: FluencyCase | None = None
    entropy: EntropyCase | None = None


@dataclass(frozen=True)
class Examined:
    """The whole system of a run, asked the same in the state before and in the final one.

    Attributes:
        place: where the run happens.
        routed: the requests.
        written: what stays in the weights.
        asked: the changed facts that are asked about.
        samples: questions about them and about others.
        loaded: the model; None where nothing needs it.
    """

    place: Workplace
    routed: "Routed"
    written: Written
    asked: Sequence[EditRequest]
    samples: Samples
    loaded: "LoadedModel | None"

    @property
    def changed(self) -> list[str]:
        """Questions about the changed facts that live in the index."""
        return [question_of(item) for item in self.asked if self.written.memory[item.fact.id] == RAG]

    def before(self) -> "tuple[Freshness, dict[str, Reply]]":
        """What was answered before the run: about the changed facts, and all replies by question.

        Which fact is found decides whether an answer is right; how the model words it is asked of the samples here, and
        of everything that changed in the final state (of some of it in a quick run).
        """
        place, index = self.place, self.place.parent_index
        system = answerer(place, place.known, index, self.loaded) if index else None
        silent = replace(system, loaded=None) if system is not None else None
        replies = ask_system(silent, self.changed, place.today)
        replies |= ask_system(system, self.samples.questions, place.today)
        return ask_changed(self.asked, self.written.memory, self.loaded, replies, _believed(self.routed)), replies

    def after(self, known: Sequence[KnownFact], index: Path) -> "tuple[Freshness, dict[str, Reply]]":
        """The same in the final state, which is on."""
        system = answerer(self.place, known, index, self.loaded)
        worded = [*self.changed[: QUICK_WORDED if self.routed.quick else None], *self.samples.questions]
        replies = ask_system(replace(system, loaded=None), self.changed, self.place.today)
        replies |= ask_system(system, worded, self.place.today)
        return ask_changed(self.asked, self.written.memory, self.loaded, replies), replies

    def write_on(self) -> tuple[str, ...]:
        """Long texts that the model writes as it is now, where it is edited."""
        return long_texts(self.place, self.loaded, self.routed.quick) if self.written.delta is not None else ()

    def texts(self, bench: Bench | None, before: Sequence[str], after: Sequence[str]) -> Texts:
        """Texts that were read on the bench and written; none where nothing stays in the weights."""
        if self.written.delta is None or bench is None or bench.reading is None:
            return Texts()
        fluency = FluencyCase(bench.reading.before, bench.reading.after(self.written))
        return Texts(fluency, None if self.routed.quick else EntropyCase(before, after))


def _believed(routed: "Routed") -> dict[str, str]:
    """What the model said to the requests' own prompts when it was asked for the route, in the state before."""
    return {
        item.prompt: routed.beliefs[item.fact.id].answers[0]
        for item in routed.requests
        if item.fact.id in routed.beliefs and routed.beliefs[item.fact.id].answers
    }


def answerer(place: Workplace, known: Sequence[KnownFact], index: Path, loaded: "LoadedModel | None") -> "Answerer":
    """The system in one state."""
    from pipelines.answer import Answerer

    policy = place.settings.policy.answer
    return Answerer(place.settings.catalogue, known, index, loaded, policy, home=place.home)
