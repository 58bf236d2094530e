"""Other subjects for a prompt: what an edit must keep clear of, made from the request alone.

A benchmark's neighbours are never needed. The names are common ones of several kinds, so that some resemble any
subject in kind; a prompt that becomes false or odd with another name serves as well, since only its keys are looked at.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from editors.subject import last_token, subject_span
from registry.records import EditRequest
from registry.text import normalise

NAMES = (
    "Kenya", "London", "Isaac Newton", "Sony", "Zinc", "Romeo and Juliet", "Belgium", "Chicago", "Jane Austen",
    "Harvard University", "Carbon", "Star Wars", "South Korea", "Buenos Aires", "Winston Churchill", "General Motors",
    "Titanium", "The Great Gatsby", "Peru", "Osaka", "Marie Curie", "Toyota", "Sulfur", "War and Peace", "New Zealand",
    "Lagos", "Michael Jordan", "the Red Cross", "Mercury", "Don Quixote", "Germany", "Melbourne", "Ernest Hemingway",
    "Nokia", "Mount Fuji", "Hotel California", "Saudi Arabia", "Warsaw", "Frida Kahlo", "the Amazon River", "football",
    "the Roman Empire", "Vietnam", "Manchester", "Niels Bohr", "the piano", "Buddhism", "John Smith", "Ethiopia",
    "Vancouver", "Toni Morrison", "Boeing", "Portugal", "Maria Garcia",
)  # fmt: skip
"""Names of countries, cities, people, companies, works and things."""

MORE_NAMES = (
    *NAMES, "Canada", "Australia", "Mexico", "Argentina", "Colombia", "Norway", "Finland", "Poland", "Austria",
    "Greece", "Ireland", "Turkey", "Iran", "Israel", "Lebanon", "Yemen", "Qatar", "Pakistan", "Nepal", "Thailand",
    "Malaysia",
    "Singapore", "Indonesia", "Mongolia", "Uganda", "Nigeria", "Senegal", "Morocco", "Tunisia", "Sudan", "Angola",
    "Zambia", "Madagascar", "Cuba", "Jamaica", "Ecuador", "Bolivia", "Uruguay", "France", "Italy", "Spain", "Japan",
    "China", "India", "Brazil", "Russia", "Egypt", "the United Kingdom", "New York", "Boston", "Seattle", "Toronto",
    "Sydney", "Mumbai", "Shanghai", "Munich", "Milan", "Barcelona", "Lyon", "Vienna", "Prague", "Cairo", "Nairobi",
    "Lima", "Albert Einstein", "Charles Darwin", "William Shakespeare", "Leo Tolstoy", "Pablo Picasso", "Beethoven",
    "Abraham Lincoln", "Nelson Mandela", "Angela Merkel", "Steve Jobs", "Apple", "Microsoft", "Google", "Samsung",
    "Ford", "Volkswagen", "IBM", "Disney", "the Eiffel Tower", "the Colosseum", "Mount Everest", "the Nile", "Big Ben",
    "pizza",
    "sushi", "curry", "tacos", "Oxygen", "Iron", "Copper", "Sodium", "Hamlet", "Moby-Dick", "Harry Potter", "chess",
    "the violin", "English", "Spanish", "Arabic", "Windows", "the iPhone", "Batman", "Orion",
)  # fmt: skip
"""The same and more of each kind."""


def other_names(subject: str, count: int, seed: int, names: Sequence[str] = NAMES) -> list[str]:
    """`count` of the names, none of which holds the subject or is held by it; subject and seed decide which."""
    own = normalise(subject)
    free = [name for name in names if own not in normalise(name) and normalise(name) not in own]
    return random.Random(f"{seed}:others:{own}").sample(free, min(count, len(free)))


def with_others(request: EditRequest, names: Sequence[str]) -> list[str]:
    """The request's prompt about each of `names` instead of its subject.

    Raises:
        EditError: the prompt does not hold its subject.
    """
    start, end = subject_span(request.prompt, request.fact.subject)
    return [f"{request.prompt[:start]}{name}{request.prompt[end:]}" for name in names]


CARRIERS = (
    "The name of {}",
    "Tell me about {}",
    "In {}",
    "This is about {}",
    "The story of {}",
    "Everyone knows {}",
    "What is known about {}",
    "I have read about {}",
)
"""Beginnings of a text that name something and say nothing about it."""

RELATIONS = (
    "{} is a",
    "{} is known for",
    "The history of {} is",
    "{} was born in",
    "The capital of {} is",
    "The language spoken in {} is",
    "The leader of {} is",
    "{} is located in",
    "The author of {} is",
    "The population of {} is",
    "The currency used in {} is",
    "{} was founded in",
    "{} works as a",
    "The largest city of {} is",
    "{} belongs to the continent of",
    "The symbol for {} is",
)
"""Common things that are said of something."""


@dataclass(frozen=True)
class Placed:
    """A tokenised text about something.

    Attributes:
        tokens: token ids.
        place: index of the name's last token.
    """

    tokens: tuple[int, ...]
    place: int


def placed(tokenizer: Any, template: str, name: str) -> Placed:
    """`template` about `name`, where it says {}."""
    text = template.replace("{}", name)
    encoded = tokenizer(text, return_offsets_mapping=True)
    end = template.index("{}") + len(name)
    return Placed(tuple(encoded["input_ids"]), last_token([tuple(span) for span in encoded["offset_mapping"]], end))
