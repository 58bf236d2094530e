"""Guard: judge the final model and the final index of a run.

The batch is repaired first (`pipelines.judging.repair`). What is left is judged on the final model with everything
written and on the final index, by free generation, as one family of gates; what is undecided does not pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guards.base import Verdict
from guards.consistency import ConsistencyGuard
from guards.family import judge_family
from guards.freshness import Answered, ChangedGuard, RetrievalGuard
from pipelines.answering.indexing import index_facts
from pipelines.judging.declare import record_family, run_policy
from pipelines.judging.examined import Examined, Texts, answerer
from pipelines.judging.final import both_answers, chat_form, meanwhile, texts_read, with_carried
from pipelines.judging.freshness import Freshness, ask_system
from pipelines.judging.probing import Asker, edit_questions, sure, untouched_questions
from pipelines.judging.reading import Reading
from pipelines.judging.repair import Bench, Repaired
from pipelines.judging.samples import COUNT, QUICK_COUNT, Samples
from pipelines.judging.stay import locality, stay_gate
from pipelines.releasing.record import new_events
from pipelines.route import RAG
from pipelines.workplace import Workplace
from pipelines.write import Written, moved_to_index
from registry.artifacts import store
from registry.events import view
from registry.progress import track
from registry.records import EditRequest, KnownFact, RiskTier
from registry.text import holds_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.answering.reply import Reply
    from pipelines.steps import Routed


@dataclass(frozen=True)
class Judged:
    """The final state of a run, judged.

    Attributes:
        written: what stays in the weights, and why other facts do not.
        verdicts: one per gate.
        before: answers about the changed facts before the run.
        after: the same in the final state.
        locality: untouched facts still answered rightly: right, n, share, low, high.
        chat: facts in the weights that are answered rightly as a question in the chat form, likewise; no gate.
        samples: questions with the answers before and after.
        index: digest of the final retrieval index.
        weights_digest: digest of the final weights.
        family: digest of the family of gates, as it was declared before anything was judged.
    """

    written: Written
    verdicts: tuple[Verdict, ...]
    before: Freshness
    after: Freshness
    locality: Mapping[str, Any]
    chat: Mapping[str, Any]
    samples: tuple[Mapping[str, Any], ...]
    index: str
    weights_digest: str
    family: str = ""

    @property
    def passed(self) -> bool:
        """Whether every gate passed; what is undecided does not pass."""
        return all(verdict.decision == "pass" for verdict in self.verdicts)


def judge(place: Workplace, routed: "Routed", written: Written) -> Judged:
    """Declare the family of gates, repair the batch and judge what is left of it.

    Args:
        place: where the run happens.
        routed: the requests, and what the model believed about them.
        written: what the editors made of them.
    """
    family = record_family(place, routed.quick)
    bench = bench_of(place, routed) if written.delta is not None else None
    repaired = bench.repair(written) if bench is not None else Repaired(written, ())
    repaired = with_carried(place, routed, bench, repaired, known_after(place, routed, repaired.written))
    repaired = _withdrawn(place, routed, repaired)
    written = repaired.written
    known = known_after(place, routed, written)
    index = stored_index(place, known)
    changed = [item for item in routed.requests if item.operation in ("ADD", "UPDATE")]
    asked = [] if place.parent is None else changed
    settings = place.settings
    count = QUICK_COUNT if routed.quick else COUNT
    seed = settings.policy.probes.seed
    samples = Samples.drawn(asked, written.memory, place.current, settings.catalogue, seed, count)
    loaded = place.loaded if asked or bench is not None or place.parent is None else None
    examined = Examined(place, routed, written, asked, samples, loaded)
    with track("ask before"), meanwhile(loaded, examined.write_on) as later:
        before, replies_before = examined.before()
    texts_before = later()
    with _on(written, loaded), track("ask after"):
        with meanwhile(loaded, lambda: (examined.write_on(), chat_form(routed, written, loaded))) as apart:
            after, replies_after = examined.after(known, index)
        texts_after, chat = apart()
        weights = _weights_digest(place, written, loaded)
    texts = examined.texts(bench, texts_before, texts_after)
    verdicts = [
        *_weight_gates(place, routed, repaired, texts),
        *system_gates(place, asked, after, known, index),
    ]
    return Judged(
        written,
        tuple(verdicts),
        before,
        after,
        locality(repaired.final),
        chat,
        samples.compared(replies_before, replies_after, written.memory),
        index.name,
        weights,
        family,
    )


def _withdrawn(place: Workplace, routed: "Routed", repaired: Repaired) -> Repaired:
    """The batch, taken out of the weights as a whole where its gates cannot show that it may stay there."""
    failed = [verdict for verdict in _weight_gates(place, routed, repaired) if verdict.decision != "pass"]
    if not failed or repaired.written.delta is None:
        return repaired
    reason = f"what was left of the batch did not pass the gate {failed[0].guard}: {failed[0].explanation}"
    written = moved_to_index(repaired.written, dict.fromkeys(repaired.written.delta.fact_ids, reason))
    return Repaired(written, ())


def known_after(place: Workplace, routed: "Routed", written: Written) -> list[KnownFact]:
    """What will be known when the run is published."""
    return view([*place.events, *new_events(place, routed, written)])


def bench_of(place: Workplace, routed: "Routed") -> Bench:
    """The bench on which the batch is repaired, its untouched questions asked once in the state before."""
    settings, probes = place.settings, place.settings.policy.probes.of_run(routed.quick)
    written = [item for item, way in zip(routed.requests, routed.routes, strict=True) if way.editor != RAG]
    asker = Asker(place.loaded)
    for item in written:
        asker.knows(item, routed.beliefs.get(item.fact.id))
    drawn = untouched_questions(
        place.current,
        routed.requests,
        written,
        settings.catalogue,
        probes,
        probes.untouched,
        asker,
        probes.same_subject,
    )
    with track("ask what must not move"):
        untouched = sure(drawn, asker)
    tier = strictest(item.risk_tier for item in written)

    gate = stay_gate(settings.policy.gates, tier, probes.kept)
    reading = Reading.of(place.loaded, texts_read(place, routed.quick), probes.harder)
    return Bench(asker, edit_questions(written), untouched, gate, probes.rounds, reading)


def strictest(tiers: Iterable[RiskTier]) -> RiskTier:
    """The strictest of the tiers of a batch, by which the whole of it is judged."""
    order: tuple[RiskTier, ...] = ("low", "medium", "high")
    return max(tiers, key=order.index, default="low")


def _weight_gates(
    place: Workplace, routed: "Routed", repaired: Repaired, texts: Texts | None = None
) -> tuple[Verdict, ...]:
    """The gates on the edited weights; none where nothing is left in them."""
    if repaired.written.delta is None:
        return ()
    held = set(repaired.written.delta.fact_ids)
    tier = strictest(item.risk_tier for item in routed.requests if item.fact.id in held)
    policy, texts = run_policy(place.settings.policy.gates, routed.quick), texts or Texts()
    return judge_family(repaired.final, policy, tier, fluency=texts.fluency, entropy=texts.entropy).verdicts


def system_gates(
    place: Workplace, asked: Sequence[EditRequest], after: Freshness, known: Sequence[KnownFact], index: Path
) -> Iterator[Verdict]:
    """The gates on what the whole system answers: what changed, and a sample of what is known."""
    policy = place.settings.policy.system
    if asked:
        questions = {item.fact.id: item.question or item.prompt for item in asked}
        yield ChangedGuard(policy.changed).judge(
            [Answered(questions[one.fact_id], one.right, one.text) for one in after.answers]
        )
    system = answerer(place, known, index, None)
    if any(one.memory != RAG for one in after.answers):
        yield ConsistencyGuard(place.settings.policy.gates.consistency).judge(both_answers(place, asked, after, system))
    today = [item for item in known if item.fact.holds_on(place.today)]
    sample = Samples.drawn((), {}, today, place.settings.catalogue, place.settings.policy.probes.seed, policy.sample)
    replies = ask_system(system, sample.questions, place.today)
    yield RetrievalGuard(policy.retrieval).judge([_answered(item, replies[item.question]) for item in sample.requests])


def _answered(request: EditRequest, reply: "Reply") -> Answered:
    """What a guard sees of one answer."""
    return Answered(request.question, reply.known and holds_answer(reply.text, request.answers), reply.text)


def stored_index(place: Workplace, known: Sequence[KnownFact]) -> Path:
    """The stored retrieval index of the final state."""
    with track(f"index {len(known)} facts"):
        artifact = store(
            place.home.snapshots,
            lambda folder: _write_index(place, known, folder),
        )
    return artifact.path


def _write_index(place: Workplace, known: Sequence[KnownFact], folder: Path) -> None:
    """Write the index into an empty folder; vectors of sentences that the parent has, or that ship, are taken over."""
    shipped = place.settings.conf.parent / place.settings.policy.write.vectors
    previous = place.parent_index or (shipped if shipped.is_dir() else None)
    index_facts(place.home, place.settings.catalogue, known, folder, previous=previous)


@contextmanager
def _on(written: Written, loaded: "LoadedModel | None") -> Iterator[None]:
    """The final weights, inside the block."""
    if written.delta is None or loaded is None:
        yield
        return
    with written.delta.applied(loaded.model):
        yield


def _weights_digest(place: Workplace, written: Written, loaded: "LoadedModel | None") -> str:
    """Digest of the weights as they are now."""
    from editors.load import weights_digest

    if written.delta is not None and loaded is not None:
        return weights_digest(loaded.model)
    if place.parent is None:
        return place.base_digest
    return place.parent.weights_digest if place.deltas == place.parent.deltas else place.loaded.digest
