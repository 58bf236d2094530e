import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelines.publish import publish
from pipelines.releasing.certify import (
    CERTIFIED,
    REFUSED,
    certificate_problems,
    certify,
    path_of,
    read_certificate,
    write_page,
)
from registry.certificate import Certificate
from registry.errors import BlockedError, InputError
from registry.home import Home
from registry.keys import SigningKey, log_key
from registry.ledger import Ledger

GATE = {"guard": "retrieval", "decision": "pass", "explanation": "the words may quote Paris", "scores": []}


@pytest.fixture
def certified(home: Home, ledger: Ledger, drafts: Any) -> Home:
    """A home with one release that changes no weights and has its gate."""
    draft = drafts.of(drafts.brings(drafts.france))
    publish(home, ledger, replace(draft, deltas=(), weights_digest=draft.base_digest, gates=(GATE,)), drafts.at)
    return home


def test_a_release_is_certified_when_it_is_published(certified: Home, ledger: Ledger, drafts: Any) -> None:
    certificate = read_certificate(certified, ledger, "champion")
    assert certificate.problems(log_key(certified).public) == []
    assert certificate.body["F1"]["brought"] == [{"fact": drafts.france.id, "relation": "capital"}]
    assert certificate.body["F7"]["by"] == "tester"
    assert "Paris" not in certificate.text, "a certificate holds no content"
    assert list(certificate_problems(certified, ledger)) == []


def test_a_release_that_lacks_what_is_needed_is_refused_once_and_says_what(
    home: Home, ledger: Ledger, drafts: Any
) -> None:
    publish(home, ledger, drafts.of(drafts.brings(drafts.france)), drafts.at)
    certify(home, ledger)
    (entry,) = ledger.entries(REFUSED)
    assert "F4 (verification): gates is empty" in entry.payload["why"]
    assert "lacks the gate fluency" in entry.payload["why"]
    assert not path_of(home, 1).exists()
    with pytest.raises(BlockedError, match="no certificate"):
        read_certificate(home, ledger, "1")


def test_a_certificate_that_was_cut_off_is_written_again_the_same(certified: Home, ledger: Ledger) -> None:
    path = path_of(certified, 1)
    text = path.read_bytes()
    path.unlink()
    assert "is missing" in " ".join(certificate_problems(certified, ledger))
    with pytest.raises(InputError, match="the certificate of release 1"):
        read_certificate(certified, ledger, "1")
    path.write_bytes(text)
    certify(certified, ledger)
    assert len(ledger.entries(CERTIFIED)) == 1
    assert path.read_bytes() == text


@pytest.mark.parametrize("forge", ["byte", "signature", "stranger"])
def test_what_was_done_to_a_certificate_is_found(certified: Home, ledger: Ledger, forge: str) -> None:
    path = path_of(certified, 1)
    if forge == "byte":
        path.write_bytes(path.read_bytes().replace(b"tester", b"tasted"))
    elif forge == "signature":
        again = Certificate.issue(Certificate.parse(path.read_text()).body, SigningKey.generate())
        path.write_text(again.text)
    else:
        path.with_name("r7.yaml").write_text("x")
    assert len(list(certificate_problems(certified, ledger))) == 1


def test_a_certificate_of_something_else_than_the_ledger_says_is_found(
    certified: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.releasing import certify as module

    derive: Callable[..., dict[str, Any]] = module.body_of
    monkeypatch.setattr(module, "body_of", lambda *given: {**derive(*given), "F6": {"rollback": "elsewhere"}})
    assert "section F6" in " ".join(certificate_problems(certified, ledger))


def test_a_check_without_the_private_key_needs_none_and_makes_none(
    certified: Home, ledger: Ledger, drafts: Any
) -> None:
    shutil.rmtree(certified.keys)
    assert list(certificate_problems(certified, ledger)) == []
    assert not certified.keys.exists()
    draft = replace(drafts.of(parent=1), deltas=(), weights_digest="b" * 64, gates=(GATE,))
    with pytest.raises(InputError, match=r"the log's key .* got no file"):
        publish(certified, ledger, draft, drafts.at)
    assert not certified.keys.exists()


def test_what_was_forgotten_since_is_not_derived_again(
    certified: Home, ledger: Ledger, drafts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.releasing import certify as module

    derive: Callable[..., dict[str, Any]] = module.body_of
    monkeypatch.setattr(module, "body_of", lambda *given: {**derive(*given), "F1": "without what was forgotten"})
    assert "section F1" in " ".join(certificate_problems(certified, ledger))
    with ledger.transaction() as txn:
        ledger.append(txn, "forgotten", {"releases": [{"release": 1}]}, "tester", drafts.at)
    assert list(certificate_problems(certified, ledger)) == []
    path_of(certified, 1).write_bytes(b"x")
    assert len(list(certificate_problems(certified, ledger))) == 1, "its own digest still counts"


def test_the_page_tells_the_facts_in_words(certified: Home) -> None:
    plain, page = write_page(certified, "1")
    assert plain.is_file()
    text = page.read_text(encoding="utf-8")
    assert "France · capital · Paris" in text
    assert "F7 · Audit trail" in text
    assert "http-equiv" in text
    assert "<script" not in text
