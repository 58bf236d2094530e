"""`dmmgov request add | change`: what is asked for."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines import console
from pipelines.commands.options import AsJson, actor_name, day_of, home_of

Number = Annotated[int, typer.Argument(metavar="N", min=1, help="Number of the request.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Private key of who signs; keys/NAME.pem in the home folder otherwise."),
]
Signer = Annotated[str, typer.Option("--as", metavar="NAME", help="Who signs; your user name otherwise.")]
Subject = Annotated[str, typer.Argument(metavar="[SUBJECT", help="Whom or what the fact is about.")]
RelationName = Annotated[str, typer.Argument(metavar="RELATION", help="A relation of the catalogue.")]
Object = Annotated[str, typer.Argument(metavar="OBJECT]", help="What is said.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is asked for.")]
Source = Annotated[str, typer.Option("--source", metavar="NAME", help="Who says so.")]
Url = Annotated[str, typer.Option("--url", metavar="URL", help="Where it is said.")]
Since = Annotated[str | None, typer.Option("--valid-from", metavar="DATE", help="First day on which it holds.")]
Until = Annotated[str | None, typer.Option("--valid-to", metavar="DATE", help="First day on which it no longer holds.")]
Sensitivity = Annotated[
    str, typer.Option("--sensitivity", metavar="WORD", help="public, internal, personal or secret.")
]
File = Annotated[
    Path | None, typer.Option("--file", metavar="FEED", help="Ask for all rows of a feed file, as one request.")
]
Delete = Annotated[
    list[str] | None,
    typer.Option("--delete", metavar="FACT_ID", help="End this known fact; may be given again."),
]
Forget = Annotated[
    list[str] | None,
    typer.Option("--forget", metavar="FACT_ID", help="Forget this known fact for good; may be given again."),
]
Revoke = Annotated[
    list[str] | None,
    typer.Option("--revoke", metavar="FACT_ID", help="Take this fact out again; may be given again."),
]
Despite = Annotated[
    list[str] | None,
    typer.Option("--despite", metavar="RULE", help="Overrule personal_data, instruction or declared_sensitivity."),
]


def add(
    context: typer.Context,
    subject: Subject = "",
    relation: RelationName = "",
    object: Object = "",
    reason: Reason = "",
    source: Source = "",
    url: Url = "",
    valid_from: Since = None,
    valid_to: Until = None,
    sensitivity: Sensitivity = "",
    file: File = None,
    delete: Delete = None,
    forget: Forget = None,
    revoke: Revoke = None,
    despite: Despite = None,
    by: Signer = "",
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a change: one fact, a feed of them, or the end of known ones.

    Somebody else approves it; nothing changes before.
    """
    from pipelines.requests.asking import add_request, show_request

    home = home_of(context)
    row = _row(subject, relation, object, source, url, valid_from, valid_to, sensitivity)
    content = _content(context, row, file, delete, forget, revoke, despite, reason)
    request = add_request(home, content, by=actor_name(by), key=key)
    values = show_request(home, request.number)
    console.show(values, as_json, lambda: console.pairs(f"request {request.number} is made", console.told(values)))


def change(
    context: typer.Context,
    number: Number,
    subject: Subject = "",
    relation: RelationName = "",
    object: Object = "",
    reason: Reason = "",
    source: Source = "",
    url: Url = "",
    valid_from: Since = None,
    valid_to: Until = None,
    sensitivity: Sensitivity = "",
    file: File = None,
    delete: Delete = None,
    forget: Forget = None,
    revoke: Revoke = None,
    despite: Despite = None,
    by: Signer = "",
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask for something else under the same number; what was approved is void."""
    from pipelines.requests.asking import change_request, show_request

    home = home_of(context)
    row = _row(subject, relation, object, source, url, valid_from, valid_to, sensitivity)
    content = _content(context, row, file, delete, forget, revoke, despite, reason)
    change_request(home, number, content, by=actor_name(by), key=key)
    values = show_request(home, number)
    console.show(values, as_json, lambda: console.pairs(f"request {number} is changed", console.told(values)))


def _row(
    subject: str, relation: str, object: str, source: str, url: str, since: str | None, until: str | None, kind: str
) -> dict[str, str]:
    """The one fact of a request, as a row of a feed."""
    first, last = day_of(since, "--valid-from"), day_of(until, "--valid-to")
    days = {"valid_from": first.isoformat() if first else "", "valid_to": last.isoformat() if last else ""}
    named = {"subject": subject, "relation": relation, "object": object, "source": source, "source_url": url}
    return {**named, **days, "sensitivity": kind}


def _content(
    context: typer.Context,
    row: dict[str, str],
    file: Path | None,
    delete: list[str] | None,
    forget: list[str] | None,
    revoke: list[str] | None,
    despite: list[str] | None,
    reason: str,
) -> dict[str, Any]:
    """What is asked for, in exactly one of the ways in which it can be.

    Raises:
        InputError: none or several of them, or something that is missing.
    """
    from pipelines.requests import asked
    from registry.errors import InputError
    from registry.ledger import Ledger

    ways = [bool(row["subject"]), file is not None, bool(delete), bool(forget), bool(revoke)]
    if sum(ways) != 1:
        todo = "give SUBJECT RELATION OBJECT, or --file, or --delete, or --forget, or --revoke"
        raise InputError("one thing to ask for", f"{sum(ways)} of them", todo)
    rows: list[dict[str, str]] = []
    if row["subject"]:
        if not row["relation"] or not row["object"]:
            raise InputError("a subject, a relation and an object", "fewer", "give all three")
        rows = [row]
    elif file is not None:
        rows = asked.rows_of_feed(file)
    ids = delete or forget or revoke or []
    if ids:
        with Ledger.open(home_of(context)) as ledger:
            facts = asked.known_facts(ledger, ids)
        if delete:
            rows, ids = asked.ending_rows(facts, row["source"], row["source_url"], row["valid_to"]), []
    operation: asked.Operation = "forget" if forget else "revoke" if revoke else "facts"
    return asked.content_of(operation, reason, rows=rows, facts=ids, despite=despite or ())
