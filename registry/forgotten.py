"""What was forgotten, without what it was: keyed digests that tell whether a statement or a question is about it.

Digests are made with a key that never leaves the home (`registry.shredding.PEPPER`): who has the log alone cannot try
guesses against them, who has the home can.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.shredding import FORGOTTEN, fingerprint, pepper

if TYPE_CHECKING:
    from registry.ledger import Ledger

STATEMENT, QUESTION, ANY = "statement", "question", "any relation"


@dataclass(frozen=True)
class Tombstones:
    """Digests of everything that was forgotten; names are given in normal form.

    Attributes:
        key: the key of the digests; empty while nothing was forgotten.
        statements: of subject, relation and object: this statement must not come back unnoticed.
        questions: of subject and relation, where nothing else is known about them: the answer is "not known".
    """

    key: bytes = b""
    statements: frozenset[str] = frozenset()
    questions: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ledger: "Ledger") -> "Tombstones":
        """All tombstones of a log."""
        payloads = [entry.payload for entry in ledger.entries(FORGOTTEN)]
        with ledger.read() as connection:
            key = pepper(connection)
        if key is None:
            return cls()
        return cls(key, _named(payloads, "statements"), _named(payloads, "questions"))

    def __bool__(self) -> bool:
        """Whether anything was forgotten."""
        return bool(self.statements or self.questions)

    def holds_statement(self, subject: str, relation: str, thing: str) -> bool:
        """Whether this very statement was forgotten."""
        return bool(self) and statement_mark(self.key, subject, relation, thing) in self.statements

    def holds_question(self, subject: str, relation: str) -> bool:
        """Whether everything about this subject and relation was forgotten."""
        if not self:
            return False
        marks = {question_mark(self.key, subject, relation), question_mark(self.key, subject, ANY)}
        return bool(marks & self.questions)


def statement_mark(key: bytes, subject: str, relation: str, thing: str) -> str:
    """The digest of a statement."""
    return fingerprint(key, STATEMENT, subject, relation, thing)


def question_mark(key: bytes, subject: str, relation: str) -> str:
    """The digest of a question: `ANY` stands for whatever is asked about the subject."""
    return fingerprint(key, QUESTION, subject, relation)


def _named(payloads: Iterable[Mapping[str, Any]], name: str) -> frozenset[str]:
    """All digests of one kind."""
    return frozenset(mark for payload in payloads for mark in payload.get(name, ()))
