"""`dmmgov audit due`: what should be asked again, of whom and why."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines import console
from pipelines.commands.options import AsJson, actor_name, day_of, home_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guards.forgetting import Due


def due(
    context: typer.Context,
    count: Annotated[int, typer.Option("--n", min=1, metavar="N", help="How many facts.")] = 20,
    on: Annotated[
        str | None, typer.Option("--on", metavar="DATE", help="The day on which age is counted; today otherwise.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Ask the champion what it may have forgotten, and record whether it is right."),
    ] = False,
    actor: Annotated[str, typer.Option("--as", metavar="NAME", help="Who checks; the user otherwise.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the next facts that should be asked again: risky and volatile ones first.

    With --check, those that later edits may have worn are asked of the champion, and the outcome is kept in the ledger.
    """
    from datetime import UTC, datetime

    from guards.forgetting import next_due
    from pipelines.auditing.freshness import check_due, freshness_audit
    from registry.ledger import Ledger
    from registry.releases import ReleaseStore

    home, day = home_of(context), day_of(on, "--on") or datetime.now(UTC).date()
    if check:
        checked = [dict(one) for one in check_due(home, count, day, actor_name(actor))]
        console.show(checked, as_json, lambda: console.records("checked", checked, "no fact is due to be checked"))
        return
    with Ledger.open(home) as ledger:
        audit = freshness_audit(home, ledger, ReleaseStore(ledger).get("champion"), day, panels=False)
    chosen = next_due(audit.schedule, count)
    total = sum(one.due for one in audit.schedule)
    title = f"{total} of {len(audit.schedule)} facts are due on {day}; the next {len(chosen)}"
    console.show(chosen, as_json, lambda: console.records(title, _rows(chosen), "no fact is due"))


def _rows(chosen: "Sequence[Due]") -> list[dict[str, str]]:
    """A line per fact."""
    return [{"fact": one.what, "ask the": one.ask, "why": "; ".join(one.reasons)} for one in chosen]


def freshness_rows(audit: "Mapping[str, Any]") -> list[tuple[str, str]]:
    """The freshness audit in a few lines; JSON has all of it."""
    if not audit:
        return []
    if "problem" in audit:
        return [("freshness", f"could not be looked at: {audit['problem']}")]
    found, due = audit["staleness"], audit["due"]
    rows = [
        (
            "freshness",
            f"{found['overdue_facts']} of {found['facts']} facts are overdue, {due['facts']} due to be asked",
        ),
        ("replay", "the same state" if audit["long_memory"]["p2"]["same_state"] else "ANOTHER STATE than the one kept"),
        ("half-life", audit["long_memory"]["p4"]["half_life"]),
    ]
    return rows + [(f"{one['guard']}: {one['decision']}", one["explanation"]) for one in audit["verdicts"]]
