"""`dmmgov revoke`: take single facts back."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import console
from pipelines.commands.options import Actor, AsJson, actor_name, home_of

if TYPE_CHECKING:
    from pipelines.releasing.revoke import RevokeResult


def revoke(
    context: typer.Context,
    fact_ids: Annotated[
        list[str], typer.Argument(metavar="FACT_ID", help="Id of a fact, from `ask`, or its first characters.")
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is taken back.")],
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Take facts back out of the memory in which they live; a new release has the rest.

    What was written together with them is not written anew. What they had ended holds again. Exit code 3 when a gate
    forbids what would be left.
    """
    from pipelines.releasing.revoke import revoke as take_back

    result = take_back(home_of(context), fact_ids, actor=actor_name(actor), reason=reason)
    console.show(result, as_json, lambda: console.pairs(f"r{result.release} is the champion", _rows(result)))


def _rows(result: "RevokeResult") -> list[tuple[str, str]]:
    """A revocation in words."""
    rows = [("revoked", f"{item['fact']} (lived in {item['memory']})") for item in result.facts]
    rows += [("the weights say now", text or "nothing") for text in result.says_now.values()]
    reasons = dict.fromkeys(item["reason"] for item in result.moved)
    for reason in reasons:
        facts = [item["fact"] for item in result.moved if item["reason"] == reason]
        rows.append(("moved to the index", f"{console.phrase(facts)}: {reason}"))
    rows += [("holds again", item["fact"]) for item in result.restored]
    rows += [(f"gate {gate['guard']}", f"{gate['decision']}: {gate['explanation']}") for gate in result.gates]
    return [*rows, ("seconds", ", ".join(f"{name} {spent:.1f}" for name, spent in result.seconds.items()))]
