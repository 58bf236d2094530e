"""The conformance matrix: every editor x every law x several families, on random models.

A new editor joins by its line in `editors.EDITORS` and an entry in `SETTINGS` (settings.py). A law is a test that takes
`case`. A law that cannot hold for an editor has a reason in `NOT_ASKED` there; that is the only way out.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from editors import EDITORS, get_editor
from editors.base import EditDelta
from editors.load import LoadedModel, weights_digest
from registry.records import EditRequest, Scope

if TYPE_CHECKING:
    from tests.conformance import settings
else:

    def sibling(name: str) -> ModuleType:
        """A module of this folder: the folders of the tests are no packages, so that it is loaded by its path."""
        spec = spec_from_file_location(f"conformance_{name}", Path(__file__).with_name(f"{name}.py"))
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    settings = sibling("settings")


@dataclass(frozen=True)
class Case:
    """One editor on one family."""

    name: str
    bench: settings.Bench

    @property
    def loaded(self) -> LoadedModel:
        return self.bench.loaded

    @property
    def model(self) -> Any:
        return self.bench.loaded.model

    @property
    def editor(self) -> Any:
        return get_editor(self.name)

    @property
    def scope(self) -> Scope:
        scope: Scope = self.editor.scope
        return scope

    @property
    def how(self) -> settings.Settings:
        return settings.SETTINGS[self.name]

    @property
    def separable(self) -> bool:
        return self.name not in settings.INSEPARABLE

    def config(self, change: settings.Change | None = None) -> Any:
        """The editor's settings for this model."""
        plain = self.how.plain(self.bench)
        return change(plain) if change else plain

    def fit(self, requests: Sequence[EditRequest], change: settings.Change | None = None) -> EditDelta:
        """A fresh fit."""
        delta: EditDelta = self.editor.fit(self.model, self.loaded.tokenizer, requests, self.config(change))
        return delta

    @property
    def delta(self) -> EditDelta:
        """The fit of the usual three facts, made once per editor and family."""
        return self._once("all", self.asks())

    @property
    def one(self) -> EditDelta:
        """The fit of the first of them alone, made once."""
        return self._once("one", self.asks()[:1])

    @property
    def others(self) -> EditDelta:
        """The fit of all but the second, made once."""
        return self._once("others", self.asks()[::2])

    def _once(self, what: str, requests: Sequence[EditRequest]) -> EditDelta:
        if (self.name, what) not in self.bench.fits:
            self.bench.fits[self.name, what] = self.fit(requests)
        return self.bench.fits[self.name, what]

    def ask(self, *words: str) -> EditRequest:
        """See `settings.ask`."""
        return settings.ask(*words)

    def asks(self) -> list[EditRequest]:
        return [self.ask("New Zealand", "Rome"), self.ask("Chad", "Tokyo"), self.ask("Burkina Faso", "Paris")]

    def logits(self) -> Tensor:
        """How the model goes on after each of the usual prompts, (3, vocabulary)."""
        rows = [self.loaded.tokenizer(request.prompt, return_tensors="pt")["input_ids"] for request in self.asks()]
        with torch.no_grad():
            return torch.stack([self.model(row).logits[0, -1] for row in rows])

    def said(self, requests: Sequence[EditRequest]) -> list[str]:
        """The model's next token after each prompt."""
        rows = [self.loaded.tokenizer(request.prompt, return_tensors="pt")["input_ids"] for request in requests]
        with torch.no_grad():
            return [str(self.loaded.tokenizer.decode([int(self.model(row).logits[0, -1].argmax())])) for row in rows]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is done inside leaves the model as it was, to the bit."""
        before = self.state()
        yield
        assert self.weights() == self.loaded.digest
        assert self.state() == before

    def weights(self) -> str:
        """Digest of the weights as they are now."""
        return weights_digest(self.model)

    def state(self) -> dict[str, Any]:
        """Everything about a model but its weights' bits that an editor might leave changed."""
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        return {
            "modules": [
                (
                    name,
                    id(module),
                    module.training,
                    sorted(vars(module)),
                    [len(getattr(module, kind)) for kind in hooks],
                )
                for name, module in self.model.named_modules()
            ],
            "parameters": [
                (name, id(parameter), parameter.requires_grad, parameter.grad is None)
                for name, parameter in self.model.named_parameters()
            ],
            "default": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()),
        }


def reason_not_asked(law: str, name: str) -> str | None:
    """Why `law` is not asked of editor `name`; None where it is."""
    reasons: Mapping[str, str] = settings.NOT_ASKED.get(law, {})
    return reasons.get(name) or reasons.get(get_editor(name).scope)


@pytest.fixture(scope="session", name="benches")
def _benches(tiny_family: Callable[[str], LoadedModel]) -> Callable[[str], settings.Bench]:
    made: dict[str, settings.Bench] = {}
    return lambda family: made.setdefault(family, settings.Bench(tiny_family(family)))


@pytest.fixture(params=settings.FAMILIES)
def bench(request: pytest.FixtureRequest, benches: Callable[[str], settings.Bench]) -> settings.Bench:
    return benches(str(request.param))


@pytest.fixture(params=sorted(EDITORS))
def case(request: pytest.FixtureRequest, bench: settings.Bench) -> Iterator[Case]:
    """An editor on a model; whatever a law does, the model comes out as it went in."""
    name = str(request.param)
    reason = reason_not_asked(request.function.__name__, name)
    if reason:
        pytest.skip(reason)
    found = Case(name, bench)
    with found.unchanged():
        yield found


@pytest.fixture
def matrix() -> ModuleType:
    """This module, for the tests of the matrix itself."""
    return sys.modules[__name__]
