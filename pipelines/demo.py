"""The demo: the whole loop on a real model and real facts, scored, questioned and rolled back.

1. pull the model, beside what follows; 2. found the world: the atlas's facts go into the index as the first release;
3. take the feed that changes it through the loop; 4. score admission against the feed's truth; 5. ask as of dates
before and after; 6. roll back, compare digests and answers, and go forward again; 7. render the report.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from pipelines.outcome import UpdateResult, peak_rss_mb
from pipelines.settings import PROJECT
from registry.home import Home

if TYPE_CHECKING:
    from registry.records import Release

ATLAS = PROJECT / "examples" / "atlas"
SETTINGS = ("offline", "parametric")
MOST = 16
"""Facts that are written into the weights at most: the whole demo is to take under three minutes on two cores."""
EVERY = 2
"""Of so many sample questions one is asked again before and after the rollback."""
QUICK = ("offline",)
"""Settings in which the answers after the rollback are compared; equal weights give equal parametric answers anyway."""


@dataclass(frozen=True)
class DatedAnswer:
    """One question asked as of a day, and the answer with where it comes from."""

    question: str
    as_of: str
    answer: str
    source: str
    memory: str
    right: bool


@dataclass(frozen=True)
class DemoResult:
    """What the demo came to.

    Attributes:
        update: the run that brought the changes.
        admission: precision and recall of admission, per kind, and falsehoods accepted.
        dated: questions as of a day before and a day after a change.
        rollback: digests and answers before and after the rollback.
        report: path of the report.
        seconds: wall seconds by step.
        peak_rss_mb: largest memory of the process.
    """

    update: UpdateResult
    admission: Mapping[str, Any]
    dated: tuple[DatedAnswer, ...]
    rollback: Mapping[str, Any]
    report: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The figures, flat where a script looks for them."""
        after, before = self.update.freshness_after, self.update.freshness_before
        return {
            "routes": dict(self.update.memories),
            "decisions": dict(self.update.decisions),
            "freshness_before": before.get("share"),
            "freshness_after": after.get("share"),
            "freshness": {"before": dict(before), "after": dict(after)},
            "locality": self.update.locality.get("share"),
            "locality_interval": dict(self.update.locality),
            "chat_form": dict(self.update.chat),
            "reader_agreement": after.get("reader_agreement"),
            "refused": self.update.decisions.get("refused", 0),
            "quarantined": self.update.decisions.get("quarantined", 0),
            "admission": dict(self.admission),
            "moved_to_index": [dict(item) for item in self.update.moved],
            "gates": [dict(item) for item in self.update.gates],
            "dated": [vars(item) for item in self.dated],
            "rollback_digest_equal": self.rollback.get("equal"),
            "rollback": dict(self.rollback),
            "release": self.update.release,
            "report": self.report,
            "seconds": dict(self.seconds),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
        }


class _Clock:
    """Wall seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 2)


def run_demo(home: Home, model: str = "smollm2", *, quick: bool = False, at: datetime | None = None) -> DemoResult:
    """Run the demo in `home`; what an earlier demo has done there already is not done again.

    Args:
        home: the home folder.
        model: the base model.
        quick: write three facts into the weights instead of `MOST`.
        at: the time of the runs; None is now.

    Raises:
        DmmGovError: a step fails or a gate blocks the release.
    """
    from pipelines import audit
    from pipelines.loop import run_update, warm_up
    from pipelines.running.models import pulling, sources
    from pipelines.running.server import in_process
    from registry.errors import BlockedError

    clock = _Clock()
    feed = ATLAS / "feed_small.csv"

    def prepare() -> None:
        with clock.step("imports"):
            warm_up()

    with pulling(home, model) if model in sources() else nullcontext(), in_process(home, meanwhile=prepare):
        with clock.step("found the world"):  # waits for the model at its end, where the release names its digest
            founded = run_update(home, ATLAS / "facts.csv", model, actor="demo", only=("rag",), at=at)
        with clock.step("update"):
            update = run_update(home, feed, model, quick=quick, actor="demo", at=at, most=MOST)
    if update.release is None or founded.release is None:
        failed = update if update.release is None else founded
        raise BlockedError(f"the feed {failed.feed} was not published ({failed.status}): {_failed_gates(failed)}")
    for name, seconds in update.seconds.items():
        clock.seconds[f"update: {name}"] = round(seconds, 2)
    with clock.step("score admission"):
        admission = _score(update)
    with clock.step("ask"):
        dated = tuple(_ask_around_changes(home, update, worded=not quick))
    with clock.step("roll back and forward"):
        rollback = _roll_back_and_forward(home, update.release, founded.release, QUICK if quick else SETTINGS)
    with clock.step("report"):
        report = audit.report(home, str(update.release))
    return DemoResult(update, admission, dated, rollback, str(report), clock.seconds, peak_rss_mb())


def _failed_gates(update: UpdateResult) -> str:
    """The gates that did not pass, in words."""
    words = [f"{gate['guard']}: {gate['explanation']}" for gate in update.gates if gate["decision"] != "pass"]
    return "; ".join(words) or "no row was accepted"


def _score(update: UpdateResult) -> dict[str, Any]:
    """Admission against the truth that comes with the feed."""
    from guards.admission import Reason
    from pipelines.admission.score import score_admission
    from pipelines.admit import Admission, RowOutcome

    rows = tuple(
        RowOutcome(
            row.row,
            cast(Any, row.decision),
            None,
            None,
            (),
            tuple(Reason(rule, "", "", words) for rule, words in zip(row.rules, row.reasons, strict=True)),
            "",
            (),
        )
        for row in update.rows
    )
    return score_admission(Admission(update.feed, update.feed_digest, rows), ATLAS / "feed_truth.csv")


def _ask_around_changes(home: Home, update: UpdateResult, *, worded: bool) -> Iterator[DatedAnswer]:
    """Ask about the first changed facts whose date is known: the day before the change, and the day after.

    Code chooses the fact; with `worded` the model words it.
    """
    from pipelines.answer import open_answerer
    from pipelines.settings import Settings
    from registry.text import holds_answer

    catalogue = Settings.load().catalogue
    answerer = open_answerer(home, release=update.release)
    if not worded:
        answerer = replace(answerer, loaded=None)
    old = {
        (item.fact.subject, item.fact.relation, item.fact.valid_to): item.fact
        for item in answerer.facts
        if item.fact.valid_to is not None
    }
    new = {item.fact.id: item.fact for item in answerer.facts}
    changed = [new[row.fact_id] for row in update.rows if row.decision == "UPDATE" and row.fact_id in new]
    pairs = [(old[key], fact) for fact in changed if (key := (fact.subject, fact.relation, fact.valid_from)) in old]
    for before, after in pairs[:2]:
        question = catalogue.request(after, "UPDATE").question
        assert after.valid_from is not None, "the pair was found by the day of the change"
        for fact, day in (
            (before, after.valid_from - timedelta(days=1)),
            (after, after.valid_from + timedelta(days=1)),
        ):
            reply = answerer.ask_many([question], "offline", day)[0]
            source = reply.provenance[0].fact.source if reply.provenance else ""
            memory = reply.provenance[0].memory if reply.provenance else ""
            right = holds_answer(reply.text, catalogue.answers(fact.object))
            yield DatedAnswer(question, day.isoformat(), reply.text, source, memory, right)


def _roll_back_and_forward(home: Home, number: int, founded: int, settings: Sequence[str]) -> dict[str, Any]:
    """Roll back to the founding release, compare digest and answers with those recorded, and promote the new one.

    The answers with retrieval are compared with those that the update recorded before it changed anything.
    """
    from pipelines.rollback import promote, rollback

    samples = _release(home, number).summary.get("samples", [])[::EVERY]
    questions = [str(item["question"]) for item in samples]
    recorded = {"offline": [str(item["before"]) for item in samples]}
    recorded |= _answers(home, founded, questions, [setting for setting in settings if setting not in recorded])
    result = rollback(home, str(founded), "demo")
    found = _answers(home, "champion", questions, settings)
    promote(home, str(number), "demo")
    return {
        "to": founded,
        "recorded": result.recorded,
        "found": result.found,
        "equal": result.equal,
        "answers_asked": sum(map(len, found.values())),
        "answers_as_before": recorded == found,
        "seconds": round(result.seconds, 2),
        "champion": number,
    }


def _release(home: Home, ref: str | int) -> "Release":
    """The release that `ref` names."""
    from registry.ledger import Ledger
    from registry.releases import ReleaseStore

    with Ledger.open(home) as ledger:
        return ReleaseStore(ledger).get(ref)


def _answers(home: Home, ref: str | int, questions: Sequence[str], settings: Sequence[str]) -> dict[str, list[str]]:
    """What is answered in a release, in each of some settings; the release is opened once."""
    from pipelines.answer import open_answerer

    if not settings:
        return {}
    answerer = open_answerer(home, release=ref)
    return {
        setting: [reply.text for reply in answerer.ask_many(questions, setting, date.today())] for setting in settings
    }
