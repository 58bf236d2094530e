"""What must not enter whatever it says: personal data, secrets, and text that tries to be an instruction.

The patterns are data (`guards/patterns.py`), each with the name that a person reads. Cells are
compared after compatibility folding (NFKC) and with white space made one, so that full-width letters or line ends do
not hide a pattern. Personal values are masked in every explanation.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from guards.admission import finding
from guards.base import Verdict
from guards.candidates import Candidate
from guards.instructions import InstructionModel, may_instruct, shipped
from guards.patterns import CODE, INSTRUCTIONS, MAY_BE_PERSONAL, PERSONAL, SECRETS, Pattern

PERSONAL_DATA = "personal_data"
"""Name of the guard whose hits no other explanation may quote."""
NAME_COLUMNS = ("subject", "relation", "object", "source")
"""Columns in which a name is expected; links and code have no place there."""
NOT_PROSE = frozenset({"valid_from", "valid_to", "observed_at", "confidence", "sensitivity", "op"})
"""Columns whose form is checked elsewhere."""


MAX_REMEMBERED = 20_000
FEWEST_DIGITS = {"luhn": 12, "phone": 8, "local": 7, "iban": 2}
"""Digits without which a text passes no test of that name."""

_SPACES = re.compile(r"\s+")
_DIGIT = re.compile(r"\d")
_YEARS = re.compile(r"\b(?:1[5-9]|20)\d\d\b[ -]+\b(?:1[5-9]|20)?\d\d\b")
_DATED = re.compile(
    r"\b(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec|mon|tues|wednes|thurs|fri|satur|sun)"
    r"[a-z]*\.?\b|\b(?:1[0-9]|20)\d\d$|^(?:19|20)\d\d |"
    r"\b(?:the|in|since|of|until|by) (?:1[5-9]|20)\d\d\b",
    re.IGNORECASE,
)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d")
_JOINED_SCRIPTS = ("ARABIC", "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "GUJARATI")
_MIXED = ("LATIN", "CYRILLIC", "GREEK")


def folded(text: str) -> str:
    """The text as patterns see it: compatibility forms folded, white space made one blank."""
    return _SPACES.sub(" ", text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()


def masked(value: str) -> str:
    """A personal value as it may be shown: first and last character only."""
    return f"{value[:1]}…{value[-1:]}" if len(value) > 4 else "…"


def hits(patterns: tuple[Pattern, ...], text: str) -> Iterator[tuple[str, int, int]]:
    """The name of every pattern that hits a folded text, and from where to where."""
    digits = len(_DIGIT.findall(text))
    for pattern in patterns:
        if digits < FEWEST_DIGITS.get(pattern.check, 0):
            continue
        for hit in pattern.regex.finditer(text):
            if _confirmed(pattern.check, hit.group()):
                yield pattern.name, hit.start(), hit.end()


def find(patterns: tuple[Pattern, ...], text: str) -> tuple[str, str] | None:
    """The name of the first pattern that hits, and what it hit."""
    return next(((name, text[start:end]) for name, start, end in hits(patterns, text)), None)


def _confirmed(check: str, hit: str) -> bool:
    """Whether a hit passes the test on its digits that its pattern names."""
    digits = [int(letter) for letter in hit if letter.isascii() and letter.isdigit()]
    if check == "luhn":
        doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits[::-1])]
        return len(set(digits)) > 1 and sum(doubled) % 10 == 0
    if check == "phone":
        return FEWEST_DIGITS[check] <= len(digits) <= 15
    if check == "local":
        return FEWEST_DIGITS[check] <= len(digits) <= 15 and not _YEARS.search(hit)
    if check == "house":
        return not _DATED.search(hit)
    if check == "iban":
        plain = hit.replace(" ", "").upper()
        moved = plain[4:] + plain[:4]
        return 15 <= len(plain) <= 34 and int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
    return True


def hidden(text: str) -> str:
    """What is hidden in a text, in words: control, invisible, direction or look-alike characters; empty if nothing."""
    if text.isascii() and text.isprintable():
        return ""
    for place, letter in enumerate(text):
        kind = unicodedata.category(letter)
        if letter in _BIDI:
            return f"the direction character U+{ord(letter):04X}"
        if letter in _JOINERS and place and unicodedata.name(text[place - 1], "").startswith(_JOINED_SCRIPTS):
            continue
        if kind in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"):
            return f"the invisible or control character U+{ord(letter):04X}"
    for word in text.split():
        scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in word if letter.isalpha()}
        if len(scripts.intersection(_MIXED)) > 1:
            return f"letters of several scripts in one word ({', '.join(sorted(scripts))})"
    return ""


def _prose(case: Candidate, clean: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Columns and texts that may hold words, without those that were found clean before."""
    for column, text in case.cells.items():
        if text and column not in NOT_PROSE and (column, text) not in clean:
            yield column, text


def _remember(clean: set[tuple[str, str]], column: str, text: str) -> None:
    """Note that a text was found clean; relations and sources repeat from row to row."""
    if len(clean) < MAX_REMEMBERED:
        clean.add((column, text))


@dataclass(frozen=True)
class PersonalDataGuard:
    """No cell holds personal data or a secret."""

    name: str = PERSONAL_DATA
    clean: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)

    def judge(self, case: Candidate) -> Verdict:
        """Block a row with a personal datum or a secret in any cell."""
        for column, text in _prose(case, self.clean):
            plain = folded(text)
            if MAY_BE_PERSONAL.search(plain) is None:
                _remember(self.clean, column, text)
                continue
            hit = find(PERSONAL if column != "source_url" else PERSONAL[:1], plain) or find(SECRETS, plain)
            if hit:
                what, value = hit
                return finding(self.name, "block", column, masked(value), f"holds {what}", "leave it out")
            _remember(self.clean, column, text)
        return Verdict(self.name, "pass", "no personal data found")


@dataclass(frozen=True)
class InstructionGuard:
    """Cells are data: no orders to a model, no code, nothing invisible."""

    name: str = "instruction"
    model: InstructionModel = field(default_factory=shipped, repr=False)
    clean: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)

    def judge(self, case: Candidate) -> Verdict:
        """Block a row with an instruction, code where a name is expected, or hidden characters in any cell."""
        for column, text in _prose(case, self.clean):
            problem = self._problem(column, text)
            if problem:
                return finding(self.name, "block", column, text, f"holds {problem}", "write the plain name only")
            _remember(self.clean, column, text)
        return Verdict(self.name, "pass", "no instruction found")

    def _problem(self, column: str, text: str) -> str:
        invisible = hidden(text)
        if invisible:
            return invisible
        plain = folded(text)
        if column == "source_url":
            bad_scheme = re.match(r"(?!https?:)[a-z][a-z0-9+.-]*:", plain, re.IGNORECASE)
            return "a link that is not http or https" if bad_scheme else ""
        hit = self.order(plain)
        if not hit and column in NAME_COLUMNS:
            code = find(CODE, plain)
            return code[0] if code else ""
        return hit

    def order(self, plain: str, prose: bool = False) -> str:
        """What kind of instruction a folded text holds, in words; empty if none.

        Args:
            plain: the folded text.
            prose: whether it is running text, where the capitals of a title excuse no order.
        """
        if not may_instruct(plain):
            return ""
        rule = find(INSTRUCTIONS, plain)
        if rule:
            return rule[0]
        return "a sentence that speaks to a reader, not about the world" if self.model.hit(plain, prose) else ""
