"""Edits in the forms in which others keep them, read into one: `BenchRow`.

edits: JSON Lines or a JSON list of rows with the keys of `BenchRow`.
counterfact: CounterFact as ROME published it (`requested_rewrite`, `paraphrase_prompts`, `neighborhood_prompts`).
zsre: zsRE as MEND and ROME published it (`src`, `alt`, `rephrase`, `loc`, `loc_ans`).
knowedit: KnowEdit (`prompt`, `target_new`, `portability`, `locality`).
relations: one LRE relation file, or a folder of them; made counterfactual with objects of the same relation.
feed: a CSV feed with its relation catalogue beside it.

Paraphrases of a row are test phrasings; fitting never sees them. A row that an editor of subjects cannot be given
(its prompt lacks the subject) is left out and counted, except in `edits`, where it is an error.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.bench.rows import BenchRow
from pipelines.bench.sets import counterfact, edits_rows, knowedit, set_rows, zsre
from pipelines.bench.tables import NEIGHBOURS, feed_rows, relation_rows
from registry.errors import InputError, UnknownNameError

_GENERATED = ("relations", "feed")


@dataclass(frozen=True)
class BenchData:
    """Rows that were drawn from a set.

    Attributes:
        rows: the edits, in the order of the file.
        available: how many usable rows the set has.
        skipped: why rows were left out, with how many.
        dropped: probes that were left out because another drawn row writes what they ask.
    """

    rows: tuple[BenchRow, ...]
    available: int
    skipped: Mapping[str, int]
    dropped: int = 0


def read_rows(path: Path, data_format: str, n: int, seed: int, *, together: bool = True) -> BenchData:
    """Draw `n` rows from a set, by seed; all of them when it has fewer.

    Args:
        path: the set.
        data_format: see the head of this module.
        n: how many rows.
        seed: of the draw.
        together: whether all rows are written into one model; then a neighbour that another row writes is none.

    Raises:
        UnknownNameError: there is no such format.
        InputError: the file is missing, unreadable, of another shape, or has no usable row.
    """
    readers: dict[str, Callable[[], Iterable[BenchRow]]] = {
        "edits": lambda: edits_rows(path),
        "counterfact": lambda: set_rows(path, counterfact),
        "zsre": lambda: set_rows(path, zsre),
        "knowedit": lambda: set_rows(path, knowedit),
        "relations": lambda: relation_rows(path, random.Random(seed)),
        "feed": lambda: feed_rows(path, random.Random(seed)),
    }
    if data_format not in readers:
        raise UnknownNameError("format", data_format, readers)
    if n < 1:
        raise InputError("at least one edit", str(n), "ask for more")
    if not path.exists():
        raise InputError(f"a file of edits ({data_format})", f"{path}, which does not exist", "name an existing one")
    usable: dict[str, BenchRow] = {}
    skipped: dict[str, int] = {}
    for row in readers[data_format]():
        reason = _unusable(row) or ("a second row of the same content" if row.request.fact.id in usable else "")
        if reason and data_format == "edits":
            raise InputError(f"usable edits in {path}", f"{reason}: {row.subject!r}, {row.prompt!r}", "mend that row")
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
        else:
            usable[row.request.fact.id] = row
    if not usable:
        raise InputError(f"usable edits in {path}", f"none ({skipped or 'it is empty'})", "name another file")
    rows = list(usable.values())
    chosen = sorted(random.Random(seed).sample(range(len(rows)), min(n, len(rows))))
    kept, dropped = _apart([rows[index] for index in chosen], together)
    limit = NEIGHBOURS if data_format in _GENERATED else None
    return BenchData(tuple(_trimmed(row, limit) for row in kept), len(rows), skipped, dropped)


def _apart(rows: Sequence[BenchRow], together: bool) -> tuple[list[BenchRow], int]:
    """The rows without the neighbours and facts of the subject that one of them writes, and how many those were."""
    if not together:
        return list(rows), 0
    written = {prompt for row in rows for prompt in (row.prompt, *row.paraphrases, *row.fit_paraphrases)}
    kept = [
        replace(
            row,
            neighbourhood=tuple(one for one in row.neighbourhood if one.prompt not in written),
            same_subject=tuple(one for one in row.same_subject if one.prompt not in written),
        )
        for row in rows
    ]
    pairs = zip(rows, kept, strict=True)
    return kept, sum(
        len(old.neighbourhood) + len(old.same_subject) - len(new.neighbourhood) - len(new.same_subject)
        for old, new in pairs
    )


def _trimmed(row: BenchRow, limit: int | None) -> BenchRow:
    """The row with at most `limit` probes of a kind."""
    if limit is None:
        return row
    return replace(row, neighbourhood=row.neighbourhood[:limit], same_subject=row.same_subject[:limit])


def _unusable(row: BenchRow) -> str:
    """Why a row cannot be used, empty when it can."""
    if not all(text.strip() for text in (row.subject, row.prompt, row.target_new)):
        return "an empty subject, prompt or target"
    return "" if row.subject in row.prompt else "the prompt does not hold the subject"
