"""Easing: an edit gives back what it can spare, so that other answers about its subject come back.

Targets are found one by one and written together, so that most facts end up said with more of a margin than they need.
What a column of a delta gives to the margins of its own facts is known to first order (`editors.attribution`), and so
is how short it may be for the least of them to stay `SPARE`. A few rounds make up for what first order leaves out.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from guards.observations import Observation
from registry.text import shortest_answer

if TYPE_CHECKING:
    from editors.delta import WeightDelta
    from editors.load import LoadedModel

SPARE = 0.5
"""Nats by which the least sure answer of an eased fact leads."""
ROUNDS = 4
SHORTEST, STEP = 0.3, 0.75
"""Share of its length that an edit keeps, at least; and of what it had in the round before."""

Own = Sequence[tuple[Observation, Sequence[str]]]
"""What was seen of facts' own prompts and phrasings, each with the answers that are right."""


def eased(
    loaded: "LoadedModel", delta: "WeightDelta", fact_ids: Collection[str], own: Own
) -> tuple["WeightDelta", Mapping[str, float]]:
    """The delta with some facts' targets as short as their own answers allow; and what share each of those keeps.

    Args:
        loaded: the model, with nothing of the delta on.
        delta: what is eased.
        fact_ids: the facts that give back; facts that share their columns do as well.
        own: what was seen of the facts of the delta; the answers were right.
    """
    from editors.attribution import attribute

    together = [column for column in delta.columns if set(column) & set(fact_ids)]
    lengths = {fact_id: 1.0 for column in together for fact_id in column}
    asked = [(seen, names) for seen, names in own if seen.fact_id in lengths]
    answers = [(seen.prompt, shortest_answer(seen.after_text, names)) for seen, names in asked]
    belongs = [[index for index, column in enumerate(delta.columns) if seen.fact_id in column] for seen, _ in asked]
    found = delta
    for _ in range(ROUNDS):
        with found.applied(loaded.model):
            now = attribute(loaded.model, loaded.tokenizer, found, answers)
        needed = dict.fromkeys(lengths, STEP)
        for row, (seen, _) in enumerate(asked):
            given, spare = -float(now.returned[row, belongs[row]].sum()), float(now.margins[row]) - SPARE
            needed[seen.fact_id] = max(needed[seen.fact_id], 1 - spare / given if given > 0 else 0.0)
        lengths = {key: min(1.0, max(SHORTEST, length * needed[key])) for key, length in lengths.items()}
        found = delta.shortened(lengths)
    longest = [(column, max(lengths[fact_id] for fact_id in column)) for column in together]
    return found, {fact_id: share for column, share in longest for fact_id in column if share < 1}
