"""Position and length: the reader is given the supporting fact alone, or piled among others of its relation.

The product resolves a question by code and hands the reader one fact. A pile is what a system without a resolver would
hand over: k retrieved facts, of which one supports the answer. The object of the supporting fact is exchanged for
another one of its relation, so that the weights cannot know the answer and the context alone can give it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from guards.position import FIRST, LAST, MIDDLE, Reading
from pipelines.answering.reader import WORKED, Example, ReaderPolicy, read
from pipelines.answering.reader import Reading as Given
from registry.catalogue import SUBJECT, Catalogue
from registry.errors import InputError
from registry.progress import track
from registry.records import Fact

if TYPE_CHECKING:
    from editors.load import LoadedModel

SIZES = (5, 10, 20, 40)
PLACES = (FIRST, MIDDLE, LAST)
ALONE = "alone"


@dataclass(frozen=True)
class Piled:
    """One question with the facts that may stand around the supporting one.

    Attributes:
        fact: the supporting fact, with its exchanged object.
        others: facts of the same relation about other subjects, with other objects.
    """

    fact: Fact
    others: tuple[Fact, ...]


def draw_piles(
    facts: Sequence[Fact], catalogue: Catalogue, count: int, *, most: int = max(SIZES), seed: int = 0
) -> list[Piled]:
    """Draw questions from the relations that have enough facts to pile.

    Args:
        facts: what is known; of a subject with several objects under a relation none is used.
        catalogue: the relations.
        count: how many questions.
        most: size of the largest pile.
        seed: of the draw.

    Raises:
        InputError: no relation has enough facts.
    """
    draw = Random(seed)
    by_relation: dict[str, dict[str, Fact]] = {}
    for fact in sorted(facts, key=lambda one: one.id):
        relation = catalogue.relations.get(fact.relation)
        if relation is not None and relation.cardinality == "one":
            by_relation.setdefault(fact.relation, {})[fact.subject] = fact
    rich = [list(found.values()) for _, found in sorted(by_relation.items()) if len(found) > most + 1]
    if not rich:
        raise InputError(
            f"a relation with more than {most + 1} facts", "none", "name a home that knows more, or smaller piles"
        )
    piles = []
    for number in range(count):
        known = rich[number % len(rich)]
        fact, *rest = draw.sample(known, len(known))
        given = next(one.object for one in rest if not catalogue.same(one.object, fact.object))
        others = [one for one in rest if not catalogue.same(one.object, given)]
        piles.append(Piled(replace(fact, object=given), tuple(others[: most - 1])))
    return piles


def given_to_reader(pile: Piled, size: int, place: str, catalogue: Catalogue) -> Given:
    """What the reader is given: the supporting fact at its place among `size` - 1 others.

    Raises:
        InputError: the pile has not so many others.
    """
    others = [catalogue.statement(one) for one in pile.others[: size - 1]]
    if len(others) < size - 1:
        raise InputError(f"{size - 1} other facts", str(len(others)), "draw larger piles")
    at = {FIRST: 0, MIDDLE: len(others) // 2, LAST: len(others), ALONE: 0}[place]
    own = catalogue.statement(pile.fact)
    relation = catalogue.relations[pile.fact.relation]
    question, prompt = (form.replace(SUBJECT, pile.fact.subject) for form in (relation.question, relation.prompt))
    case = Example(" ".join([*others[:at], own, *others[at:]]), question, prompt, pile.fact.object)
    return Given(case, catalogue.answers(pile.fact.object), WORKED[:1])


def readings(
    loaded: "LoadedModel",
    piles: Sequence[Piled],
    catalogue: Catalogue,
    sizes: Sequence[int] = SIZES,
    policy: ReaderPolicy | None = None,
) -> list[Reading]:
    """Let the reader answer every question alone, and at every place of a pile of every size."""
    forms = list(_forms(sizes))
    found = []
    with track("position and length", total=len(forms)) as advance:
        for size, place in forms:
            given = [given_to_reader(pile, size, place, catalogue) for pile in piles]
            for number, words in enumerate(read(loaded, given, policy)):
                found.append(Reading(str(number), size, place, words.agrees))
            advance(1)
    return found


def _forms(sizes: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Every size with its places."""
    yield 1, ALONE
    for size in sizes:
        for place in PLACES:
            yield size, place
