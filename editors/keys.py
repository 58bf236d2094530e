"""k*: what the edited matrices see at the subject's last token, averaged over contexts, layer by layer.

The contexts are cut at the subject's last token (later tokens cannot change it) and run once up to the first edit
layer; from there on each layer is run again only where an edit below it has changed something.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editors.layouts import Layout
from editors.norms import carried, gains
from editors.rows import Group, Row
from editors.trace import BlockCalls, inputs_of, record_blocks

ROWS = 64


@dataclass
class _Chunk:
    """Some rows of about the same length, and the hidden states that enter the current layer."""

    calls: BlockCalls
    hidden: Tensor
    groups: Tensor
    last: Tensor


@dataclass(frozen=True)
class Seen:
    """Averages over each group's contexts, in float64 on the CPU.

    Attributes:
        keys: input of the edited matrix, (d_in, n).
        values: output of block `last`, (d, n).
        outputs: output of the edited matrix, (d, n), where a norm lies between it and the residual stream.
        gain: that norm's gains, (d,).
    """

    keys: Tensor
    values: Tensor
    outputs: Tensor | None = None
    gain: Tensor | None = None

    @property
    def slope(self) -> Tensor:
        """1 / rms of what each group's contexts make on average, (n,); 1 where no norm lies behind the matrix."""
        n = self.keys.shape[1]
        return self.keys.new_ones(n) if self.outputs is None else 1 / self.outputs.square().mean(0).sqrt()

    def carried(self, change: Tensor) -> Tensor:
        """The change of the edited matrix's output that changes its block's output by `change`, (d, n).

        Through a norm it does so as nearly as may be; see `editors.norms`.
        """
        return change if self.outputs is None or self.gain is None else carried(self.gain, self.outputs, change)


class SubjectStream:
    """The hidden states of all contexts, moving up through the edit layers."""

    def __init__(self, model: Any, layout: Layout, groups: Sequence[Group], first: int, last: int) -> None:
        """Run every context up to the entry of block `first`."""
        self.model, self.layout, self.first, self.last, self.layer = model, layout, first, last, first
        self.count = len(groups)
        rows: list[tuple[int, Row]] = [(i, row) for i, group in enumerate(groups) for row in group.key_rows]
        rows.sort(key=lambda item: item[1].subject)
        self.chunks = [self._chunk(rows[begin : begin + ROWS], first) for begin in range(0, len(rows), ROWS)]

    def _chunk(self, rows: Sequence[tuple[int, Row]], first: int) -> _Chunk:
        device = self.model.get_input_embeddings().weight.device
        longest = max(row.subject for _, row in rows) + 1
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        for index, (_, row) in enumerate(rows):
            ids[index, : row.subject + 1] = torch.tensor(row.tokens[: row.subject + 1])
        inputs = {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device), "use_cache": False}
        calls = record_blocks(self.model, self.layout.block_list(self.model), first, self.last, inputs)
        return _Chunk(
            calls,
            calls.hidden,
            torch.tensor([group for group, _ in rows]),
            torch.tensor([row.subject for _, row in rows], device=device),
        )

    def see(self) -> Seen:
        """Keys of the current layer and outputs of the last one, with the weights as they are now."""
        keys, values, outputs = [], [], []
        norm = self.layout.post_norm(self.model, self.layer)
        modules = {"keys": self.layout.down_module(self.model, self.layer)} | ({"outputs": norm} if norm else {})
        for chunk in self.chunks:
            with torch.no_grad(), inputs_of(modules, stop=False) as seen:
                out = chunk.calls.run(chunk.hidden, self.layer, self.last + 1)
            keys.append(self._last(seen["keys"].reshape(*out.shape[:2], -1), chunk))
            values.append(self._last(out, chunk))
            if norm:
                outputs.append(self._last(seen["outputs"], chunk))
        if norm is None:
            return Seen(self._mean(keys), self._mean(values))
        return Seen(self._mean(keys), self._mean(values), self._mean(outputs), gains(norm, self.chunks[0].hidden))

    def _last(self, states: Tensor, chunk: _Chunk) -> Tensor:
        """States at each row's last token, (rows, features) float64 on the CPU."""
        return states[torch.arange(len(states), device=states.device), chunk.last].to("cpu", torch.float64)

    def _mean(self, parts: list[Tensor]) -> Tensor:
        """Mean over the contexts of each group, (features, groups)."""
        owners = torch.cat([chunk.groups for chunk in self.chunks])
        stacked = torch.cat(parts)
        total = torch.zeros(self.count, stacked.shape[1], dtype=stacked.dtype).index_add(0, owners, stacked)
        return (total / torch.bincount(owners, minlength=self.count)[:, None]).t().contiguous()

    def restart(self) -> None:
        """Go back to the entry of the first block."""
        self.layer = self.first
        for chunk in self.chunks:
            chunk.hidden = chunk.calls.hidden

    def advance(self) -> None:
        """Go up one layer, through the current layer's weights as they are now."""
        with torch.no_grad():
            for chunk in self.chunks:
                chunk.hidden = chunk.calls.run(chunk.hidden, self.layer, self.layer + 1)
        self.layer += 1
