"""What the final model is asked beside the bench: the chat form, running and long text, what edits carry along.

Everything here is asked once of what is left of the batch, after repair.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from guards.consistency import TwoAnswers
from pipelines.judging.freshness import Freshness, ask_system, question_of, shares
from pipelines.judging.general import written_on
from pipelines.judging.portability import portability_questions
from pipelines.judging.probing import sure
from pipelines.judging.reading import likelihoods
from pipelines.judging.repair import Bench, Repaired
from pipelines.route import RAG
from pipelines.workplace import Workplace
from pipelines.write import Written
from registry.progress import track
from registry.records import EditRequest, KnownFact
from registry.text import holds_answer, starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.answer import Answerer
    from pipelines.steps import Routed

CHAT_TOKENS = 24

T = TypeVar("T")


def with_carried(
    place: Workplace, routed: "Routed", bench: Bench | None, repaired: Repaired, known: Sequence[KnownFact]
) -> Repaired:
    """What was repaired, with the observations of general questions and of what each fact should carry along.

    Portability is asked of the final model alone: what is new was not known before.

    Args:
        place: where the run happens.
        routed: the requests.
        bench: on which the batch was repaired; None where nothing is in the weights.
        repaired: what is left of it.
        known: what will be known after the run.
    """
    delta = repaired.written.delta
    if bench is None or delta is None:
        return repaired
    settings, probes = place.settings, place.settings.policy.probes.of_run(routed.quick)
    held = [item for item in routed.requests if item.fact.id in set(delta.fact_ids)]
    today = [item for item in known if item.fact.holds_on(place.today)]
    ported = portability_questions(held, today, settings.catalogue, probes.ported)
    for item in ported:
        bench.asker.before.setdefault(item.prompt, "")
    with track("ask what is carried along"):
        general = sure(settings.general[: probes.general], bench.asker)
        seen = bench.observe(repaired.written, [*general, *ported])
    return replace(repaired, final=(*repaired.final, *seen))


def both_answers(
    place: Workplace, requests: Sequence[EditRequest], after: Freshness, system: "Answerer"
) -> list[TwoAnswers]:
    """Every changed fact in the weights, as the weights say it and as the index says it.

    Args:
        place: where the run happens.
        requests: the changed facts that were asked about.
        after: what was answered, each from its own memory.
        system: the final system.
    """
    questions = {item.fact.id: question_of(item) for item in requests}
    parametric = {one.fact_id: one.text for one in after.answers if one.memory != RAG}
    replies = ask_system(replace(system, loaded=None), [questions[key] for key in parametric], place.today)
    found = []
    for key, text in parametric.items():
        reply = replies[questions[key]]
        retrieved = reply.text if reply.known else ""
        same = starts_with_answer(text, place.settings.catalogue.answers(retrieved)) if retrieved else False
        found.append(TwoAnswers(questions[key], text, retrieved, same))
    return found


def chat_form(routed: "Routed", written: Written, loaded: "LoadedModel | None") -> dict[str, Any]:
    """Which facts in the weights the model answers when it is asked in the chat form, without any context."""
    if written.delta is None or loaded is None:
        return shares([])
    from editors.generate import chat_prompt, generate

    held = set(written.delta.fact_ids)
    asked = [item for item in routed.requests if item.fact.id in held and item.question]
    prompts = [chat_prompt(loaded.tokenizer, item.question) for item in asked]
    answers = {prompt: item.answers for prompt, item in zip(prompts, asked, strict=True)}

    def enough(prompt: str, text: str) -> bool:
        whole = text.split()[:-1]  # the last word may go on
        return holds_answer(" ".join(whole), answers[prompt])

    said = generate(loaded.model, loaded.tokenizer, prompts, max_new_tokens=CHAT_TOKENS, enough=enough)
    return shares([holds_answer(one.text, item.answers) for one, item in zip(said, asked, strict=True)])


def texts_read(place: Workplace, quick: bool) -> tuple[str, ...]:
    """The running text that is read; a quick run reads half of it."""
    return place.settings.running_text[: place.settings.policy.probes.of_run(quick).texts]


def read_texts(place: Workplace, loaded: "LoadedModel | None", quick: bool) -> tuple[tuple[float, int], ...]:
    """Likelihood of the running text."""
    assert loaded is not None, "weights that are judged have their model"
    return likelihoods(loaded, texts_read(place, quick))


def meanwhile(loaded: "LoadedModel | None", task: Callable[[], T]) -> AbstractContextManager[Callable[[], T]]:
    """Let the model write beside what it is asked in the block; see `editors.workers.beside`."""
    if loaded is None:
        return nullcontext(task)
    from editors.workers import beside

    return beside(loaded.model.device, task)


def long_texts(place: Workplace, loaded: "LoadedModel | None", quick: bool) -> tuple[str, ...]:
    """What the model writes on from the running text; nothing in a quick run."""
    probes = place.settings.policy.probes.of_run(quick)
    if not probes.long_texts or loaded is None:
        return ()
    with track("write long texts"):
        return tuple(written_on(loaded, place.settings.running_text[: probes.long_texts], probes.long_tokens))
