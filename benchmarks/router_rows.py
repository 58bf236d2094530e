"""What the router's benchmark writes, and what it asks: updates of several sources, and facts that must not move."""

import csv
import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from benchmarks.draw import Known
from pipelines.bench.formats import read_rows
from pipelines.bench.rows import BenchRow
from pipelines.bench.score import Probe
from registry.catalogue import Catalogue
from registry.records import EditRequest, Fact

ATLAS = Path(__file__).resolve().parent.parent / "examples" / "atlas"
NEIGHBOURS = 300
"""Neighbours in each half at most."""


def updates(data: Sequence[Path], n: int, seed: int) -> list[BenchRow]:
    """Rows of the feed that should come in, then drawn edits in turn, one of every subject and relation."""
    with (ATLAS / "feed_truth.csv").open(encoding="utf-8", newline="") as stream:
        truth = [row for row in csv.DictReader(stream) if row["feed"] == "feed.csv"]
    with (ATLAS / "feed.csv").open(encoding="utf-8", newline="") as stream:
        cells = list(csv.DictReader(stream))
    wanted = {int(row["row"]) for row in truth if row["expected"] in ("ADD", "UPDATE")}
    accepted = {(c["subject"], c["relation"], c["object"]) for number, c in enumerate(cells, 1) if number in wanted}
    feed = read_rows(ATLAS / "feed.csv", "feed", len(cells), seed).rows
    found = [row for row in feed if (row.subject, row.relation, row.target_new) in accepted]
    drawn = [list(read_rows(file, "edits", n, seed).rows) for file in data]
    found += [row for rows in zip(*drawn, strict=False) for row in rows]
    single: dict[tuple[str, str], BenchRow] = {}
    for row in found:
        single.setdefault((row.subject, row.relation), row)
    return list(single.values())[:n]


def request_of(row: BenchRow, catalogue: Catalogue) -> EditRequest:
    """The request that the loop would make of an update."""
    if row.relation not in catalogue.relations:
        return row.request
    return catalogue.request(Fact(row.subject, row.relation, row.target_new, source="bench"), "UPDATE")


def asked_of(item: EditRequest) -> tuple[str, ...]:
    """The phrasings in which the loop asks what must not move."""
    return (item.prompt, *item.paraphrases[:1])


def neighbours(
    facts: Mapping[str, Known], rows: Sequence[BenchRow], catalogue: Catalogue, seed: int, subjects: Collection[str]
) -> tuple[list[EditRequest], list[Probe]]:
    """Facts that the model is sure of, of the relations that are updated, which no update touches.

    Args:
        facts: what the model knows.
        rows: the updates.
        catalogue: the relations.
        seed: cuts those of other subjects in two.
        subjects: those that are written about into the weights.

    Returns:
        What repair may ask, as requests: all about `subjects`, and half of the others. And what is scored, as probes:
        those about `subjects` in a phrasing in which they are not asked, and the other half.
    """
    touched = {(row.relation, row.subject) for row in rows}
    updated = {row.relation for row in rows}
    pool = [
        (name, subject, thing)
        for name, one in sorted(facts.items())
        if name in updated and name in catalogue.relations
        for subject, thing in sorted(one.sure.items())
        if (name, subject) not in touched
    ]
    own, others = ([one for one in pool if (one[1] in subjects) is beside] for beside in (True, False))
    random.Random(seed).shuffle(others)
    half = min(NEIGHBOURS, len(others) // 2)
    asked = [
        catalogue.request(Fact(subject, name, thing, source="bench"), "ADD")
        for name, subject, thing in (*own, *others[:half])
    ]
    probes = [
        Probe("neighbourhood", 0, facts[name].ask(subject), facts[name].relation.names(thing))
        for name, subject, thing in others[half : 2 * half]
    ]
    for (name, subject, thing), item in zip(own, asked, strict=False):
        phrasings = (text.replace("{}", subject) for text in (*facts[name].tests, facts[name].prompt))
        free = next((text for text in phrasings if text not in asked_of(item)), None)
        probes += [Probe("same_subject", 0, free, facts[name].relation.names(thing))] if free else []
    return asked, probes
