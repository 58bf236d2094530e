"""What each edit of a delta takes from answers that the model gave before.

The margin of an answer, in nats, is the least lead of its tokens: the logit of the token less the highest of any other.
What ends its last word has a lead as well: the highest logit of a token that does not go on with the word, less that of
one that does ("N2" is another answer than "N"). Below 0 something else is said. A column of a delta adds
left_j (right_j . k_t) to the output y_t of its matrix for the key k_t of token t, so that leaving it out changes a
margin m, to first order, by

    -sum over edited matrices and tokens of (dm/dy_t . left_j) (right_j . k_t)

One forward pass, and one backward pass down to the lowest edited matrix, give it for all columns at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from editors.delta import WeightDelta
from editors.layouts import Layout, layout_of
from editors.pieces import Pieces
from editors.trace import evaluating

ROWS = 16
"""Answers that are looked at together."""
_READ: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()
"""By tokenizer, which of its tokens go on with a word; to read a vocabulary takes as long as some answers."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Margins with a delta on, and what its columns take from them.

    Attributes:
        margins: of every answer, (answers,) float64, nats.
        returned: how much of the margin comes back when a column is left out, (answers, columns) float64, nats.
    """

    margins: Tensor
    returned: Tensor


def attribute(model: Any, tokenizer: Any, delta: WeightDelta, answers: Sequence[tuple[str, str]]) -> Attribution:
    """The margin of every answer, and what each column of the delta takes from it.

    Args:
        model: with the delta on; comes out as it went in.
        tokenizer: its tokenizer.
        delta: whose columns are weighed.
        answers: prompts, each with the answer that was given before the edit; a space comes between them.
    """
    rows = [_tokens(tokenizer, prompt, said) for prompt, said in answers]
    margins = torch.zeros(len(rows), dtype=torch.float64)
    returned = torch.zeros(len(rows), len(delta.columns), dtype=torch.float64)
    order = sorted((len(ids), place) for place, (ids, _) in enumerate(rows))
    layout, going_on = layout_of(model), _going_on(tokenizer).to(model.device)
    with torch.enable_grad(), evaluating(model):
        for begin in range(0, len(order), ROWS):
            places = [place for _, place in order[begin : begin + ROWS]]
            batch = [rows[place] for place in places]
            with _watched(model, delta) as seen:
                found = _margins(model, layout, batch, going_on)
                outputs = [seen[name][1] for name in delta.parameters]
                slopes = torch.autograd.grad(found.sum(), outputs)
            margins[places] = found.detach().double().cpu()
            keys = [seen[name][0] for name in delta.parameters]
            returned[places] = _returned(delta, keys, slopes)
    return Attribution(margins, returned)


def _tokens(tokenizer: Any, prompt: str, said: str) -> tuple[list[int], int]:
    """Token ids of a prompt with its answer, and how many of them are the prompt's."""
    given = len(tokenizer(prompt, verbose=False)["input_ids"])
    ids: list[int] = tokenizer(f"{prompt} {said.strip()}", verbose=False)["input_ids"]
    return ids, min(given, len(ids) - 1)


def _going_on(tokenizer: Any) -> Tensor:
    """Which tokens go on with the word before them, (tokens,) bool."""
    found = _READ.get(tokenizer)
    if found is None:
        found = _READ[tokenizer] = Pieces.of(tokenizer).going_on()
    return found


@contextmanager
def _watched(model: Any, delta: WeightDelta) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Input and output of every edited matrix in the forward pass inside the block; gradients reach the outputs."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def hook_of(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            output = output if output.requires_grad else output.requires_grad_()
            seen[name] = (args[0].detach(), output)
            return output

        return hook

    with ExitStack() as stack:
        for name in delta.parameters:
            module = model.get_submodule(name.removesuffix(".weight"))
            stack.callback(module.register_forward_hook(hook_of(name)).remove)
        yield seen


def _margins(model: Any, layout: Layout, batch: Sequence[tuple[list[int], int]], going_on: Tensor) -> Tensor:
    """Margins of the rows of a batch, (rows,), padded on the right; only what is scored reaches the vocabulary."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in batch], device=model.device)
    lengths = torch.tensor([len(row) for row, _ in batch], device=model.device)[:, None]
    mask = (torch.arange(longest, device=model.device)[None] < lengths).long()
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    scored = [(row, place) for row, (known, given) in enumerate(batch) for place in range(given, len(known) + 1)]
    owners, places = (torch.tensor(part, device=model.device) for part in zip(*scored, strict=True))
    logits = layout.project(model, hidden[owners, places - 1])  # (scored, vocabulary)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    end = places == lengths[owners, 0]  # of the answer: any token will do that does not go on with its last word
    right = end[:, None].repeat(1, logits.shape[1])
    right[:, : len(going_on)] &= ~going_on[: logits.shape[1]]
    right[~end, ids[owners[~end], places[~end]]] = True
    leads = logits.masked_fill(~right, -torch.inf).amax(dim=1) - logits.masked_fill(right, -torch.inf).amax(dim=1)
    counts = [len(known) - given + 1 for known, given in batch]
    return torch.stack([part.amin() for part in leads.split_with_sizes(counts)])


def _returned(delta: WeightDelta, keys: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """What comes back without each column, (rows, columns), from the keys and slopes of every matrix, (rows, T, d)."""
    total = torch.zeros(len(keys[0]), len(delta.columns), dtype=torch.float64)
    for layer, key, slope in zip(delta.layers, keys, slopes, strict=True):
        added = key.double().cpu() @ layer.right.double().t()  # (rows, T, columns)
        towards = slope.double().cpu() @ layer.left.double()
        total -= (added * towards).sum(dim=1)
    return total
