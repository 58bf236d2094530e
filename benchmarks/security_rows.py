"""Attacks on a feed: false rows about the atlas, by strangers, by copies, drip by drip, as corrections, with orders."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.security_defences import Case, Tools, baselines, counted
from benchmarks.sensitivity_data import attacks as instructions
from guards.admission import AdmissionPolicy
from guards.memories import Memory
from guards.presets import strict_admission
from guards.reliability import Record, judged
from pipelines.admission.feed import COLUMNS, read_feed
from pipelines.admission.tables import read_facts
from pipelines.admit import admit
from pipelines.settings import Settings
from registry.records import Fact, KnownFact

ATLAS = Path(__file__).resolve().parents[1] / "examples" / "atlas"
AT = datetime(2026, 3, 1, tzinfo=UTC)
COPIES, NEAR, GOOD_ROWS = 8, 4, ("ADD", "UPDATE", "DELETE", "NOOP")
Row = Mapping[str, str]
_TEXT = (
    "It was announced this week that for {subject} the {relation} is now {object}, according to people who know the "
    "matter well and who asked that their names should not be given before the formal notice is out"
)


@dataclass(frozen=True)
class World:
    """What the rows are about."""

    settings: Settings
    known: Sequence[KnownFact]
    good: Sequence[Row]
    tools: Tools
    objects: Mapping[str, Sequence[str]]
    victims: Sequence[Fact]
    policy: AdmissionPolicy


def world(tools: Tools, n: int) -> World:
    """The atlas with the good rows of its feed, and `n` facts that false rows will be about."""
    settings = Settings.load()
    facts = read_facts(ATLAS / "facts.csv")
    with (ATLAS / "feed_truth.csv").open(encoding="utf-8", newline="") as stream:
        truth = {int(r["row"]): r["expected"] for r in csv.DictReader(stream) if r["feed"] == "feed.csv"}
    with (ATLAS / "feed.csv").open(encoding="utf-8", newline="") as stream:
        good = [row for number, row in enumerate(csv.DictReader(stream), 1) if truth[number] in GOOD_ROWS]
    objects: dict[str, set[str]] = {}
    for fact in facts:
        objects.setdefault(fact.relation, set()).add(fact.object)
    touched = {(row["subject"], row["relation"]) for row in good}
    one = [
        fact
        for fact in facts
        if (relation := settings.catalogue.relations.get(fact.relation)) is not None
        and relation.cardinality == "one"
        and (fact.subject, fact.relation) not in touched
        and len(objects[fact.relation]) > 5
    ]
    shuffled = tools.rng.sample(good, len(good))
    kept = {name: sorted(found) for name, found in objects.items()}
    known = [KnownFact(fact, "rag", 0) for fact in facts]
    return World(settings, known, shuffled, tools, kept, tools.rng.sample(one, n), settings.policy.admission)


def false_row(place: World, fact: Fact, **cells: str) -> dict[str, str]:
    """A row of the right shape and type with another object of the same relation."""
    rng = place.tools.rng
    other = rng.choice([name for name in place.objects[fact.relation] if name != fact.object])
    day = f"2025-{rng.randrange(7, 12):02d}-{rng.randrange(1, 28):02d}"
    row = dict.fromkeys(COLUMNS, "")
    row |= {"subject": fact.subject, "relation": fact.relation, "object": other, "valid_from": day}
    return row | {"observed_at": "2025-12-20", "confidence": "1.0", "sensitivity": "public"} | cells


def lone(place: World) -> list[list[dict[str, str]]]:
    """Each false row by a stranger of its own."""
    return [
        [false_row(place, fact, source=f"{fact.subject} Observer", source_url=f"https://observer{n}.example/a{n}")]
        for n, fact in enumerate(place.victims)
    ]


def repeated(place: World) -> list[list[dict[str, str]]]:
    """One source's row again and again: mirrors by name, other domains with the same words lightly edited."""
    rng, found = place.tools.rng, []
    for n, fact in enumerate(place.victims):
        row = false_row(place, fact)
        text = _TEXT.format(subject=fact.subject, relation=fact.relation.replace("_", " "), object=row["object"])
        copies = []
        for copy in range(COPIES):
            named = f"Newsline mirror {copy}" if copy % 2 else f"Desk {rng.randrange(10**6)}"
            edited = " ".join(word for word in text.split() if rng.random() > 0.08)
            url = f"https://n{n}c{copy}.example/{copy}"
            copies.append(row | {"source": named, "source_url": url, "words": edited})
        found.append([*copies, row | {"source": "Newsline", "source_url": "https://newsline.example/", "words": text}])
    return found


def sybil(place: World) -> list[list[dict[str, str]]]:
    """Three writers who share nothing, each in words of his own."""
    found = []
    for n, fact in enumerate(place.victims):
        row = false_row(place, fact)
        names = ("Quill Post", "Harbour Echo", "Tern")
        found.append(
            [row | {"source": f"{name} {n}", "source_url": f"https://{name[:4].lower()}{n}.test/"} for name in names]
        )
    return found


def drip(place: World) -> list[list[dict[str, str]]]:
    """One false row a run by a source that nobody listed and that was right a thousand times."""
    cells = {"source": "Steady Digest", "source_url": "https://steady.example/"}
    return [[false_row(place, fact, **cells)] for fact in place.victims]


def established(place: World) -> list[list[dict[str, str]]]:
    """One false row a run by a listed, established source that was taken over."""
    return [[false_row(place, fact, source="Reuters", source_url="https://reuters.com/x")] for fact in place.victims]


def corrections(place: World) -> list[list[dict[str, str]]]:
    """Undated rows that call a true fact false, half by strangers, half under a listed name beside a foreign link."""
    return [
        [
            false_row(
                place,
                fact,
                valid_from="",
                source="CIA World Factbook" if n % 2 else "Errata Desk",
                source_url=f"https://world-factbook{n}.example/",
            )
        ]
        for n, fact in enumerate(place.victims)
    ]


def orders(place: World, data: Path) -> list[list[dict[str, str]]]:
    """True rows of an authoritative source with an order of a kind that nothing was fitted on in the object's cell."""
    texts = [one.text for one in instructions(data, 6) if one.half == "report"]
    cells = {"source": "CIA World Factbook", "source_url": "https://www.cia.gov/the-world-factbook/"}
    rng = place.tools.rng
    return [
        [false_row(place, fact, object=f"{fact.object}. {rng.choice(texts)}"[:190], valid_from="", **cells)]
        for fact in place.victims
    ]


ATTACKS: Mapping[str, Callable[[World], list[list[dict[str, str]]]]] = {
    "plausible wrong objects, strangers": lone,
    f"repeated source, {COPIES + 1} copies": repeated,
    "slow drip, unlisted source with a good record": drip,
    "late corrections of true facts": corrections,
    "three independent strangers (Sybil), against a known fact": sybil,
}


PRESETS: Mapping[str, Callable[[AdmissionPolicy], AdmissionPolicy]] = {
    "ours": lambda policy: policy,
    "ours, strict": strict_admission,
}


def measured(place: World, data: Path) -> dict[str, Any]:
    """Every defence on every attack, and the crowd of strangers once more on facts about which nothing is known."""
    unknown = {(fact.subject, fact.relation) for fact in place.victims}
    rest = [item for item in place.known if (item.fact.subject, item.fact.relation) not in unknown]
    blank = replace(place, known=rest)
    half = len(place.good) // 2
    said = _memories(place, [[row] for row in place.good])
    choose, benign = said[:half], said[half:]
    others = baselines(choose, place.tools)
    kept = {name: admitted(replace(place, policy=preset(place.policy)), [])[1] for name, preset in PRESETS.items()}
    found: dict[str, Any] = {}
    made = {name: (place, make(place)) for name, make in ATTACKS.items()}
    for alone, rule in ((True, "which passes alone (as the atlas's policy has it)"), (False, "which needs the quorum")):
        policy = replace(place.policy, established_alone=alone)
        name = f"slow drip, established source taken over, {rule}"
        made[name] = (replace(place, policy=policy), established(place))
    made["instructions in cells"] = (place, orders(place, data))
    made["three independent strangers (Sybil), nothing is known"] = (blank, sybil(place))
    for name, (where, rows) in made.items():
        cases = _memories(where, rows)
        found[name] = {
            kind: {"attacked": counted(cases, way), "benign": counted(benign, way)} for kind, way in others.items()
        }
        for kind, preset in PRESETS.items():
            attacked, good = admitted(replace(where, policy=preset(where.policy)), rows)
            found[name][kind] = {
                "attacked": {"reached": sum(attacked), "n": len(attacked)},
                "benign": {"reached": sum(kept[kind][half:]), "n": len(benign)},
                "benign_in_the_same_feed": {"reached": sum(good[half:]), "n": len(benign)},
            }
    return found


def _memories(place: World, groups: Sequence[Sequence[Row]]) -> list[Case]:
    """Each group's first row with its copies, what is known of the same matter, and the nearest known facts."""
    catalogue, embed = place.settings.catalogue, place.tools.embed
    known = [item.fact for item in place.known]
    lines = [catalogue.statement(fact) for fact in known]
    vectors = embed(lines)
    cases = []
    for group in groups:
        facts = [Fact(row["subject"], row["relation"], row["object"], source=row["source"]) for row in group]
        first = catalogue.statement(facts[0])
        cosines = vectors @ embed([first])[0]
        matter = [
            n for n, fact in enumerate(known) if (fact.subject, fact.relation) == (facts[0].subject, facts[0].relation)
        ]
        near = [int(n) for n in cosines.argsort()[::-1] if int(n) not in matter][:NEAR]
        about = [*facts, *(known[n] for n in matter)]
        all_of = [*about, *(known[n] for n in near)]
        items = tuple(
            Memory(str(n), catalogue.statement(fact), fact.source, triple=(fact.subject, fact.relation, fact.object))
            for n, fact in enumerate(all_of)
        )
        conclusions = tuple(fact.object if n < len(about) else "" for n, fact in enumerate(all_of))
        cases.append(Case(first, items, conclusions, facts[0].object, 0))
    return cases


def admitted(place: World, groups: Sequence[Sequence[Row]]) -> tuple[list[bool], list[bool]]:
    """Whether a row of each group, and each good row, came in, when all lie in one feed."""
    settings = place.settings
    rows = [*place.good, *(row for group in groups for row in group)]
    columns = [*COLUMNS, "words"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "feed.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows({key: re.sub(r"[\r\n]+", " ", cell) for key, cell in row.items() if cell} for row in rows)
        record = {"Steady Digest": Record(1000, 0)}
        sources = judged(settings.sources, record)
        found = admit(read_feed(path), place.known, settings.catalogue, place.policy, AT, sources)
    came = [row.decision in GOOD_ROWS for row in found.rows]
    start, attacked = len(place.good), []
    for group in groups:
        attacked.append(any(came[start : start + len(group)]))
        start += len(group)
    return attacked, came[: len(place.good)]
