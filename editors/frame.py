"""All contexts of a few facts as packed sequences, of which only the part that can see an edit is run again.

Tokens before the subject's last one cannot see a change of the hidden state there: their keys and values are computed
once. The hidden states below the edit layer are computed once as well, and only scored positions reach the vocabulary.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor

from editors.layouts import Layout
from editors.rows import Row
from editors.trace import BlockCalls, inputs_of, record_blocks

Output = Literal["matrix", "block"]
"""What a delta is added to. matrix: the output of the edited matrix, which can be given any value. block: the output of
its block, which several layers move together; through a norm after the MLP one layer alone could not move it as far."""


class Frame:
    """A batch of groups; each is one packed sequence of its contexts, none of which can see another.

    The packed sequences are split at the subjects' last tokens: what lies before them is run once and stays as keys and
    values. What follows is run again for every delta. Nothing but the ends of the packed sequences is padding.
    """

    def __init__(
        self,
        model: Any,
        layout: Layout,
        groups: Sequence[Sequence[Row]],
        layer: int,
        output: Output = "matrix",
    ) -> None:
        """Compute the keys and values of the parts before, and the hidden states that leave block `layer`.

        What a delta is added to is `edited`: the MLP's output, or the block's own. Where no norm lies between the MLP
        and the residual stream the two come to the same, and the block's own stands for both.
        """
        self.model, self.layout, self.groups = model, layout, [tuple(rows) for rows in groups]
        self.blocks = layout.block_list(model)
        self.first = layer + 1
        embedding = model.get_input_embeddings().weight
        before = _pack(self.groups, lambda row: range(row.subject), embedding.device)
        after = _pack(self.groups, lambda row: range(row.subject, len(row.tokens)), embedding.device)
        self.cache = self._prefix(before, embedding.dtype) if before[0].shape[1] else None
        self._kept = [(entry.keys, entry.values) for entry in self.cache.layers] if self.cache else []
        both = tuple(torch.cat([one, other], dim=1) for one, other in zip(before, after, strict=True))
        inputs = {"input_ids": after[0], "position_ids": after[2], "use_cache": self.cache is not None}
        inputs |= {"attention_mask": _sights(model, after, both, embedding.dtype), "past_key_values": self.cache}
        self.post = layout.post_norm(model, layer) if output == "matrix" else None
        with inputs_of({0: self.post} if self.post else {}, stop=False) as seen:
            self.calls: BlockCalls = record_blocks(model, self.blocks, self.first, len(self.blocks) - 1, inputs)
        self._rewind()
        self.hidden = self.calls.hidden  # (G, S, d)
        self.edited = seen[0] if self.post else self.hidden
        starts = starts_of(self.groups)
        self.subjects = torch.zeros(*after[0].shape, 1, dtype=self.hidden.dtype, device=self.hidden.device)
        for index, offsets in enumerate(starts):
            self.subjects[index, offsets] = 1

    def _prefix(self, before: tuple[Tensor, ...], dtype: torch.dtype) -> Any:
        """Keys and values of the tokens before the subjects' last ones."""
        from transformers import DynamicCache

        ids, _, positions = before
        cache = DynamicCache()
        with torch.no_grad():
            self.model.base_model(
                input_ids=ids,
                attention_mask=_sights(self.model, before, before, dtype),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        return cache

    def _rewind(self) -> None:
        """Take from the cache what a run appended to it."""
        if self.cache is not None:
            for (keys, values), entry in zip(self._kept, self.cache.layers, strict=False):
                entry.keys, entry.values = keys, values

    def run(self, delta: Tensor) -> Tensor:
        """Hidden states that leave the last block, (G, S, d), with `delta` (G, d) added at each subject."""
        out = self.calls.run(self.hidden + self.subjects * self.change(delta), self.first, len(self.blocks))
        self._rewind()
        return out

    def change(self, delta: Tensor) -> Tensor:
        """Change of the edited block's output, (G, S, d) or (G, 1, d), when `delta` (G, d) is added to `edited`."""
        step = delta.to(self.hidden.dtype)[:, None]
        return step if self.post is None else self.post(self.edited + step) - self.post(self.edited)

    def keep(self, positions: list[int]) -> None:
        """Go on with some of the groups only."""
        index = torch.tensor(positions, device=self.hidden.device)
        self.calls, self.hidden, self.subjects = self.calls.select(index), self.hidden[index], self.subjects[index]
        self.edited = self.edited[index]
        self._kept = [(keys[index], values[index]) for keys, values in self._kept]
        self.groups = [self.groups[position] for position in positions]
        self._rewind()


def _pack(groups: Sequence[Sequence[Row]], part: Callable[[Row], range], device: torch.device) -> tuple[Tensor, ...]:
    """Tokens, context numbers (-1 for padding) and positions, each (G, T), of a part of every row, row after row."""
    packed = [[(row.tokens[i], number, i) for number, row in enumerate(rows) for i in part(row)] for rows in groups]
    longest = max(len(items) for items in packed)
    filled = torch.tensor([items + [(0, -1, 0)] * (longest - len(items)) for items in packed], dtype=torch.long)
    filled = filled.reshape(len(groups), longest, 3).to(device)
    return filled[..., 0], filled[..., 1], filled[..., 2]


def _sights(
    model: Any, queries: tuple[Tensor, ...], keys: tuple[Tensor, ...], dtype: torch.dtype
) -> Tensor | dict[str, Tensor]:
    """The attention mask of every layer, or one for each type of layer where a window cuts a context short in some."""
    wide = _sight(queries, keys, dtype)
    window = getattr(model.config, "sliding_window", None)
    if not window or int(queries[2].max()) < window:
        return wide
    narrow = _sight(queries, keys, dtype, window)
    mixed = getattr(model.config, "layer_types", None) is not None
    return {"full_attention": wide, "sliding_attention": narrow} if mixed else narrow


def _sight(queries: tuple[Tensor, ...], keys: tuple[Tensor, ...], dtype: torch.dtype, window: int = 0) -> Tensor:
    """Additive attention mask (G, 1, queries, keys): tokens see their own context, back over `window`."""
    same = queries[1][:, :, None] == keys[1][:, None, :]
    back = queries[2][:, :, None] - keys[2][:, None, :]
    seen = same & (back >= 0)
    if window:
        seen &= back < window
    blind = torch.full(seen.shape, torch.finfo(dtype).min, dtype=dtype, device=seen.device)
    return torch.where(seen, torch.zeros_like(blind), blind)[:, None]


def starts_of(groups: Sequence[Sequence[Row]]) -> list[list[int]]:
    """Where each row's part from the subject's last token on begins in its packed sequence."""
    return [[0, *accumulate(len(row.tokens) - row.subject for row in rows[:-1])] for rows in groups]


class Scores:
    """The scored positions of a frame, flat, with what is expected there."""

    def __init__(self, frame: Frame) -> None:
        """Index the frame's groups: contexts are numbered through all groups."""
        device = frame.hidden.device
        self.rows = [row for rows in frame.groups for row in rows]
        self.owners = [index for index, rows in enumerate(frame.groups) for _ in rows]
        starts = [start for offsets in starts_of(frame.groups) for start in offsets]
        answers, drift = [], []
        for index, row in enumerate(self.rows):
            places = [starts[index] + scored - row.subject for scored in row.scored]
            if row.kind == "answer":
                own = [True] * row.object_length + [False] * row.ended
                answers += [(index, *item) for item in zip(places, row.gold, own, strict=True)]
            else:
                drift += [(index, place, 0, False) for place in places]
        self.answers = len(answers)
        flat = torch.tensor(answers + drift, dtype=torch.long, device=device).reshape(-1, 4)
        self.own = flat[: self.answers, 3].bool()
        self.row, self.position, self.gold = flat[:, 0], flat[:, 1], flat[: self.answers, 2]
        self.owner = torch.tensor(self.owners, device=device)
        self.is_answer = torch.tensor([row.kind == "answer" for row in self.rows], device=device)
        self.per_row = torch.tensor([max(len(row.gold), 1) for row in self.rows], device=device)

    def log_probabilities(self, frame: Frame, hidden: Tensor) -> Tensor:
        """Log-probabilities (scored positions, vocabulary), at least float32."""
        logits = frame.layout.logits(frame.model, hidden[self.owner[self.row], self.position])
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)

    def row_nll(self, logp: Tensor) -> Tensor:
        """Mean negative log-likelihood per token of each row's object, (rows,); 0 for drift rows."""
        nll = -logp[: self.answers].gather(1, self.gold[:, None])[:, 0]
        total = torch.zeros(len(self.rows), dtype=nll.dtype, device=nll.device)
        return total.index_add(0, self.row[: self.answers], nll) / self.per_row

    def group_mean(self, values: Tensor, among: Tensor, groups: int) -> Tensor:
        """Mean over the rows `among` of each group, (groups,)."""
        weight = among.to(values.dtype)
        total = torch.zeros(groups, dtype=values.dtype, device=values.device)
        count = torch.zeros_like(total).index_add(0, self.owner, weight)
        return total.index_add(0, self.owner, values * weight) / count.clamp(min=1)

    def row_minimum(self, values: Tensor) -> Tensor:
        """Smallest of the answer positions' `values` in each row, (rows,); 1 for drift rows."""
        least = torch.ones(len(self.rows), dtype=values.dtype, device=values.device)
        return least.scatter_reduce(0, self.row[: self.answers], values, "amin")
