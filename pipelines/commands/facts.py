"""`dmmgov facts list | show`: what is known, and the whole record of one fact."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipelines import console
from pipelines.commands.options import AsJson, home_of

Rows = list[tuple[str, str]]
SHOWN = 12
MANY = 40
"""So many facts are listed; JSON has all."""


def show_fact(
    context: typer.Context,
    fact: Annotated[str, typer.Argument(metavar="FACT_ID", help="Id of a fact, or a clear beginning of it.")],
    as_json: AsJson = False,
) -> None:
    """Show everything that is recorded of a fact.

    Its origin, its versions in both times, where each release has it, who read it, when it is due, and what its memory
    is: location, persistence, path and control.
    """
    from pipelines.auditing.fact_record import fact_record

    values = fact_record(home_of(context), fact)
    said = values["fact"]
    title = f"{said['subject']} · {said['relation']} · {said['object']}"
    console.show(values, as_json, lambda: console.pairs(title, record_rows(values)))


def list_facts(
    context: typer.Context,
    subject: Annotated[str, typer.Option("--subject", metavar="TEXT", help="Only subjects that hold this text.")] = "",
    relation: Annotated[str, typer.Option("--relation", metavar="RELATION", help="Only this relation.")] = "",
    release: Annotated[
        str, typer.Option("--release", metavar="RELEASE", help="Release to list; the champion otherwise.")
    ] = "champion",
    as_json: AsJson = False,
) -> None:
    """List the facts of a release with their ids, also those that have ended."""
    from pipelines.auditing.fact_record import fact_list

    rows = fact_list(home_of(context), subject, relation, release)
    more = f" (the first {MANY} of {len(rows)}; --json has all)" if len(rows) > MANY else f" ({len(rows)})"
    short = [{**row, "id": row["id"][:SHOWN]} for row in rows[:MANY]]
    console.show(rows, as_json, lambda: console.records(f"Facts{more}", short, "none that fits"))


def record_rows(values: Mapping[str, Any]) -> Rows:
    """The record of a fact for people."""
    origin, expiry, access = values["origin"], values["expiry"], values["access"]
    rows = [("id", values["fact"]["id"]), ("source", " ".join(filter(None, (origin["source"], origin["source_url"]))))]
    rows += [("confidence", f"{origin['confidence']:g}"), ("sensitivity", origin["sensitivity"])]
    rows.append(("recorded", f"{_minute(origin['recorded_at'])} in r{origin['release']} by {origin['by']}"))
    rows += [
        ("feed row", f"row {one['row']} of {one['feed']} (run {one['run']}): {one['decision']}")
        for one in origin["rows"]
    ] or [("feed row", "none")]
    rows += [
        ("request", f"{one['request']} by {one['requester']}, approved by {', '.join(one['approvers']) or 'nobody'}")
        for one in origin["requests"]
    ]
    rows += [("version" if one["this"] else "other version", _version(one)) for one in values["versions"]]
    rows += [(f"in r{one['release']}", _life(one)) for one in values["releases"]]
    rows.append(("answered how often", access["answered"]))
    reads = [f"{_minute(one['at'])} by {one['by']} for {one['for']}" for one in access["delta_read"]]
    rows.append(("its delta was read", "; ".join(reads) or "never"))
    rows += _due(expiry)
    for memory, quadruple in values["quadruple"].items():
        names = ("location", "persistence", "path", "control")
        rows += [(f"{memory}: {name}", quadruple[name]) for name in names]
    return rows


def _version(one: Mapping[str, Any]) -> str:
    """One event of the chain: valid time, recorded time, where."""
    what = {"assert": "holds", "close": "ended", "retract": "taken back"}[one["event"]]
    span = f", from {one['valid_from'] or 'ever'} until {one['valid_to'] or 'now'}" if one["event"] != "retract" else ""
    words = f"{one['object']}: {what}{span}; recorded {_minute(one['recorded_at'])} in r{one['release']}"
    return f"{words} ({one['memory']}{', ' + one['reason'] if one['reason'] else ''})"


def _life(one: Mapping[str, Any]) -> str:
    """Where one release has the fact."""
    words = f"{one['state']} ({one['memory']})" if one["memory"] else one["state"]
    if one["index"] and not one["delta"]:
        words += f", index {one['index'][:SHOWN]}"
    if one["delta"]:
        words += f", delta {one['delta'][:SHOWN]}{_where(one)}{', merged into its checkpoint' if one['merged'] else ''}"
    return f"{words}; pruned" if one["pruned"] else words


def _where(one: Mapping[str, Any]) -> str:
    """Whose delta it is, and where it acts."""
    parameters = one["parameters"]
    if one["beside_block"] is not None:
        return f" of {one['editor']}, beside block {one['beside_block']}"
    if not parameters:
        return f" of {one['editor']}"
    many = f" and {len(parameters) - 1} more" if len(parameters) > 1 else ""
    return f" of {one['editor']}, in {parameters[0]}{many}"


def _due(expiry: Mapping[str, Any]) -> Rows:
    """When it ends and when it should be looked at again."""
    life = expiry["lifetime_days"]
    expected = "for ever" if life is None else f"{life} days" if isinstance(life, int) else life
    due = expiry["expected_until"] or "never"
    rows = [("ends", expiry["valid_to"] or ("taken back" if expiry["taken_back"] else "no end is recorded"))]
    return [*rows, ("facts of its kind hold", expected), ("due", f"{due}{' (overdue)' if expiry['overdue'] else ''}")]


def _minute(moment: str) -> str:
    """A time to the minute."""
    return moment[:16].replace("T", " ")
