"""Timeliness: questions about what changed and about what nothing supports, asked in the three settings.

Which answer is right follows from the record of the release: an object that holds on the day is current, one that held
under the same subject and relation before is superseded, and where nothing holds the right answer is none. Offline is a
frozen snapshot: that of an earlier release shows what an index answers that was not updated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Any

from guards.certainty import certainty
from guards.timeliness import Case, Said, Timeliness, grounded, measure
from pipelines.answering.about import key_of
from registry.artifacts import checked
from registry.catalogue import SUBJECT, Catalogue
from registry.errors import InputError
from registry.facts import read_snapshot, view
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.records import KnownFact, Release
from registry.releases import ReleaseStore
from registry.text import holds_answer

if TYPE_CHECKING:
    from pipelines.answer import Answerer
    from pipelines.answering.reply import Reply

SETTINGS = ("parametric", "offline", "online")
UNANSWERABLE = 3
"""One question in so many has no answer."""
_SYLLABLES = ("bra", "dor", "fel", "gan", "hil", "kor", "lun", "mar", "nev", "pol", "rin", "sar", "tul", "vek", "zan")

_Key = tuple[str, str]


@dataclass(frozen=True)
class TimelinessRun:
    """A measurement with what it rests on.

    Attributes:
        release: the release that was asked.
        frozen: the release whose snapshot the offline setting took.
        day: the day that was asked for.
        cases: the questions.
        said: the answers by setting.
        measured: the figures.
    """

    release: int
    frozen: int
    day: date
    cases: tuple[Case, ...]
    said: Mapping[str, tuple[Said, ...]]
    measured: Timeliness

    def to_dict(self) -> dict[str, Any]:
        """The figures, and every question with its answers, as plain JSON values."""
        asked = [
            {
                **vars(case),
                "slice": case.slice,
                "said": {name: texts[place].text if texts[place].known else None for name, texts in self.said.items()},
            }
            for place, case in enumerate(self.cases)
        ]
        about = {"release": self.release, "frozen": self.frozen, "day": self.day.isoformat(), "n": len(self.cases)}
        rests = {name: {key: asdict(one) for key, one in grounded(said).items()} for name, said in self.said.items()}
        sure = {
            name: {part: {key: asdict(one) for key, one in held.items()} for part, held in found.items()}
            for name, answers in self.said.items()
            if (found := certainty(self.cases, answers))
        }
        return {**about, **self.measured.to_dict(), "grounded": rests, "calibration": sure, "asked": asked}


@dataclass(frozen=True)
class Drawn:
    """A question with what is known about what it asks; nothing where it names what does not exist.

    Attributes:
        case: the question.
        about: every version of it, whenever it holds.
    """

    case: Case
    about: tuple[KnownFact, ...] = ()


def draw_cases(
    known: Sequence[KnownFact],
    catalogue: Catalogue,
    day: date,
    count: int,
    *,
    first: frozenset[int] = frozenset(),
    seed: int = 0,
) -> tuple[Case, ...]:
    """Draw questions; see `drawn`."""
    return tuple(one.case for one in drawn(known, catalogue, day, count, first=first, seed=seed))


def drawn(
    known: Sequence[KnownFact],
    catalogue: Catalogue,
    day: date,
    count: int,
    *,
    first: frozenset[int] = frozenset(),
    share: float = 1.0,
    seed: int = 0,
) -> tuple[Drawn, ...]:
    """Draw questions: what `first` brought before anything else, and one in `UNANSWERABLE` without an answer.

    Those without an answer ask what has ended with nothing in its place, or about a name that does not exist.

    Args:
        known: every version that is known, whenever it holds.
        catalogue: the relations; facts of others are not asked about.
        day: the day asked for.
        count: how many questions.
        first: releases whose facts are asked about before others.
        share: of the questions with an answer, at most so many are about those.
        seed: of the draw.
    """
    draw = Random(seed)
    versions: dict[_Key, list[KnownFact]] = {}
    for item in sorted(known, key=lambda one: one.fact.id):
        if item.fact.relation in catalogue.relations:
            versions.setdefault((key_of(catalogue, item.fact.subject), item.fact.relation), []).append(item)
    holding = [key for key, items in versions.items() if any(one.fact.holds_on(day) for one in items)]
    ended = [key for key in versions if key not in set(holding)]
    for keys in (holding, ended):
        draw.shuffle(keys)
    holding.sort(key=lambda key: not any(one.release in first and one.fact.holds_on(day) for one in versions[key]))
    empty = count // UNANSWERABLE
    most = round(share * (count - empty))
    newer = sum(any(one.release in first and one.fact.holds_on(day) for one in versions[key]) for key in holding)
    holding = [*holding[: min(most, newer)], *holding[newer:], *holding[most:newer]]
    chosen = (*holding[: count - empty], *ended[: empty // 2])
    asked = [Drawn(_case(versions[key], catalogue, day), tuple(versions[key])) for key in chosen]
    names = {subject for subject, _ in versions}
    relations = sorted(catalogue.relations)
    while len(asked) < count and relations:
        name = "".join(draw.sample(_SYLLABLES, 3)).capitalize()
        if key_of(catalogue, name) not in names:
            asked.append(Drawn(Case(catalogue.relations[draw.choice(relations)].question.replace(SUBJECT, name))))
    return tuple(asked)


def _case(items: Sequence[KnownFact], catalogue: Catalogue, day: date) -> Case:
    """The question about one subject and relation, with what is right and what was."""
    fact = items[0].fact
    current = {form for one in items if one.fact.holds_on(day) for form in catalogue.answers(one.fact.object)}
    past = {form for one in items if not one.fact.holds_on(day) for form in catalogue.answers(one.fact.object)}
    question = catalogue.relations[fact.relation].question.replace(SUBJECT, fact.subject)
    return Case(question, tuple(sorted(current)), tuple(sorted(past - current)))


def ask_settings(
    home: Home,
    catalogue: Catalogue,
    count: int,
    day: date,
    *,
    release: str | int = "champion",
    frozen: str | int | None = None,
    seed: int = 0,
) -> TimelinessRun:
    """Ask a release in the three settings.

    Args:
        home: where it lies.
        catalogue: the relations.
        count: how many questions.
        day: the day asked for.
        release: number or alias.
        frozen: the release whose snapshot is the offline setting; its parent by default, itself where it has none.
        seed: of the draw.

    Raises:
        InputError: there is no such release, or nothing to ask.
    """
    from pipelines.answer import open_answerer

    with Ledger.open(home) as ledger:
        store = ReleaseStore(ledger)
        chosen = PruningStore(ledger).kept(release)
        older = store.get(frozen if frozen is not None else chosen.parent or chosen.number)
    known = view(read_snapshot(checked(home.snapshots, chosen.facts_snapshot)))
    cases = draw_cases(known, catalogue, day, count, first=_newer(chosen, older, known), seed=seed)
    if not cases:
        raise InputError(
            "questions to ask", f"none about release {chosen.number}", "ask for some, of a home that knows"
        )
    online = open_answerer(home, "online", chosen.number)
    answerers = {"parametric": online, "offline": open_answerer(home, "offline", older.number), "online": online}
    said = {name: asked(answerers[name], cases, name, day, catalogue) for name in SETTINGS}
    return TimelinessRun(chosen.number, older.number, day, cases, said, measure(cases, said))


def _newer(chosen: Release, older: Release, known: Sequence[KnownFact]) -> frozenset[int]:
    """The releases after `older` that brought something to `chosen`; its own where both are one."""
    numbers = frozenset(one.release for one in known if one.release > older.number)
    return numbers or frozenset({chosen.number})


def asked(
    answerer: "Answerer", cases: Sequence[Case], setting: str, day: date, catalogue: Catalogue
) -> tuple[Said, ...]:
    """What an answerer says to every question, and whether a fact that it names says so too."""
    replies = answerer.ask_many([case.question for case in cases], setting, day)
    return tuple(said_of(reply, catalogue) for reply in replies)


def said_of(reply: "Reply", catalogue: Catalogue) -> Said:
    """A reply as it is judged."""
    held = any(holds_answer(reply.text, catalogue.answers(item.fact.object)) for item in reply.provenance)
    return Said(reply.text, reply.known, bool(reply.provenance), held, reply.model_words or "", reply.certainty)
