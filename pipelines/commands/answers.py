"""`dmmgov ask`: one question, in one of the three settings, of any release, as of any day."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import console
from pipelines.commands.options import AsJson, day_of, home_of, moment_of
from registry.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from pipelines.answer import Reply

SETTINGS = ("parametric", "offline", "online")


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="A question in plain words.")],
    setting: Annotated[
        str,
        typer.Option(
            "--setting",
            metavar="SETTING",
            help="parametric: from the weights alone. offline: with the release's frozen facts. online: with the "
            "facts as they are now.",
        ),
    ] = "offline",
    release: Annotated[
        str | None, typer.Option("--release", metavar="RELEASE", help="Release to ask; the champion otherwise.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DATE", help="Day to answer for; today otherwise.")
    ] = None,
    known_at: Annotated[
        str | None,
        typer.Option("--known-at", metavar="TIME", help="Answer from what was recorded by then; now otherwise."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question.

    The answer says which fact it rests on, from which source, since when and in which memory; where nothing
    supports an answer it is "not known".
    """
    if not question.strip():
        raise InputError("a question in words", "an empty text", 'write it in quotes: dmmgov ask "What is ...?"')
    if setting not in SETTINGS:
        raise UnknownNameError("setting", setting, SETTINGS)
    asked_for, recorded = day_of(as_of, "--as-of"), moment_of(known_at, "--known-at")
    from pipelines.answer import ask as answer

    where = home_of(context)
    reply = answer(where, question, setting=setting, release=release, as_of=asked_for, known_at=recorded)
    console.show(reply, as_json, lambda: console.pairs(reply.text if reply.known else "not known", _rows(reply)))


def _rows(reply: "Reply") -> list[tuple[str, str]]:
    """What stands below an answer: where it comes from, and what the model itself said."""
    rows = [("question", reply.question), ("setting", reply.setting), ("as of", str(reply.as_of))]
    if reply.release is not None:
        rows.append(("release", f"r{reply.release}"))
    for known in reply.provenance:
        fact = known.fact
        since = f", since {fact.valid_from}" if fact.valid_from else ""
        until = f", until {fact.valid_to}" if fact.valid_to else ""
        source = fact.source + (f" ({fact.source_url})" if fact.source_url else "")
        rows += [
            ("fact", f"{fact.subject} · {fact.relation} · {fact.object}{since}{until}"),
            ("source", source or "none given"),
            ("memory", f"{known.memory}, written in r{known.release}"),
            ("fact id", fact.id),
        ]
    if reply.model_words is not None:
        agreement = "" if reply.agrees is None else (" (agrees)" if reply.agrees else " (does not hold the fact)")
        rows.append(("the model's words", reply.model_words + agreement))
    if reply.certainty is not None:
        rows.append(("certainty", f"{reply.certainty:.2f}"))
    return [*rows, ("why", reply.why)] if reply.why else rows
