"""The blocks from the first edited one up, run on hidden states that were computed once, with gradients and edits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from editors.layouts import Layout
from editors.mend.network import Site
from editors.rows import Row
from editors.trace import BlockCalls, record_blocks

ROWS = 64


@dataclass(frozen=True)
class Reading:
    """How the model takes one row's object.

    Attributes:
        nll: negative log-likelihood per token of the object (without the full stop).
        sure: smallest probability of its tokens; 0 where one of them is not the greedy answer.
    """

    nll: float
    sure: float


def readings(logp: Tensor, rows: Sequence[Row]) -> list[Reading]:
    """The readings of rows from their `Tail.log_probabilities`."""
    found = []
    for row, part in zip(rows, torch.split(logp, [len(row.scored) for row in rows]), strict=True):
        own = part[: row.object_length].to(torch.float64)
        gold = own.gather(1, torch.tensor(row.gold[: row.object_length], device=own.device)[:, None])[:, 0]
        greedy = bool((gold >= own.max(-1).values).all())
        found.append(Reading(-float(gold.mean()), float(gold.min().exp()) if greedy else 0.0))
    return found


@dataclass(frozen=True)
class Terms:
    """The rank-one terms of one matrix's gradient.

    Attributes:
        inputs: u, (tokens, d_in).
        deltas: delta, (tokens, d_out).
    """

    inputs: Tensor
    deltas: Tensor


class Tail:
    """The upper part of a model: rows enter it once and are then run through it as often as is needed."""

    def __init__(self, model: Any, layout: Layout, sites: Sequence[Site]) -> None:
        """Look up the edited modules."""
        self.model, self.layout, self.sites = model, layout, tuple(sites)
        self.blocks = layout.block_list(model)
        self.first = min(site.layer for site in sites)
        self.modules: dict[Site, nn.Module] = {site: model.get_submodule(site.module) for site in sites}
        self._calls: dict[int, BlockCalls] = {}

    def enter(self, rows: Sequence[Row]) -> list[Tensor]:
        """The hidden states of each row that enter the first edited block, (tokens, d)."""
        device = self.model.get_input_embeddings().weight.device
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].tokens))
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        for begin in range(0, len(rows), ROWS):
            chosen = order[begin : begin + ROWS]
            ids = torch.zeros(len(chosen), max(len(rows[index].tokens) for index in chosen), dtype=torch.long)
            for place, index in enumerate(chosen):
                ids[place, : len(rows[index].tokens)] = torch.tensor(rows[index].tokens)
            inputs = {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}
            calls = record_blocks(
                self.model, self.blocks, self.first, len(self.blocks) - 1, inputs | {"use_cache": False}
            )
            self._calls[ids.shape[1]] = calls.select(torch.tensor([0], device=device))
            for place, index in enumerate(chosen):
                found[index] = calls.hidden[place, : len(rows[index].tokens)].clone()
        return found

    def run(self, entries: Sequence[Tensor]) -> Tensor:
        """Hidden states that leave the last block, (rows, tokens, d); what lies behind a row's end means nothing."""
        hidden = nn.utils.rnn.pad_sequence(list(entries), batch_first=True)
        return self._call(hidden.shape[1], hidden.device).run(hidden, self.first, len(self.blocks))

    def _call(self, length: int, device: torch.device) -> BlockCalls:
        """How the blocks are called with rows of this length; one row's masks and positions serve any number."""
        if length not in self._calls:
            ids = torch.zeros(1, length, dtype=torch.long, device=device)
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
            self._calls[length] = record_blocks(self.model, self.blocks, self.first, len(self.blocks) - 1, inputs)
        return self._calls[length]

    def log_probabilities(self, out: Tensor, rows: Sequence[Row]) -> Tensor:
        """Log-probabilities at the rows' scored positions, one row after the other, (positions, vocabulary)."""
        index = [(number, place) for number, row in enumerate(rows) for place in row.scored]
        where = torch.tensor(index, device=out.device)
        logits = self.layout.logits(self.model, out[where[:, 0], where[:, 1]])
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)

    def nll(self, logp: Tensor, rows: Sequence[Row]) -> Tensor:
        """Mean over the rows of the negative log-likelihood per expected token."""
        gold = torch.tensor([token for row in rows for token in row.gold], device=logp.device)
        weight = torch.tensor([1 / len(row.gold) for row in rows for _ in row.gold], device=logp.device)
        return -(logp.gather(1, gold[:, None])[:, 0] * weight.to(logp.dtype)).sum() / len(rows)

    def gradients(
        self, groups: Sequence[Sequence[Row]], entries: Sequence[Tensor], *, first_token: bool
    ) -> tuple[list[dict[Site, Terms]], Tensor]:
        """Equation 2 for the `nll` of each group of rows, in one pass.

        Args:
            groups: the rows of each edit; none of them sees another.
            entries: their hidden states from `enter`, one group after the other.
            first_token: whether each row's first token takes part; a row of one token always does.

        Returns:
            The terms of every matrix for each group, at least float32, and the rows' `log_probabilities`.
        """
        rows = [row for group in groups for row in group]
        sizes = [len(group) for group in groups]
        skip = [0 if first_token or len(row.tokens) == 1 else 1 for row in rows]
        with torch.enable_grad(), self._probed() as (inputs, probes):
            logp = self.log_probabilities(self.run(entries), rows)
            parts = torch.split(logp, [sum(len(row.scored) for row in group) for group in groups])
            loss = torch.stack([self.nll(part, group) for part, group in zip(parts, groups, strict=True)]).sum()
            found = torch.autograd.grad(loss, [probes[site] for site in self.sites])
        wide = torch.promote_types(found[0].dtype, torch.float32)
        ends = list(accumulate(sizes))

        def flat(values: Tensor, begin: int, end: int) -> Tensor:
            return torch.cat([values[i, skip[i] : len(rows[i].tokens)] for i in range(begin, end)]).to(wide)

        terms = [
            {
                site: Terms(flat(inputs[site], end - size, end), flat(delta, end - size, end))
                for site, delta in zip(self.sites, found, strict=True)
            }
            for size, end in zip(sizes, ends, strict=True)
        ]
        return terms, logp.detach()

    @contextmanager
    def _probed(self) -> Iterator[tuple[dict[Site, Tensor], dict[Site, Tensor]]]:
        """Record the edited modules' inputs, and add a zero to their outputs whose gradient is delta."""
        inputs: dict[Site, Tensor] = {}
        probes: dict[Site, Tensor] = {}

        def watch(site: Site) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
                inputs[site] = args[0].detach()
                probes[site] = torch.zeros_like(out, requires_grad=True)
                return out + probes[site]

            return hook

        with ExitStack() as stack:
            for site, module in self.modules.items():
                stack.callback(module.register_forward_hook(watch(site)).remove)
            yield inputs, probes

    @contextmanager
    def edited(self, changes: Mapping[Site, tuple[Tensor, Tensor]]) -> Iterator[None]:
        """Each matrix with `left @ right` added, inside the block; gradients flow into the factors."""

        def add(left: Tensor, right: Tensor) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
                change: Tensor = (args[0].to(right.dtype) @ right.t()) @ left.t()
                return out + change.to(out.dtype)

            return hook

        with ExitStack() as stack:
            for site, (left, right) in changes.items():
                stack.callback(self.modules[site].register_forward_hook(add(left, right)).remove)
            yield
