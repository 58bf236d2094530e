"""What a home learns from its own ledger: lessons from what was withdrawn, and how far each source is trusted still.

Both follow from the events of the lineage, so a run that was killed after it published loses neither. Lessons have a
store of their own (`Home.lessons`), to which the ones that are missing are appended before a feed is looked at; other
writers may append theirs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from guards.lessons import Lesson, Lessons
from guards.reliability import Outcome, Record, ReliabilityPolicy, judged, record_of
from guards.sources import Sources, registrable_domain
from registry.facts import FactEvent
from registry.home import Home
from registry.records import Fact, KnownFact
from registry.text import normalise

LESSON_DAYS = 730
"""For how long a lesson of the ledger's is held against a row."""


def lessons_of(events: Iterable[FactEvent]) -> Iterator[Lesson]:
    """One lesson per statement that was taken back because it was never true."""
    for event in events:
        if event.kind == "retract":
            fact, end = event.fact, (event.recorded_at + timedelta(days=LESSON_DAYS)).date()
            reason = event.reason or "it was taken back"
            yield Lesson(fact.subject, fact.relation, fact.object, reason, fact.source, event.recorded_at, end)


def learn(home: Home, events: Sequence[FactEvent], known: Iterable[KnownFact]) -> Lessons:
    """Append the lessons of the events that the store lacks, and give all that speak against nothing that is known.

    A lesson about a statement that is known (it came back, or the release that took it back was rolled back) is void.

    Raises:
        InputError: the store holds a line that is no lesson; names it.
    """
    stored = Lessons.read(home.lessons)
    there = set(stored.entries)
    new = [lesson for lesson in lessons_of(events) if lesson not in there]
    if new:
        Lessons.append(home.lessons, new)
    held = {_statement(item.fact) for item in known}
    return Lessons(tuple(each for each in stored.learn(new).entries if _statement(each) not in held))


def _statement(said: Fact | Lesson) -> tuple[str, str, str]:
    return normalise(said.subject), said.relation, normalise(said.object)


def records_of(
    events: Iterable[FactEvent], sources: Sources, at: datetime, policy: ReliabilityPolicy | None = None
) -> dict[str, Record]:
    """The record of every source: its facts that were taken back, and those that nobody took back for long enough.

    A row that bears the name of a listed source beside a link to a foreign domain counts for that domain.
    """
    policy = policy or ReliabilityPolicy()
    asserted: dict[str, FactEvent] = {}
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for event in events:
        if event.kind == "assert":
            asserted.setdefault(event.fact.id, event)
        elif event.kind == "retract":
            asserted.pop(event.fact.id, None)
            outcomes[_name(event.fact, sources)].append(Outcome(event.recorded_at, False))
    for event in asserted.values():
        settled = event.recorded_at + timedelta(days=policy.settle_days)
        outcomes[_name(event.fact, sources)].append(Outcome(settled, True))
    return {name: record_of(each, at, policy) for name, each in outcomes.items() if name}


def _name(fact: Fact, sources: Sources) -> str:
    """To whose record a fact belongs."""
    if sources.impersonates(fact.source, fact.source_url):
        return registrable_domain(fact.source_url)
    return sources.find(fact.source, fact.source_url).name


def trusted_now(sources: Sources, events: Sequence[FactEvent], at: datetime) -> Sources:
    """The list of sources as the records of the lineage leave it; never above what was listed."""
    return judged(sources, records_of(events, sources, at))
