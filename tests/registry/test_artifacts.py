"""Content-addressed folders: whole or not there, and every change of one is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from registry import artifacts
from registry.artifacts import MANIFEST, checked, store, store_copy, sweep, verify
from registry.errors import InputError, IntegrityError
from registry.sealed import is_sealed, sealed


def writes(content: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (folder / "a.json").write_text(content)
        (folder / "below").mkdir()
        (folder / "below" / "b.bin").write_bytes(b"\x00\x01")

    return build


def test_the_same_content_lands_in_the_same_place_once(tmp_path: Path) -> None:
    one, other = store(tmp_path, writes("x")), store(tmp_path, writes("x"))
    assert one == other
    assert one.path == tmp_path / one.digest
    assert [path.name for path in tmp_path.iterdir()] == [one.digest]
    assert store(tmp_path, writes("y")).digest != one.digest


def test_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    kept = store(tmp_path, writes("x"))
    (kept.path / "a.json").write_text("changed")
    assert store(tmp_path, writes("x")) == kept
    assert verify(kept.path) == []


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        store(tmp_path, fail)
    with pytest.raises(InputError, match="empty folder"):
        store(tmp_path, lambda folder: None)
    assert list(tmp_path.iterdir()) == []


def _flip(folder: Path) -> str:
    (folder / "below" / "b.bin").write_bytes(b"\x00\x00")
    return "b.bin"


def _remove(folder: Path) -> str:
    (folder / "a.json").unlink()
    return "a.json"


def _add(folder: Path) -> str:
    (folder / "below" / "c").write_text("")
    return "below/c"


def _rewrite_manifest(folder: Path) -> str:
    (folder / MANIFEST).write_text("{}")
    return MANIFEST


def _remove_manifest(folder: Path) -> str:
    (folder / MANIFEST).unlink()
    return MANIFEST


def _reseal(folder: Path) -> str:
    (folder / "a.json").write_text("changed")
    artifacts.seal(folder)
    return MANIFEST


@pytest.mark.parametrize("change", [_flip, _remove, _add, _rewrite_manifest, _remove_manifest, _reseal])
def test_every_change_is_named(tmp_path: Path, change: Callable[[Path], str]) -> None:
    kept = store(tmp_path, writes("x"))
    assert verify(kept.path) == []
    assert checked(tmp_path, kept.digest) == kept.path
    named = change(kept.path)
    (problem,) = verify(kept.path)
    assert named in problem
    with pytest.raises(IntegrityError, match=kept.digest):
        checked(tmp_path, kept.digest)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "missing" in verify(tmp_path / "none")[0]
    with pytest.raises(IntegrityError, match="missing"):
        checked(tmp_path, "none")


def test_a_copy_gets_a_manifest_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    (source / MANIFEST).write_text("another's")
    kept = store_copy(tmp_path / "kept", source)
    assert verify(kept.path) == []
    with pytest.raises(InputError, match="folder to keep"):
        store_copy(tmp_path / "kept", tmp_path / "none")


def test_sweep_removes_what_was_half_written_and_nothing_else(tmp_path: Path) -> None:
    kept = store(tmp_path, writes("x"))
    left = tmp_path / f"{artifacts.STAGED_PREFIX}left"
    (left / "content").mkdir(parents=True)
    assert sweep(tmp_path) == [left]
    assert [path.name for path in tmp_path.iterdir()] == [kept.digest]
    assert sweep(tmp_path / "none") == []


def test_any_flipped_bit_breaks_a_seal() -> None:
    data = sealed({"answers": {"a": 0.25, "é": [1, None]}, "seal": "old"})
    assert is_sealed(data)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            assert not is_sealed(bytes(changed)), (place, bit)
    for other in (b"", b"{}", b"[]", b"\xff", b'{"seal":"x"}', data + b" "):
        assert not is_sealed(other)


def test_large_files_that_are_kept_already_take_their_room_once(tmp_path: Path) -> None:
    large = b"x" * artifacts.SHARED_BYTES

    def two(folder: Path) -> None:
        (folder / "numbers.bin").write_bytes(large)
        (folder / "small.bin").write_bytes(b"x")

    kept = store(tmp_path / "deltas", two)
    version = tmp_path / "version"
    version.mkdir()
    two(version)
    (version / "other").mkdir()
    (version / "other" / "numbers.bin").write_bytes(large.replace(b"x", b"y"))
    assert artifacts.share(version, tmp_path / "deltas", tmp_path / "nowhere") == len(large)
    assert (version / "numbers.bin").samefile(kept.path / "numbers.bin")
    assert not (version / "small.bin").samefile(kept.path / "small.bin")
    assert (version / "other" / "numbers.bin").read_bytes() != large, "equal size and name are not equal content"
    assert verify(kept.path) == []


def test_without_links_the_copies_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("links are not supported here")

    def large(folder: Path) -> None:
        (folder / "numbers.bin").write_bytes(b"x" * artifacts.SHARED_BYTES)

    store(tmp_path / "deltas", large)
    version = tmp_path / "version"
    version.mkdir()
    large(version)
    monkeypatch.setattr("os.link", refuse)
    assert artifacts.share(version, tmp_path / "deltas") == 0
    assert (version / "numbers.bin").stat().st_nlink == 1


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.yaml"
    artifacts.write_whole(path, b"one")
    artifacts.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
