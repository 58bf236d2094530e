"""The relations that `draw.py` draws from: those of the atlas, and of LRE where its files lie beside the repository."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.admission.tables import read_facts
from registry.catalogue import SUBJECT, Catalogue
from registry.text import normalise

LRE = {"food_from_country": None, "person_native_language": "P103"}
"""Relations of LRE that the atlas does not have and that small models know something of, each with the ParaRel relation
whose patterns are further phrasings."""

MOST_FACTS = 150
"""Facts of an LRE relation that are looked at: every k-th of its file."""

NOUN = {
    "located_in": "the country in which the city of {} lies",
    "lre_food_from_country": "the country that {} comes from",
}
"""What stands for the object of a relation whose objects are countries, in a question of two hops."""

SECOND_HOP = ("capital", "continent", "currency", "largest_city", "official_language")
"""Relations of countries that a question of two hops ends with."""

REVERSED = {
    "capital": "{} is the capital of the country of",
    "chemical_symbol": "{} is the chemical symbol of the element",
    "largest_city": "{} is the largest city of the country of",
}
"""How a relation is asked from its object, where an object belongs to one subject."""

_PATTERN = re.compile(r"^(?![a-z])(.*\[X\].*?)\s*\[Y\]\s*\.?\s*$")


@dataclass(frozen=True)
class Phrased:
    """A relation with its phrasings and its facts.

    Attributes:
        name: the relation.
        phrasings: cloze texts with {}, ending where the object begins.
        ordered: whether the first phrasing is the prompt and the next two are the test phrasings.
        question: for the chat form, with {}; may be empty.
        facts: object by subject, of subjects that have one object.
        names: every way of writing an object.
    """

    name: str
    phrasings: tuple[str, ...]
    ordered: bool
    question: str
    facts: Mapping[str, str]
    names: Callable[[str], tuple[str, ...]]


def atlas_relations(folder: Path) -> list[Phrased]:
    """The relations of an atlas, with the facts that hold: the prompt and the phrasings that are kept for tests."""
    catalogue = Catalogue.read(folder / "relations.yaml")
    pairs = [(f.relation, f.subject, f.object) for f in read_facts(folder / "facts.csv") if f.valid_to is None]
    return [
        Phrased(
            name,
            tuple(text.replace(SUBJECT, "{}") for text in (relation.prompt, *relation.held_out[:2])),
            True,
            relation.question.replace(SUBJECT, "{}"),
            _single([(subject, thing) for other, subject, thing in pairs if other == name]),
            catalogue.answers,
        )
        for name, relation in catalogue.relations.items()
    ]


def lre_relations(folder: Path) -> list[Phrased]:
    """The relations in `LRE`, from `relations/*.json` and `pararel_patterns.jsonl`; none where the files are absent."""
    if not (folder / "relations").is_dir():
        return []
    lines = (folder / "pararel_patterns.jsonl").read_text(encoding="utf-8").splitlines()
    patterns = [json.loads(line) for line in lines if line.strip()]
    return [_lre(folder / "relations" / f"{name}.json", code, patterns) for name, code in LRE.items()]


def _lre(file: Path, code: str | None, patterns: list[dict[str, str]]) -> Phrased:
    """One relation of LRE."""
    raw = json.loads(file.read_text(encoding="utf-8"))
    written = [*raw["prompt_templates"], *raw["prompt_templates_zs"]]
    matches = [_PATTERN.match(item["pattern"]) for item in patterns if item["relation"] == code]
    more = [match[1].replace("[X]", "{}").rstrip() for match in matches if match]
    asked = next((text.split("?")[0] + "?" for text in written if "?" in text), "")
    pairs = [(sample["subject"], sample["object"]) for sample in raw["samples"]]
    step = max(1, len(pairs) // MOST_FACTS)
    return Phrased(
        f"lre_{file.stem}",
        tuple(dict.fromkeys(text for text in (*written, *more) if "?" not in text)),
        False,
        asked,
        _single(pairs[::step][:MOST_FACTS]),
        lambda name: (name,),
    )


def _single(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Object by subject, of subjects with one object, which is not the subject's own name."""
    counts = Counter(subject for subject, _ in pairs)
    return {s: o for s, o in pairs if counts[s] == 1 and normalise(o) != normalise(s)}
