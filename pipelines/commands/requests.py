"""`dmmgov request ...`: one change, asked for, tried out, approved by another, carried out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines import console
from pipelines.commands.asking import KeyFile, Number, Signer
from pipelines.commands.options import Actor, AsJson, Quick, actor_name, home_of

BLOCKED = 3

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="EDITOR", help="Use only this editor (rag, rome, memit); may be given again."),
]


def list_requests(
    context: typer.Context,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", metavar="STATE", help="open, approved, rejected, withdrawn, expired or executed; all otherwise."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the requests."""
    from pipelines.requests.asking import list_requests as every

    found = every(home_of(context), state)
    rows = [
        {name: one[name] for name in ("request", "state", "asks", "requester", "tier", "approved_by")} for one in found
    ]
    console.show(found, as_json, lambda: console.records("requests", rows, "none"))


def show(context: typer.Context, number: Number, as_json: AsJson = False) -> None:
    """Show a request: what it asks for, why, who has said what, what was tried."""
    from pipelines.requests.asking import show_request

    values = show_request(home_of(context), number)
    console.show(values, as_json, lambda: console.pairs(f"request {number}", console.told(values)))


def dry_run(
    context: typer.Context,
    number: Number,
    quick: Quick = False,
    only: Only = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Try a request out on a copy: decision, route, gates, and which known facts it may touch.

    Nothing is published; the report is kept.
    """
    from pipelines.requests.dry_run import dry_run as try_out

    report = try_out(home_of(context), number, actor=actor_name(actor), quick=quick, only=_editors(only))
    console.show(report, as_json, lambda: console.pairs(f"request {number}: {report['would']}", _tried(report)))


def approve(
    context: typer.Context,
    number: Number,
    by: Signer = "",
    key: KeyFile = None,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Words to keep with it.")] = "",
    hold: Annotated[bool, typer.Option("--hold", help="Do not carry it out yet.")] = False,
    quick: Quick = False,
    only: Only = None,
    as_json: AsJson = False,
) -> None:
    """Approve a request with your key; the last approval that it needs carries it out.

    Exit code 3 when a rule or a gate forbids it.
    """
    from pipelines.requests.asking import decide, ready, show_request
    from pipelines.requests.waking import wake

    home, name = home_of(context), actor_name(by)
    decide(home, number, "approve", by=name, key=key, words=comment)
    if not hold and ready(home, number):
        _execute(context, number, name, quick, only, as_json)
        wake(home, number)
        return
    wake(home, number)
    values = show_request(home, number)
    console.show(values, as_json, lambda: console.pairs(f"request {number}: {name} approves", console.told(values)))


def reject(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    by: Signer = "",
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Reject a request with your key; that ends it."""
    _end(context, number, "reject", reason, by, key, as_json)


def withdraw(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")] = "",
    by: Signer = "",
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Take your own request back."""
    _end(context, number, "withdraw", reason, by, key, as_json)


def comment(
    context: typer.Context,
    number: Number,
    words: Annotated[str, typer.Argument(metavar="TEXT", help="What you have to say.")],
    by: Signer = "",
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Say something about a request."""
    from pipelines.requests.asking import comment as say
    from pipelines.requests.asking import show_request

    home = home_of(context)
    say(home, number, words, by=actor_name(by), key=key)
    values = show_request(home, number)
    console.show(values, as_json, lambda: console.pairs(f"request {number}", console.told(values)))


def run(
    context: typer.Context,
    number: Number,
    quick: Quick = False,
    only: Only = None,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Carry out a request that is approved; one that is carried out already is left as it is.

    Exit code 3 when it is not approved, or a gate forbids the release.
    """
    _execute(context, number, actor_name(actor), quick, only, as_json)


def break_glass(
    context: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it cannot wait.")],
    by: Signer = "",
    second: Annotated[
        str, typer.Option("--and", metavar="NAME", help="The second person, who signs as well; needed.")
    ] = "",
    key: KeyFile = None,
    second_key: Annotated[
        Path | None, typer.Option("--second-key", metavar="FILE", help="Private key of the second person.")
    ] = None,
    quick: Quick = False,
    only: Only = None,
    as_json: AsJson = False,
) -> None:
    """In an emergency: two people sign in place of the approvals, and the request is carried out at once.

    The ledger keeps who and why. What a row must not hold, and the gates, still stand.
    """
    from pipelines.requests.asking import break_glass as break_it
    from pipelines.requests.waking import wake
    from registry.errors import InputError

    if not second:
        raise InputError("a second person", "nobody", "pass --and NAME")
    home, name = home_of(context), actor_name(by)
    break_it(home, number, [(name, key), (second, second_key)], reason)
    _execute(context, number, name, quick, only, as_json)
    wake(home, number)


def serve(
    context: typer.Context,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of Prefect's pages on 127.0.0.1; 0 takes a free one.")
    ] = 0,
) -> None:
    """Wait for approvals in Prefect flows: one flow a request, suspended until the ledger says what became of it.

    Runs until it is stopped. Other commands find it by PREFECT_API_URL, which it says at its start.
    """
    from pipelines.requests.flow import serve_requests

    serve_requests(home_of(context), port=port, say=lambda url: typer.echo(f"PREFECT_API_URL={url}"))


def _editors(only: list[str] | None) -> tuple[str, ...] | None:
    """The editors that may be used.

    Raises:
        UnknownNameError: one of them is not registered.
    """
    from editors import EDITORS
    from registry.errors import UnknownNameError

    for name in only or ():
        if name not in EDITORS:
            raise UnknownNameError("editor", name, EDITORS)
    return tuple(only) if only else None


def _end(context: typer.Context, number: int, verb: Any, reason: str, by: str, key: Path | None, as_json: bool) -> None:
    """Reject or withdraw, and let whoever waits know."""
    from pipelines.requests.asking import decide, show_request
    from pipelines.requests.waking import wake

    home = home_of(context)
    decide(home, number, verb, by=actor_name(by), key=key, words=reason)
    wake(home, number)
    values = show_request(home, number)
    console.show(values, as_json, lambda: console.pairs(f"request {number} is over", console.told(values)))


def _execute(
    context: typer.Context, number: int, actor: str, quick: bool, only: list[str] | None, as_json: bool
) -> None:
    """Carry a request out and tell what it came to."""
    from pipelines.requests.running import execute

    done = execute(home_of(context), number, actor=actor, quick=quick, only=_editors(only))
    console.show(
        done, as_json, lambda: console.pairs(f"request {number}: {done.status.replace('_', ' ')}", _done(done))
    )
    if done.blocked:
        raise typer.Exit(BLOCKED)


def _done(done: Any) -> list[tuple[str, str]]:
    """What carrying out came to, as rows."""
    rows = [("release", str(done.release or "none")), ("approved by", ", ".join(done.approvers))]
    for row in done.result.rows if done.result else ():
        where = f", in {row.memory}: {row.why_there}" if row.memory else ""
        rows.append((f"row {row.row}", f"{row.decision}{where}; {'; '.join(row.reasons)}"))
        if row.fact_id:
            rows.append(("fact id", row.fact_id))
    for gate in done.result.gates if done.result else ():
        rows.append((f"gate {gate['guard']}", f"{gate['decision']}: {gate['explanation']}"))
    return rows


def _tried(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report of a dry run as rows."""
    rows = []
    for row in report["rows"]:
        where = f", would live in {row['memory']}: {row['why_there']}" if row.get("why_there") else ""
        said = f"{row.get('decision', row.get('memory'))}{where}; {'; '.join(row.get('reasons', ()))}"
        rows.append((row["fact"], said))
    rows += [(f"gate {gate['gate']}", f"{gate['decision']}: {gate['why']}") for gate in report["gates"]]
    for one in report["neighbours"]:
        near = "; ".join(f"{each['sentence']} ({each['cosine']:.2f}, {each['memory']})" for each in one["near"])
        rows.append((f"near row {one['row']}", near or "nothing of this relation is known"))
    moved = "; ".join(f"{one['question']} {one['before']} -> {one['after']}" for one in report["moved"])
    return [*rows, ("answers that would move", moved or "none of those asked"), ("report", report["digest"])]
