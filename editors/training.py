"""What the training editors (SVFit, SST, LoRA) share: the matrices they train, their data, and the optimiser's loop.

Training runs on a twin: the model's modules copied, its tensors shared. What is swapped, wrapped or frozen there never
reaches the model itself, whatever happens. Steps are relative: a unit step of Adam at learning rate `lr` changes a
matrix by `lr` of its Frobenius norm, so that one number serves matrices, models and methods of any size.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from editors.anchors import Anchors, drift
from editors.layouts import Layout, layout_of
from editors.rows import Row
from editors.scores import answer_scores, sureness
from editors.turns import Turns
from editors.windows import TextLoss, chunked_loss, plain_loss
from registry.errors import EditError
from registry.progress import track
from registry.ranges import Amount, Count, Positive, Share, Some

FINAL_SHARE = 0.1
"""Where the cosine schedule ends, as a share of `lr`."""
SURE = 0.9
"""A context whose least sure token is so sure has next to nothing to add to a step."""
ROUNDS = 4
"""After so many turns of each, all contexts are asked, those that sit out too."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the training editors train.

    Attributes:
        steps: most steps of Adam; facts alone stop sooner, when each is sure in all its contexts.
        lr: length of a step relative to the trained matrix; falls along a cosine to a tenth.
        warmup: steps of linear warm-up, at the start and after the optimiser's moments were forgotten.
        batch: windows of text, and contexts of facts, that one step sees.
        length: tokens in a window of text.
        chunk: tokens of a window that are differentiated at a time (`editors.streaming`: the same gradients in less
            memory); 0 takes a window whole.
        stop_probability: a fact has converged when each token of its object is the most likely one, with at least this
            probability, in every context.
        end_probability: and the full stop after the object has at least this probability, times `stop_probability`.
        prefixes: natural beginnings put before the prompt, each a context.
        paraphrases: most paraphrases of the request used as contexts.
        anchors: sentences about others in which the model is held to what it said (`editors.anchors`) while facts are
            trained, at most; 0 for none.
        hold: what their divergence counts, against 1 for the facts' loss.
        seed: decides the order of the data, the natural beginnings, the anchors and what a method draws.
    """

    steps: Some = 200
    lr: Positive = 0.003
    warmup: Count = 5
    batch: Some = 16
    length: Some = 128
    chunk: Count = 0
    stop_probability: Share = 0.6
    end_probability: Share = 0.2
    prefixes: Count = 1
    paraphrases: Count = 6
    anchors: Count = 400
    hold: Amount = 10.0
    seed: int = 0


@dataclass(frozen=True)
class Matrix:
    """A linear projection inside a block.

    Attributes:
        module: its path.
        transposed: whether its weight is stored as (d_in, d_out).
    """

    module: str
    transposed: bool

    @property
    def parameter(self) -> str:
        """Name of its weight."""
        return f"{self.module}.weight"

    def weight(self, model: Any) -> Tensor:
        """Its weight as a (d_out, d_in) view, whatever its storage."""
        weight: Tensor = model.get_parameter(self.parameter).detach()
        return weight.t() if self.transposed else weight


class Trainee(Protocol):
    """What a method trains on a twin."""

    def scaled(self) -> Sequence[tuple[Tensor, float]]:
        """The trained tensors, each with the size of one element's step at learning rate 1."""
        ...

    def begin(self, step: int) -> bool:
        """Called before step `step`; True makes the optimiser forget its moments."""
        ...

    def end(self) -> None:
        """Called after each step, to bring the tensors back to where they may be."""
        ...


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Attributes:
        rows: contexts of facts.
        windows: packed text, (N, T) token ids; N may be 0.
        anchors: what is held beside the facts.
    """

    rows: tuple[Row, ...]
    windows: Tensor
    anchors: Anchors = field(default_factory=Anchors)


@dataclass(frozen=True)
class Outcome:
    """How training went.

    Attributes:
        steps: steps taken.
        finite: whether all losses and all trained tensors stayed finite.
        text_losses: mean negative log-likelihood per token of each step's windows, before the step.
    """

    steps: int
    finite: bool
    text_losses: tuple[float, ...]


def projections(model: Any, layout: Layout, layers: Sequence[int] = ()) -> tuple[Matrix, ...]:
    """All linear projections of attention and MLP in some blocks; no layers means all of them.

    Raises:
        EditError: a layer does not exist.
    """
    depth = len(layout.block_list(model))
    if any(not 0 <= layer < depth for layer in layers):
        raise EditError(f"expected layers from 0 to {depth - 1}, got {list(layers)}; name others in the config")
    found = []
    for layer in sorted(set(layers)) or range(depth):
        begin = f"{layout.blocks}.{layer}"
        for name, module in model.get_submodule(begin).named_modules():
            if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
                found.append(Matrix(f"{begin}.{name}", not isinstance(module, nn.Linear)))
    return tuple(found)


def check_finite(model: Any, matrices: Sequence[Matrix]) -> None:
    """Refuse a damaged model.

    Raises:
        EditError: names the first matrix that holds NaN or infinity.
    """
    for matrix in matrices:
        if not bool(torch.isfinite(matrix.weight(model)).all()):
            raise EditError(f"{matrix.parameter}: expected finite weights, got NaN or infinity; load the model anew")


def twin(model: Any, *, train: bool = False) -> Any:
    """A model of its own modules that shares `model`'s tensors, in evaluation mode, with nothing to be trained.

    Change its weights by setting `.data`, never in place. A twin to train computes in float32 where the model's own
    precision would lose small gradients (float16) or be emulated (bfloat16 on a CPU).
    """
    memo: dict[int, Any] = {}
    for tensor in model.parameters():
        half = tensor.dtype == torch.float16 or (tensor.dtype == torch.bfloat16 and tensor.device.type == "cpu")
        data = tensor.detach().to(torch.float32) if train and half else tensor.detach()
        memo[id(tensor)] = nn.Parameter(data, requires_grad=False)
    return copy.deepcopy(model, memo).eval()


def converged(least: float, config: TrainingConfig) -> bool:
    """Whether a fact whose least sure token is sure to `least` needs no further step."""
    return least > 0 and least >= config.stop_probability


def rate(step: int, since: int, config: TrainingConfig) -> float:
    """The learning rate's share at `step`, `since` steps after the moments were last forgotten."""
    warm = min(1.0, (since + 1) / (config.warmup + 1))
    cosine = (1 + math.cos(math.pi * step / max(config.steps, 1))) / 2
    return warm * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)


class _Lesson:
    """The contexts of the facts, of which those that are `SURE` sit out until all are asked again.

    All are asked after `ROUNDS` times the steps in which each has its turn, and before the facts count as converged.
    Beside text none sits out, since training goes on to its last step.
    """

    def __init__(self, model: Any, layout: Layout, data: Data, config: TrainingConfig) -> None:
        """The facts' contexts in `data`, which `model` is to learn."""
        self._model, self._layout, self._config, self._rows = model, layout, config, data.rows
        self._turns = Turns(len(data.rows), config.batch, config.seed)
        self._alone = not len(data.windows)
        self._sure, self._enough = [0.0] * len(data.rows), max(SURE, config.stop_probability)
        self._steps, self._again = 0, ROUNDS * math.ceil(len(data.rows) / config.batch)

    def loss(self) -> Tensor | None:
        """Loss of one step, a mean in which contexts that sit out count 0; None when every fact has converged."""
        self._steps += 1
        if self._alone and not self._steps % self._again and self._all_sure():
            return None
        losses = self._score()
        if self._alone and converged(min(self._sure), self._config):
            if self._all_sure():
                return None
            losses = self._score()
        return losses.sum() / min(self._config.batch, len(self._rows))

    def _score(self) -> Tensor:
        """Losses of the contexts whose turn it is."""
        staying = {index for index, sure in enumerate(self._sure) if sure < self._enough}
        chosen = self._turns.next(staying if self._alone else None)
        rows = [self._rows[index] for index in chosen]
        losses, least = answer_scores(self._model, self._layout, rows, self._config.end_probability)
        for index, value in zip(chosen, least.tolist(), strict=True):
            self._sure[index] = value
        return losses

    def _all_sure(self) -> bool:
        """Ask every context with the weights as they are."""
        self._sure = sureness(self._model, self._layout, self._rows, self._config.end_probability)
        return converged(min(self._sure), self._config)


def train(
    model: Any, trainee: Trainee, data: Data, config: TrainingConfig, text_loss: TextLoss | None = None
) -> Outcome:
    """Train a twin; it is the trainee's tensors that change.

    Args:
        model: the twin.
        trainee: what is trained.
        data: what on; with both facts and text a step's loss is the sum of both means.
        config: see `TrainingConfig`.
        text_loss: how the loss of text is computed; None goes by `config.chunk`.
    """
    text_loss = text_loss or (chunked_loss(config.chunk) if config.chunk else plain_loss)
    parameters = [tensor for tensor, _ in trainee.scaled()]
    adam = torch.optim.Adam([{"params": [tensor], "size": size} for tensor, size in trainee.scaled()], eps=1e-12)
    texts, anchors = (Turns(len(items), config.batch, config.seed) for items in (data.windows, data.anchors))
    device, layout = model.get_input_embeddings().weight.device, layout_of(model)
    lesson = _Lesson(model, layout, data, config)
    losses: list[float] = []
    done = since = 0
    with track("training", config.steps) as advance, torch.enable_grad():
        for step in range(config.steps):
            if trainee.begin(step):
                adam.state.clear()
                since = 0
            adam.zero_grad()
            finite = True
            if len(data.windows):
                loss = text_loss(model, data.windows[texts.next()].to(device), parameters)
                losses.append(float(loss.detach()))
                loss.backward()  # type: ignore[no-untyped-call]
                finite = math.isfinite(losses[-1])
            if data.rows:
                told = lesson.loss()
                if told is None:
                    break
                finite = finite and bool(torch.isfinite(told))
                told.backward()  # type: ignore[no-untyped-call]
            if len(data.anchors):
                moved = config.hold * drift(model, layout, data.anchors, anchors.next())
                finite = finite and bool(torch.isfinite(moved))
                moved.backward()  # type: ignore[no-untyped-call]
            if not finite:
                return Outcome(step, False, tuple(losses))
            for group in adam.param_groups:
                group["lr"] = config.lr * group["size"] * rate(step, since, config)
            adam.step()
            trainee.end()
            done, since = step + 1, since + 1
            advance(1)
    return Outcome(done, all(bool(torch.isfinite(tensor).all()) for tensor in parameters), tuple(losses))
