"""What a request is, what it needs, and where its content and the comments on it lie.

The log holds digests and signatures; the content (what is to be done, why, from which source) and the words of comments
lie sealed in append-only tables beside it (`registry.contents`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from registry.contents import GONE, Kept, Split, comment_key, opened_comment, salted
from registry.digests import canonical_json, digest_json
from registry.errors import BlockedError, IntegrityError
from registry.records import RiskTier
from registry.shredding import Shredded, opened, seal_many
from registry.users import ROLES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.ledger import Ledger, Transaction

MADE, CHANGED, COMMENTED = "request_made", "request_changed", "request_commented"
APPROVED, REJECTED, WITHDRAWN = "request_approved", "request_rejected", "request_withdrawn"
EXPIRED, EXECUTED, BREAK_GLASS = "request_expired", "request_executed", "break_glass"
TRIED = "request_tried"
"""Ledger kind of a dry run's report; it changes nothing."""
REQUEST_KINDS = (MADE, CHANGED, COMMENTED, APPROVED, REJECTED, WITHDRAWN, EXPIRED, EXECUTED, BREAK_GLASS)
GLASS_ROLES, GLASS_PEOPLE = ("approver", "admin"), 2

State = Literal["open", "rejected", "withdrawn", "expired", "executed"]


@dataclass(frozen=True)
class Needs:
    """What a request needs to be executed: so many people, each with one of the roles."""

    approvals: int
    roles: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what would need nobody.

        Raises:
            ValueError: it asks for nobody, or for roles that there are not.
        """
        if self.approvals < 1 or not self.roles or not set(self.roles) <= set(ROLES):
            raise ValueError(f"at least one approval by known roles, got {self.approvals} by {list(self.roles)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"approvals": self.approvals, "roles": list(self.roles)}


@dataclass(frozen=True)
class Voice:
    """A signature of one person.

    Attributes:
        by: who.
        public: under which key.
        at: when.
        seq: position of its entry in the log.
    """

    by: str
    public: str
    at: datetime
    seq: int


@dataclass(frozen=True)
class Request:
    """A request as the entries leave it.

    Attributes:
        number: 1, 2, 3, ...
        revision: 1 for the first content, one more for every change.
        content: digest of what is asked for.
        requester: who asks.
        tier: risk tier that it was given.
        needs: what it needs.
        made_at: when this content was asked for.
        expires: from when on nobody can approve it.
        state: see `State`.
        approvals: of this content, in order.
        glass: who broke the glass for this content; nobody otherwise.
        reason: why they did.
        release: that it was executed into, None where it led to none.
        status: how its execution ended; empty before.
        ended_by: who rejected or withdrew it.
    """

    number: int
    revision: int
    content: str
    requester: str
    tier: RiskTier
    needs: Needs
    made_at: datetime
    expires: datetime
    state: State = "open"
    approvals: tuple[Voice, ...] = ()
    glass: tuple[Voice, ...] = ()
    reason: str = ""
    release: int | None = None
    status: str = ""
    ended_by: str = ""

    @classmethod
    def asked(cls, payload: Mapping[str, Any], at: datetime) -> Self:
        """The request that an entry makes or changes.

        Raises:
            ValueError, TypeError, KeyError: the entry asks for nothing that can be approved.
        """
        tier, content, needs = payload["tier"], payload["content"], payload["needs"]
        if tier not in get_args(RiskTier) or not isinstance(content, str):
            raise ValueError(f"a tier and a digest, got {tier!r} and {content!r}")
        if type(needs["approvals"]) is not int or type(payload["revision"]) is not int:
            raise ValueError(f"whole numbers, got {needs['approvals']!r} and {payload['revision']!r}")
        expires = datetime.fromisoformat(payload["expires"])
        if expires <= at:
            raise ValueError(f"it would have expired on {expires.isoformat()}")
        wanted = Needs(needs["approvals"], tuple(needs["roles"]))
        return cls(
            *(number_of(payload), payload["revision"], content, payload["requester"], tier, wanted),
            made_at=at,
            expires=expires,
        )


def number_of(payload: Mapping[str, Any]) -> int:
    """Number of the request that an entry is about.

    Raises:
        ValueError: it is none.
    """
    number = payload["request"]
    if type(number) is not int:
        raise ValueError(f"a request has a number, got {number!r}")
    return number


@dataclass(frozen=True)
class RequestStore:
    """Contents and comments, in the ledger's database."""

    ledger: "Ledger"

    def log(self) -> str:
        """What tells this log from every other one: the leaf of its first entry, empty while there is none."""
        from sqlalchemy import select

        from registry import tables

        with self.ledger.read() as connection:
            first = connection.execute(select(tables.entries.c.leaf).where(tables.entries.c.seq == 0))
            return str(first.scalar_one_or_none() or "")

    def keep(self, txn: "Transaction", number: int, revision: int, split: Split) -> str:
        """Keep one content inside a transaction; returns its digest, which an entry must name."""
        from sqlalchemy import insert

        from registry import tables

        body = canonical_json(split.sealed(txn, number, revision)).decode()
        txn.execute(insert(tables.requests), [{"number": number, "revision": revision, "body": body}])
        return split.digest

    def kept(self, request: Request) -> Kept:
        """What a request asks for now, as far as it was not forgotten.

        Raises:
            IntegrityError: it is not what was asked for, or it is gone.
        """
        from sqlalchemy import select

        from registry import tables

        columns = tables.requests.c
        statement = select(columns.body).where(columns.number == request.number, columns.revision == request.revision)
        with self.ledger.read() as connection:
            body = connection.execute(statement).scalar_one_or_none()
            found = Kept.read(connection, request.number, request.revision, body) if body is not None else None
        if found is None or found.digest != request.content:
            got = found.digest if found is not None else "nothing"
            raise IntegrityError(f"the content of request {request.number}", request.content, got)
        return found

    def content(self, request: Request) -> dict[str, Any]:
        """What a request asks for now, whole.

        Raises:
            IntegrityError: it is not what was asked for, or it is gone.
            BlockedError: a part of it was forgotten, so that nobody can approve it or carry it out.
        """
        kept = self.kept(request)
        if kept.gone:
            raise BlockedError(f"a part of request {request.number} was forgotten on request; ask anew for the rest")
        return kept.content

    def comment(self, txn: "Transaction", number: int, words: str) -> str:
        """Keep the words of a comment inside a transaction; returns their digest, which an entry must name."""
        from sqlalchemy import func, insert, select

        from registry import tables

        columns = tables.request_comments.c
        count = select(func.count()).select_from(tables.request_comments).where(columns.request == number)
        place = int(txn.connection.execute(count).scalar_one()) + 1
        part = salted(words)
        (text,) = seal_many(txn, [(comment_key(number, place), part)])
        txn.execute(insert(tables.request_comments), [{"request": number, "place": place, "words": text}])
        return digest_json(part)

    def comments(self, number: int) -> dict[str, str]:
        """The words of every comment on a request that were not forgotten, by their digest."""
        with self.ledger.read() as connection:
            return {digest: words for digest, words in self._comments(connection, number) if digest}

    def words(self, text: str) -> str:
        """Words that an entry holds, opened."""
        with self.ledger.read() as connection:
            found = opened(connection, text)
        return GONE if isinstance(found, Shredded) else str(found)

    def _comments(self, connection: "Connection", number: int) -> Iterator[tuple[str, str]]:
        """Digest and words of every comment on a request."""
        from sqlalchemy import select

        from registry import tables

        columns = tables.request_comments.c
        statement = select(columns.place, columns.words).where(columns.request == number).order_by(columns.place)
        for place, text in connection.execute(statement).tuples():
            yield opened_comment(connection, number, place, text)
