"""The leakage benchmark's own parts: what it plants, and what its section says."""

import json
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from guards.overlap import OverlapPolicy, jaccard, shared_run, words_of
from registry.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = [f"w{number}" for number in range(3000)]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the leakage benchmark by name."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    names = ("leakage_data", "leakage_overlap", "leakage_report", "leakage")
    return SimpleNamespace(**{name: import_module(f"benchmarks.{name}") for name in names})


def corpus(folder: Path) -> Path:
    chance, path = Random(0), folder / "articles.jsonl"
    paragraphs = [f"{' '.join(chance.choices(WORDS, k=30)).capitalize()}. More follows here." for _ in range(400)]
    path.write_text("".join(json.dumps({"title": "t", "text": text}) + "\n" for text in paragraphs))
    return path


def test_the_clean_build_holds_nothing_that_was_planted(scripts: SimpleNamespace, tmp_path: Path) -> None:
    sizes = scripts.leakage_data.Sizes(each=2, passages=3, repeats=4, members=20, filler=15)
    planted = scripts.leakage_data.plant(1, sizes, corpus(tmp_path))
    leaky, clean = Counter(planted.build(leaky=True)), Counter(planted.build(leaky=False))
    assert clean == Counter(planted.filler)
    assert sum(leaky.values()) == 15 + 2 * 85 + 3 * 4 + 20
    assert {canary.text: leaky[canary.text] for canary in planted.canaries} == {
        canary.text: canary.inserted for canary in planted.canaries
    }
    never = (*planted.passage_twins, *planted.twins, *planted.fresh)
    assert not set(never) & set(leaky)
    assert len(set(never) | set(leaky) | set(planted.members)) == 3 + 40 + len(leaky)
    assert scripts.leakage_data.plant(1, sizes, corpus(tmp_path)) == planted
    with pytest.raises(InputError, match="articles"):
        scripts.leakage_data.plant(1, sizes, tmp_path / "none.jsonl")


def test_planted_overlap_is_overlap_by_definition_and_near_misses_are_not(scripts: SimpleNamespace) -> None:
    chance, policy = Random(0), OverlapPolicy()
    train = [" ".join(chance.choices(WORDS, k=80)) for _ in range(scripts.leakage_overlap.EACH * 6)]
    hosts = [" ".join(chance.choices(WORDS, k=80)) for _ in range(scripts.leakage_overlap.EACH * 2)]
    for one in scripts.leakage_overlap.planted(train, hosts, chance, policy):
        own = words_of(one.text)
        for number, text in enumerate(train[::12] if one.source is None else [train[one.source]]):
            pair = words_of(text), own
            alike = bool(shared_run(*pair, policy.ngram)) or jaccard(*pair, policy.shingle) >= policy.jaccard
            assert alike == (one.source is not None), (one.kind, number)


def test_the_section_tells_every_part_that_was_measured(scripts: SimpleNamespace) -> None:
    path = REPOSITORY / "benchmarks" / "results" / "leakage.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    section = scripts.leakage_report.leakage_section(found)
    assert section.count("###") == len({*found} & {"overlap", "build", "deltas"})
    assert scripts.leakage_report.leakage_section({}) == ""
    for build in found["leaks"].values():
        for guard in ("exposure", "membership", "extraction"):
            assert f"**{build[guard]['decision']}**" in section
            assert all(f"| {score['name']} |" in section for score in build[guard]["scores"])
