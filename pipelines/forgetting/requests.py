"""What requests ask for, and what was said about them, that speaks of what is to be forgotten.

A batch loses the rows about it and keeps the others, which can still be held against what was signed. A request that
is about nothing else loses its reason and all comments too, whatever their words; another one those that name it. A
request to forget keeps its reason where that names nothing: it says why the content went.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from registry.contents import Kept, comment_key, opened_comment, part_key
from registry.shredding import Shredded

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from pipelines.forgetting.plan import Plan
    from registry.ledger import Ledger


def request_keys(ledger: "Ledger", plan: "Plan") -> Iterator[str]:
    """Ids of the keys of every reason, row and comment that speaks of it."""
    from sqlalchemy import select

    from registry import tables

    with ledger.read() as connection:
        whole: set[int] = set()
        for row in connection.execute(select(tables.requests)).all():
            yield from _content(connection, plan, row, whole)
        for row in connection.execute(select(tables.request_comments)).all():
            digest, words = opened_comment(connection, row.request, row.place, row.words)
            if digest and (row.request in whole or plan.spoken_of(words)):
                yield comment_key(row.request, row.place)


def _content(connection: "Connection", plan: "Plan", row: "Row[Any]", whole: set[int]) -> Iterator[str]:
    """The keys of one content; its number is added to `whole` where it is about nothing else."""
    kept = Kept.read(connection, row.number, row.revision, row.body)
    if not kept.sealed:
        return
    reason, *rows = kept.parts
    about = [isinstance(one, Shredded) or plan.about(one) for one in rows]
    for place, (one, gone) in enumerate(zip(rows, about, strict=True), 1):
        if gone and not isinstance(one, Shredded):
            yield part_key(row.number, row.revision, place)
    nothing_else = _nothing_else(plan, kept.outline, about)
    if nothing_else:
        whole.add(row.number)
    if not isinstance(reason, Shredded) and (nothing_else or plan.spoken_of(reason)):
        yield part_key(row.number, row.revision, 0)


def _nothing_else(plan: "Plan", outline: Mapping[str, Any], about: list[bool]) -> bool:
    """Whether a request is about what is to be forgotten alone, and is none that has it forgotten."""
    ids = outline.get("facts", ())
    if outline.get("operation") == "forget" or not (about or ids):
        return False
    return all(about) and set(ids) <= set(plan.ids)
