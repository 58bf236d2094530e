"""`dmmgov audit checkpoint | witness | rotate-key | export`: what others need to check the log without us."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import console
from pipelines.commands.options import Actor, AsJson, actor_name, home_of, new_file


def checkpoint(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the signed checkpoint here as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign where the log is now (size and Merkle root), and show the signed checkpoint.

    Keep it, or give it to others: whoever has it finds out when the log is rewritten later.
    """
    from pipelines.auditing.witness import make_checkpoint

    if out is not None:
        new_file(out, "--out")
    made = make_checkpoint(home_of(context))
    note = str(made.checkpoint)
    if out is not None:
        out.write_text(note, encoding="utf-8")
    values = {"size": made.checkpoint.size, "root": made.checkpoint.root, "key": made.log, "note": note}
    rows = [("entries", str(made.checkpoint.size)), ("root", made.checkpoint.root), ("key of the log", made.log)]
    rows += [("witnesses", ", ".join(made.checkpoint.witnesses) or "none")]
    console.show(values, as_json, lambda: console.pairs(f"Checkpoint{f' in {out}' if out else ''}", rows))


def witness(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The checkpoint; the line is added to it.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the witness, without spaces.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="KEYFILE", help="File of the witness's private key.")
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make the key's file first.")] = False,
    public: Annotated[
        str | None,
        typer.Option("--public", metavar="KEY", help="Take in a countersignature made elsewhere, by this key."),
    ] = None,
    since: Annotated[
        Path | None, typer.Option("--since", metavar="OLD", help="A checkpoint that the witness saw before.")
    ] = None,
    log_key: Annotated[
        str | None, typer.Option("--log-key", metavar="KEY", help="Public key of the log, as the witness knows it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Countersign a checkpoint, where the log has that root and still begins with what was seen before.

    The passphrase of the key is taken from DMMGOV_WITNESS_PASSPHRASE. Exit code 1 when the log contradicts a
    checkpoint.
    """
    from pipelines.auditing.witness import Witness
    from pipelines.auditing.witness import witness as countersign
    from registry.errors import InputError

    if (key is None) == (public is None):
        raise InputError("one of --key and --public", "both" if key else "neither", "give the one that you have")
    who = Witness(name, key, public, new_key)
    made = countersign(home_of(context), file, who, since=since, log=log_key)
    note = str(made.checkpoint)
    file.write_text(note, encoding="utf-8")
    values = {"size": made.checkpoint.size, "root": made.checkpoint.root, "note": note, "witness": made.witness}
    rows = [("entries", str(made.checkpoint.size)), ("root", made.checkpoint.root), ("key of the log", made.log)]
    rows += [("key of the witness", made.witness)]
    console.show(values, as_json, lambda: console.pairs(f"{name} countersigned {file}", rows))


def rotate_key(context: typer.Context, actor: Actor = "", as_json: AsJson = False) -> None:
    """Give the log a new key: the old one vouches for it, and what the old one signed still holds.

    The private key that signed until now is gone afterwards. The passphrase of the new key is taken from
    DMMGOV_NEW_LOG_PASSPHRASE, that of the old one from DMMGOV_LOG_PASSPHRASE.
    """
    from pipelines.auditing.rotation import rotate_key as run

    made = run(home_of(context), actor_name(actor))
    rows = [("old key", made.old), ("new key", made.new), ("first checkpoint of it", f"{made.size} entries")]
    rows += [("checks everything", made.first), ("checks from now on", made.verifier)]
    console.show(made, as_json, lambda: console.pairs("The log has a new key", rows))


def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the bundle; it must be new or empty.")],
    without_deltas: Annotated[
        bool, typer.Option("--without-deltas", help="Leave the deltas out: they give away what they were made for.")
    ] = False,
    actor: Actor = "",
    as_json: AsJson = False,
) -> None:
    """Write a bundle with which an outsider checks the log alone: entries, checkpoints, keys, deltas and a script.

    The outsider runs `python -I verify.py --key KEY --checkpoint OLD DIR`, with key and old checkpoint from elsewhere.
    """
    from pipelines.auditing.bundle import export_bundle

    made = export_bundle(home_of(context), folder, actor_name(actor), deltas=not without_deltas)
    rows = [("entries", str(made.entries)), ("root", made.root), ("key of the log", made.key)]
    rows += [("deltas", str(made.deltas)), ("deltas that are gone", ", ".join(made.absent) or "none")]
    rows += [("check it by", f"python -I {made.folder}/verify.py --key '{made.key}' {made.folder}")]
    console.show(made, as_json, lambda: console.pairs(f"Bundle in {made.folder}", rows))
