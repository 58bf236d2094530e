"""MEND: equation 2 against autograd, the identity against fine-tuning, taking facts out, the artefact."""

import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.factors import LayerDelta
from editors.layouts import layout_of
from editors.mend.config import MendConfig
from editors.mend.editor import MendEditor
from editors.mend.network import RECORD, TENSORS, MendNetwork, base_mark, sites_of
from editors.mend.solve import gradient, initial, transform
from editors.mend.tail import Tail, readings
from editors.rows import answer_row, request_rows
from registry.errors import EditError, InputError, IntegrityError, UnknownNameError
from registry.records import EditRequest, Fact

ROOT = Path(__file__).resolve().parents[2]
ATLAS = ROOT / "examples" / "atlas"
LAYERS = (1, 2)
SUBJECTS = ("New Zealand", "Chad", "Burkina Faso", "Norway", "Peru", "Egypt")
OBJECTS = ("Rome", "Tokyo", "Paris")


def ask(subject: str, value: str, words: str = "capital") -> EditRequest:
    fact = Fact(subject, words.replace(" ", "_"), value)
    return EditRequest(
        fact, "ADD", f"The {words} of {subject}", (value,), paraphrases=(f"So the {words} of {subject}",)
    )


def identity(model: Any, rates: float = 1.0, layers: tuple[int, ...] = LAYERS) -> MendNetwork:
    """The untrained network, with the same rate for every matrix; every token takes part."""
    layout = layout_of(model)
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {"log_rate": torch.full((2 * len(layers),), rates).log()}
    for kind in ("up", "down"):
        own = [site for site in sites_of(layout, layers) if site.kind == kind]
        width = sum(model.get_parameter(own[0].parameter).shape)
        both = [torch.randn(9, width, generator=generator) for _ in own]
        tensors |= {f"{kind}.{name}": value for name, value in initial(both, 4, generator).items()}
    return MendNetwork(layers, True, {**tensors, "mark": base_mark(model)})


@pytest.fixture(name="loaded", params=["tiny_llama", "tiny_gpt2"])
def _loaded(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def tail_of(model: Any) -> Tail:
    layout = layout_of(model)
    return Tail(model, layout, sites_of(layout, LAYERS))


def written(loaded: Any, config: MendConfig) -> list[EditRequest]:
    """Requests of different subjects that a config writes, each alone."""
    found = []
    for subject in SUBJECTS:
        for request in (ask(subject, value) for value in OBJECTS):
            if MendEditor().fit(loaded.model, loaded.tokenizer, [request], config).fact_ids:
                found.append(request)
                break
    return found


def as_stored(model: Any, change: Tensor) -> Tensor:
    """A (d_out, d_in) matrix in the parameter's own orientation."""
    return change.t() if layout_of(model).orientation == "conv1d" else change


def test_the_terms_add_up_to_autograds_gradient(loaded: Any) -> None:
    model = copy.deepcopy(loaded.model).double()
    tail = tail_of(model)
    rows = request_rows(loaded.tokenizer, ask("Chad", "Rome"), prefixes=2, paraphrases=1, seed=0)
    entries = tail.enter(rows)
    (terms, other), _ = tail.gradients([rows, rows[:1]], [*entries, entries[0]], first_token=True)
    (fewer,), _ = tail.gradients([rows], entries, first_token=False)
    assert len(other[tail.sites[0]].inputs) == len(rows[0].tokens)
    parameters = [model.get_parameter(site.parameter).requires_grad_() for site in tail.sites]
    loss = tail.nll(tail.log_probabilities(tail.run(entries), rows), rows)
    for site, wanted in zip(tail.sites, torch.autograd.grad(loss, parameters), strict=True):
        found = as_stored(model, gradient(terms[site].inputs, terms[site].deltas))
        assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-10
        without_first = as_stored(model, gradient(fewer[site].inputs, fewer[site].deltas))
        assert len(terms[site].inputs) - len(fewer[site].inputs) == len(rows)
        assert float((without_first - wanted).abs().max() / wanted.abs().max()) > 1e-6


def test_the_tail_is_the_model_whatever_it_is_padded_with(loaded: Any) -> None:
    model = copy.deepcopy(loaded.model).double()
    tail = tail_of(model)
    rows = [answer_row(loaded.tokenizer, ask(name, "Rome"), f"The capital of {name}") for name in SUBJECTS]
    assert len({len(row.tokens) for row in rows}) > 1
    entries = tail.enter(rows)
    with torch.no_grad():
        together = tail.log_probabilities(tail.run(entries), rows)
        alone = [model(torch.tensor([row.tokens])).logits[0, list(row.scored)].log_softmax(-1) for row in rows]
        fresh = tail_of(model)
        short = fresh.log_probabilities(fresh.run(entries[:1]), rows[:1])
    assert float((together - torch.cat(alone)).abs().max()) < 1e-10
    assert float((short - alone[0]).abs().max()) < 1e-10
    assert readings(together, rows)[0].sure == 0.0


def test_the_untrained_network_is_the_identity_and_a_changed_one_is_not() -> None:
    generator = torch.Generator().manual_seed(1)
    both = [torch.randn(20, 12, generator=generator) * 3 + 1 for _ in range(2)]
    numbers = initial(both, 3, generator)
    inputs, deltas = both[1][:, :5], both[1][:, 5:]
    same = transform(inputs, deltas, numbers, 1)
    assert torch.equal(same[0], inputs)
    assert torch.equal(same[1], deltas)
    numbers["u2"] = numbers["u2"] + 0.1
    assert not torch.allclose(transform(inputs, deltas, numbers, 1)[1], deltas)


def test_the_network_is_the_papers_equation() -> None:
    generator = torch.Generator().manual_seed(2)
    both = [torch.randn(20, 12, generator=generator, dtype=torch.float64) for _ in range(2)]
    numbers = {name: torch.randn_like(value) for name, value in initial(both, 3, generator).items()}
    numbers = {name: value.abs() + 0.1 if name == "std" else value.double() for name, value in numbers.items()}
    u, delta = both[0][3, :5], both[0][3, 5:]
    z = (both[0][3] - numbers["mean"][1]) / numbers["std"][1]
    h = z + torch.relu(numbers["s1"][1] * (numbers["u1"] @ numbers["v1"] @ z) + numbers["o1"][1])
    g = h + torch.relu(numbers["s2"][1] * (numbers["u2"] @ numbers["v2"] @ h) + numbers["o2"][1])
    found = torch.cat(transform(u[None], delta[None], numbers, 1), dim=1)[0]
    assert float((found - (numbers["mean"][1] + numbers["std"][1] * g)).abs().max()) < 1e-10


def test_the_untrained_network_with_rate_one_is_a_step_of_fine_tuning(loaded: Any) -> None:
    config = MendConfig(network=identity(loaded.model), prefixes=0, paraphrases=0)
    request = written(loaded, config)[0]
    delta = MendEditor().fit(loaded.model, loaded.tokenizer, [request], config)
    model = copy.deepcopy(loaded.model)
    row = answer_row(loaded.tokenizer, request, request.prompt)
    names = [site.parameter for site in sites_of(layout_of(model), LAYERS)]
    parameters = [model.get_parameter(name).requires_grad_() for name in names]
    logits = model(torch.tensor([row.tokens])).logits[0, list(row.scored)]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(row.gold))
    steps = dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))
    with delta.applied(loaded.model):
        for name, step in steps.items():
            moved = loaded.model.get_parameter(name) - model.get_parameter(name).detach()
            assert float((moved + step).abs().max()) < 1e-4 * float(step.abs().max())
            assert float((moved + 0.99 * step).abs().max()) > 1e-3 * float(step.abs().max())


def test_facts_are_taken_out_bit_for_bit(loaded: Any) -> None:
    config = MendConfig(network=identity(loaded.model, 0.1))
    editor, tokenizer = MendEditor(), loaded.tokenizer
    first, second = written(loaded, config)[-2:]
    whole = editor.fit(loaded.model, tokenizer, [first, second], config)
    alone = editor.fit(loaded.model, tokenizer, [second], config)
    assert whole.fact_ids == (first.fact.id, second.fact.id)
    assert whole.without([first.fact.id]).digest == alone.digest != whole.digest
    assert whole.without([second.fact.id]).digest != alone.digest


def test_summed_columns_are_kept_as_they_are() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.randn(6, 4, generator=generator), torch.randn(4, 5, generator=generator)
    change = LayerDelta.summed("w", False, left, right)
    weight = torch.randn(6, 5, generator=generator)
    assert torch.allclose(change.added_to(weight), weight + left @ right, atol=1e-6)
    kept = change.subset("sum", [0, 3])
    assert torch.equal(kept.right, right[[0, 3]])
    assert torch.allclose(kept.added_to(weight), weight + left[:, [0, 3]] @ right[[0, 3]], atol=1e-6)
    assert change.gram.numel() == 0


def test_the_artefact_comes_back_and_a_changed_one_is_refused(tiny_llama: Any, tmp_path: Path) -> None:
    network = identity(tiny_llama.model)
    network.save(tmp_path)
    back = MendNetwork.load(tmp_path)
    assert (back.digest, back.layers, back.first_token) == (network.digest, network.layers, network.first_token)
    back.check(tiny_llama.model)
    for name in (TENSORS, RECORD):
        path = tmp_path / name
        data = path.read_bytes()
        place = len(data) - 40 if name == TENSORS else data.index(b"digest") + 12
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(IntegrityError):
            MendNetwork.load(tmp_path)
        path.write_bytes(data)
    (tmp_path / TENSORS).unlink()
    with pytest.raises(IntegrityError):
        MendNetwork.load(tmp_path)
    with pytest.raises(InputError, match=r"editors\.mend\.train"):
        MendNetwork.load(tmp_path / "nothing")


def test_a_network_that_is_none_is_refused(tiny_llama: Any) -> None:
    network = identity(tiny_llama.model)
    with pytest.raises(EditError, match="expected the tensors"):
        replace(network, tensors={})
    broken = {**network.tensors, "log_rate": torch.full((4,), float("nan"))}
    with pytest.raises(EditError, match="finite"):
        replace(network, tensors=broken)


def test_another_base_model_is_refused_and_an_edited_one_is_not(tiny_llama: Any) -> None:
    network = identity(tiny_llama.model, 0.1)
    config = MendConfig(network=network)
    other = copy.deepcopy(tiny_llama.model)
    other.get_input_embeddings().weight.data[0] += 0.5
    with pytest.raises(EditError, match="was trained for"):
        MendEditor().fit(other, tiny_llama.tokenizer, [ask("Chad", "Rome")], config)
    delta = MendEditor().fit(tiny_llama.model, tiny_llama.tokenizer, [ask("Norway", "Tokyo")], config)
    with delta.applied(tiny_llama.model):
        second = MendEditor().fit(tiny_llama.model, tiny_llama.tokenizer, [ask("Peru", "Paris")], config)
    assert second.base_digest != delta.base_digest
    assert not second.notes["trained_on_these_weights"]
    for dtype in (torch.bfloat16, torch.float16):
        network.check(copy.deepcopy(tiny_llama.model).to(dtype))


def test_without_a_network_it_says_how_to_train_one(tiny_llama: Any) -> None:
    with pytest.raises(EditError, match=r"python -m editors\.mend\.train"):
        MendEditor().fit(tiny_llama.model, tiny_llama.tokenizer, [ask("Chad", "Rome")])


def test_a_file_of_numbers_may_name_the_network(tmp_path: Path) -> None:
    path = tmp_path / "mend.yaml"
    path.write_text("rate: 0.5\nnetwork: nets/one\n")
    assert MendConfig.read(path) == MendConfig(rate=0.5, network=tmp_path / "nets" / "one")
    for text, error in (("network: 3", InputError), ("networks: one", UnknownNameError), ("- rate", InputError)):
        path.write_text(text)
        with pytest.raises(error):
            MendConfig.read(path)


def test_the_yaml_equals_the_defaults() -> None:
    read = MendConfig.read(ROOT / "conf" / "mend.yaml")
    assert read == MendConfig()
    text = (ROOT / "conf" / "mend.yaml").read_text(encoding="utf-8")
    assert all(f"\n{item.name}:" in text for item in fields(MendConfig) if item.name != "network")
