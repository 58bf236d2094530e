"""`dmmgov forget` and `dmmgov audit forgotten`: content goes, the proof that it was there stays."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import console
from pipelines.commands.options import Actor, AsJson, actor_name, home_of

if TYPE_CHECKING:
    from pipelines.forgetting.result import ForgetResult

FAILED = 1


def forget(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; only a keyed digest of it is kept.")],
    fact_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[FACT_ID]...", help="Ids of facts, or clear beginnings of ids.")
    ] = None,
    subject: Annotated[
        str, typer.Option("--subject", metavar="NAME", help="Everything about NAME, also rows that never came in.")
    ] = "",
    relation: Annotated[
        str, typer.Option("--relation", metavar="RELATION", help="Only this relation of the subject.")
    ] = "",
    despite_gates: Annotated[
        str,
        typer.Option("--despite-gates", metavar="TEXT", help="Why it is done although a gate may not pass."),
    ] = "",
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Remove content everywhere in the home; the log still proves that something was there and was forgotten.

    Exit code 1 when it still stands somewhere, or the model still says it; 3 when a gate forbids what would be left:
    then nothing was forgotten.
    """
    from pipelines.forgetting.forget import forget as run

    result = run(
        home_of(context),
        fact_ids or (),
        actor=actor_name(actor),
        reason=reason,
        subject=subject,
        relation=relation,
        despite_gates=despite_gates,
    )
    title = f"{len(result.fact_ids)} facts forgotten, entry {result.entry}, {result.keys} keys deleted"
    console.show(result.to_dict(), as_json, lambda: console.pairs(title, _rows(result)))
    if result.leftovers or result.audit.get("decision") == "block":
        raise typer.Exit(FAILED)


def audit_forgotten(
    context: typer.Context,
    fact_id: Annotated[str, typer.Argument(metavar="[FACT_ID]", help="A forgotten fact, or all.")] = "all",
    as_json: AsJson = False,
) -> None:
    """Check what can be checked of forgotten facts without their content: keys, artefacts, versions, the log.

    Exit code 1 when something is wrong.
    """
    from pipelines.forgetting.forgotten import check

    found = check(home_of(context), fact_id)
    rows = [("problem", line) for line in found["problems"]] + [("cannot be shown", line) for line in found["limits"]]
    title = f"{len(found['facts'])} forgotten facts, {found['keys']} keys; problems: {len(found['problems'])}"
    console.show(found, as_json, lambda: console.pairs(title, rows))
    if found["problems"]:
        raise typer.Exit(FAILED)


def _rows(result: "ForgetResult") -> list[tuple[str, str]]:
    """What was done, and what cannot be shown."""
    rows = [("release", str(result.release or "none: the champion did not know it"))]
    rows += [(one.place, f"{one.count} {one.done}") for one in result.places]
    rows += [(f"release {number} cannot be rebuilt", why) for number, why in result.unbuildable.items()]
    rows += [(f"gate {gate['guard']}", f"{gate['decision']}: {gate['explanation']}") for gate in result.gates]
    if result.overruled:
        rows.append(("overruled", f"{console.phrase(result.overruled)}; the release gets no certificate"))
    reasons = list(result.moved.values())
    rows += [("moved to the index", f"{reasons.count(why)} facts: {why}") for why in dict.fromkeys(reasons)]
    rows += [("model", console.phrase(result.suppression))] if result.suppression else []
    rows += [(f"audit: {name}", console.phrase(value)) for name, value in result.audit.items()]
    rows += [("still there", f"{one.file} ({one.how})") for one in result.leftovers]
    rows += [("names that other facts use and that stay", str(result.shared))] if result.shared else []
    return rows + [("cannot be shown", line) for line in result.limits]
