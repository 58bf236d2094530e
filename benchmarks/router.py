"""What the router makes of mixed updates: every fact in the memory that the policy picks, then the whole system asked.

    python -m benchmarks.router --model DIR --data edits.jsonl corrections.jsonl [--n 300]

The updates are what the atlas's feed brings (its rows that should come in) and drawn edits (`draw.py`), up to `--n`.
`conf/policy.yaml` stands as it is: the router picks the memory, the editor that it names writes, and, as in the loop, a
fact that the weights then do not answer in every phrasing moves to the index. A fact in the index is answered with its
object, everything else by the model with the delta on. Figures go to results/router.json.
"""

import argparse
import csv
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.draw import Known, ask, known
from benchmarks.draw_relations import atlas_relations
from benchmarks.editors import keep_json
from editors import get_editor
from editors.load import LoadedModel, load_model
from pipelines.beliefs import believe
from pipelines.bench_context import system
from pipelines.bench_formats import read_rows
from pipelines.bench_moments import RUNNING_TEXT, config_of, with_moments
from pipelines.bench_rows import BenchRow
from pipelines.bench_score import Probe, answers, perplexity, probes_of, right_of, shares
from pipelines.route import RAG, Evidence, barrier, route
from pipelines.settings import Settings
from pipelines.write import Written, moved_to_index, write
from registry.home import Home
from registry.records import EditRequest, Fact, Route

HERE = Path(__file__).resolve().parent
ATLAS = HERE.parent / "examples" / "atlas"
NEIGHBOURS = 300
UNANSWERED = "the model does not answer it by itself in every phrasing"


@dataclass(frozen=True)
class Place:
    """What the run works with."""

    loaded: LoadedModel
    settings: Settings
    home: Home
    seed: int


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


def request_of(row: BenchRow, settings: Settings) -> EditRequest:
    """The request that the loop would make of an update."""
    if row.relation not in settings.catalogue.relations:
        return row.request
    return settings.catalogue.request(Fact(row.subject, row.relation, row.target_new, source="bench"), "UPDATE")


def routed(place: Place, requests: Sequence[EditRequest]) -> list[Route]:
    """The memory of every request, by the policy as it stands."""
    policy, catalogue = place.settings.policy.route, place.settings.catalogue
    fitting = [item for item in requests if barrier(item, Evidence(), catalogue, policy) is None]
    beliefs = believe(place.loaded, fitting, home=place.home)
    return route(requests, Evidence(beliefs=beliefs), catalogue, policy)


def written(place: Place, requests: Sequence[EditRequest], routes: Sequence[Route]) -> Written:
    """What the picked editors write; what the weights then do not answer in every phrasing is in the index."""
    names = {item.editor for item in routes} - {RAG}
    config = None
    if names:
        own = config_of(next(iter(names)), place.seed)
        config, _ = with_moments(own, place.loaded, place.home, None)
    made = write(place.loaded, requests, routes, config)
    while made.delta is not None:
        held = set(made.delta.fact_ids)
        asked = [
            Probe("efficacy", number, prompt, item.answers)
            for number, item in enumerate(requests)
            if item.fact.id in held
            for prompt in (item.prompt, *item.held_out)
        ]
        with made.delta.applied(place.loaded.model):
            said = answers(place.loaded.model, place.loaded.tokenizer, asked)
        wrong = {p.row for p, good in zip(asked, right_of(asked, said), strict=True) if not good}
        if not wrong:
            break
        made = moved_to_index(made, dict.fromkeys((requests[number].fact.id for number in wrong), UNANSWERED))
    return made


def neighbours(facts: dict[str, Known], rows: Sequence[BenchRow], seed: int) -> list[Probe]:
    """Facts that the model is sure of, of the relations that are updated, which no update touches."""
    touched = {(row.relation, row.subject) for row in rows}
    pool = [
        Probe("neighbourhood", 0, one.ask(subject), one.relation.names(thing))
        for name, one in sorted(facts.items())
        if name in {row.relation for row in rows}
        for subject, thing in sorted(one.sure.items())
        if (name, subject) not in touched
    ]
    return random.Random(seed).sample(pool, min(NEIGHBOURS, len(pool)))


def scored(place: Place, probes: Sequence[Probe], deltas: Sequence[Any], weights: Any) -> dict[str, Any]:
    """The system's scores with everything on."""
    from contextlib import nullcontext

    from editors.gather import read_texts

    say = system(place.loaded, place.home)
    with weights.applied(place.loaded.model) if weights is not None else nullcontext():
        said = say(probes, deltas)
        after = perplexity(place.loaded, list(read_texts(RUNNING_TEXT)))
    found = shares(probes, right_of(probes, said))
    kinds = {probe.kind for probe in probes}
    return {**{kind: found[kind] for kind in found if kind in kinds}, "perplexity": after}


def main(arguments: Sequence[str] | None = None) -> None:
    """Route, write and ask; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description="The router on mixed updates.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="edits, as benchmarks/draw.py makes them")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "router.json")
    given = parser.parse_args(arguments)
    place = Place(load_model(given.model, device="cpu"), Settings.load(), Home.default(), given.seed)
    rows = updates(given.data, given.n, given.seed)
    requests = [request_of(row, place.settings) for row in rows]
    relations = atlas_relations(ATLAS)
    facts = known(relations, ask(place.loaded, relations, place.home))
    bare = [
        replace(row, answers=item.answers, neighbourhood=(), same_subject=(), negation=(), reversal=(), two_hop=())
        for row, item in zip(rows, requests, strict=True)
    ]
    probes = [*probes_of(bare), *neighbours(facts, rows, given.seed)]
    routes = routed(place, requests)
    started = time.process_time()
    made = written(place, requests, routes)
    cpu = time.process_time() - started
    index = get_editor(RAG).fit(None, None, [item for item in requests if made.memory[item.fact.id] == RAG])
    before, after = scored(place, probes, (), None), scored(place, probes, [index], made.delta)
    result = {
        "n": len(rows),
        "seed": given.seed,
        "model": place.loaded.digest,
        "routes": Counter(item.editor for item in routes),
        "reasons": Counter(item.reason.split(":")[0].split(";")[0] for item in routes),
        "memories": Counter(made.memory.values()),
        "moved": Counter(reason.split(":")[0] for reason in made.moved.values()),
        "before": before,
        "after": after,
        "perplexity_ratio": after["perplexity"] / before["perplexity"],
        "cpu_seconds_write": cpu,
    }
    keep_json(given.results, result)


if __name__ == "__main__":
    main()
