"""What the editors do on the reference model: corrections of things that it has wrong, by free generation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editors import get_editor
from editors.delta import parameters_digest
from editors.generate import generate
from editors.layouts import layout_of
from editors.load import weights_digest
from editors.moments import Moments
from registry.catalogue import Catalogue
from registry.records import EditRequest, Fact
from registry.text import starts_with_answer

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ROOT / "examples" / "atlas" / "moments"
WRONG = (("Nigeria", "Abuja"), ("Australia", "Canberra"), ("Turkey", "Ankara"), ("Kazakhstan", "Astana"))
KNOWN = (("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Canada", "Ottawa"), ("Austria", "Vienna"))

pytestmark = [pytest.mark.model, pytest.mark.slow]


def requests(pairs: Sequence[tuple[str, str]]) -> list[EditRequest]:
    catalogue = Catalogue.read(ROOT / "examples" / "atlas" / "relations.yaml")
    return [catalogue.request(Fact(subject, "capital", value), "UPDATE") for subject, value in pairs]


def right(loaded: Any, items: Sequence[EditRequest], prompts: Sequence[str]) -> list[bool]:
    said = generate(loaded.model, loaded.tokenizer, prompts)
    return [starts_with_answer(answer.text, item.answers) for answer, item in zip(said, items, strict=True)]


def test_the_shipped_moments_are_those_of_the_reference_model(smollm2: Any) -> None:
    moments, layout = Moments.load(MOMENTS), layout_of(smollm2.model)
    names = [layout.down_name(layer) for layer in sorted(moments.layers)]
    assert parameters_digest(smollm2.model, names) == moments.model_digest
    assert moments.count > 100_000
    assert sum(path.stat().st_size for path in MOMENTS.iterdir()) < 20e6


@pytest.mark.parametrize("name", ["memit", "rome"])
def test_corrections_are_said_in_unseen_words_and_known_facts_stay(name: str, smollm2: Any) -> None:
    editor, items, known = get_editor(name), requests(WRONG), requests(KNOWN)
    prompts = [item.prompt for item in known]
    assert not any(right(smollm2, items, [item.prompt for item in items])), "corrections must be of things it has wrong"
    assert all(right(smollm2, known, prompts)), "what must stay must be known"
    config = replace(editor.config_type.read(ROOT / "conf" / f"{name}.yaml"), moments=MOMENTS)
    delta = editor.fit(smollm2.model, smollm2.tokenizer, items, config)
    assert [effect.state for effect in delta.effects] == ["written"] * len(items)
    with delta.applied(smollm2.model):
        assert all(right(smollm2, items, [item.prompt for item in items]))
        unseen = [right(smollm2, items, [item.held_out[i] for item in items]) for i in range(2)]
        assert sum(map(sum, unseen)) >= 0.7 * 2 * len(items)
        assert all(right(smollm2, known, prompts))
    assert weights_digest(smollm2.model) == smollm2.digest
    with delta.without([items[0].fact.id]).applied(smollm2.model):
        assert right(smollm2, items, [item.prompt for item in items])[1:] == [True] * (len(items) - 1)
        assert not right(smollm2, items[:1], [items[0].prompt])[0]


def test_an_object_that_repeats_its_subject_is_said_to_its_end(smollm2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from editors import bystanders
    from editors.memit.config import MemitConfig

    catalogue = Catalogue.read(ROOT / "examples" / "atlas" / "relations.yaml")
    pairs = (("Bhutan", "Bhutanese ngultrum"), ("Belize", "Belize dollar"))
    items = [catalogue.request(Fact(subject, "currency", value), "UPDATE") for subject, value in pairs]
    config = replace(MemitConfig.read(ROOT / "conf" / "memit.yaml"), moments=MOMENTS, corrections=0)

    def losses() -> list[float]:
        delta = get_editor("memit").fit(smollm2.model, smollm2.tokenizer, items, config)
        return [effect.loss for effect in delta.effects]

    clear = losses()
    monkeypatch.setattr(bystanders, "echoes", lambda groups: [])
    blind = losses()
    assert max(clear) < 0.3
    assert min(blind) > 3 * max(clear), "without it the edit breaks off its own object"
