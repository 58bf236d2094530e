"""A request in words, as the commands tell it; what of it was forgotten is said to be."""

from datetime import datetime
from typing import Any

from pipelines.requests.asked import told
from registry.approvals import Approvals
from registry.ledger import Ledger
from registry.requests import RequestStore


def told_request(book: Approvals, ledger: Ledger, number: int, at: datetime) -> dict[str, Any]:
    """A request as the commands tell it."""
    request = book.get(number)
    store = RequestStore(ledger)
    content = store.kept(request).content
    return {
        "request": number,
        "state": book.state(number, at),
        "asks": told(content),
        "reason": content["reason"],
        "requester": request.requester,
        "tier": request.tier,
        "needs": f"{request.needs.approvals} of {' or '.join(request.needs.roles)}",
        "approved_by": [one.by for one in book.counting(number, at)],
        "glass_broken": store.words(request.reason),
        "ended_by": request.ended_by,
        "expires": request.expires.isoformat(),
        "release": request.release,
        "status": request.status,
    }
