"""The steps of the loop, bound to the workplace of a run: what each needs, how long it took, what it hands on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guards.volatility import rates_of
from pipelines.judging.freshness import paired
from pipelines.judging.moments import editor_config
from pipelines.outcome import RowResult, Status, UpdateResult, count_memories, peak_rss_mb
from pipelines.releasing.retire import ended_in_weights, retire
from pipelines.route import RAG, WEIGHT_EDITORS, Evidence, barrier
from pipelines.route import route as choose
from pipelines.workplace import Workplace
from pipelines.write import Written
from pipelines.write import write as fit
from registry.forgotten import Tombstones
from registry.progress import track
from registry.records import Belief, EditRequest, Release, Route

if TYPE_CHECKING:
    from pipelines.admission.feed import Feed
    from pipelines.admit import Admission, RowOutcome
    from pipelines.guard import Judged
    from pipelines.requests.mandate import Mandate

QUICK_FACTS, SPARE = 3, 2
CORRECTION = "correction"
"""Rule by which admission says that what was known was never true."""


@dataclass(frozen=True)
class Routed:
    """The requests of a run, where each goes, and what the model believed about them.

    Attributes:
        requests: what was accepted, as edit requests.
        routes: one per request, in the same order.
        beliefs: what the model answered before, by fact id.
        quick: whether the run is a quick one.
        corrections: ids of the facts that say that what was known was never true.
    """

    requests: tuple[EditRequest, ...]
    routes: tuple[Route, ...]
    beliefs: Mapping[str, Belief]
    quick: bool = False
    corrections: frozenset[str] = frozenset()


def read(place: Workplace, feed: Path) -> "Feed":
    """Read the feed as a whole.

    Raises:
        FeedError: it cannot be read.
    """
    from pipelines.admission.feed import read_feed
    from pipelines.admission.release_rows import with_released

    with place.timed("read"), track(f"read {feed.name}"):
        return with_released(read_feed(feed), place.ledger)


def admit(place: Workplace, feed: "Feed") -> "Admission":
    """Decide on every row against what is known, what was found false, and what each source's record is.

    What it is decided by goes into the log before, where that has changed since the last run.
    """
    from pipelines.admission.learning import learn, trusted_now
    from pipelines.admit import admit as decide
    from pipelines.judging.rules import record_judging

    settings = place.settings
    with place.timed("admit"), track("admit", total=feed.table.num_rows):
        record_judging(place)
        lessons = learn(place.home, place.events, place.known)
        sources = trusted_now(settings.sources, place.events, place.at)
        policy, forgotten = settings.policy.admission, Tombstones.of(place.ledger)
        return decide(feed, place.known, settings.catalogue, policy, place.at, sources, lessons, forgotten)


def route(
    place: Workplace,
    admission: "Admission",
    quick: bool = False,
    only: Sequence[str] | None = None,
    most: int | None = None,
) -> Routed:
    """Pick the memory of every accepted row; ask the model about those that might go into its weights."""
    from pipelines.judging.beliefs import believe
    from pipelines.judging.persuasion import PersuasionPolicy, persuadability

    settings = place.settings
    policy = settings.policy.route
    limits = (policy.max_per_run, QUICK_FACTS if quick else None, most)
    policy = replace(policy, max_per_run=min(limit for limit in limits if limit is not None))
    accepted = [row for row in admission.rows if row.decision in ("ADD", "UPDATE", "DELETE")]
    requests = tuple(_request(place, row) for row in accepted)
    evidence = Evidence(
        disputed=frozenset(row.fact.id for row in accepted if row.fact is not None and row.disputed),
        in_weights=sum(item.memory != RAG for item in place.current),
        allowed=frozenset(only) if only is not None else frozenset((RAG, *WEIGHT_EDITORS)),
        rates=rates_of((item.fact for item in place.known), place.today),
    )
    with place.timed("route"):
        beliefs: dict[str, Belief] = {}
        if evidence.allowed & set(WEIGHT_EDITORS):
            fitting = [item for item in requests if barrier(item, evidence, settings.catalogue, policy) is None]
            if fitting:
                # Some turn out to be known already, so a few more are asked than can be written.
                asked = fitting[: policy.max_per_run + SPARE]
                beliefs = believe(place.loaded, asked, home=place.home)
                if policy.persuasion_samples:
                    how = PersuasionPolicy(samples=policy.persuasion_samples)
                    yields = persuadability(place.loaded, asked, settings.catalogue, how)
                    evidence = replace(evidence, persuasion=yields)
        evidence = replace(evidence, beliefs=beliefs)
        routes = tuple(choose(requests, evidence, settings.catalogue, policy))
    corrections = frozenset(
        row.fact.id for row in accepted if row.fact is not None and row.reasons and row.reasons[0].rule == CORRECTION
    )
    return Routed(requests, routes, beliefs, quick, corrections)


def _request(place: Workplace, row: "RowOutcome") -> EditRequest:
    """The edit request of an accepted row."""
    assert row.fact is not None, "an accepted row has its fact"
    operation = row.decision
    assert operation in ("ADD", "UPDATE", "DELETE"), "only accepted rows become requests"
    own_prompt = row.prompt if row.fact.relation not in place.settings.catalogue.relations else None
    return place.settings.catalogue.request(
        row.fact, operation, prompt=own_prompt, requester=place.actor, replaces=row.replaces
    )


def write(place: Workplace, routed: Routed) -> Written:
    """Fit the weight delta of everything that is routed to the weights."""
    with place.timed("write"):
        retire(place, ended_in_weights(place, routed.requests))
        editors = {item.editor for item in routed.routes} - {RAG}
        if not editors:
            return fit(None, routed.requests, routed.routes)
        config = editor_config(place, next(iter(editors)), routed.quick)
        return fit(place.loaded, routed.requests, routed.routes, config)


def guard(place: Workplace, routed: Routed, written: Written) -> "Judged":
    """Judge the final model and the final index; take out what breaks a gate."""
    from pipelines.guard import judge

    with place.timed("guard"):
        return judge(place, routed, written)


def publish(
    place: Workplace,
    feed: "Feed",
    admission: "Admission",
    routed: Routed,
    judged: "Judged",
    mandate: "Mandate | None" = None,
) -> UpdateResult:
    """Publish the release in one transaction, or record why it was not; `mandate` is the request that it carries out.

    Raises:
        BlockedError: that request is no longer approved; nothing is published.
    """
    from pipelines.releasing.record import publish_release, record_only

    rows = results(feed, admission, routed, judged.written)
    status: Status
    if not judged.passed:
        status = "blocked"
    elif not routed.requests:
        status = "nothing_accepted"
    else:
        status = "published"
    with place.timed("publish"), track("publish"):
        outcome = UpdateResult(
            status,
            admission.feed,
            admission.digest,
            decisions=admission.counts(),
            memories=count_memories(rows),
            rows=rows,
            freshness_before=judged.before.to_dict(),
            freshness_after={**judged.after.to_dict(), "paired": paired(judged.before, judged.after)},
            locality=judged.locality,
            chat=judged.chat,
            gates=tuple(verdict.to_dict() for verdict in judged.verdicts),
            family=judged.family,
            samples=judged.samples,
            moved=_moved(routed, judged.written),
            notes=(*place.repaired, *admission.notes, *judged.written.notes),
            peak_rss_mb=peak_rss_mb(),
        )
        release: Release | None = None
        if status == "published":
            release = publish_release(place, admission, routed, judged, outcome, mandate)
        else:
            record_only(place, admission, outcome, mandate)
    return replace(outcome, release=release.number if release else None, seconds=dict(place.seconds))


def _moved(routed: Routed, written: Written) -> tuple[dict[str, str], ...]:
    """The facts that were routed to the weights and live in the index, with the reason."""
    facts = {item.fact.id: item.fact for item in routed.requests}
    return tuple(
        {"fact_id": key, "fact": f"{fact.subject}, {fact.relation}: {fact.object}", "reason": reason}
        for key, reason in written.moved.items()
        for fact in [facts[key]]
    )


def results(feed: "Feed", admission: "Admission", routed: Routed, written: Written) -> tuple[RowResult, ...]:
    """What became of every row of the feed."""
    why = {item.fact.id: way.reason for item, way in zip(routed.requests, routed.routes, strict=True)}
    cells = feed.table.select(["subject", "relation", "object", "observed_at"]).to_pylist()
    rows = []
    for row, given in zip(admission.rows, cells, strict=True):
        accepted = row.decision in ("ADD", "UPDATE", "DELETE")
        fact_id = row.fact.id if row.fact is not None else ""
        rows.append(
            RowResult(
                row.row,
                row.decision,
                **given,
                reasons=tuple(reason.words for reason in row.reasons),
                rules=tuple(reason.rule for reason in row.reasons),
                memory=written.memory.get(fact_id, "") if accepted else "",
                why_there=written.why_there(fact_id, why.get(fact_id, "")) if accepted else "",
                fact_id=fact_id,
                confirms=row.confirms,
            )
        )
    return tuple(rows)
