"""A row of a feed as the admission sees it: its cells read into a fact, its dates and its relation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, get_args

from registry.catalogue import SUBJECT, Catalogue, Relation
from registry.records import Fact, Sensitivity
from registry.text import normalise

RowOperation = Literal["ADD", "UPDATE", "DELETE"]
"""What a feed may ask for; the admission decides for itself, except that DELETE is asked for by the feed alone."""


def parse_day(text: str) -> date | None:
    """A day from ISO 8601 (a time of midnight may follow); None for the empty text.

    Raises:
        ValueError: it is not a day of the calendar in that form.
    """
    text = text.strip()
    if not text:
        return None
    moment = datetime.fromisoformat(text) if len(text) > 10 else None
    if moment is not None:
        return moment.date()
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        raise ValueError(f"not YYYY-MM-DD: {text!r}")
    return date.fromisoformat(text)


@dataclass(frozen=True)
class Candidate:
    """One row of a feed on its way in.

    Attributes:
        row: 1-based number in the feed.
        cells: every cell as text, by column, without surrounding white space.
        at: the moment of admission.
        name: the relation's name: of the catalogue where it is there, else as the row gives it or as its prompt says.
        relation: the catalogue's relation, None for one that the row brings itself.
        prompt: the row's own cloze text with its subject filled in, None when it has none.
        days: the row's dates by column; a column whose text is no date is not in it.
    """

    row: int
    cells: Mapping[str, str]
    at: datetime
    name: str
    relation: Relation | None
    prompt: str | None
    days: Mapping[str, date | None] = field(default_factory=dict)

    def cell(self, column: str) -> str:
        """The text of a cell, empty when the feed does not have it."""
        return self.cells.get(column, "")

    @property
    def operation(self) -> str:
        """What the feed asks for, upper case; empty when it leaves that to the admission."""
        return self.cell("op").upper()

    def fact(self) -> Fact:
        """The row as a fact; only for a row whose cells were found sound."""
        return Fact(
            subject=self.cell("subject"),
            relation=self.name,
            object=self.cell("object"),
            valid_from=self.days.get("valid_from"),
            valid_to=self.days.get("valid_to"),
            recorded_at=self.at,
            source=self.cell("source") or self.cell("source_url"),
            source_url=self.cell("source_url"),
            confidence=float(self.cell("confidence") or 1.0),
            sensitivity=next((name for name in get_args(Sensitivity) if name == self.cell("sensitivity")), "public"),
        )


@dataclass(frozen=True)
class CandidateReader:
    """Turns cells into candidates: finds the relation by name or label, parses dates, fills the prompt."""

    catalogue: Catalogue
    at: datetime
    relations: Mapping[str, Relation]

    @classmethod
    def of(cls, catalogue: Catalogue, at: datetime) -> "CandidateReader":
        """Index the catalogue's relations by every way of writing their names."""
        labels = {normalise(relation.label): relation for relation in catalogue.relations.values()}
        return cls(catalogue, at, labels | {normalise(name): each for name, each in catalogue.relations.items()})

    def read(self, row: int, cells: Mapping[str, str]) -> Candidate:
        """The candidate of one row; never fails, whatever the cells hold."""
        plain = {column: text.strip() for column, text in cells.items()}
        given, subject = plain.get("relation", ""), plain.get("subject", "")
        relation = self.relations.get(normalise(given)) if given else None
        template = plain.get("prompt", "")
        prompt = template.replace(SUBJECT, subject) if template else None
        name = relation.name if relation else given or (template.replace(subject, SUBJECT) if subject else template)
        days: dict[str, date | None] = {}
        for column in ("valid_from", "valid_to", "observed_at"):
            try:
                days[column] = parse_day(plain.get(column, ""))
            except ValueError:
                continue
        return Candidate(row, plain, self.at, name, relation, prompt, days)
