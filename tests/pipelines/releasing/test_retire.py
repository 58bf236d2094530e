from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from editors.delta import load_delta
from editors.load import LoadedModel, weights_digest
from pipelines.releasing.retire import ended_in_weights, retire
from pipelines.workplace import Workplace
from registry.artifacts import checked, store
from registry.home import Home
from registry.records import EditRequest, Fact

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAURU = Fact("Nauru", "capital", "Yaren", date(1968, 1, 31), source="atlas")


def successor(*replaces: str) -> EditRequest:
    fact = replace(NAURU, object="Elsewhere", valid_from=date(2026, 1, 1))
    return EditRequest(fact, "UPDATE", "The capital of Nauru is", ("Elsewhere",), replaces=replaces)


def test_only_facts_that_live_in_the_weights_are_ended_there(weights_home: Home) -> None:
    with Workplace.opened(weights_home, None, "tester", AT) as place:
        france = next(item.fact.id for item in place.known if item.memory == "rag")
        assert ended_in_weights(place, [successor(NAURU.id, france)]) == (NAURU.id,)
        assert ended_in_weights(place, [successor(france)]) == ()


def test_what_is_retired_leaves_the_weights_and_the_base_is_back(weights_home: Home, tiny_llama: LoadedModel) -> None:
    with Workplace.opened(weights_home, None, "tester", AT) as place:
        assert weights_digest(place.loaded.model) != tiny_llama.digest
        assert retire(place, (NAURU.id,)) == (NAURU.id,)
        assert place.deltas == ()
        assert weights_digest(place.loaded.model) == place.loaded.digest == tiny_llama.digest


def test_nothing_to_retire_changes_nothing(weights_home: Home) -> None:
    with Workplace.opened(weights_home, None, "tester", AT) as place:
        before, deltas = place.loaded, place.deltas
        assert retire(place, ()) == ()
        assert place.loaded is before
        assert place.deltas == deltas


def test_later_deltas_are_put_onto_the_changed_weights(
    weights_home: Home, tiny_llama: LoadedModel, stacked: Callable[[Workplace], tuple[str, ...]]
) -> None:
    with Workplace.opened(weights_home, None, "tester", AT) as place:
        place.deltas = stacked(place)
        assert retire(place, (NAURU.id,)) == (NAURU.id,)
        (kept,) = place.deltas
        rest = load_delta(checked(weights_home.deltas, kept))
        assert rest.fact_ids == ("later",)
        with rest.applied(tiny_llama.model):
            assert weights_digest(tiny_llama.model) == place.loaded.digest


@pytest.fixture
def stacked() -> Callable[[Workplace], tuple[str, ...]]:
    """Stores a second delta that was fitted on the weights with the first one on."""

    def stack(place: Workplace) -> tuple[str, ...]:
        from editors.delta import parameters_digest

        first = load_delta(checked(place.home.deltas, place.deltas[0]))
        anchor = parameters_digest(place.loaded.model, first.parameters)
        effects = tuple(replace(one, fact_id="later") for one in first.effects)
        second = replace(first, columns=(("later",),), effects=effects, base_digest=anchor)
        return (*place.deltas, store(place.home.deltas, second.save).digest)

    return stack
