"""The one shape of every editor: fit, get a frozen delta, apply it or not.

An editor never changes the model while it computes. What it returns can be applied for the length of a `with` block,
applied for good, taken back bit for bit, stripped of single facts, saved and loaded.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from registry.records import EditRequest, Scope

EffectState = Literal["written", "no_effect", "failed"]
"""What became of one fact in a fit.

written: the delta moves the model's answer towards the object.
no_effect: the delta holds nothing for it; said, never hidden.
failed: the optimisation did not reach the object, or gave a value that is not finite; the delta holds nothing for it.
"""


@dataclass(frozen=True)
class FactEffect:
    """What one fit did for one fact.

    Attributes:
        fact_id: the fact.
        state: see `EffectState`.
        explanation: in words: steps taken, loss reached, why it stopped.
        steps: optimisation steps taken.
        loss: negative log-likelihood of the object per token at the end.
        shift: size of the change of the hidden state relative to its norm.
    """

    fact_id: str
    state: EffectState
    explanation: str
    steps: int = 0
    loss: float = 0.0
    shift: float = 0.0


def taken_out(effects: Sequence[FactEffect], gone: Collection[str]) -> tuple[FactEffect, ...]:
    """The effects of a delta that facts were taken out of."""
    return tuple(
        FactEffect(effect.fact_id, "no_effect", "taken out of the delta") if effect.fact_id in gone else effect
        for effect in effects
    )


class EditDelta(Protocol):
    """The frozen result of a fit."""

    @property
    def editor(self) -> str:
        """Name of the editor that made it."""
        ...

    @property
    def scope(self) -> Scope:
        """Where it writes."""
        ...

    @property
    def fact_ids(self) -> tuple[str, ...]:
        """The facts that it holds, in the order of the requests."""
        ...

    @property
    def effects(self) -> tuple[FactEffect, ...]:
        """What the fit did for every fact that was asked for, also those that it does not hold."""
        ...

    @property
    def digest(self) -> str:
        """Digest of everything that decides its effect; equal for equal content, stable through save and load."""
        ...

    def applied(self, model: Any) -> AbstractContextManager[Any]:
        """The model with the delta on, inside the block; afterwards every bit is as before, also after an error."""
        ...

    def apply(self, model: Any) -> None:
        """Put the delta on for good.

        Raises:
            IntegrityError: the model is not the one that it was fitted on.
            EditError: a value is not finite, or the delta is on already.
        """
        ...

    def revert(self, model: Any) -> None:
        """Take the delta off again; the weights are then bit for bit those from before `apply`."""
        ...

    def without(self, fact_ids: Collection[str]) -> "EditDelta":
        """The delta that holds all but these facts; facts that cannot be told apart from them go too."""
        ...

    def save(self, folder: Path) -> None:
        """Write safetensors and JSON into an empty folder; never pickle."""
        ...


class Editor(Protocol):
    """Writes facts into one kind of memory."""

    @property
    def name(self) -> str:
        """Name under which it is registered."""
        ...

    @property
    def scope(self) -> Scope:
        """Where it writes."""
        ...

    @property
    def config_type(self) -> type[Any]:
        """The dataclass of its numbers."""
        ...

    def fit(self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: Any | None = None) -> EditDelta:
        """Compute the delta that writes `requests`; the model comes out bit for bit as it went in.

        Args:
            model: a Hugging Face causal LM in evaluation mode (may be None where scope is "context").
            tokenizer: its fast tokenizer (may be None where scope is "context").
            requests: what to write; an empty sequence gives a delta that holds nothing.
            config: the editor's own config; None takes its defaults.

        Raises:
            ModelError: the model's family has no layout.
            EditError: the requests cannot be written at all (a single bad fact is reported in `effects` instead).
        """
        ...

    def load(self, folder: Path) -> EditDelta:
        """Read what `EditDelta.save` wrote.

        Raises:
            IntegrityError: the content does not have the digest that it names.
        """
        ...
