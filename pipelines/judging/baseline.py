"""What a model knows of the catalogue's facts in the three settings, before anything is written.

*parametric*: the weights alone, several phrasings of each fact. *offline*: the facts themselves as a frozen snapshot
with its index. *online*: the facts of this home's champion as the ledger holds them now; left out while there is none.
The figures are kept in the home, and so is every answer of the weights.
"""

import random
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

from editors.load import LoadedModel
from guards.stats import wilson
from pipelines.admission.tables import read_facts
from pipelines.answer import Answerer, open_answerer
from pipelines.answering.indexing import index_facts
from pipelines.judging.beliefs import believe
from pipelines.settings import Settings
from registry.errors import InputError, UnknownNameError
from registry.home import Home
from registry.records import Belief, BeliefState, EditRequest, Fact, KnownFact
from registry.sealed import sealed
from registry.text import holds_answer

SETTINGS = ("parametric", "offline", "online")

_DIGEST_CHARS = 32


@dataclass(frozen=True)
class Known:
    """Counts over some facts.

    Attributes:
        asked: how many facts.
        known: answered rightly (parametric: in every phrasing).
        wrong: answered wrongly, and surely (parametric: in every phrasing).
        unknown: neither.
        share: known / asked.
        low: lower bound of Wilson's 95 % interval of the share.
        high: upper bound.
        certainty: mean certainty of the model's words, 0 to 1.
    """

    asked: int
    known: int
    wrong: int
    unknown: int
    share: float
    low: float
    high: float
    certainty: float


@dataclass(frozen=True)
class ModelCheck:
    """What a model knows.

    Attributes:
        model: what was asked for.
        digest: digest of its weights.
        facts: file that the facts come from.
        settings: counts over all facts, by setting.
        relations: the same by setting and relation.
        notes: what was left out, and why.
    """

    model: str
    digest: str
    facts: str
    settings: Mapping[str, Known]
    relations: Mapping[str, Mapping[str, Known]]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def check_model(
    home: Home,
    loaded: LoadedModel,
    *,
    facts: Path | None = None,
    sample: int | None = None,
    settings: Sequence[str] = SETTINGS,
    seed: int = 0,
) -> ModelCheck:
    """Ask the model the facts of the catalogue and keep its answers.

    Args:
        home: where answers and figures are kept.
        loaded: the model, without a delta on it.
        facts: CSV file of true facts; `facts.csv` beside the catalogue by default.
        sample: ask only so many of them, spread evenly over the relations.
        settings: which of "parametric", "offline" and "online".
        seed: of the sample.

    Raises:
        UnknownNameError: there is no such setting.
        InputError: the facts cannot be read, or none of them holds on the catalogue's day.
    """
    for name in settings:
        if name not in SETTINGS:
            raise UnknownNameError("setting", name, SETTINGS)
    rules = Settings.load()
    source = facts or rules.conf.parent / Path(rules.policy.catalogue).parent / "facts.csv"
    day = date.fromisoformat(rules.catalogue.as_of) if rules.catalogue.as_of else date.today()
    current = [fact for fact in read_facts(source) if fact.holds_on(day)]
    requests = _sampled(_questions(rules, current), sample, seed)
    if not requests:
        raise InputError(f"facts in {source} that hold on {day}", "none", "name another file")
    found: dict[str, dict[str, Belief]] = {}
    notes: list[str] = []
    for name in dict.fromkeys(settings):
        if name == "parametric":
            found[name] = believe(loaded, requests, home=home)
            continue
        answerer = _frozen(home, rules, loaded, current) if name == "offline" else _live(home, rules, loaded)
        if answerer is None:
            notes.append(f"{name}: left out, this home has no release yet")
            continue
        found[name] = _asked(answerer, requests, name, day)
    relation_of = {request.fact.id: request.fact.relation for request in requests}
    result = ModelCheck(
        loaded.name,
        loaded.digest,
        str(source),
        {name: _counted(beliefs.values()) for name, beliefs in found.items()},
        {name: _by_relation(beliefs, relation_of) for name, beliefs in found.items()},
        tuple(notes),
    )
    _keep(home, result, found)
    return result


def _questions(rules: Settings, facts: Sequence[Fact]) -> list[EditRequest]:
    """One request per subject and relation; where several objects are true, each of them is right."""
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.subject, fact.relation].append(fact)
    requests = []
    for group in groups.values():
        request = rules.catalogue.request(group[0], "ADD")
        right = tuple(form for fact in group for form in rules.catalogue.answers(fact.object))
        requests.append(replace(request, answers=tuple(dict.fromkeys(right))))
    return requests


def _sampled(requests: Sequence[EditRequest], count: int | None, seed: int) -> list[EditRequest]:
    """`count` requests, as evenly over the relations as they allow; all of them without a count."""
    if count is None or count >= len(requests):
        return list(requests)
    piles: dict[str, list[EditRequest]] = defaultdict(list)
    for request in requests:
        piles[request.fact.relation].append(request)
    generator = random.Random(seed)
    for pile in piles.values():
        generator.shuffle(pile)
    chosen: list[EditRequest] = []
    while len(chosen) < count:
        chosen.extend(pile.pop() for pile in piles.values() if pile)
    return chosen[:count]


def _frozen(home: Home, rules: Settings, loaded: LoadedModel, facts: Sequence[Fact]) -> Answerer:
    """An answerer over a snapshot of exactly these facts."""
    known = [KnownFact(fact, "rag", 0) for fact in facts]
    with tempfile.TemporaryDirectory() as scratch:
        index = index_facts(home, rules.catalogue, known, Path(scratch) / "index")
    return Answerer(rules.catalogue, known, index, loaded, rules.policy.answer, home=home)


def _live(home: Home, rules: Settings, loaded: LoadedModel) -> Answerer | None:
    """An answerer over what this home's ledger holds now, with the given model; None before the first release."""
    try:
        online = open_answerer(home, "online")
    except InputError:
        return None
    return replace(online, loaded=loaded)


def _asked(answerer: Answerer, requests: Sequence[EditRequest], setting: str, day: date) -> dict[str, Belief]:
    """The system's answers as beliefs: right, wrong, or "not known"."""
    replies = answerer.ask_many([request.question or request.prompt for request in requests], setting, day)
    beliefs = {}
    for request, reply in zip(requests, replies, strict=True):
        right = reply.known and holds_answer(reply.text, request.answers)
        state: BeliefState = "known" if right else "wrong" if reply.known else "unknown"
        beliefs[request.fact.id] = Belief(request.fact.id, state, (reply.text,), (right,), reply.certainty or 0.0)
    return beliefs


def _counted(beliefs: Any) -> Known:
    """Counts over beliefs."""
    kept = list(beliefs)
    states = [belief.state for belief in kept]
    interval = wilson(states.count("known"), len(kept))
    return Known(
        len(kept),
        states.count("known"),
        states.count("wrong"),
        states.count("unknown"),
        interval.value,
        interval.low,
        interval.high,
        fmean(belief.certainty for belief in kept),
    )


def _by_relation(beliefs: Mapping[str, Belief], relation_of: Mapping[str, str]) -> dict[str, Known]:
    """Counts by relation, in the order of the names."""
    groups: dict[str, list[Belief]] = defaultdict(list)
    for fact_id, belief in beliefs.items():
        groups[relation_of[fact_id]].append(belief)
    return {name: _counted(group) for name, group in sorted(groups.items())}


def _keep(home: Home, result: ModelCheck, found: Mapping[str, Mapping[str, Belief]]) -> None:
    """Write figures and beliefs, one file per model, whole or not at all."""
    home.beliefs.mkdir(parents=True, exist_ok=True)
    beliefs = {name: [asdict(one) for one in group.values()] for name, group in found.items()}
    path = home.beliefs / f"check-{result.digest[:_DIGEST_CHARS]}.json"
    with tempfile.NamedTemporaryFile("wb", dir=home.beliefs, delete=False) as stream:
        stream.write(sealed({**result.to_dict(), "beliefs": beliefs}))
    Path(stream.name).replace(path)
