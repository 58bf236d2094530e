"""What `sensitivity.py` measures on: texts with personal data, attacks on a model, and plain sentences, in two halves.

What is chosen or fitted sees the half "choose" alone; figures are of the half "report". Personal data is halved by the
template that its sentences were made of, attacks by their kind, plain sentences by the article or country, names by a
draw.
"""

import csv
import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Half = Literal["choose", "report"]
HALVES: tuple[Half, Half] = ("choose", "report")
PERSONAL_TYPES = (
    *("STREET_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "IP_ADDRESS"),
    "US_DRIVER_LICENSE",
)
"""Types that count as personal data in a feed of facts. PERSON does not: names are what facts are about."""
FILES = {
    "personal": "security/pii_synth_dataset_v2.json",
    "text": "security/bipia_text_attack_train.json",
    "code": "security/bipia_code_attack_train.json",
    "factbook": "corpus/factbook_2023-12.jsonl.gz",
    "wikipedia": "corpus/wikipedia_articles.jsonl",
    "names": "facts/codex_m_labelled.jsonl",
    "titles": "corpus/wikipedia_movies_1990_on.jsonl",
}
HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
ATLAS = HERE.parent / "examples" / "atlas"
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True)
class Marked:
    """A text with its personal data.

    Attributes:
        half: see `Half`.
        text: the text.
        spans: type and value of each marked part.
    """

    half: Half
    text: str
    spans: tuple[tuple[str, str], ...]

    @property
    def personal(self) -> bool:
        """Whether it holds anything of `PERSONAL_TYPES`."""
        return any(kind in PERSONAL_TYPES for kind, _ in self.spans)


@dataclass(frozen=True)
class Attack:
    """An instruction that has no place in a cell or a passage: its kind, its half, its text."""

    half: Half
    kind: str
    text: str


def halves(names: Iterable[str], seed: int) -> dict[str, Half]:
    """Each name's half, by a seeded draw of half of the distinct names."""
    drawn = sorted(set(names))
    random.Random(seed).shuffle(drawn)
    return {name: HALVES[place >= len(drawn) // 2] for place, name in enumerate(drawn)}


def missing(folder: Path) -> list[str]:
    """The files that are needed and not there."""
    return [name for name in FILES.values() if not (folder / name).is_file()]


def marked(folder: Path, seed: int) -> list[Marked]:
    """The synthetic set of personal data (presidio-research)."""
    records = json.loads((folder / FILES["personal"]).read_text(encoding="utf-8"))
    half = halves((f"{one['template_id']:04d}" for one in records), seed)
    return [
        Marked(
            half[f"{one['template_id']:04d}"],
            one["full_text"],
            tuple((span["entity_type"], span["entity_value"]) for span in one["spans"]),
        )
        for one in records
    ]


def attacks(folder: Path, seed: int, extra: Sequence[Path] = ()) -> list[Attack]:
    """BIPIA's training attacks on texts and on code; all attacks of `extra` files belong to the half "report"."""
    kinds = {
        f"{name}: {kind}": texts
        for name in ("text", "code")
        for kind, texts in json.loads((folder / FILES[name]).read_text(encoding="utf-8")).items()
    }
    half = halves(kinds, seed)
    found = [Attack(half[kind], kind, text) for kind, texts in kinds.items() for text in texts]
    for path in extra:
        given = json.loads(path.read_text(encoding="utf-8"))
        found += [Attack("report", f"extra: {kind}", text) for kind, texts in given.items() for text in texts]
    return found


def plain(folder: Path, n: int, seed: int) -> dict[str, list[tuple[Half, str]]]:
    """Texts that hold neither instructions nor a private person's data, by where they come from: `n` of each half.

    Contact data of embassies in the FactBook is contact data all the same, and its hits count as false alarms.
    """
    found: dict[str, list[tuple[Half, str]]] = {}
    for name, key in (("factbook", "code"), ("wikipedia", "title")):
        pairs = list(_sentences(folder / FILES[name], key))
        half = halves((where for where, _ in pairs), seed)
        found[name] = _drawn([(half[where], text) for where, text in pairs], n, seed)
    for name, keys in (("names", ("s", "o")), ("titles", ("title",))):
        lines = (folder / FILES[name]).read_text(encoding="utf-8").split("\n")
        half = halves((str(json.loads(line)[key]) for line in lines if line for key in keys), seed)
        found[name] = _drawn([(half[text], text) for text in sorted(half)], n, seed)
    return found


def _drawn(texts: Sequence[tuple[Half, str]], n: int, seed: int) -> list[tuple[Half, str]]:
    """`n` texts of each half, by a seeded draw."""
    draw = random.Random(seed)
    groups = [[one for one in texts if one[0] == half] for half in HALVES]
    return [one for group in groups for one in draw.sample(group, min(n, len(group)))]


def _sentences(path: Path, key: str) -> Iterator[tuple[str, str]]:
    """Where each sentence of a corpus stands, and the sentence."""
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").split("\n")[:-1]:
        record = json.loads(line)
        for paragraph in str(record["text"]).split("\n"):
            yield from ((str(record[key]), text.strip()) for text in _END.split(paragraph) if text.strip())


def good_rows() -> list[dict[str, str]]:
    """The atlas's rows that should come in or are known."""
    with (ATLAS / "feed_truth.csv").open(encoding="utf-8", newline="") as stream:
        truth = [row for row in csv.DictReader(stream) if row["feed"] == "feed.csv"]
    good = {int(row["row"]) for row in truth if row["expected"] in ("ADD", "UPDATE", "DELETE", "NOOP")}
    with (ATLAS / "feed.csv").open(encoding="utf-8", newline="") as stream:
        return [row for number, row in enumerate(csv.DictReader(stream), 1) if number in good]
