"""The command line `dmmgov`: the table of commands, and what becomes of an error.

Exit codes: 0 ok, 1 failed, 2 bad input, 3 blocked by a gate, 130 stopped by Ctrl-C. An error is one line on standard
error; what nobody foresaw leaves its traceback in the home folder's logs. Nothing heavy is imported to start.
"""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import (
    answers,
    asking,
    audits,
    benchmarks,
    doctor,
    facts,
    forgetting,
    freshness,
    keeping,
    ledgers,
    loop,
    models,
    options,
    releases,
    requests,
    revoke,
    rows,
    users,
)
from pipelines.running.troubles import machine_words, without_secrets
from registry.errors import DmmGovError
from registry.home import HOME_VARIABLE, Home

FAILED, BAD_INPUT, STOPPED = 1, 2, 130
WIDTH = 100

QUIET = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""What keeps the libraries from calling home, drawing bars and talking; a value that is set already stays."""

TALKATIVE = ("alembic", "bm25s", "great_expectations.data_context.types.base")
"""Loggers that announce what they do, at a level that they set themselves; their warnings are still heard."""

Groups = dict[str, tuple[str, dict[str, Callable[..., Any]]]]
"""Commands by name, by group, each group with its help."""

GROUPS: Groups = {
    "": (
        "",
        {
            "demo": loop.demo,
            "update": loop.update,
            "ask": answers.ask,
            "forget": forgetting.forget,
            "revoke": revoke.revoke,
            "schedule": loop.schedule,
            "doctor": doctor.doctor,
        },
    ),
    "rows": (
        "Rows that were not let in, and a person's word for them.",
        {"list": rows.list_rows, "release": rows.release},
    ),
    "request": (
        "One change, asked for, tried out, approved by another, carried out.",
        {
            "add": asking.add,
            "change": asking.change,
            "list": requests.list_requests,
            "show": requests.show,
            "dry-run": requests.dry_run,
            "approve": requests.approve,
            "reject": requests.reject,
            "withdraw": requests.withdraw,
            "comment": requests.comment,
            "run": requests.run,
            "break-glass": requests.break_glass,
            "serve": requests.serve,
        },
    ),
    "users": (
        "Who may do what, and with which key they sign.",
        {"add": users.add, "list": users.list_users, "revoke": users.revoke},
    ),
    "facts": (
        "What is known, fact by fact.",
        {"list": facts.list_facts, "show": facts.show_fact},
    ),
    "releases": (
        "Published states of what the model knows.",
        {
            "list": releases.list_releases,
            "show": releases.show_release,
            "diff": releases.diff_releases,
            "promote": releases.promote_release,
            "rollback": releases.rollback_release,
            "export": releases.export_release,
            "rebuild": releases.rebuild_release,
            "compact": keeping.compact_release,
            "prune": keeping.prune_releases,
            "certificate": releases.certificate,
        },
    ),
    "audit": (
        "Check what is kept, and report on it.",
        {
            "run": audits.run_audit,
            "report": audits.report,
            "card": audits.card,
            "verify": audits.verify,
            "checkpoint": ledgers.checkpoint,
            "witness": ledgers.witness,
            "rotate-key": ledgers.rotate_key,
            "export": ledgers.export,
            "due": freshness.due,
            "forgotten": forgetting.audit_forgotten,
        },
    ),
    "models": (
        "Models by short name, and what they know.",
        {"list": models.list_models, "pull": models.pull, "check": models.check},
    ),
    "bench": ("Measure editors.", {"edits": benchmarks.edits}),
}
"""Every command; the group without a name is the top, whose help is that of `common`."""


def say_version(wanted: bool) -> None:
    """Say which version this is, and end."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dmmgov {version('dmm-gov')}")
        raise typer.Exit


def common(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="FOLDER", help=f"Folder of all state; {HOME_VARIABLE} or .dmmgov otherwise."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Keep what a language model knows current, correct and accountable.

    Exit codes: 0 ok, 1 failed, 2 bad input, 3 blocked by a gate.
    """
    if home is not None:
        session: options.Session = context.obj
        session.home = Home.at(home)


def build(groups: Groups = GROUPS) -> typer.Typer:
    """The application, from a table of commands."""
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    top = typer.Typer(name="dmmgov", add_completion=False, rich_markup_mode=None, context_settings=settings)
    top.callback()(common)
    for group, (words, commands) in groups.items():
        app = top
        if group:
            app = typer.Typer(rich_markup_mode=None, help=words)
            top.add_typer(app, name=group)
        for name, function in commands.items():
            app.command(name)(function)
    return top


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are said on standard error.

    Args:
        arguments: the words after `dmmgov`; those of the process when None.
    """
    from pipelines.console import progress
    from registry.progress import listening

    _hush()
    session = options.Session()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (len(words) == 1 and words[0] in GROUPS):
        words.append("--help")
    try:
        with progress() as listener, listening(listener):
            code = typer.main.get_command(build()).main(
                args=words, prog_name="dmmgov", standalone_mode=False, obj=session
            )
    except DmmGovError as error:
        return _say(error.exit_code, str(error))
    except typer.TyperException as error:
        return _say(BAD_INPUT, f"{error.format_message().rstrip('.')} (try --help)")
    except Exception as error:
        return _say(FAILED, machine_words(error) or _unforeseen(error, session.home))
    if code == STOPPED:
        return _say(STOPPED, "stopped; what was half done is undone or finished by the next run")
    return code if isinstance(code, int) else 0


def _hush() -> None:
    """Let the libraries tell nobody but us, and us only what matters."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_matters)


def _matters(record: logging.LogRecord) -> bool:
    """Whether a message is a warning or worse."""
    return record.levelno >= logging.WARNING


def main() -> None:
    """Entry point of the console script."""
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads stall each other on a busy machine
    sys.exit(run())


def _say(code: int, message: str) -> int:
    """Write one line on standard error and hand the exit code back."""
    typer.echo(f"dmmgov: {' '.join(without_secrets(message).split())}", err=True)
    return code


def _unforeseen(error: Exception, home: Home) -> str:
    """Keep the traceback of an error that nobody foresaw, and say in one line what it was and where it lies."""
    what = f"unexpected {type(error).__name__}: {error}"
    folder, name = home.root / "logs", f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = without_secrets("".join(traceback.format_exception(error)))
        (folder / name).write_text(told, encoding="utf-8")
    except OSError as refused:
        return f"{what} (its traceback could not be kept: {refused})"
    return f"{what}; the traceback is in {folder / name}"
