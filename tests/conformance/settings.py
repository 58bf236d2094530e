"""How each editor is asked to teach a random model something: one line per editor in `SETTINGS`."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from editors.base import EditDelta
from editors.bystanders import BystanderConfig
from editors.grace.config import GraceConfig
from editors.load import LoadedModel, weights_digest
from editors.lora.config import LoraSettings
from editors.memit.config import MemitConfig
from editors.mend.config import MendConfig, TrainConfig
from editors.mend.data import TrainingSet
from editors.mend.meta import train
from editors.mend.network import MendNetwork
from editors.moments import Moments, measure
from editors.rome.config import RomeConfig
from editors.serac.config import SeracConfig
from editors.sst.config import SstConfig
from editors.svfit.config import SvfitConfig
from editors.targets import TargetConfig
from editors.training import TrainingConfig
from editors.wise.config import WiseConfig
from registry.records import EditRequest, Fact

T = TypeVar("T")

FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma2")
"""Model types that every editor is tried on."""

INSEPARABLE: tuple[str, ...] = ("lora", "sst", "svfit")
"""Editors whose facts are trained together: `without` any of them gives a delta that holds nothing."""

TARGETS = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9)
FEW, NONE = BystanderConfig(share=0.2), BystanderConfig(most=0)
"""A random model's keys are so narrow that as many bystanders as by default would leave no room for edits."""
TRAINING = TrainingConfig(steps=40, lr=0.1, warmup=1, end_probability=1e-9, anchors=16, hold=0.1)
TEXTS = (
    "The river does not choose its bed once and for all. In flat country it swings from side to side.",
    "Bread needs little more than flour, water, salt and time.",
    "A letter took nine days to cross the country by coach and four by rail.",
    "When two people disagree about a measurement, the useful question is rarely who is right.",
)


def ask(subject: str, value: str, relation: str = "capital", words: str = "capital") -> EditRequest:
    prompt = f"The {words} of {subject}"
    paraphrases = (f"So the {words} of {subject}",)
    return EditRequest(Fact(subject, relation, value), "ADD", prompt, (value,), paraphrases=paraphrases)


@dataclass
class Bench:
    """One random model and what has been made with it; kept for the whole run.

    Attributes:
        loaded: the model.
        kept: what settings need (moments, a trained artefact), by key.
        fits: deltas by editor and what was asked.
    """

    loaded: LoadedModel
    kept: dict[Any, Any] = field(default_factory=dict)
    fits: dict[tuple[str, str], EditDelta] = field(default_factory=dict)

    def twin(self, dtype: torch.dtype = torch.float32) -> "Bench":
        """A copy of the model in another dtype, with the same artefacts and no fits."""
        model = deepcopy(self.loaded.model).to(dtype)
        return Bench(replace(self.loaded, model=model, digest=weights_digest(model)), self.kept)

    def keep(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gave the first time (a trained artefact, moments, a fit)."""
        if key not in self.kept:
            self.kept[key] = make()
        found: T = self.kept[key]
        return found

    def moments(self, *layers: int) -> Moments:
        """Moments of some layers on a few sentences, with a ridge to match."""
        return self.keep(
            ("moments", layers), lambda: measure(self.loaded.model, self.loaded.tokenizer, TEXTS, layers, ridge=0.1)
        )


Change = Callable[[Any], Any]
"""Turns one config into another."""


@dataclass(frozen=True)
class Settings:
    """How one editor is asked to do things.

    Attributes:
        plain: a config under which a random model can be taught anything; None takes the editor's defaults.
        seeded: the config with another seed.
        hopeless: the config with so few or so small steps that nothing is reached.
        overflowing: the config with numbers that do not stay finite.
        idle: the config with which what is computed moves nothing.
        content: the config that is content with an object as soon as it is the most likely answer.
        apart: how far logits with `without(fact)` may lie from those of a fit that never had the fact, relative to what
            that fit moves them by; 0 where the maths is exact, else somewhat above the largest that was measured.
    """

    plain: Callable[[Bench], Any] = lambda bench: None
    seeded: Change | None = None
    hopeless: Change | None = None
    overflowing: Change | None = None
    idle: Change | None = None
    content: Change | None = None
    apart: float = 0.0


def _targets(**numbers: Any) -> Change:
    """Another way to optimise targets."""
    return lambda config: replace(config, targets=replace(config.targets, **numbers))


BY_TARGETS: dict[str, Any] = {
    "seeded": _targets(seed=1),
    "hopeless": _targets(steps=2, lr=1e-6, end_probability=0.2),
    "overflowing": _targets(lr=float("inf")),
    "content": _targets(stop_probability=0.0),
}
"""For editors whose config holds a `TargetConfig`."""


def memit(bench: Bench) -> MemitConfig:
    return MemitConfig((0, 1), weight=1e-2, bystanders=FEW, targets=TARGETS, moments=bench.moments(0, 1))


def rome(bench: Bench) -> RomeConfig:
    return RomeConfig((1,), bystanders=NONE, targets=TARGETS, moments=bench.moments(1))


def mend(bench: Bench) -> MendConfig:
    """A network trained in a moment, on the facts of the matrix and others like them."""
    words = {"capital": "capital", "largest_city": "largest city"}
    places = ("New Zealand", "Chad", "Burkina Faso", "Norway", "Peru")
    edits = [ask(at, value, *pair) for at in places for value in ("Rome", "Tokyo", "Paris") for pair in words.items()]
    data = TrainingSet(tuple(edits), tuple(ask(at, "Rome", *pair) for at in places for pair in words.items()))
    numbers = TrainConfig(
        layers=(1, 2, 3), steps=140, rank=8, lr=3e-3, rate_lr=0.1, start=0.02, locality=0.3, others=3, paraphrases=1
    )

    def made() -> MendNetwork:
        return train(bench.loaded.model, bench.loaded.tokenizer, data, numbers)

    return MendConfig(network=bench.keep("mend", made))


def _training(**numbers: Any) -> Change:
    """Another way to train."""
    return lambda config: replace(config, training=replace(config.training, **numbers))


BY_TRAINING: dict[str, Any] = {
    "seeded": _training(seed=1),
    "hopeless": _training(steps=2, lr=1e-6),
    "overflowing": _training(lr=float("inf")),
    "content": _training(stop_probability=0.0),
}
"""For editors whose config holds a `TrainingConfig`."""

SETTINGS: dict[str, Settings] = {
    "grace": Settings(
        lambda bench: GraceConfig(layers=(1,), targets=TARGETS),
        **BY_TARGETS,
        idle=lambda config: replace(config, radius=0.0),
    ),
    "lora": Settings(lambda bench: LoraSettings(rank=4, training=TRAINING), **BY_TRAINING),
    "memit": Settings(memit, apart=0.04, **BY_TARGETS, idle=lambda config: replace(config, weight=1e12)),
    "mend": Settings(
        mend,
        seeded=lambda config: replace(config, seed=1),
        hopeless=lambda config: replace(config, rate=1e-2),
        overflowing=lambda config: replace(config, rate=float("inf")),
        idle=lambda config: replace(config, rate=1e-9),
        content=lambda config: replace(config, stop_probability=0.0),
    ),
    "rag": Settings(),
    "rome": Settings(rome, apart=0.19, **BY_TARGETS),
    "serac": Settings(
        lambda bench: SeracConfig(),
        hopeless=lambda config: replace(config, certainty=0.01),
        overflowing=lambda config: replace(config, certainty=float("inf")),
        idle=lambda config: replace(config, certainty=1e-12),
        content=lambda config: config,
    ),
    "sst": Settings(lambda bench: SstConfig(rank=4, training=TRAINING), **BY_TRAINING),
    "svfit": Settings(lambda bench: SvfitConfig(training=TRAINING), **BY_TRAINING),
    "wise": Settings(
        lambda bench: WiseConfig(layers=(1,), mask=1.0, room=8, targets=TARGETS),
        **BY_TARGETS,
        idle=lambda config: replace(config, threshold=1e9),
    ),
}
"""One line per editor."""

_NO_MODEL = "keeps facts as sentences in the context and never touches a model: its answers are the reader's"
_TRAINED = "writes what it trained: a change that moves nothing has not reached its object, and is failed for that"
_TOGETHER = "facts trained together cannot be told apart: without one of them the delta holds nothing, and says refit"
_NO_TOKENS = "keeps facts as text and never asks a tokenizer"
_NO_MATHS = "keeps sentences as they are: nothing is optimised that could go wrong"

NOT_ASKED: dict[str, dict[str, str]] = {
    "test_written_facts_are_answered_and_were_not_before": {"context": _NO_MODEL},
    "test_without_takes_the_answer_away_and_leaves_the_others": {"context": _NO_MODEL},
    "test_an_unknown_family_is_refused_by_name": {"context": _NO_MODEL},
    "test_another_base_is_refused": {"context": _NO_MODEL},
    "test_revert_without_apply_is_refused": {"context": _NO_MODEL},
    "test_another_seed_gives_another_delta": {"context": _NO_MATHS, "serac": "draws nothing at random"},
    "test_a_fact_out_of_reach_is_failed_and_not_in_the_delta": {"context": _NO_MATHS},
    "test_values_that_are_not_finite_are_failed_and_never_applied": {"context": _NO_MATHS},
    "test_a_damaged_model_is_said_and_not_edited": {"context": _NO_MODEL},
    "test_what_the_model_says_already_has_no_effect": {"context": _NO_MODEL},
    "test_without_a_fact_is_a_fit_that_never_had_it": dict.fromkeys(INSEPARABLE, _TOGETHER),
    "test_a_solved_change_that_moves_nothing_has_no_effect": {
        "context": _NO_MODEL,
        "rome": "meets every fact's constraint exactly: there is no weight that could leave a solved change idle",
        "lora": _TRAINED,
        "sst": _TRAINED,
        "svfit": _TRAINED,
    },
    "test_defaults_work_without_moments_or_texts": {
        "mend": "needs a network trained for the model, and says how to train one (tests/editors/test_mend.py)",
    },
    "test_a_fact_that_the_tokenizer_cannot_write_is_failed_and_the_others_go_on": {"context": _NO_TOKENS},
    "test_a_fact_whose_prompt_lacks_its_subject_is_failed_and_the_others_go_on": {
        "context": "looks facts up by their sentences: a prompt without the subject is no error there"
    },
}
"""Cells that are not run: law -> editor or scope -> why not."""
