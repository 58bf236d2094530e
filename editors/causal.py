"""Causal tracing (ROME, arXiv 2202.05262, section 2): which hidden states carry a fact that a model knows.

The embeddings of the subject's tokens are corrupted with noise until the answer is lost; then one hidden state of the
clean run, or the MLP's outputs of a window of blocks, is put back at one token. How much of the answer's probability
that restores is the indirect effect of the place. The blocks below the restored one are not run again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from editors.layouts import layout_of
from editors.subject import first_target, subject_tokens
from editors.trace import evaluating, record_blocks

EMBEDDINGS = 4096
"""Tokens whose embeddings show how large embeddings are."""


@dataclass(frozen=True)
class TracingConfig:
    """How a fact is traced.

    Attributes:
        noise: standard deviation of the noise, in standard deviations of the embeddings.
        samples: draws of the noise that the probabilities are averaged over.
        window: blocks around a layer whose MLP outputs are put back together.
        seed: of the noise.
    """

    noise: float = 3.0
    samples: int = 4
    window: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Traced:
    """Probabilities of the answer's first token.

    Attributes:
        prompt: what was asked.
        subject: the subject in it.
        answer: the answer.
        clean: probability as the model is.
        corrupted: the same with noise on the subject.
        states: with one hidden state put back, by place ("subject": its last token, "last": the prompt's), then by
            layer; the state is what leaves the block.
        mlps: the same with the MLP's outputs of the window around the layer put back.
    """

    prompt: str
    subject: str
    answer: str
    clean: float
    corrupted: float
    states: dict[str, tuple[float, ...]]
    mlps: dict[str, tuple[float, ...]]

    def effects(self, what: str, place: str) -> tuple[float, ...]:
        """Indirect effect by layer of "states" or "mlps" at a place: what is restored above the corrupted run."""
        found = {"states": self.states, "mlps": self.mlps}[what]
        return tuple(value - self.corrupted for value in found[place])


class CorruptedRun:
    """One prompt run clean (row 0) and with noise on its subject (the other rows), to be run again from any block."""

    def __init__(self, model: Any, ids: Sequence[int], subject: range, gold: int, config: TracingConfig) -> None:
        """Run the prompt.

        Args:
            model: in evaluation mode.
            ids: tokens of the prompt.
            subject: places of the subject's tokens.
            gold: the token whose probability counts.
            config: see `TracingConfig`.
        """
        self.model, self.layout, self.gold, self.samples = model, layout_of(model), gold, config.samples
        self.blocks = self.layout.block_list(model)
        embed = model.get_input_embeddings()
        device, size = embed.weight.device, embed.weight.shape[0]
        with torch.no_grad():
            typical = embed(torch.arange(0, size, max(1, size // EMBEDDINGS), device=device)).float().std()
            draw = torch.Generator().manual_seed(config.seed)
            noise = torch.randn(config.samples, len(subject), embed.weight.shape[1], generator=draw)

            def corrupt(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
                out = out.clone()
                out[1:, subject.start : subject.stop] += (noise.to(device) * typical * config.noise).to(out.dtype)
                return out

            batch = torch.tensor([list(ids)] * (config.samples + 1), device=device)
            hook = embed.register_forward_hook(corrupt)
            try:
                self.calls = record_blocks(
                    model, self.blocks, 0, len(self.blocks) - 1, {"input_ids": batch, "use_cache": False}
                )
            finally:
                hook.remove()
            self.hidden: list[Tensor] = [self.calls.hidden]
            self.mlps: list[Tensor] = []
            for layer in range(len(self.blocks)):
                with _watched(self.layout.down_module(model, layer), self._see):
                    self.hidden.append(self.calls.run(self.hidden[-1], layer, layer + 1))
        found = self._probabilities(self.hidden[-1])
        self.clean, self.corrupted = float(found[0]), float(found[1:].mean())

    def _see(self, out: Tensor) -> Tensor:
        """Keep the clean output of an MLP."""
        self.mlps.append(out.reshape(self.samples + 1, -1, out.shape[-1])[0].clone())
        return out

    def _probabilities(self, hidden: Tensor) -> Tensor:
        """Probability of the answer's first token in each row, (rows,)."""
        return self.layout.logits(self.model, hidden[:, -1]).float().softmax(-1)[:, self.gold]

    def _finished(self, hidden: Tensor, start: int, count: int) -> list[float]:
        """Run corrupted rows, `samples` for each of `count` places, from block `start` on; means by place."""
        rows = torch.arange(1, self.samples + 1, device=hidden.device).repeat(count)
        out = self.calls.select(rows).run(hidden, start, len(self.blocks))
        means: list[float] = self._probabilities(out).reshape(count, self.samples).mean(1).tolist()
        return means

    @torch.no_grad()
    def with_states(self, layer: int, places: Sequence[Sequence[int]]) -> list[float]:
        """Mean probability with what leaves block `layer` put back at some tokens, for each of several sets of them."""
        hidden = self.hidden[layer + 1][1:].repeat(len(places), 1, 1)
        for number, tokens in enumerate(places):
            rows = slice(number * self.samples, (number + 1) * self.samples)
            hidden[rows, list(tokens)] = self.hidden[layer + 1][0, list(tokens)]
        return self._finished(hidden, layer + 1, len(places))

    @torch.no_grad()
    def with_mlps(self, layers: range, places: Sequence[Sequence[int]]) -> list[float]:
        """The same with the outputs of some blocks' MLPs put back."""

        def back(layer: int) -> Callable[[Tensor], Tensor]:
            def change(out: Tensor) -> Tensor:
                new = out.reshape(len(places) * self.samples, -1, out.shape[-1]).clone()
                for number, tokens in enumerate(places):
                    rows = slice(number * self.samples, (number + 1) * self.samples)
                    new[rows, list(tokens)] = self.mlps[layer][list(tokens)]
                return new.reshape(out.shape)

            return change

        hidden = self.hidden[layers.start][1:].repeat(len(places), 1, 1)
        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(_watched(self.layout.down_module(self.model, layer), back(layer)))
            return self._finished(hidden, layers.start, len(places))


@contextmanager
def _watched(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The module's output passed through `change` inside the block."""
    hook = module.register_forward_hook(lambda _module, _args, out: change(out))
    try:
        yield
    finally:
        hook.remove()


def trace_fact(
    model: Any, tokenizer: Any, prompt: str, subject: str, answer: str, config: TracingConfig | None = None
) -> Traced:
    """Trace one fact through every layer; the model comes out as it went in.

    Args:
        model: causal LM of a family with a layout.
        tokenizer: its fast tokenizer.
        prompt: text that the answer follows.
        subject: as it stands in the prompt.
        answer: what the model says.
        config: see `TracingConfig`.

    Raises:
        EditError: the prompt does not hold the subject, or the answer gives no token of its own.
    """
    config = config or TracingConfig()
    held = subject_tokens(tokenizer, prompt, subject)
    ids, gold = first_target(tokenizer, prompt, answer)
    with evaluating(model):
        run = CorruptedRun(model, ids, held, gold, config)
        places = {"subject": [held.stop - 1], "last": [len(ids) - 1]}
        depth = len(run.blocks)
        states = [run.with_states(layer, list(places.values())) for layer in range(depth)]
        mlps = [run.with_mlps(around(layer, config.window, depth), list(places.values())) for layer in range(depth)]
    return Traced(
        prompt,
        subject,
        answer,
        run.clean,
        run.corrupted,
        {place: tuple(found[number] for found in states) for number, place in enumerate(places)},
        {place: tuple(found[number] for found in mlps) for number, place in enumerate(places)},
    )


def around(layer: int, window: int, depth: int) -> range:
    """The `window` blocks around a layer, as far as the model has them."""
    begin = layer - window // 2
    return range(max(0, begin), min(depth, begin + window))
