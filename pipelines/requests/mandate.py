"""The mandate of a run: which approved request it carries out, and on whose word; the ledger alone says so.

It is taken when the run begins and looked at again inside the transaction that publishes: what was withdrawn, changed
or executed in the meantime is not published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pipelines.requests.approving import tier_of
from pipelines.requests.asked import relations_of
from registry.approvals import Approvals
from registry.errors import BlockedError
from registry.requests import EXECUTED, Request, RequestStore

if TYPE_CHECKING:
    from pipelines.settings import Settings
    from registry.ledger import Ledger


@dataclass(frozen=True)
class Mandate:
    """An approved request on its way through the loop.

    Attributes:
        request: as the log has it.
        content: what it asks for.
        approvers: on whose word.
        seq: position in the log of the last of them.
        settings: the rules in force, which may ask for more than the request's own.
        at: the run's time.
    """

    request: Request
    content: Mapping[str, Any]
    approvers: tuple[str, ...]
    seq: int
    settings: "Settings" = field(repr=False)
    at: datetime

    @classmethod
    def take(cls, ledger: "Ledger", number: int, settings: "Settings", at: datetime) -> Self:
        """The mandate that a request gives now.

        Raises:
            BlockedError: it is not approved, or no longer; the message says what is missing.
            IntegrityError: its content is not what was approved.
        """
        book = Approvals.read(ledger)
        request = book.get(number)
        content = RequestStore(ledger).content(request)
        missing_from(book, ledger, number, content, settings, at)
        voices = book.counting(number, at)
        return cls(request, content, tuple(one.by for one in voices), max(one.seq for one in voices), settings, at)

    def check(self, ledger: "Ledger") -> None:
        """Look again, inside the transaction that publishes.

        Raises:
            BlockedError: the request was changed, withdrawn, executed, or has lost an approval since the run began.
        """
        again = self.take(ledger, self.request.number, self.settings, self.at)
        if again.request.content != self.request.content:
            raise BlockedError(
                f"request {self.request.number} was changed while it was carried out; nothing is published"
            )

    def to_dict(self) -> dict[str, Any]:
        """What a release remembers of it, as plain JSON values."""
        values: dict[str, Any] = {"request": self.request.number, "content": self.request.content}
        told = {"requester": self.request.requester, "approvers": list(self.approvers), "tier": self.request.tier}
        return {**values, **told, "glass_broken": bool(self.request.glass)}

    def executed(self, release: int | None, status: str) -> tuple[str, dict[str, Any]]:
        """The entry by which it is done with."""
        named = {"request": self.request.number, "content": self.request.content, "approvers": list(self.approvers)}
        return EXECUTED, {**named, "release": release, "status": status}

    def executed_by_id(self, release: int | None, status: str) -> tuple[str, dict[str, Any]]:
        """The same of a request about facts by id, whose release does not name it."""
        kind, payload = self.executed(release, status)
        return kind, {**payload, "by_id": True}


def missing_from(
    book: Approvals, ledger: "Ledger", number: int, content: Mapping[str, Any], settings: "Settings", at: datetime
) -> None:
    """Refuse a request that may not be carried out.

    Raises:
        BlockedError: says what is missing: by its own needs, or by the rules in force now where they ask for more.
    """
    state, request = book.state(number, at), book.get(number)
    if state not in ("open", "approved"):
        raise BlockedError(f"request {number} is {state}")
    named = {"tier": request.tier, "needs": request.needs.to_dict(), "expires": request.expires.isoformat()}
    if any(content.get(key) != value for key, value in named.items()):
        raise BlockedError(f"request {number} says that it needs something else than what was signed")
    if content.get("log") != RequestStore(ledger).log():
        raise BlockedError(f"request {number} was signed for another log")
    tier = tier_of(content, relations_of(ledger, content["facts"]), settings.catalogue)
    lacking = book.lacking(number, at, settings.policy.approval.needs(tier))
    if lacking:
        roles = " or ".join(settings.policy.approval.rule(tier).roles)
        raise BlockedError(
            f"request {number} ({tier} risk) lacks approvals: {lacking} more by {roles}, none of them its requester"
        )
