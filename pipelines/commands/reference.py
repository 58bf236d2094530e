"""docs/cli.md, made from the commands' own help: `python -m pipelines.commands.reference docs/cli.md`."""

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from pipelines.cli import GROUPS, run

HEAD = """# Command line

Written by `make docs` from the commands' own `--help`; a test compares the two.

Exit codes: 0 ok, 1 failed, 2 bad input, 3 blocked by a gate, 130 stopped by Ctrl-C. An error is one line on standard
error. Results go to standard output, progress to standard error.
"""


def pages() -> Iterator[tuple[str, ...]]:
    """The words of every command and group, the top first."""
    yield ()
    for group, (_, commands) in GROUPS.items():
        if group:
            yield (group,)
        for name in commands:
            yield (group, name) if group else (name,)


def help_of(words: tuple[str, ...]) -> str:
    """What `dmmgov WORDS --help` prints."""
    written = io.StringIO()
    with redirect_stdout(written):
        run([*words, "--help"])
    return written.getvalue().strip()


def reference() -> str:
    """The whole page."""
    parts = [f"## `{' '.join(('dmmgov', *words))}`\n\n```text\n{help_of(words)}\n```\n" for words in pages()]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
