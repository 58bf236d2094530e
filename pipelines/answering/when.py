"""When a question asks for: "in 2021", "as of March 2024", "on 5 March 2024", "today"."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = {name.casefold(): number for number, name in enumerate(calendar.month_name) if name}
_MONTH = "|".join(MONTHS)
_LEAD = r"(?:\b(?P<lead>as of|as at|back in|in the year|in|on|at|during|by|before|until)\s+)"
_PATTERNS = tuple(
    re.compile(rf"[,(]?\s*{lead}{body}\b\)?", re.IGNORECASE)
    for lead, body in (
        (f"{_LEAD}?", r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"),
        (f"{_LEAD}?", rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH}),?\s+(?P<y>\d{{4}})"),
        (f"{_LEAD}?", rf"(?P<month>{_MONTH})\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>\d{{4}})"),
        (_LEAD, rf"(?P<month>{_MONTH}),?\s+(?P<y>\d{{4}})"),
        (_LEAD, r"(?:the\s+)?(?P<end>end of |start of |beginning of |early |late )?(?P<y>[12]\d{3})"),
    )
)
_NOW = re.compile(
    r"[,(]?\s*\b(?:as of (?:today|now)|today|nowadays|right now|now|currently|at present|presently|at the moment"
    r"|these days|this year)\b\)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class When:
    """The day that a question asks for.

    Attributes:
        rest: the question without its time.
        day: the day; None when the time that is named is no day of the calendar.
        phrase: the words that name it, empty when there are none.
        explicit: whether the question names a time of its own.
    """

    rest: str
    day: date | None
    phrase: str = ""
    explicit: bool = False


def find_when(question: str, as_of: date) -> When:
    """The day that `question` asks for; `as_of` where it names none, or only "now".

    A month or a year means `as_of` where that lies in it, its last day otherwise; "before" means the day before it
    begins, "start of" its first day.
    """
    for pattern in _PATTERNS:
        hit = pattern.search(question)
        if hit is not None:
            phrase = hit.group().strip(" ,()")
            rest = _cut(question, hit.start(), hit.end())
            try:
                return When(rest, _day(hit.groupdict(), as_of), phrase, True)
            except ValueError:
                return When(rest, None, phrase, True)
    hit = _NOW.search(question)
    if hit is not None:
        return When(_cut(question, hit.start(), hit.end()), as_of, hit.group().strip(" ,()"))
    return When(question, as_of)


def _cut(text: str, start: int, end: int) -> str:
    """`text` without the characters from `start` to `end`."""
    return " ".join(f"{text[:start]} {text[end:]}".replace(" ?", "?").split()).lstrip(", ")


def _day(parts: dict[str, str | None], as_of: date) -> date:
    """The day that the named parts mean.

    Raises:
        ValueError: they name no day of the calendar.
    """
    year = int(parts["y"] or 0)
    name = parts.get("month")
    month = MONTHS[name.casefold()] if name else int(parts.get("m") or 0)
    number = int(parts.get("d") or 0)
    if number:
        first = last = date(year, month, number)
    elif month:
        first, last = date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
    else:
        first, last = date(year, 1, 1), date(year, 12, 31)
    edge = (parts.get("end") or "").strip().casefold()
    if (parts.get("lead") or "").casefold() in ("before", "until"):
        return first - timedelta(days=1)
    if edge in ("start of", "beginning of", "early"):
        return first
    return as_of if not edge and first <= as_of <= last else last
