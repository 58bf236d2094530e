"""A chain of deltas becomes a checkpoint with the same weights, or nothing is kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from editors.load import LoadedModel, load_model
from pipelines.audit import verify
from pipelines.cli import run
from pipelines.forgetting.artifacts import Cleaner, told_of
from pipelines.releasing.bases import CERTIFICATE, merged_base
from pipelines.releasing.compact import compact
from pipelines.releasing.diff import diff
from pipelines.releasing.rebuild import rebuild
from pipelines.releasing.recovery import recover
from pipelines.releasing.retire import retire
from pipelines.workplace import Workplace
from registry.compactions import COMPACTED, CompactionStore
from registry.digests import canonical_json
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

More = Callable[[Home, str], Release]


class Killed(Exception):
    """Stands for a kill at a checkpoint."""


def releases_of(home: Home) -> list[Release]:
    with Ledger.open(home) as ledger:
        return ReleaseStore(ledger).all()


def folder_of(home: Home) -> Path:
    (found,) = home.bases.iterdir()
    return found


def test_the_checkpoint_has_the_weights_of_the_chain(weights_home: Home) -> None:
    before = releases_of(weights_home)
    result = compact(weights_home, "2", "tester")
    assert result.weights == result.chain == before[1].weights_digest
    assert load_model(Path(result.folder), device="cpu").digest == before[1].weights_digest
    assert (result.merged, result.kept, result.facts) == (before[1].deltas, (), 1)
    assert releases_of(weights_home) == before, "no record of a release changes"
    assert verify(weights_home, rebuild=True).problems == ()


def test_later_releases_stand_on_it_and_earlier_ones_are_rebuilt(
    weights_home: Home, more: More, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.releasing.diff.compare_answers", lambda *_: [])  # there is no real index to ask
    before = more(weights_home, "Aland")
    compact(weights_home, "champion", "tester")
    after = more(weights_home, "Borland")
    assert (after.base_digest, len(after.deltas)) == (before.weights_digest, 1)
    for release in releases_of(weights_home):
        assert rebuild(weights_home, release, device="cpu").digest == release.weights_digest
    assert verify(weights_home, rebuild=True).problems == ()
    told = diff(weights_home, "3", "4")
    assert (told["same_base"], told["deltas"]) == (True, {"added": list(after.deltas), "removed": []})
    compact(weights_home, "4", "tester")
    last = more(weights_home, "Corland")
    with Ledger.open(weights_home) as ledger:
        whole = CompactionStore(ledger).expanded(last)
    assert (whole.base_digest, whole.deltas) == (before.base_digest, (*before.deltas, *after.deltas, *last.deltas))
    assert verify(weights_home, rebuild=True).problems == ()


def test_a_release_whose_deltas_are_gone_comes_out_of_its_checkpoint(weights_home: Home) -> None:
    release = releases_of(weights_home)[1]
    compact(weights_home, "2", "tester")
    (weights_home.deltas / release.deltas[0]).rename(weights_home.root / "away")
    assert rebuild(weights_home, release, device="cpu").digest == release.weights_digest
    folder_of(weights_home).rename(weights_home.root / "away-too")
    with pytest.raises(IntegrityError, match="deltas"):
        rebuild(weights_home, release, device="cpu")


def test_a_merged_fact_is_taken_out_of_the_deltas_below(
    weights_home: Home, more: More, tiny_llama: LoadedModel
) -> None:
    first = releases_of(weights_home)[1]
    compact(weights_home, "2", "tester")
    third = more(weights_home, "Aland")
    with Workplace.opened(weights_home, None, "tester", third.created_at) as place:
        gone = retire(place, [place.known[1].fact.id])
        assert gone == (place.known[1].fact.id,)
        assert (place.base_digest, len(place.deltas)) == (tiny_llama.digest, 1)
    with Workplace.opened(weights_home, None, "tester", third.created_at) as place:
        retire(place, [place.known[2].fact.id])
        assert (place.base_digest, place.deltas) == (first.weights_digest, ()), "what was not merged leaves as before"
    (weights_home.deltas / first.deltas[0]).rename(weights_home.root / "away")
    with (
        Workplace.opened(weights_home, None, "tester", third.created_at) as place,
        pytest.raises(InputError, match="not"),
    ):
        retire(place, [place.known[1].fact.id])


def test_what_is_forgotten_leaves_the_checkpoint(weights_home: Home, more: More, tiny_llama: LoadedModel) -> None:
    compact(weights_home, "2", "tester")
    more(weights_home, "Aland")
    with Ledger.open(weights_home) as ledger:
        (merged,) = CompactionStore(ledger).all
        releases = ReleaseStore(ledger).all()
        cleaner = Cleaner(weights_home, ledger, merged.facts)
        assert cleaner.compactions() == [merged.artefact]
        changes = {one.number: cleaner.change_of(one) for one in releases}
        assert changes[1] == {}
        assert (changes[2]["deltas"], changes[2]["weights_digest"]) == ([], tiny_llama.digest)
        assert (changes[3]["base_digest"], len(changes[3]["deltas"])) == (tiny_llama.digest, 1)
        other = Cleaner(weights_home, ledger, ("0" * 24,))
        assert (other.compactions(), other.change_of(releases[2])) == ([], {})
        with ledger.transaction() as txn:
            told = {"facts": list(merged.facts), "keys": [], "releases": told_of(changes)}
            ledger.append(txn, "forgotten", {**told, "compactions": cleaner.compactions()}, "x", releases[0].created_at)
        recover(weights_home, ledger)
        assert not list(weights_home.bases.iterdir())
        for release in ReleaseStore(ledger).all():
            assert rebuild(weights_home, release, device="cpu").digest == release.weights_digest


def test_nothing_to_merge_is_refused(weights_home: Home) -> None:
    with pytest.raises(InputError, match="which has none"):
        compact(weights_home, "1", "tester")
    compact(weights_home, "2", "tester")
    with pytest.raises(InputError, match="done already"):
        compact(weights_home, "2", "tester")
    with Ledger.open(weights_home) as ledger:
        assert len(ledger.entries(COMPACTED)) == 1


def test_a_memory_beside_the_weights_stays_a_delta(monkeypatch: pytest.MonkeyPatch, weights_home: Home) -> None:
    release = releases_of(weights_home)[1]

    class Beside:
        editor, scope, fact_ids = "grace", "side_memory", ("x",)

        def apply(self, model: object) -> None:
            """Nothing in the weights moves."""

    from editors import read_delta

    own = read_delta(weights_home.deltas / release.deltas[0])
    deltas = iter([own, Beside()])
    monkeypatch.setattr("editors.read_delta", lambda folder: next(deltas))
    monkeypatch.setattr("pipelines.releasing.compact.checked", lambda root, digest: root / digest)
    monkeypatch.setattr(ReleaseStore, "get", lambda self, ref: replace(release, deltas=(*release.deltas, "s" * 64)))
    result = compact(weights_home, "2", "tester")
    assert result.merged == release.deltas
    assert [(one["editor"], one["digest"]) for one in result.kept] == [("grace", "s" * 64)]
    assert "beside the weights" in result.kept[0]["why"]


@pytest.mark.parametrize("point", ["checkpoint written", "in the transaction", "committed"])
def test_a_kill_leaves_all_or_nothing(weights_home: Home, point: str) -> None:
    def kill(name: str) -> None:
        if name == point:
            raise Killed

    with pytest.raises(Killed):
        compact(weights_home, "2", "tester", checkpoint=kill)
    with Ledger.open(weights_home) as ledger:
        recover(weights_home, ledger)
        done = CompactionStore(ledger).all
    assert [one.artefact for one in done] == ([folder_of(weights_home).name] if point == "committed" else [])
    assert not list(weights_home.bases.iterdir()) or point == "committed"
    assert verify(weights_home, rebuild=True).problems == ()
    if not done:
        assert compact(weights_home, "2", "tester").facts == 1


def test_a_changed_checkpoint_is_found(weights_home: Home) -> None:
    release = releases_of(weights_home)[1]
    compact(weights_home, "2", "tester")
    folder = folder_of(weights_home)
    path = folder / "config.json"
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"{", b"{ ", 1))
    assert any("config.json" in words for words in verify(weights_home).problems)
    with pytest.raises(IntegrityError, match=r"config\.json"):
        merged_base(weights_home, release.weights_digest)
    path.write_bytes(kept)
    assert verify(weights_home).problems == ()
    weights = next(folder.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert any(weights.name in words for words in verify(weights_home).problems)


def test_a_forged_certificate_is_found(weights_home: Home) -> None:
    compact(weights_home, "2", "tester")
    folder = folder_of(weights_home)
    path = folder / CERTIFICATE
    values = json.loads(path.read_bytes())
    values["certificate"]["base"] = "0" * 64
    path.write_bytes(canonical_json(values))
    problems = verify(weights_home).problems
    assert any(CERTIFICATE in words for words in problems)
    # whoever seals the folder anew leaves the entry behind, which names the old one
    from registry.artifacts import seal

    folder.rename(weights_home.bases / seal(folder))
    problems = verify(weights_home).problems
    assert any("missing" in words for words in problems)
    assert any("no entry names" in words for words in problems)


def test_a_certificate_that_another_key_signed_is_found(monkeypatch: pytest.MonkeyPatch, weights_home: Home) -> None:
    from registry.keys import SigningKey

    monkeypatch.setattr("pipelines.releasing.compact.log_signer", lambda home, ledger: SigningKey.generate())
    compact(weights_home, "2", "tester")
    assert any("no key of the log signed" in words for words in verify(weights_home).problems)


def test_weights_that_do_not_come_out_are_not_kept(weights_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    release = replace(releases_of(weights_home)[1], weights_digest="0" * 64)
    monkeypatch.setattr(ReleaseStore, "get", lambda self, ref: release)
    with pytest.raises(IntegrityError, match="weights of release 2"):
        compact(weights_home, "2", "tester")
    assert not weights_home.bases.exists()


def test_the_command_says_what_was_merged(weights_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(weights_home.root), "releases", "compact", "2", "--as", "ann"]) == 0
    said = capsys.readouterr().out
    assert "1 with 1 facts" in said
    assert "(equal)" in said
    assert run(["--home", str(weights_home.root), "releases", "compact", "2"]) == 2
