import copy
from typing import Any

import pytest

from registry.certificate import PURPOSE, SECTIONS, Certificate, missing
from registry.errors import BlockedError, InputError
from registry.keys import SigningKey

FIELDS = [(name, field) for name, (_, fields) in SECTIONS.items() for field in fields]


def gates(*names: str) -> list[dict[str, Any]]:
    return [{"gate": name, "decision": "pass", "scores": []} for name in names]


def body(*, weights: bool = True) -> dict[str, Any]:
    return {
        "purpose": PURPOSE,
        "release": 2,
        "F1": {"brought": [], "ended": [], "sources": [], "snapshots": {"facts": "f", "index": "i"}},
        "F2": {"recorded_at": "2026-03-01T00:00:00+00:00", "holds": {}},
        "F3": {
            **{"base": "b", "weights": "w", "deltas": [], "memories": {}, "paths": {}, "rules": "r"},
            "changes_weights": weights,
        },
        "F4": {"gates": gates("efficacy", "generalisation")},
        "F5": {"gates": gates("neighbourhood", "drawdown", "fluency")},
        "F6": {"rollback": {"release": 1}, "impact": {"brought": 0}, "fallback": "the index"},
        "F7": {
            **{"release": 2, "by": "ann", "approvals": [], "family": "", "entries": [1, 2], "leaf": "l"},
            "frameworks": {"x": "y"},
        },
    }


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


def test_what_is_issued_is_read_and_holds(key: SigningKey) -> None:
    certificate = Certificate.issue(body(), key)
    again = Certificate.parse(certificate.text)
    assert again == certificate
    assert again.text == certificate.text
    assert again.problems(key.public) == []


@pytest.mark.parametrize("name", SECTIONS)
def test_an_incomplete_body_is_refused(name: str, key: SigningKey) -> None:
    whole = body()
    del whole[name]
    with pytest.raises(BlockedError, match=f"no certificate: .*{name}"):
        Certificate.issue(whole, key)


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, (_, fields) in SECTIONS.items() for field in fields]
)
def test_every_field_is_needed(name: str, field: str) -> None:
    whole = body()
    del whole[name][field]
    assert f"lacks {field}" in " ".join(missing(whole))


@pytest.mark.parametrize(("section", "gate"), [("F4", "generalisation"), ("F5", "fluency"), ("F5", "neighbourhood")])
def test_a_change_of_the_weights_needs_its_gates(section: str, gate: str) -> None:
    whole, still = body(), body(weights=False)
    for one in (whole, still):
        one[section]["gates"] = [item for item in one[section]["gates"] if item["gate"] != gate]
    assert list(missing(whole)) == [f"{section} lacks the gate {gate}, and the release changes weights"]
    assert list(missing(still)) == [], "an index alone is not judged by it"


def test_a_changed_body_another_key_and_a_foreign_signature_are_found(key: SigningKey) -> None:
    certificate = Certificate.issue(body(), key)
    changed = copy.deepcopy(dict(certificate.body))
    changed["F7"]["by"] = "bob"
    assert Certificate(changed, certificate.public, certificate.signature).problems(key.public) == [
        "its signature does not fit its content"
    ]
    other = Certificate.issue(body(), SigningKey.generate())
    assert other.problems(key.public) == ["it is signed with another key than the log's"]
    assert other.problems() == []


@pytest.mark.parametrize("text", ["", "a: 1", "certificate: [", "- x"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a certificate"):
        Certificate.parse(text)
