"""Which other subjects a reader is to be quiet at: those whose keys are most like the subject's.

A reader that was shown names of other kinds alone reads some of its own kind nearly as loudly as its subject, and with
a hundred memories beside a model one of them then claims a neighbour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from editors.others import CARRIERS, MORE_NAMES, Placed, placed
from registry.text import normalise

PEOPLE = (
    "Claude Monet", "Edith Piaf", "Charles de Gaulle", "Louis Pasteur", "Simone de Beauvoir", "Jean-Paul Sartre",
    "Antoine de Saint-Exupéry", "Rembrandt", "Vincent van Gogh", "Erasmus", "Anne Frank", "Queen Elizabeth II",
    "Margaret Thatcher", "Virginia Woolf", "Alan Turing", "Hannah Arendt", "Johann Sebastian Bach",
    "Otto von Bismarck", "Sigmund Freud", "Leonardo da Vinci", "Galileo Galilei", "Giuseppe Verdi", "Sophia Loren",
    "Federico Fellini", "Miguel de Cervantes", "Salvador Dalí", "Jorge Luis Borges", "Diego Maradona",
    "Simón Bolívar", "Fernando Pessoa", "Cristiano Ronaldo", "Pelé", "Anton Chekhov", "Vladimir Putin",
    "Pyotr Tchaikovsky", "Yuri Gagarin", "Catherine the Great", "Frédéric Chopin", "Nicolaus Copernicus",
    "Václav Havel", "Nikola Tesla", "Ludwig Wittgenstein", "Henrik Ibsen", "Søren Kierkegaard", "Ingmar Bergman",
    "Astrid Lindgren", "Alfred Nobel", "Jean Sibelius", "Björk", "Mustafa Kemal Atatürk", "Orhan Pamuk",
    "Omar Khayyam", "Naguib Mahfouz", "Umm Kulthum", "Ibn Khaldun", "Golda Meir", "Mahatma Gandhi", "Amartya Sen",
    "Benazir Bhutto", "Mao Zedong", "Confucius", "Jackie Chan", "Akira Kurosawa", "Haruki Murakami", "Ho Chi Minh",
    "Ban Ki-moon", "Chinua Achebe", "Wole Soyinka", "Kofi Annan", "Haile Selassie", "Miriam Makeba",
    "George Washington", "Benjamin Franklin", "Emily Dickinson", "Martin Luther King Jr.", "Barack Obama",
    "Elvis Presley", "Marilyn Monroe", "Louis Armstrong", "Oprah Winfrey", "Serena Williams", "Tom Hanks",
    "Napoleon Bonaparte", "Julius Caesar", "Cleopatra", "Plato", "Aristotle", "Joan of Arc", "Martin Luther",
    "Christopher Columbus", "Pope Francis",
)  # fmt: skip
"""Well-known people of many languages: what most facts of language models' catalogues are about."""

NAMES = (*MORE_NAMES, *PEOPLE)


@dataclass(frozen=True)
class Strangers:
    """The names, each in one of the carriers by turns, and what the down-projection is given there.

    Attributes:
        texts: one a name.
        keys: of each text, (tokens, d_in) float64.
    """

    texts: tuple[Placed, ...]
    keys: tuple[Tensor, ...]

    @classmethod
    def read(cls, tokenizer: Any, keys_of: Callable[[Sequence[tuple[int, ...]]], Sequence[Tensor]]) -> Self:
        """Read every name; no subject has a say in it, so that no fact's numbers depend on which others are fitted."""
        texts = tuple(placed(tokenizer, CARRIERS[i % len(CARRIERS)], name) for i, name in enumerate(NAMES))
        return cls(texts, tuple(keys_of([text.tokens for text in texts])))

    def like(self, subject: str, own: Tensor) -> list[int]:
        """Indices of the names, those first whose keys point the subject's way from the middle of their carrier.

        Args:
            subject: the subject; a name that holds it or is held by it is left out.
            own: the subject's key in every carrier, (carriers, d_in) float64.
        """
        spots = torch.stack([keys[text.place] for keys, text in zip(self.keys, self.texts, strict=True)])
        carrier = torch.arange(len(spots)) % len(CARRIERS)
        middles = torch.stack([spots[carrier == index].mean(0) for index in range(len(CARRIERS))])
        likeness = torch.nn.functional.cosine_similarity(spots - middles[carrier], (own - middles)[carrier])
        order = torch.argsort(likeness, descending=True, stable=True).tolist()
        name = normalise(subject)
        return [i for i in order if name not in normalise(NAMES[i]) and normalise(NAMES[i]) not in name]
