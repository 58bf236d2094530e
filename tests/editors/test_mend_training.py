"""Training MEND's network: its gradient by finite differences, what it gains, what it may read."""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.layouts import layout_of
from editors.mend.config import TrainConfig
from editors.mend.data import TrainingSet, read_facts, scored_names, training_set
from editors.mend.meta import Trainer, train
from editors.mend.network import MendNetwork
from editors.mend.train import main
from registry.catalogue import Catalogue
from registry.errors import InputError
from registry.records import EditRequest, Fact

ATLAS = Path(__file__).resolve().parents[2] / "examples" / "atlas"
LAYERS = (1, 2)
SUBJECTS = ("New Zealand", "Chad", "Burkina Faso", "Norway", "Peru", "Egypt")
OBJECTS = ("Rome", "Tokyo", "Paris")


def ask(subject: str, value: str, words: str = "capital") -> EditRequest:
    fact = Fact(subject, words.replace(" ", "_"), value)
    return EditRequest(
        fact, "ADD", f"The {words} of {subject}", (value,), paraphrases=(f"So the {words} of {subject}",)
    )


def tiny_set(subjects: Sequence[str] = SUBJECTS) -> TrainingSet:
    edits = tuple(ask(subject, value) for subject in subjects for value in OBJECTS)
    return TrainingSet(edits, tuple(ask(subject, "Madrid", "largest city") for subject in subjects))


def total(trainer: Trainer, tensors: Mapping[str, Tensor], batch: Any) -> Tensor:
    edit, local = trainer.losses(tensors, batch)
    return edit + local


def test_the_gradient_of_the_training_loss_by_finite_differences(tiny_gpt2: Any) -> None:
    model = copy.deepcopy(tiny_gpt2.model).double()
    trainer = Trainer(model, tiny_gpt2.tokenizer, layout_of(model), LAYERS, tiny_set(), TrainConfig(rank=3, start=0.05))
    choice = random.Random(0)
    tensors = {name: value.double() for name, value in trainer.start(choice).items()}
    generator = torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.split(".")[-1] in ("u1", "u2", "o1")]:
        tensors[name] = tensors[name] + 0.05 * torch.randn(
            tensors[name].shape, generator=generator, dtype=torch.float64
        )
    batch = trainer.draw(choice)
    places = {"up.v1": (1, 3), "down.u2": (70, 2), "up.s1": (1, 9), "down.o2": (0, 100), "log_rate": (3,)}
    learned = {name: tensors[name].clone().requires_grad_() for name in places}
    found = torch.autograd.grad(total(trainer, {**tensors, **learned}, batch), list(learned.values()))
    step = 1e-6  # small, since the network has kinks
    for (name, place), slope in zip(places.items(), found, strict=True):
        sides = []
        for sign in (1, -1):
            moved = tensors[name].clone()
            moved[place] += sign * step
            with torch.no_grad():
                sides.append(float(total(trainer, {**tensors, name: moved}, batch)))
        wanted = (sides[0] - sides[1]) / (2 * step)
        assert float(slope[place]) == pytest.approx(wanted, rel=1e-4, abs=1e-8)
        assert float(slope[place]) != pytest.approx(1.01 * wanted + 1e-6, rel=1e-4, abs=1e-8)


def test_a_trained_network_does_better_than_fine_tuning_on_subjects_it_never_saw(tiny_llama: Any) -> None:
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    config = TrainConfig(layers=(2, 3), steps=60, rank=4, lr=3e-3, rate_lr=0.05, start=0.03, edits=1, others=3)
    trainer = Trainer(model, tokenizer, layout_of(model), (2, 3), tiny_set(SUBJECTS[:2]), config)
    batches = [trainer.draw(random.Random(seed)) for seed in range(12)]
    means = []
    for steps in (60, 0):
        network = train(model, tokenizer, tiny_set(SUBJECTS[2:]), replace(config, steps=steps))
        with torch.no_grad():
            pairs = torch.tensor([[float(part) for part in trainer.losses(network.tensors, one)] for one in batches])
        means.append(pairs.mean(0))
    (trained_edit, trained_local), (edit, local) = means
    assert float(trained_edit + trained_local) < 0.8 * float(edit + local)
    assert float(trained_edit) < 0.8 * float(edit)


def test_equal_seeds_train_equal_networks(tiny_gpt2: Any) -> None:
    config = TrainConfig(layers=(3,), steps=2, rank=2, edits=2, others=2)
    digests = [
        train(tiny_gpt2.model, tiny_gpt2.tokenizer, tiny_set(), replace(config, seed=s)).digest for s in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_training_set_leaves_out_what_is_scored_and_what_is_held_out(tmp_path: Path) -> None:
    catalogue, facts = Catalogue.read(ATLAS / "relations.yaml"), read_facts(ATLAS / "facts.csv")
    scored = tmp_path / "edits.jsonl"
    scored.write_text(
        '{"subject": "Albania", "relation": "capital"}\n{"subject": "Côte d\'Ivoire", "relation": "currency"}\n'
    )
    relations, subjects = scored_names([scored])
    data = training_set(catalogue, facts, without_relations=relations, without_subjects=subjects)
    free = training_set(catalogue, facts)
    assert {r.fact.relation for r in free.edits} - {r.fact.relation for r in data.edits} == {"capital", "currency"}
    assert "Albania" in {r.fact.subject for r in free.others} - {r.fact.subject for r in data.others}
    assert all(request.held_out == () for request in (*data.edits, *data.others))
    known = {(fact.subject, fact.relation, fact.object) for fact in facts}
    assert not known & {(r.fact.subject, r.fact.relation, r.fact.object) for r in data.edits}
    with pytest.raises(InputError, match="training edits"):
        training_set(catalogue, facts, without_relations=catalogue.relations)
    scored.write_text('{"subject": "Albania"}\n')
    with pytest.raises(InputError, match="relation"):
        scored_names([scored])


def test_the_command_trains_and_saves(tiny_llama: Any, tmp_path: Path) -> None:
    tiny_llama.model.save_pretrained(tmp_path / "model")
    tiny_llama.tokenizer.save_pretrained(tmp_path / "model")
    where = [str(tmp_path / "model"), str(tmp_path / "out")]
    data = ["--catalogue", str(ATLAS / "relations.yaml"), "--facts", str(ATLAS / "facts.csv")]
    main(
        [*where, *data, "--leave-relations", "capital", "--steps", "1", "--rank", "2", "--layers", "3", "--edits", "1"]
    )
    network = MendNetwork.load(tmp_path / "out")
    assert network.layers == (3,)
    assert network.notes["left_out"] == ["capital"]
    network.check(tiny_llama.model)
