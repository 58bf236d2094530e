"""What people see: results as text or JSON on standard output, progress on standard error.

Rich is imported when something is drawn, not before.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, Task, TaskID

PATIENCE_S = 1.0
"""Work that takes less than this is not worth a bar or a line."""

MAX_ITEMS = 8
"""So many entries of a list are spelt out in a table; JSON always has all."""

EMPTY: tuple[Any, ...] = (None, "", (), [], {})
"""Values that a table leaves out."""

FILE_WIDTH = 120
"""Columns of text that goes to a file or a pipe."""


def plain(value: Any) -> Any:
    """`value` in JSON's types: records by their `to_dict` or their fields, dates in ISO form, paths as text."""
    if hasattr(value, "to_dict") and not isinstance(value, type):
        return plain(value.to_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def to_json(value: Any) -> str:
    """`value` as indented JSON, in the letters that it is written in."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def output() -> "Console":
    """The console on standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=FILE_WIDTH)


def show(value: Any, as_json: bool, render: Callable[[], "RenderableType"]) -> None:
    """Write `value` to standard output as JSON, or what `render` makes of it as text; a bare string is never folded."""
    drawn = to_json(value) if as_json else render()
    if isinstance(drawn, str):
        sys.stdout.write(drawn + "\n")
    else:
        output().print(drawn)


def phrase(value: Any) -> str:
    """A plain value in words: mappings and lists on one line, floats to four digits."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {phrase(entry)}" for name, entry in value.items()) or "none"
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        more = f", and {len(value) - MAX_ITEMS} more" if len(value) > MAX_ITEMS else ""
        return (", ".join(phrase(entry) for entry in value[:MAX_ITEMS]) + more) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pairs(title: str, rows: Sequence[tuple[str, str]]) -> "RenderableType":
    """A title over names and texts side by side."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table


def told(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The entries of a mapping as rows for `pairs`; those that hold nothing are left out."""
    return [(name.replace("_", " "), phrase(plain(value))) for name, value in values.items() if value not in EMPTY]


def figures(title: str, values: Mapping[str, Any]) -> "RenderableType":
    """A title over the entries of a mapping, one a line."""
    return pairs(title, told(values))


def records(title: str, rows: Sequence[Mapping[str, Any]], empty: str) -> "RenderableType":
    """A table with a column per key, or the words `empty` when there are no rows."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(empty)
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, header_style="cyan")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else phrase(value)) for value in row.values()))
    return table


@dataclass
class Work:
    """One piece of work under way.

    Attributes:
        title: what it is called.
        depth: how many pieces of work it lies inside.
        started: reading of the monotonic clock at its start, in seconds.
        bar: its bar.
    """

    title: str
    depth: int
    started: float
    bar: "TaskID"


@dataclass
class ProgressListener:
    """Draws a bar for each piece of work that lasts, and writes a line when work ends that lies in no other.

    Attributes:
        bars: Rich's bars, started with the first piece of work; they stay undrawn where nobody watches.
        clock: seconds, monotonic.
        open: the work under way, by key.
        count: keys given so far.
    """

    bars: "Progress | None" = None
    clock: Callable[[], float] = time.monotonic
    open: dict[int, Work] = field(default_factory=dict)
    count: int = 0

    def start(self, title: str, total: int | None) -> int:
        """A piece of work begins; returns a key for it."""
        if self.bars is None:
            self.bars = _bars()
            self.bars.start()
        self.count += 1
        depth = len(self.open)
        bar = self.bars.add_task("  " * depth + title, total=total)
        self.open[self.count] = Work(title, depth, self.clock(), bar)
        return self.count

    def advance(self, key: int, amount: int) -> None:
        """`amount` more of it is done."""
        if self.bars is not None:
            self.bars.advance(self.open[key].bar, amount)

    def finish(self, key: int) -> None:
        """It ended; if it took a while, say how long."""
        work = self.open.pop(key)
        seconds = self.clock() - work.started
        if self.bars is None:
            return
        self.bars.remove_task(work.bar)
        if seconds >= PATIENCE_S and work.depth == 0:
            self.bars.console.print(f"{work.title} {seconds:.1f} s", style="dim", markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take all bars off the screen."""
        if self.bars is not None:
            self.bars.stop()


@contextmanager
def progress() -> Iterator[ProgressListener]:
    """A listener that draws on standard error, cleared away at the end of the block."""
    listener = ProgressListener()
    try:
        yield listener
    finally:
        listener.close()


def _bars() -> "Progress":
    """Bars on standard error that show only what has taken a while; without a terminal they are not drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    class PatientProgress(Progress):
        """Rich's way to choose which tasks are drawn is to override this method."""

        def get_renderables(self) -> Iterator["RenderableType"]:
            """The table of the tasks that have run for a while."""
            yield self.make_tasks_table([task for task in self.tasks if _lasting(task)])

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return PatientProgress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _lasting(task: "Task") -> bool:
    """Whether a task has run long enough to be drawn."""
    return (task.elapsed or 0.0) >= PATIENCE_S
