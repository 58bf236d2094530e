"""What the router makes of mixed updates: every fact in the memory that the policy picks, then the whole system asked.

    python -m benchmarks.router --model DIR --data edits.jsonl corrections.jsonl [--n 300] [--levels .97 .98 .99]

The updates are what the atlas's feed brings (its rows that should come in) and drawn edits (`draw.py`), up to `--n`.
`conf/policy.yaml` stands as it is: the router picks the memory, the editor that it names writes, and the loop's own
repair (`pipelines.judging.repair`) takes out of the weights what they do not answer in every phrasing and, until the
share of neighbours that stay right reaches a level, what costs most of them; before that, what makes running text
harder to read than the policy allows. The neighbours are cut in two by fact and the paragraphs of running text by
turns: repair asks and reads one half, the scores are those of the other, which it never sees. Other facts of the edited
subjects are all asked by repair, as in the loop, and scored in a phrasing in which it does not ask them. A fact in the
index is answered with its object, everything else by the model with the delta on. Figures go to results/router.json,
level by level.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.draw import Known, ask, known
from benchmarks.draw_relations import atlas_relations
from benchmarks.editors import keep_json
from benchmarks.router_rows import ATLAS, neighbours, request_of, updates
from editors import get_editor, read_delta
from editors.load import LoadedModel, load_model
from pipelines.bench.context import system
from pipelines.bench.moments import config_of, with_moments
from pipelines.bench.rows import BenchRow
from pipelines.bench.score import Probe, perplexity, probes_of, right_of, shares
from pipelines.guard import strictest
from pipelines.judging.beliefs import believe
from pipelines.judging.probing import Asker, edit_questions, stay_questions, sure
from pipelines.judging.reading import Reading
from pipelines.judging.repair import Bench
from pipelines.judging.stay import stay_gate
from pipelines.route import RAG, Evidence, barrier, route
from pipelines.settings import Settings
from pipelines.write import Written, write
from registry.home import Home
from registry.records import EditRequest, Route

HERE = Path(__file__).resolve().parent
SECONDS = "seconds.txt"
ROUNDS = 80
"""How often repair may take facts out; the loop's own batches are smaller and need fewer."""


@dataclass(frozen=True)
class Place:
    """What the run works with."""

    loaded: LoadedModel
    settings: Settings
    home: Home
    seed: int


def routed(place: Place, requests: Sequence[EditRequest]) -> list[Route]:
    """The memory of every request, by the policy as it stands."""
    policy, catalogue = place.settings.policy.route, place.settings.catalogue
    fitting = [item for item in requests if barrier(item, Evidence(), catalogue, policy) is None]
    beliefs = believe(place.loaded, fitting, home=place.home)
    return route(requests, Evidence(beliefs=beliefs), catalogue, policy)


def fitted(
    place: Place, requests: Sequence[EditRequest], routes: Sequence[Route], kept: Path | None
) -> tuple[Written, float]:
    """What the picked editors write, before anything is taken out, and the CPU seconds that it took.

    Args:
        place: what the run works with.
        requests: what to write.
        routes: where.
        kept: folder in which a fit is kept for the next run of the same updates; None keeps none.
    """
    if kept is not None and (kept / SECONDS).is_file():
        return _read_again(kept, requests, routes), float((kept / SECONDS).read_text(encoding="utf-8"))
    began = time.process_time()
    made = _written(place, requests, routes)
    seconds = time.process_time() - began
    if kept is not None and made.delta is not None:
        made.delta.save(kept / "delta")
        (kept / SECONDS).write_text(f"{seconds:.1f}", encoding="utf-8")
    return made, seconds


def _read_again(kept: Path, requests: Sequence[EditRequest], routes: Sequence[Route]) -> Written:
    """A fit that was kept."""
    delta = read_delta(kept / "delta")
    held = set(delta.fact_ids)
    memory = {item.fact.id: way.editor for item, way in zip(requests, routes, strict=True)}
    moved = {key: "could not be written" for key, editor in memory.items() if editor != RAG and key not in held}
    effects = {effect.fact_id: effect for effect in delta.effects}
    return Written(delta, effects, {**memory, **dict.fromkeys(moved, RAG)}, moved)


def _written(place: Place, requests: Sequence[EditRequest], routes: Sequence[Route]) -> Written:
    """The fit itself."""
    names = {item.editor for item in routes} - {RAG}
    config = None
    if names:
        own = config_of(next(iter(names)), place.seed)
        config, _ = with_moments(own, place.loaded, place.home, None)
    return write(place.loaded, requests, routes, config)


def bench_of(place: Place, held: Sequence[EditRequest], near: Sequence[EditRequest]) -> Bench:
    """The loop's repair bench; its gate is that of no level.

    Args:
        place: what the run works with.
        held: what is written into the weights.
        near: facts that must not move.
    """
    asker = Asker(place.loaded)
    reading = Reading.of(place.loaded, paragraphs(place)[::2], place.settings.policy.probes.harder)
    untouched = sure(stay_questions([item.fact for item in near], held, place.settings.catalogue), asker)
    return Bench(asker, edit_questions(held), untouched, lambda _: None, ROUNDS, reading)


def paragraphs(place: Place) -> list[str]:
    """The running text: those at even places are read by repair, the others are scored."""
    return list(place.settings.running_text)


def at_level(place: Place, bench: Bench, requests: Sequence[EditRequest], made: Written, level: float) -> Written:
    """The batch after repair at a level; 0 only takes out what the weights do not answer."""
    if made.delta is None:
        return made
    if not level:
        return replace(bench, reading=None).repair(made).written
    held = set(made.delta.fact_ids)
    tier = strictest(item.risk_tier for item in requests if item.fact.id in held)
    gate = stay_gate(place.settings.policy.gates, tier, level)
    return replace(bench, gate=gate).repair(made).written


def scored(place: Place, probes: Sequence[Probe], deltas: Sequence[Any], weights: Any) -> dict[str, Any]:
    """The system's scores with everything on."""
    from contextlib import nullcontext

    say = system(place.loaded, place.home)
    with weights.applied(place.loaded.model) if weights is not None else nullcontext():
        said = say(probes, deltas)
        after = perplexity(place.loaded, paragraphs(place)[1::2])
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
    parser.add_argument("--levels", type=float, nargs="*", default=[0.97, 0.98, 0.99], help="shares that stay right")
    parser.add_argument("--kept", type=Path, default=None, help="folder that keeps the fit for the next run")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "router.json")
    given = parser.parse_args(arguments)
    place = Place(load_model(given.model, device="cpu"), Settings.load(), Home.default(), given.seed)
    rows = updates(given.data, given.n, given.seed)
    relations = atlas_relations(ATLAS)
    facts = known(relations, ask(place.loaded, relations, place.home))
    for found in found_by_level(place, rows, facts, sorted({0.0, *given.levels}), given.kept):
        keep_json(given.results, found)


def found_by_level(
    place: Place,
    rows: Sequence[BenchRow],
    facts: Mapping[str, Known],
    levels: Sequence[float],
    kept: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """The figures after each level; repair goes on from what the weights answer (level 0, which comes first)."""
    requests = [request_of(row, place.settings.catalogue) for row in rows]
    bare = [
        replace(row, answers=item.answers, neighbourhood=(), same_subject=(), negation=(), reversal=(), two_hop=())
        for row, item in zip(rows, requests, strict=True)
    ]
    routes = routed(place, requests)
    held = [item for item, way in zip(requests, routes, strict=True) if way.editor != RAG]
    near, hidden = neighbours(facts, rows, place.settings.catalogue, place.seed, {item.fact.subject for item in held})
    probes = [*probes_of(bare), *hidden]
    made, seconds = fitted(place, requests, routes, kept)
    answered = made
    bench = bench_of(place, held, near)
    result: dict[str, Any] = {
        "n": len(rows),
        "seed": place.seed,
        "model": place.loaded.digest,
        "routes": Counter(item.editor for item in routes),
        "reasons": Counter(item.reason.split(":")[0].split(";")[0] for item in routes),
        "asked_by_repair": len({item.fact_id for item in bench.untouched}),
        "cpu_seconds_write": seconds,
        "before": scored(place, probes, (), None),
        "levels": {},
    }
    for level in levels:
        started = time.process_time()
        made = at_level(place, bench, requests, answered, level)
        spent = time.process_time() - started
        answered = answered if level else made
        index = get_editor(RAG).fit(None, None, [item for item in requests if made.memory[item.fact.id] == RAG])
        after = scored(place, probes, [index], made.delta)
        result["levels"][f"{level:.2f}" if level else "answered"] = {
            **after,
            "memories": Counter(made.memory.values()),
            "moved": Counter(_why(reason) for reason in made.moved.values()),
            "perplexity_ratio": after["perplexity"] / result["before"]["perplexity"],
            "cpu_seconds_repair": spent,
        }
        yield result


def _why(reason: str) -> str:
    """A reason without the facts and figures in it."""
    if "bring back" in reason:
        return "costs most neighbours"
    if "rounds of repair" in reason:
        return "the batch still broke the gate after all rounds"
    if "about its subject" in reason:
        return "changes another answer about its subject"
    if "as hard to read" in reason:
        return "pulls hardest at running text"
    return reason.split(":")[0]


if __name__ == "__main__":
    main()
