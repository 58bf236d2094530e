"""Repair: take facts out of the weights until what is left is answered by the model, and nothing else has moved.

1. *settle*: a fact that the model does not answer by itself, in its own prompt and in every phrasing held out of
   fitting, is taken out.
2. *lighten*: while running text is harder to read than the budget allows, the facts that pull hardest at it are taken
   out (`pipelines.judging.reading`). Only what is left then is held against what must not move.
3. *repair*: a fact whose edit changes another answer about its own subject gives back what it can spare
   (`pipelines.judging.easing`), and is taken out where that does not help; and while a gate on what must not move is
   broken, the facts that cost it most are taken out as well, none that need not go for it to be expected to pass
   (`pipelines.judging.costs`); in the second half of the rounds more go at once, so that they do not run out.

What was taken out lives in the index, with the reason. If nothing is left, nothing is written to the weights.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guards.observations import Observation
from pipelines.judging.costs import Costs, Gate
from pipelines.judging.probing import MUST_STAY, Asker, Question
from pipelines.write import Written, moved_to_index
from registry.progress import track
from registry.text import shortest_answer

if TYPE_CHECKING:
    from pipelines.judging.reading import Reading


@dataclass(frozen=True)
class Repaired:
    """The batch after repair.

    Attributes:
        written: what stays in the weights, and why the rest does not.
        final: observations of what is left.
    """

    written: Written
    final: tuple[Observation, ...]


@dataclass(frozen=True)
class Bench:
    """One batch on the bench: the model, its questions, and the gate that it must pass.

    Attributes:
        asker: asks the model; remembers what it said before.
        edits: questions about the facts of the batch.
        untouched: questions about facts that must not move, all answered rightly before.
        gate: judges what must not move.
        rounds: how often facts may be taken out before everything is.
        reading: running text with its budget; None does not look at it.
    """

    asker: Asker
    edits: Sequence[Question]
    untouched: Sequence[Question]
    gate: Gate
    rounds: int
    reading: "Reading | None" = None

    def repair(self, written: Written) -> Repaired:
        """Settle and repair until the gate passes or nothing is left in the weights.

        A round asks again only what was broken. When the gate passes on that, what was not asked in the final state is
        asked there, what must not move as well as the facts themselves; only that counts.
        """
        written, seen, old = self._settled(written)
        if written.delta is None:
            return Repaired(written, ())
        seen, eased = (*seen, *self.observe(written, self.untouched)), frozenset[str]()
        with track("settle and repair", total=self.rounds) as advance:
            for turn in range(self.rounds):
                advance(1)
                lost = unanswered(seen)
                if tight := set() if lost else self._spoiling(written, seen).keys() - eased:
                    written, eased = self._eased(written, tight, seen), eased | tight
                    seen, old = self._broken_again(written, seen)
                    continue
                sparing = 2 * turn < self.rounds
                reasons = lost or self._spoiling(written, seen) or self._costliest(written, seen, sparing=sparing)
                if not reasons and old:
                    reasons = self._heaviest(written)
                if reasons:
                    written = moved_to_index(written, reasons)
                    if written.delta is None:
                        return Repaired(written, ())
                    seen, old = self._broken_again(written, seen)
                elif old:
                    seen, old = self._asked_again(written, seen, old), frozenset()
                else:
                    return Repaired(written, seen)
        words = f"the batch still broke a gate after {self.rounds} rounds of repair"
        assert written.delta is not None, "an empty delta returns from the loop"
        return Repaired(moved_to_index(written, dict.fromkeys(written.delta.fact_ids, words)), ())

    def _settled(self, written: Written) -> tuple[Written, tuple[Observation, ...], frozenset[str]]:
        """The batch without what it does not say and what running text cannot bear, and what was seen of the rest.

        The third is what was asked in an earlier state of the batch.
        """
        seen, old = self.observe(written, self.edits), frozenset[str]()
        while reasons := unanswered(seen) or self._heaviest(written):
            written = moved_to_index(written, reasons)
            if written.delta is None:
                return written, (), old
            seen, old = self._broken_again(written, seen)
        return written, seen, old

    def _left(self, written: Written) -> list[Question]:
        """The questions about what is left in the weights and about what must not move."""
        held = set(written.delta.fact_ids) if written.delta is not None else set()
        return [*(item for item in self.edits if item.fact_id in held), *self.untouched]

    def _broken_again(
        self, written: Written, seen: Sequence[Observation]
    ) -> tuple[tuple[Observation, ...], frozenset[str]]:
        """What was seen of what is left, with the broken answers asked again; and the prompts of the others."""
        broken = frozenset(item.prompt for item in seen if not item.after)
        again = self._asked_again(written, seen, broken)
        return again, frozenset(item.prompt for item in again) - broken

    def _asked_again(
        self, written: Written, seen: Sequence[Observation], prompts: Collection[str]
    ) -> tuple[Observation, ...]:
        """What was seen of what is left, with some of it asked again."""
        before = {item.prompt: item for item in seen}
        left = [one for one in self._left(written) if one.prompt in before]
        again = {item.prompt: item for item in self.observe(written, [one for one in left if one.prompt in prompts])}
        return tuple(again.get(item.prompt, before[item.prompt]) for item in left)

    def observe(self, written: Written, questions: Sequence[Question]) -> tuple[Observation, ...]:
        """Ask the edited model; the state before is asked once and remembered."""
        self.asker.remember(questions)
        assert written.delta is not None, "only a batch with facts in it is on the bench"
        with written.delta.applied(self.asker.loaded.model):
            after = self.asker.now(questions)
        return tuple(item.seen(self.asker.before[item.prompt], after[item.prompt]) for item in questions)

    def _heaviest(self, written: Written) -> Mapping[str, str]:
        """The facts that pull hardest at running text, with the reason; empty if its budget is kept."""
        return self.reading.heaviest(written) if self.reading is not None else {}

    def _spoiling(self, written: Written, seen: Sequence[Observation]) -> dict[str, str]:
        """The facts whose edits change another answer about their own subject, with the first such answer."""
        assert written.delta is not None, "only a batch with facts in it is on the bench"
        held, beside = set(written.delta.fact_ids), {item.prompt: item.beside for item in self.untouched}
        reasons: dict[str, str] = {}
        for item in seen:
            if not item.after:
                words = f"changes another answer about its subject: {item.prompt!r} gives {item.after_text!r}"
                for fact_id in beside.get(item.prompt, ()):
                    if fact_id in held:
                        reasons.setdefault(fact_id, words)
        return reasons

    def _eased(self, written: Written, fact_ids: Collection[str], seen: Sequence[Observation]) -> Written:
        """The batch in which some facts give back what they can spare."""
        from editors.delta import WeightDelta
        from pipelines.judging.easing import eased

        names = {item.prompt: item.answers for item in self.edits}
        own = [(item, names[item.prompt]) for item in seen if item.prompt in names]
        assert isinstance(written.delta, WeightDelta), "what is on the bench was written into weights"
        delta, shares = eased(self.asker.loaded, written.delta, fact_ids, own)
        effects = {**written.effects, **{one.fact_id: one for one in delta.effects}}
        shares = {name: share * written.eased.get(name, 1.0) for name, share in shares.items()}
        return replace(written, delta=delta, effects=effects, eased={**written.eased, **shares})

    def _costliest(self, written: Written, seen: Sequence[Observation], *, sparing: bool) -> Mapping[str, str]:
        """The facts that cost most of what must not move, with reasons; empty if the gate passes."""
        stay = [item for item in seen if item.kind in MUST_STAY]
        broken_gate = self.gate(stay)
        if broken_gate is None:
            return {}
        broken = sum(not item.after for item in stay)
        return {
            one.fact_id: f"{broken_gate}; leaving it out is expected to bring back {one.back} of {broken} broken "
            f"answers ({one.fewer:.1f} where those nearly broken count in part)"
            for one in self._costs(written, stay).leaving(stay, self.gate, sparing=sparing)
        }

    def _costs(self, written: Written, stay: Sequence[Observation]) -> Costs:
        """What each column of the batch takes from the answers that were given before."""
        from editors.attribution import attribute
        from editors.delta import WeightDelta

        loaded, delta = self.asker.loaded, written.delta
        assert isinstance(delta, WeightDelta), "what is on the bench was written into weights"
        prompts = tuple(item.prompt for item in stay)
        names = {item.prompt: item.answers for item in self.untouched}
        answers = [(prompt, shortest_answer(self.asker.before[prompt], names[prompt])) for prompt in prompts]
        with delta.applied(loaded.model):
            found = attribute(loaded.model, loaded.tokenizer, delta, answers)
        return Costs(tuple(column[0] for column in delta.columns), prompts, found.margins, found.returned)


def unanswered(seen: Sequence[Observation]) -> dict[str, str]:
    """Facts that the edited model does not answer in some phrasing, with the first one that failed."""
    reasons: dict[str, str] = {}
    for item in seen:
        if item.kind in ("efficacy", "generalisation") and not item.after:
            where = "its own prompt" if item.kind == "efficacy" else "a phrasing held out of fitting"
            reasons.setdefault(
                item.fact_id, f"not answered from the weights in {where}: {item.prompt!r} gives {item.after_text!r}"
            )
    return reasons
