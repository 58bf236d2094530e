"""Carry an approved request out, once: through the steps of the loop, or by forgetting or revoking facts.

The release, if it leads to one, and the entry that the request is done with are one transaction. A run that is killed
before it has done nothing, and the next one does it; a run that is killed after it finds it done. What the loop blocks
by a gate stays approved and can be run again until its day.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines import steps
from pipelines.outcome import UpdateResult
from pipelines.requests.asked import feed_of
from pipelines.requests.mandate import Mandate
from pipelines.requests.signing import enter, stamp_log
from pipelines.workplace import LOCK_WAIT_S, Workplace
from registry.approvals import Approvals
from registry.facts import FactStore, view
from registry.home import Home


@dataclass(frozen=True)
class Execution:
    """What carrying a request out came to.

    Attributes:
        request: its number.
        status: "published", "nothing_accepted", "blocked", "forgotten", "revoked", or "done_before".
        release: number of the release that it led to.
        approvers: on whose word.
        result: what the loop came to; None where it was not gone through.
    """

    request: int
    status: str
    release: int | None
    approvers: tuple[str, ...] = ()
    result: UpdateResult | None = None

    @property
    def blocked(self) -> bool:
        """Whether a gate forbade the release."""
        return self.status == "blocked"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "result": self.result.to_dict() if self.result else None}


def execute(
    home: Home,
    number: int,
    *,
    actor: str,
    quick: bool = False,
    only: tuple[str, ...] | None = None,
    at: datetime | None = None,
    wait_s: float = LOCK_WAIT_S,
) -> Execution:
    """Carry a request out, unless that is done already.

    Args:
        home: which home.
        number: of the request.
        actor: who runs it.
        quick: as for an update.
        only: names of the editors that may be used; None allows all.
        at: the run's time; now where it is not given.
        wait_s: how long to wait for the home's lock.

    Raises:
        BlockedError: it is not approved, or no longer.
        IntegrityError: its content is not what was approved.
        BusyError: another run holds the home's lock.
    """
    with Workplace.opened(home, None, actor, at or datetime.now(UTC), wait_s) as place:
        request = Approvals.read(place.ledger).get(number)
        if request.state == "executed":
            return Execution(number, "done_before", request.release)
        mandate = Mandate.take(place.ledger, number, place.settings, place.at)
        if mandate.content["operation"] != "facts":
            return _by_id(place, mandate)
        feed = feed_of(request, mandate.content, mandate.seq, mandate.approvers)
        admission = steps.admit(place, feed)
        routed = steps.route(place, admission, quick, only)
        judged = steps.guard(place, routed, steps.write(place, routed))
        result = steps.publish(place, feed, admission, routed, judged, mandate)
        return Execution(number, result.status, result.release, mandate.approvers, result)


PAST = {"forget": "forgotten", "revoke": "revoked"}
"""How a request about facts by id is said to have ended, by its operation."""


def _by_id(place: Workplace, mandate: Mandate) -> Execution:
    """Forget or revoke facts; what is gone already is noted as done.

    `entries` go into the transaction of the release (of the deleted keys, where the champion does not know the facts),
    in which `check` is called.
    """
    operation, ids = mandate.content["operation"], tuple(mandate.content["facts"])
    number, past = mandate.request.number, PAST[operation]
    known = _known(place, ids)
    if known or (operation == "forget" and _kept(place, ids)):
        release = place.releases.next_number() if known else None
        _carry_out(operation)(
            place.home,
            ids,
            actor=place.actor,
            reason=f"request {number}: {mandate.content['reason']}",
            request=number,
            at=place.at,
            entries=(mandate.executed_by_id(release, past),),
            check=mandate.check,
        )
    request, champion = Approvals.read(place.ledger).get(number), place.releases.champion()
    if request.state != "executed":
        # Not the release's own transaction, whose certificate may be signed by now: it names no release.
        kind, payload = mandate.executed_by_id(None, past)
        with place.ledger.transaction() as txn:
            enter(place.ledger, txn, kind, payload, place.actor, place.at)
        stamp_log(place.home)
    release = request.release or (champion.number if champion else None)
    return Execution(number, past, release, mandate.approvers)


def _carry_out(operation: str) -> Callable[..., Any]:
    """What carries an operation on facts by id out."""
    from pipelines.forgetting.forget import forget
    from pipelines.releasing.revoke import revoke

    return forget if operation == "forget" else revoke


def _known(place: Workplace, ids: tuple[str, ...]) -> bool:
    """Whether the champion still knows any of the facts."""
    champion = place.releases.champion()
    lineage = place.releases.lineage(champion.number) if champion else ()
    return bool(set(ids) & {one.fact.id for one in view(FactStore(place.ledger).events(lineage))})


def _kept(place: Workplace, ids: tuple[str, ...]) -> bool:
    """Whether the ledger still holds any of the facts, also of those that no release knows any more."""
    return bool(set(ids) & {one.fact.id for one in FactStore(place.ledger).events()})
