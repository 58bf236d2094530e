"""Recheck: the gates on weights out of which something was taken, without anything new in them.

What must not move is what the base model knows, as it was when the facts were written: the base is asked first, and the
same is asked of the changed model, together with the prompts of the facts that are left in its weights. What only the
edit that leaves had made right is no loss.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from guards.base import Verdict
from guards.family import judge_family
from guards.fluency import FluencyCase
from guards.observations import Observation
from pipelines.guard import strictest
from pipelines.judging.declare import run_policy
from pipelines.judging.final import read_texts
from pipelines.judging.probing import Asker, Question, edit_questions, sure, untouched_questions
from pipelines.route import RAG
from pipelines.workplace import Workplace
from registry.artifacts import checked
from registry.errors import InputError
from registry.progress import track
from registry.records import EditRequest, KnownFact


@dataclass(frozen=True)
class Recheck:
    """What was asked of the base model, and will be asked again.

    Attributes:
        asker: what the base model said.
        taken: requests of the facts that leave.
        held: requests of all facts in the parent's weights, by fact id.
        untouched: what must not move; all of it was right before.
        read: likelihood of the running text, by the base model.
        hidden: what the model shall not say any more.
    """

    asker: Asker
    taken: tuple[EditRequest, ...]
    held: dict[str, EditRequest]
    untouched: tuple[Question, ...]
    read: tuple[tuple[float, int], ...]
    hidden: tuple[EditRequest, ...] = ()

    @classmethod
    def before(cls, place: Workplace, taken: Sequence[KnownFact], hidden: Sequence[EditRequest] = ()) -> "Recheck":
        """Ask the base model what must not move around the facts that will leave the weights.

        Args:
            place: where the model is.
            taken: facts that leave the weights.
            hidden: what the model shall not say any more; it is nothing that must stay.
        """
        from editors.load import load_model
        from pipelines.running.models import resolve

        settings, probes = place.settings, place.settings.policy.probes
        held = {item.fact.id: request for item in place.known if (request := _request(place, item)) is not None}
        leaving = tuple(held[item.fact.id] for item in taken if item.fact.id in held)
        asker = Asker(load_model(resolve(place.home, place.model)))
        with track("ask what must not move"):
            count = probes.untouched  # as many as when it was written: fewer could not show what a gate asks for
            written = (*held.values(), *hidden)  # the draw is that of a run which writes all of them
            drawn = untouched_questions(place.current, written, written, settings.catalogue, probes, count, asker)
            untouched = sure([item for item in drawn if item.fact_id not in held], asker)
        return cls(asker, leaving, held, tuple(untouched), read_texts(place, asker.loaded, True), tuple(hidden))

    def after(self, place: Workplace, gone: Collection[str]) -> list[Verdict]:
        """The gates on the model as it is now; none where its weights are the base model's own.

        Whether an edit works is asked of the facts that are left in the weights; where there are none, what was written
        there only hides, and it works where the model does not say what it shall not.

        Args:
            place: where the model is.
            gone: ids of the facts that left the weights.
        """
        if not place.deltas:
            return []
        left = [request for key, request in self.held.items() if key not in gone]
        now = Asker(place.loaded)
        questions = [*edit_questions(left), *self.untouched]
        with track("ask again"):
            said = now.now(questions)
        seen = [item.seen(self.asker.before.get(item.prompt, ""), said[item.prompt]) for item in questions]
        seen += () if left else self._hidden(now)
        policy = run_policy(place.settings.policy.gates, quick=True)
        fluency = FluencyCase(self.read, read_texts(place, place.loaded, True))
        tier = strictest(request.risk_tier for request in left or self.hidden)
        return list(judge_family(seen, policy, tier, fluency=fluency).verdicts)

    def _hidden(self, now: Asker) -> list[Observation]:
        """Whether the model keeps quiet about what it shall not say: another answer is the right one here."""
        questions = edit_questions(self.hidden)
        self.asker.remember(questions)
        said, before = now.now(questions), self.asker.before
        seen = [item.seen(before[item.prompt], said[item.prompt]) for item in questions]
        return [replace(one, before=not one.before, after=not one.after) for one in seen]

    def companions(self, place: Workplace, gone: Collection[str]) -> list[str]:
        """Facts of the parent's weights that were written in one batch with a fact that is gone, and are not yet."""
        from editors import read_delta

        assert place.origin is not None, "what leaves the weights was published"
        batches = [read_delta(checked(place.home.deltas, digest)).fact_ids for digest in place.origin.deltas]
        return [key for ids in batches if set(ids) & set(gone) for key in ids if key not in gone]

    def says(self, place: Workplace) -> dict[str, str]:
        """What the model answers now to the own prompts of the facts that left, by fact id."""
        questions = [Question("efficacy", item.fact.id, item.prompt, item.answers) for item in self.taken]
        said = Asker(place.loaded).now(questions)
        return {item.fact_id: said[item.prompt] for item in questions}


def _request(place: Workplace, item: KnownFact) -> EditRequest | None:
    """The request of a fact in the weights; none of one in the index, or whose prompt was its feed's own."""
    if item.memory == RAG:
        return None
    try:
        return place.settings.catalogue.request(item.fact, "ADD")
    except InputError:
        return None
