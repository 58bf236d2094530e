"""Probing: what a model answers around an edit, before and after, by free generation with a natural stop."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from guards.observations import Observation, ObservationKind
from pipelines.route import RAG
from registry.catalogue import Catalogue
from registry.ranges import Count, Growth, Share, Some
from registry.records import Belief, EditRequest, Fact, KnownFact
from registry.text import is_settled, starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel


MUST_STAY: tuple[ObservationKind, ...] = ("neighbourhood", "same_subject", "drawdown")
"""Kinds of observation that show what must not move."""


FITTED = 2
"""Phrasings used in fitting that are asked beside a fact's own prompt; the router has asked the same ones."""
PILOT = 3
"""Facts of each relation that no edit touches by which it is seen how much of it the model knows."""
FEW = 8
"""Up to so many facts, all of those phrasings are asked."""


@dataclass(frozen=True)
class ProbePolicy:
    """How much is asked.

    Attributes:
        untouched: known facts that are drawn to see whether they stay right.
        untouched_quick: the same in a quick run.
        same_relation: share of them that is drawn from the relations which are edited.
        same_relation_quick: the same in a quick run, whose gates ask less of these than of the others.
        same_subject: other facts of the edited subjects that are asked besides; what an edit reaches most surely.
        same_subject_quick: the same in a quick run.
        seed: of the draw.
        texts: paragraphs of running text that are read.
        kept: share of the facts asked, right in every phrasing before, that must still be so; while fewer are, the fact
            that costs most is taken out of the batch.
        harder: perplexity of the running text after a batch, over that of before, at most; while it is more, the facts
            that pull hardest at the text are taken out of the batch.
        rounds: how often facts may be taken out of a batch before nothing is written to the weights at all.
        general: general questions that are asked.
        general_quick: the same in a quick run.
        ported: questions of each kind of portability.
        ported_quick: the same in a quick run.
        long_texts: texts that the model writes on; none in a quick run.
        long_tokens: how long each is.
    """

    untouched: Some = 200
    untouched_quick: Some = 60
    same_relation: Share = 0.6
    same_relation_quick: Share = 0.4
    same_subject: Count = 100
    same_subject_quick: Count = 40
    seed: int = 20260101
    texts: Some = 12
    kept: Share = 0.99
    harder: Growth = 1.02
    rounds: Some = 24
    general: Count = 60
    general_quick: Count = 0
    ported: Count = 12
    ported_quick: Count = 0
    long_texts: Count = 8
    long_tokens: Some = 48

    def of_run(self, quick: bool) -> "ProbePolicy":
        """What a run asks: all of it, or as little as a quick one."""
        if not quick:
            return self
        return replace(
            self,
            untouched=self.untouched_quick,
            same_relation=self.same_relation_quick,
            same_subject=self.same_subject_quick,
            texts=self.texts // 2,
            general=self.general_quick,
            ported=self.ported_quick,
            long_texts=0,
        )


@dataclass
class Asker:
    """Asks one model, and remembers what it said in the state in which it was first asked.

    Attributes:
        loaded: the model.
        before: what it said, by prompt.
    """

    loaded: "LoadedModel"
    before: dict[str, str] = field(default_factory=dict)

    def now(self, questions: "Iterable[Question]") -> dict[str, str]:
        """What the model says now, by prompt; it is cut where nothing further can make it right or wrong."""
        from editors.generate import generate

        answers = {item.prompt: item.answers for item in questions}

        def enough(prompt: str, text: str) -> bool:
            return is_settled(text, answers[prompt])

        said = generate(self.loaded.model, self.loaded.tokenizer, list(answers), enough=enough) if answers else []
        return {prompt: answer.text for prompt, answer in zip(answers, said, strict=True)}

    def knows(self, request: EditRequest, belief: Belief | None) -> None:
        """Take over what the router asked about a request; its phrasings come in the order of `believe`."""
        if belief is not None:
            prompts = (request.prompt, *request.paraphrases)
            self.before.update(zip(prompts, belief.answers, strict=False))

    def remember(self, questions: "Iterable[Question]") -> None:
        """Ask those of the questions that were not asked yet, as the state from before."""
        self.before.update(self.now(item for item in questions if item.prompt not in self.before))


@dataclass(frozen=True)
class Question:
    """One prompt, the answers that are right, and what it shows.

    Attributes:
        kind: what an answer is evidence of.
        fact_id: the fact that it is about.
        prompt: the text to go on from.
        answers: any of them is right.
        beside: facts of the batch about the same subject, where it is about another fact of theirs.
    """

    kind: ObservationKind
    fact_id: str
    prompt: str
    answers: tuple[str, ...]
    beside: tuple[str, ...] = ()

    def seen(self, before: str, after: str) -> Observation:
        """The observation that the two answers make; to a negated prompt the answers are wrong, all others right."""
        right = [starts_with_answer(text, self.answers) is not (self.kind == "negation") for text in (before, after)]
        return Observation(self.kind, self.fact_id, self.prompt, right[0], right[1], before, after)


def edit_questions(requests: Sequence[EditRequest]) -> list[Question]:
    """The questions that show whether each fact was written: prompts used in fitting, and phrasings held out of it."""
    fitted = FITTED if len(requests) > FEW else None  # few facts need all the evidence that there is
    own = [
        Question("efficacy", item.fact.id, prompt, item.answers)
        for item in requests
        for prompt in (item.prompt, *item.paraphrases[:fitted])
    ]
    others = [
        Question("generalisation", item.fact.id, prompt, item.answers) for item in requests for prompt in item.held_out
    ]
    return own + others


def untouched_questions(
    known: Sequence[KnownFact],
    requests: Sequence[EditRequest],
    written: Sequence[EditRequest],
    catalogue: Catalogue,
    policy: ProbePolicy,
    count: int,
    asker: Asker | None = None,
    own: int = 0,
) -> list[Question]:
    """Two phrasings of each of `count` known facts that no request touches, drawn by seed, and of facts beside them.

    Args:
        known: the facts that hold.
        requests: everything that the run changes.
        written: those of them that go into the weights.
        catalogue: the relations.
        policy: how the draw is made.
        count: how many facts are drawn.
        asker: asked, in the state before, what it knows of the relations that no edit touches, so that most are drawn
            from those of which it knows most; without one they are drawn alike.
        own: how many other facts of the edited subjects are asked besides, at most; with an asker none of relations
            of which it knows nothing but those by which that is seen.

    Facts that earlier runs wrote into the weights are all asked. Then come facts of the edited relations, up to their
    share, because an edit reaches its neighbours first. A relation with several right answers is left out: its answer
    may change from one right object to another.
    """
    touched = {(item.fact.subject, item.fact.relation) for item in requests}
    edited = {item.fact.relation for item in written}
    candidates = [
        item.fact
        for item in known
        if (item.fact.subject, item.fact.relation) not in touched
        and item.fact.relation in catalogue.relations
        and catalogue.relations[item.fact.relation].cardinality == "one"
    ]
    random.Random(policy.seed).shuffle(candidates)
    living = {item.fact.id for item in known if item.memory != RAG}
    earlier = [fact for fact in candidates if fact.id in living]
    candidates = [fact for fact in candidates if fact.id not in living]
    near = [fact for fact in candidates if fact.relation in edited][: round(count * policy.same_relation)]
    near_ids = {fact.id for fact in near}
    far = [fact for fact in candidates if fact.id not in near_ids and fact.relation not in edited]
    if asker is not None:
        far = [*chain(*_known_first(far, max(0, count - len(near)), asker, catalogue))]
    chosen = earlier + (near + far)[:count]
    taken, subjects = {fact.id for fact in chosen}, {item.fact.subject for item in written}
    of_them = [fact for fact in candidates if fact.subject in subjects and fact.id not in taken]
    if asker is not None and own:
        of_them, _ = _known_first(of_them, own, asker, catalogue)
    chosen += of_them[:own]
    return stay_questions(chosen, written, catalogue)


def stay_questions(facts: Sequence[Fact], written: Sequence[EditRequest], catalogue: Catalogue) -> list[Question]:
    """Two phrasings of each of some facts that shall not move when others are written."""
    edited = {item.fact.relation for item in written}
    beside: dict[str, tuple[str, ...]] = {}
    for item in written:
        beside[item.fact.subject] = (*beside.get(item.fact.subject, ()), item.fact.id)
    questions = []
    for fact in facts:
        request, edits = catalogue.request(fact, "ADD"), beside.get(fact.subject, ())
        kind: ObservationKind = "neighbourhood" if fact.relation in edited else "drawdown"
        kind = "same_subject" if edits else kind
        for prompt in (request.prompt, *request.paraphrases[:1]):
            questions.append(Question(kind, fact.id, prompt, request.answers, edits))
    return questions


def _known_first(facts: Sequence[Fact], room: int, asker: Asker, catalogue: Catalogue) -> tuple[list[Fact], list[Fact]]:
    """`PILOT` facts of each relation, then of relations in proportion to what was known of the pilot; and the rest.

    A small model knows next to nothing of some relations; a draw that is spent on them shows nothing. Only answers of
    the state before decide, so that what is drawn does not depend on what an edit did.
    """
    by_relation: dict[str, list[Fact]] = {}
    for fact in facts:
        by_relation.setdefault(fact.relation, []).append(fact)
    pilot = [fact for group in by_relation.values() for fact in group[:PILOT]]
    asked = {fact.id: Question("drawdown", fact.id, *_asked(fact, catalogue)) for fact in pilot}
    asker.remember(asked.values())
    known = Counter(
        fact.relation
        for fact in pilot
        if starts_with_answer(asker.before[asked[fact.id].prompt], asked[fact.id].answers)
    )
    left = max(0, room - len(pilot))
    ordered = sorted(by_relation, key=lambda name: (-known[name], name))
    shares = {name: -(-left * known[name] // max(1, known.total())) for name in ordered}
    first = [fact for name in ordered for fact in by_relation[name][PILOT : PILOT + shares[name]]]
    rest = [fact for name in ordered for fact in by_relation[name][PILOT + shares[name] :]]
    return [*pilot, *first], rest


def _asked(fact: Fact, catalogue: Catalogue) -> tuple[str, tuple[str, ...]]:
    """A fact's own prompt and its answers."""
    request = catalogue.request(fact, "ADD")
    return request.prompt, request.answers


def sure(questions: Sequence[Question], asker: Asker) -> list[Question]:
    """Those questions whose fact the model answers rightly in every phrasing: what must not move.

    A further phrasing is asked only of facts that every phrasing before it found right.
    """
    phrasings: dict[str, list[Question]] = {}
    for item in questions:
        phrasings.setdefault(item.fact_id, []).append(item)
    kept = list(phrasings)
    for number in range(max(map(len, phrasings.values()), default=0)):
        asked = [phrasings[fact_id][number] for fact_id in kept if number < len(phrasings[fact_id])]
        asker.remember(asked)
        wrong = {item.fact_id for item in asked if not starts_with_answer(asker.before[item.prompt], item.answers)}
        kept = [fact_id for fact_id in kept if fact_id not in wrong]
    return [item for fact_id in kept for item in phrasings[fact_id]]
