"""The card's schema: what lacks its control, its interval or its test is refused, each by a negative control."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from guards.card import FAMILIES, PANELS, Figure, checked, problems, section
from registry.errors import InputError

SHARE = Figure("exact match", 0.9, 0.8, 0.95, 50).to_dict()
BEFORE = Figure("exact match", 0.1, 0.05, 0.2, 50).to_dict()
CARD: Mapping[str, Any] = {
    "mrd_version": "1.0",
    "study_id": "r2",
    "claim_type": "updating",
    "release": 2,
    "made_at": "2026-01-02T00:00:00+00:00",
    "temporal_governance": {
        "train": {"window": "to 2024", "snapshot": "b", "sources": ["tiny"]},
        "index_or_session_store": {
            "snapshot": "i",
            "dedup_strategy": "by digest",
            "update": {"last_time": "2026", "frequency": "daily"},
        },
        "test": {"window": "2025", "snapshot": "f", "contamination_notes": "none"},
    },
    "leakage_overlap_auditing": {
        "methods": ["MinHash"],
        "thresholds": {"near_dup_jaccard": 0.8, "shared_run_words": 13},
        "exclusion_criteria": "no overlap",
        "impact_fraction": {
            "train_test": {"not_measured": "not at hand"},
            "train_index": {"not_measured": "not at hand"},
            "index_test": SHARE,
        },
    },
    "implementation_resources": {
        "model": {"name": "tiny", "checkpoint": "w", "decoding": "greedy", "seeds": [1]},
        "script_versions": {"python": "3.11"},
        "retrieval": {"type": "hybrid", "k": 50, "fusion": "RRF@60", "reranker": "none"},
        "hardware_cost": {"hardware": "2 cores", "seconds": 3.0, "peak_mb": None},
    },
    "memory_settings": {"replay_budget": "none", "refusal_threshold": 0.7},
    "regimes": {
        name: {"measured": True, "shared_slice_with": ["Online"], "about": "asked"}
        for name in ("PO", "Offline", "Online")
    },
    "metric_families": {name: section(names, []) for name, names in FAMILIES.items()},
    "e_mars": {name: section(names, [Figure("peak memory", 3.0, unit="MB")]) for name, names in PANELS.items()},
    "claims": [
        {
            "statement": "it is answered",
            "slice": "changed facts",
            "regime": "Online",
            "figure": SHARE,
            "control": {"what": "before", "slice": "changed facts", "regime": "Offline", "figure": BEFORE},
            "test": {"name": "McNemar", "p": 0.001},
        }
    ],
    "family": {"digest": "d", "declared": "entry 4", "correction": "Holm", "alpha": 0.05},
    "gates": [{"gate": "efficacy", "decision": "pass", "explanation": "well", "family_p": 0.01, "informs": False}],
    "limitations_and_robustness": ["few cases"],
}


def changed(change: Callable[[Any], object]) -> list[str]:
    """What is wrong with the card after a change."""
    card = copy.deepcopy(dict(CARD))
    change(card)
    return problems(card)


def test_a_whole_card_is_accepted() -> None:
    assert problems(CARD) == []
    assert checked(CARD) is CARD


@pytest.mark.parametrize("what", ["control", "test", "figure", "slice", "regime"])
def test_a_claim_without_one_of_its_parts_is_refused(what: str) -> None:
    found = changed(lambda card: card["claims"][0].pop(what))
    assert any(f"'{what}' is a required property" in one for one in found)
    assert found[0].startswith("claims.0")


@pytest.mark.parametrize("side", ["figure", "control"])
def test_a_claim_without_an_interval_is_refused_on_either_side(side: str) -> None:
    def bare(card: Any) -> None:
        claim = card["claims"][0]
        (claim["figure"] if side == "figure" else claim["control"]["figure"]).pop("interval")

    assert changed(bare)
    assert changed(lambda card: card["claims"][0].update(figure=Figure("x", 0.9, n=50, census=True).to_dict())), (
        "of a claim, also a census needs its interval"
    )


def test_a_control_on_another_slice_or_another_number_of_cases_is_refused() -> None:
    (found,) = changed(lambda card: card["claims"][0]["control"].update(slice="other facts"))
    assert "its control is about 'other facts'" in found
    assert changed(lambda card: card["claims"][0]["control"]["figure"].update(n=49))


def test_a_share_without_interval_is_refused_and_a_cost_or_a_census_is_not() -> None:
    def measured(figure: Figure) -> list[str]:
        return changed(lambda card: card["metric_families"]["accuracy"]["figures"].append(figure.to_dict()))

    assert measured(Figure("exact match", 0.9, n=50))
    assert measured(Figure("exact match", 0.9, 0.8, 0.95)), "no number of cases"
    assert measured(Figure("exact match", 0.7, 0.8, 0.95, 50)), "the value outside its bounds"
    assert measured(Figure("exact match", 0.9, 0.8, 0.95, 50)) == []
    assert measured(Figure("exact match", 0.9, n=50, census=True)) == []
    assert measured(Figure("seconds", 3.0, unit="s")) == []


@pytest.mark.parametrize(
    "part",
    ["temporal_governance", "leakage_overlap_auditing", "regimes", "e_mars", "metric_families", "family", "claims"],
)
def test_a_card_without_a_part_of_the_disclosure_is_refused(part: str) -> None:
    assert changed(lambda card: card.pop(part))
    with pytest.raises(InputError, match=part):
        checked({key: value for key, value in CARD.items() if key != part})


def test_a_family_of_metrics_left_out_is_refused_and_so_is_an_unknown_one() -> None:
    assert changed(lambda card: card["metric_families"].pop("privacy"))
    assert changed(lambda card: card["metric_families"].update(luck=section([], [])))
    assert changed(lambda card: card["e_mars"].pop("P4"))
    assert changed(lambda card: card.update(limitations_and_robustness=[]))


def test_what_was_not_measured_is_named_with_its_reason() -> None:
    found = section(("a", "b"), [Figure("a", 1.0, 0.9, 1.0, 9)], {"b": "no judge at hand"})
    assert [one["name"] for one in found["figures"]] == ["a"]
    assert found["not_measured"] == [{"name": "b", "why": "no judge at hand"}]
