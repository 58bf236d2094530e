"""What the commands share: the session, and the options that mean the same everywhere."""

import getpass
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import typer

from registry.errors import InputError
from registry.home import Home

DEFAULT_MODEL = "smollm2"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Actor = Annotated[str, typer.Option("--as", metavar="NAME", help="Who does it; your user name otherwise.")]
Model = Annotated[
    str,
    typer.Option("--model", metavar="MODEL", help="Short name (see `models list`), hub id, folder or GGUF file."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Write at most three facts into the weights.")]
ReleaseRef = Annotated[
    str, typer.Argument(metavar="RELEASE", help="Number of a release (3 or r3), or champion, or challenger.")
]


@dataclass
class Session:
    """One call of the command line.

    Attributes:
        home: the home folder; `--home` replaces it before the command runs.
    """

    home: Home = field(default_factory=Home.default)


def home_of(context: typer.Context) -> Home:
    """The home folder of the running command."""
    session: Session = context.find_root().obj
    return session.home


def actor_name(given: str) -> str:
    """Who acts: the name that was given, the user of this process otherwise.

    Raises:
        InputError: neither is there.
    """
    if given.strip():
        return given.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise InputError("somebody who acts", "a process without a user name", "pass --as NAME") from error


def day_of(text: str | None, option: str) -> date | None:
    """Read the date given to `option`; None stays None.

    Raises:
        InputError: it is not a date in ISO form.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"a date like 2024-06-30 for {option}", repr(text), "write it as year-month-day") from error


def moment_of(text: str | None, option: str) -> datetime | None:
    """Read the moment given to `option`: a time in ISO form (UTC where it names no zone), or a day, which is its end.

    Raises:
        InputError: it is neither.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"a day or a time like 2026-03-12T15:00 for {option}", repr(text), "write it in that form"
        ) from error
    if len(text.strip()) <= len("2026-03-12"):
        moment = datetime.combine(moment.date(), time.max)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def new_file(path: Path, option: str) -> Path:
    """Check, before long work begins, that a file can be written at `path`.

    Raises:
        InputError: it is a folder, or its folder is missing or closed to us.
    """
    import os

    if path.is_dir():
        raise InputError(f"a file for {option}", f"the folder {path}", "name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"a file in an existing folder for {option}", str(path), f"make {path.parent} first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"a file that can be written for {option}", str(path), "choose another place")
    return path
