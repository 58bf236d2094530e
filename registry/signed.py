"""Entries that people signed: requests, their approval, their execution, and the breaking of the glass.

Users and their keys come from the log itself (`user_added`, `user_revoked`), so that each signature is checked against
the keys that were valid at that place of the log. A signature covers a canonical JSON text that names its purpose, the
request, the digest of the request's content, who signs and when: it passes for nothing else.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from registry.digests import canonical_json
from registry.keys import verify
from registry.records import LedgerEntry

SIGNED_KINDS = ("request_made", "request_approved", "request_rejected", "request_withdrawn")
EXECUTED, BROKEN = "request_executed", "break_glass"
USER_KINDS = ("user_added", "user_revoked")
KINDS = (*USER_KINDS, *SIGNED_KINDS, EXECUTED, BROKEN)
TWO = 2
"""People that it takes to break the glass."""


@dataclass
class _Request:
    """A request as the log has told of it so far.

    Attributes:
        content: digest of what was asked for.
        requester: who asked.
        approvals: how many it needs.
        roles: who may approve holds one of these; anybody where there is none.
        approved: who approved it.
        ended: the kind of entry that ended it, nothing while it is open.
        broken: whether two people broke the glass for it.
    """

    content: str
    requester: str
    approvals: int
    roles: frozenset[str]
    approved: set[str] = field(default_factory=set)
    ended: str = ""
    broken: bool = False


@dataclass
class _State:
    """Who there is and what was asked, up to some place of the log."""

    users: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    requests: dict[int, _Request] = field(default_factory=dict)


def signed_problems(entries: Iterable[LedgerEntry]) -> Iterator[str]:
    """Every signed entry that does not hold, one line each, in the order of the log.

    Args:
        entries: those of `KINDS` at least, in order.
    """
    state = _State()
    for entry in entries:
        try:
            problem = _problem(state, entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"it cannot be read ({type(error).__name__}: {error})"
        if problem:
            yield f"entry {entry.seq} ({entry.kind}): {problem}"


def _problem(state: _State, entry: LedgerEntry) -> str | None:
    """What is wrong with an entry; takes in what it says."""
    payload = entry.payload
    if entry.kind == "user_added":
        state.users[payload["name"]] = payload
        return None
    if entry.kind == "user_revoked":
        known = state.users.pop(payload["name"], None)
        return None if known is not None else f"{payload['name']} is no user"
    if entry.kind == "request_made":
        return _made(state, entry)
    if entry.kind in SIGNED_KINDS:
        return _decided(state, entry)
    if entry.kind == EXECUTED:
        return _executed(state, payload)
    return _broken(state, entry) if entry.kind == BROKEN else None


def _made(state: _State, entry: LedgerEntry) -> str | None:
    """A request: new, and signed by whoever asks."""
    payload = entry.payload
    number, needs = payload["request"], payload.get("needs", {})
    if number in state.requests:
        return f"request {number} was made before"
    roles = frozenset(needs.get("roles", ()))
    asked = _Request(payload["content"], payload["requester"], int(needs.get("approvals", 1)), roles)
    state.requests[number] = asked
    return _unsigned(state, entry, payload["requester"], payload)


def _decided(state: _State, entry: LedgerEntry) -> str | None:
    """A decision on a request: on its very content, by somebody who may, and signed."""
    payload = entry.payload
    number, name = payload["request"], payload["by"]
    asked = state.requests.get(number)
    if asked is None:
        return f"there is no request {number}"
    problem = _other_content(asked, payload) or _unsigned(state, entry, name, payload)
    if problem:
        return problem
    if asked.ended:
        return f"request {number} had ended before ({asked.ended})"
    if entry.kind != "request_approved":
        asked.ended = entry.kind
        return None
    if name == asked.requester:
        return f"{name} approves what {name} asked for"
    held = frozenset(state.users[name].get("roles", ()))
    if asked.roles and not asked.roles & held:
        return f"{name} holds none of the roles {', '.join(sorted(asked.roles))}"
    asked.approved.add(name)
    return None


def _executed(state: _State, payload: Mapping[str, Any]) -> str | None:
    """An execution: of an open request, after enough approvals of its very content."""
    number = payload["request"]
    asked = state.requests.get(number)
    if asked is None:
        return f"there is no request {number}"
    problem = _other_content(asked, payload)
    if problem:
        return problem
    if asked.ended:
        return f"request {number} had ended before ({asked.ended})"
    asked.ended = EXECUTED
    if not asked.broken and len(asked.approved) < asked.approvals:
        return f"request {number} needs {asked.approvals} approvals that hold, it has {len(asked.approved)}"
    return None


def _broken(state: _State, entry: LedgerEntry) -> str | None:
    """The breaking of the glass: signed by two people."""
    payload, signatures = entry.payload, entry.payload["signatures"]
    names = [one["by"] for one in signatures]
    if len(set(names)) < TWO:
        return f"it takes {TWO} people, signed have: {', '.join(map(str, names)) or 'none'}"
    asked = state.requests.get(payload.get("request", -1))
    if asked is not None and (problem := _other_content(asked, payload)):
        return problem
    for one in signatures:
        problem = _unsigned(state, entry, one["by"], one)
        if problem:
            return problem
    if asked is not None:
        asked.broken = True
    return None


def _other_content(asked: _Request, payload: Mapping[str, Any]) -> str | None:
    """Whether an entry is about other content than the request's."""
    if payload.get("content") == asked.content:
        return None
    return f"it is about content {payload.get('content')}, request {payload['request']} has {asked.content}"


def _unsigned(state: _State, entry: LedgerEntry, name: str, signature: Mapping[str, Any]) -> str | None:
    """Why the signature of a user does not hold for an entry at its place of the log; None when it holds."""
    user = state.users.get(name)
    if user is None:
        return f"{name} was no user then, or their key was revoked"
    if signature["public"] != user["public"]:
        return f"it is signed with another key than {name} had then"
    text = signature["signed"]
    said = json.loads(text)
    if canonical_json(said).decode() != text:
        return "what is signed is not in canonical form"
    wanted: dict[str, Any] = {"purpose": f"dmmgov/{entry.kind}/v1", "by": name}
    wanted |= {key: entry.payload[key] for key in ("request", "content") if key in entry.payload}
    for key, value in wanted.items():
        if said.get(key) != value or type(said.get(key)) is not type(value):
            return f"what {name} signed says {key} {said.get(key)!r}, the entry {value!r}"
    if not verify(user["public"], text.encode(), signature["signature"]):
        return f"the signature is not one of {name} over what it says"
    expires = user.get("expires")
    if expires is not None and _moment(expires) <= max(entry.recorded_at, _moment(said["at"])):
        return f"the key of {name} had expired on {expires}"
    return None


def _moment(text: str) -> datetime:
    """A moment in ISO form; without a zone it is one of UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
