"""Cut CSV text into records so that one bad record stays alone, and each keeps its original text.

A record is one line, or several when a quoted cell holds line ends. The grammar is RFC 4180 with `,` and `"`:

    record = cell *("," cell)      cell = quoted / plain      quoted = %x22 *(any / 2%x22) %x22

A line that does not follow it (a stray quote, too many or too few cells) is a broken record by itself; the lines after
it are read as if it were not there.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_QUOTED = r'"[^"]*(?:""[^"]*)*"'
_CELL = rf'(?:{_QUOTED}|[^",\n]*)'
_RECORD = re.compile(rf"{_CELL}(?:,{_CELL})*")
_QUOTED_CELL = re.compile(_QUOTED)
_ONE_CELL = re.compile(rf"({_CELL})(?:,|$)")

MAX_RECORD_LINES = 50
"""A quoted cell that is not closed within so many lines is a stray quote."""
MAX_RECORD_CHARS = 1_000_000
"""A longer record is broken: no cell of a feed needs it."""


@dataclass(frozen=True)
class CsvRecord:
    """One record with its original text.

    Attributes:
        line: 1-based number of its first line in the file.
        text: the line, or the lines, as they stand in the file, without the last line end.
        problem: what is wrong with its shape, in words; empty when it is sound.
    """

    line: int
    text: str
    problem: str = ""


def split_lines(text: str) -> list[str]:
    """Cut at line ends (LF, CRLF, or CR alone when the text has no LF); no other character ends a line."""
    if "\n" not in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]


def cells_of(record: str) -> list[str]:
    """The cells of one sound record, without their quotes."""
    cells = [hit.group(1) for hit in _ONE_CELL.finditer(f"{record},")][: _width(record)]
    return [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in cells]


def requoted(record: str) -> str:
    """The same sound record with every cell in quotes: no reader takes a carriage return in it for a line end."""
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells_of(record))


def csv_records(lines: Sequence[str], width: int, *, first_line: int = 1) -> Iterator[CsvRecord]:
    """Cut `lines` into records of `width` cells; blank lines are left out.

    Args:
        lines: text without line ends.
        width: how many cells each record must have.
        first_line: number of the first of `lines` in the file.
    """
    position = 0
    while position < len(lines):
        line = lines[position]
        if not line.strip():
            position += 1
            continue
        text, taken = _joined(lines, position, width)
        yield CsvRecord(first_line + position, text, _problem(text, width))
        position += taken


def _joined(lines: Sequence[str], start: int, width: int) -> tuple[str, int]:
    """The record that begins at `lines[start]` and how many lines it takes: several only if that makes it sound."""
    line = lines[start]
    if line.count('"') % 2 == 0:
        return line, 1
    pieces = [line]
    for extra in lines[start + 1 : start + MAX_RECORD_LINES]:
        pieces.append(extra)
        if extra.count('"') % 2 == 1:
            text = "\n".join(pieces)
            return (text, len(pieces)) if not _problem(text, width) else (line, 1)
    return line, 1


def _width(record: str) -> int:
    return _QUOTED_CELL.sub("", record).count(",") + 1


def _problem(text: str, width: int) -> str:
    """What is wrong with the shape of one record, or nothing."""
    if len(text) > MAX_RECORD_CHARS:
        return f"the row has {len(text):,} characters, more than {MAX_RECORD_CHARS:,}"
    if not _RECORD.fullmatch(text):
        return "a quote stands inside a cell or is never closed: put the cell in quotes and double each quote in it"
    found = _width(text)
    if found != width:
        few = "too few" if found < width else "too many"
        return f"{few} cells: {found} where the header has {width}; put a cell that holds a comma in quotes"
    return ""
