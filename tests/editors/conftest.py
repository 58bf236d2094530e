"""What tests of weight editors share: settings under which a random model can be taught anything, and facts for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from editors.moments import Moments, measure
from editors.targets import TargetConfig
from registry.records import EditRequest, Fact

TEXTS = (
    "The river does not choose its bed once and for all. In flat country it swings from side to side.",
    "Bread needs little more than flour, water, salt and time.",
    "A letter took nine days to cross the country by coach and four by rail.",
    "When two people disagree about a measurement, the useful question is rarely who is right.",
    "Winter came early that year; by the middle of October the upper pastures were white.",
)


@dataclass(frozen=True)
class Lab:
    """Settings and facts.

    Attributes:
        targets: long steps and no brakes: the objects of a random model are far away.
    """

    targets: TargetConfig

    def requests(self) -> list[EditRequest]:
        """Three facts of three subjects; the object follows at once, so that random weights can carry it."""
        return [
            EditRequest(
                Fact(subject, "capital", value),
                "ADD",
                f"The capital of {subject}",
                (value,),
                paraphrases=(f"The largest city of {subject}",),
            )
            for subject, value in (("New Zealand", "Rome"), ("Chad", "Tokyo"), ("Burkina Faso", "Paris"))
        ]

    def moments(self, loaded: Any, layers: Sequence[int]) -> Moments:
        """Moments on a few sentences, with a ridge to match."""
        return measure(loaded.model, loaded.tokenizer, TEXTS, layers, ridge=0.1)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """See `Lab`."""
    return Lab(TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9))
