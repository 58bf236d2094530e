"""Training the network (arXiv 2110.11309, algorithm 1): edits of known facts made false, and facts that are to stay.

    L = L_edit + c_loc L_loc,   L_edit = -log p_edited(object | prompt),
                                L_loc  = KL(p_base(. | other prompt) || p_edited(. | other prompt))

L_edit is taken on the prompt that the gradient was read from and on a phrasing that it was not. The base model stays as
it is, so that what depends on it alone is computed once: the hidden states below the first edited block. A step draws
how many edits are on at once, so that the network learns edits that get along (the authors fix one number).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from editors.delta import parameters_digest
from editors.layouts import Layout, layout_of
from editors.mend.config import TrainConfig
from editors.mend.data import TrainingSet
from editors.mend.network import KINDS, MendNetwork, Site, base_mark, factors, sites_of
from editors.mend.solve import initial
from editors.mend.tail import Tail, Terms
from editors.rows import Row, answer_row, request_rows
from editors.trace import evaluating
from registry.errors import InputError
from registry.progress import track
from registry.records import EditRequest

CALIBRATION = 64
"""Edits from which the normalisation and the first rates are measured."""

WARM_SHARE, LAST_SHARE = 0.05, 0.05
"""The step rises over this share of the steps, and falls to this share of itself."""


@dataclass(frozen=True)
class Batch:
    """One training step's data, which depends on the base model alone.

    Attributes:
        terms: every edit's gradient.
        asked: rows whose objects the edits are to bring about.
        others: rows on which the model is to stay as it is.
        entries: hidden states of `asked` and `others`.
        base: log-probabilities of the base model at the others' scored positions.
    """

    terms: tuple[Mapping[Site, Terms], ...]
    asked: tuple[Row, ...]
    others: tuple[Row, ...]
    entries: tuple[Tensor, ...]
    base: Tensor


class Trainer:
    """Draws batches and scores a network on them."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        layout: Layout,
        layers: tuple[int, ...],
        data: TrainingSet,
        config: TrainConfig,
    ) -> None:
        """Look up what is to be edited."""
        self.tokenizer, self.data, self.config = tokenizer, data, config
        self.layers = layers
        self.sites = sites_of(layout, layers)
        self.tail = Tail(model, layout, self.sites)
        self._entries: dict[Row, Tensor] = {}
        self._near: dict[str, list[EditRequest]] = {}
        for request in data.others:
            self._near.setdefault(request.fact.relation, []).append(request)

    def entries(self, rows: Sequence[Row]) -> list[Tensor]:
        """Hidden states that enter the first edited block, each computed once."""
        new = list(dict.fromkeys(row for row in rows if row not in self._entries))
        self._entries.update(zip(new, self.tail.enter(new), strict=True))
        return [self._entries[row] for row in rows]

    def draw(self, choice: random.Random) -> Batch:
        """A step's edits and other facts."""
        size = choice.randint(1, self.config.edits)
        edits = list({(r.fact.subject, r.fact.relation): r for r in choice.choices(self.data.edits, k=size)}.values())
        drawn = [self._split(request, choice) for request in edits]
        others = tuple(self._others(edits, choice))
        asked = tuple(row for _, wanted in drawn for row in wanted)
        self.entries([row for read, _ in drawn for row in read] + [*asked, *others])
        terms = tuple(self.terms([read for read, _ in drawn]))
        with torch.no_grad():
            base = self.tail.log_probabilities(self.tail.run(self.entries(others)), others)
        return Batch(terms, asked, others, tuple(self.entries([*asked, *others])), base)

    def terms(self, groups: Sequence[Sequence[Row]]) -> list[dict[Site, Terms]]:
        """The gradient of each edit."""
        entries = self.entries([row for rows in groups for row in rows])
        return self.tail.gradients(groups, entries, first_token=self.config.first_token)[0]

    def _split(self, request: EditRequest, choice: random.Random) -> tuple[list[Row], list[Row]]:
        """The rows that an edit reads, and those that it is asked on: its prompt and an unread phrasing."""
        config = self.config
        rows = request_rows(
            self.tokenizer,
            request,
            prefixes=config.prefixes,
            paraphrases=len(request.paraphrases),
            seed=config.seed,
        )
        first, more = rows[: 1 + config.prefixes], rows[1 + config.prefixes :]
        choice.shuffle(more)
        count = choice.randint(0, max(0, min(config.paraphrases, len(more) - 1)))
        return first + more[:count], [rows[0], *more[count : count + 1]]

    def _others(self, edits: Sequence[EditRequest], choice: random.Random) -> list[Row]:
        """Rows of other subjects, half of them of the edits' own relations."""
        taken = {request.fact.subject for request in edits}
        found: list[Row] = []
        for index in range(self.config.others):
            near = self._near.get(choice.choice(edits).fact.relation, []) if index % 2 else self.data.others
            free = [request for request in near if request.fact.subject not in taken]
            if free:
                request = choice.choice(free)
                found.append(answer_row(self.tokenizer, request, request.prompt))
        if not found:
            raise InputError(
                "facts of other subjects than the edits'", "none", "bring more facts or fewer edits a step"
            )
        return found

    def changes(self, tensors: Mapping[str, Tensor], terms: Sequence[Mapping[Site, Terms]]) -> dict[Site, Any]:
        """The factors of all edits together, for each matrix."""
        found: dict[Site, Any] = {}
        for site in self.sites:
            position = self.layers.index(site.layer)
            parts = [factors(tensors, position, site.kind, one[site].inputs, one[site].deltas) for one in terms]
            found[site] = torch.cat([left for left, _ in parts], dim=1), torch.cat([right for _, right in parts])
        return found

    def losses(self, tensors: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """L_edit and L_loc of a network's tensors."""
        rows = [*batch.asked, *batch.others]
        with self.tail.edited(self.changes(tensors, batch.terms)):
            logp = self.tail.log_probabilities(self.tail.run(batch.entries), rows)
        positions = sum(len(row.scored) for row in batch.asked)
        kl = (batch.base.exp() * (batch.base - logp[positions:])).sum(-1).mean()
        return self.tail.nll(logp[:positions], batch.asked), kl

    def start(self, choice: random.Random) -> dict[str, Tensor]:
        """The network that is the identity, with rates that change each matrix by `start` of its norm."""
        config = self.config
        edits = choice.sample(self.data.edits, min(CALIBRATION, len(self.data.edits)))
        read = [self._split(request, choice)[0] for request in edits]
        terms = self.terms(read)
        generator = torch.Generator().manual_seed(config.seed)
        tensors: dict[str, Tensor] = {}
        for kind in KINDS:
            own = [site for site in self.sites if site.kind == kind]
            both = [torch.cat([torch.cat([t[s].inputs, t[s].deltas], dim=1) for t in terms]).cpu() for s in own]
            numbers = initial(both, config.rank, generator)
            tensors |= {f"{kind}.{name}": value for name, value in numbers.items()}
        tensors["log_rate"] = torch.tensor([self._rate(site, terms) for site in self.sites]).log()
        return tensors

    def _rate(self, site: Site, terms: Sequence[Mapping[Site, Terms]]) -> float:
        """The rate with which the median edit is a step of `start` times the matrix's norm."""
        sizes = []
        for one in (term[site] for term in terms):
            cross = (one.inputs @ one.inputs.t()) * (one.deltas @ one.deltas.t())
            sizes.append(float(cross.sum().clamp(min=0).sqrt()))
        whole = float(self.tail.model.get_parameter(site.parameter).float().norm())
        return self.config.start * whole / max(sorted(sizes)[len(sizes) // 2], 1e-12)


def train(
    model: Any, tokenizer: Any, data: TrainingSet, config: TrainConfig | None = None, *, source: str = ""
) -> MendNetwork:
    """Train a network for `model`, which comes out as it went in.

    Args:
        model: a Hugging Face causal LM.
        tokenizer: its fast tokenizer.
        data: edits to train on; nothing that the network will be scored on may be in it.
        config: numbers.
        source: what the data are, in words.

    Raises:
        ModelError: the model's family has no layout.
        InputError: layers that the model does not have.
    """
    config = config or TrainConfig()
    layout = layout_of(model)
    depth = len(layout.block_list(model))
    layers = config.layers or tuple(range(max(0, depth - config.spread), depth))
    if list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < depth:
        raise InputError(f"rising layers from 0 to {depth - 1}", str(list(layers)), "name others in the config")
    choice = random.Random(config.seed)
    history: list[list[float]] = []
    with evaluating(model), track("training steps", config.steps) as advance:
        trainer = Trainer(model, tokenizer, layout, layers, data, config)
        tensors = trainer.start(choice)
        device = model.get_input_embeddings().weight.device
        tensors = {name: value.to(device).requires_grad_(_learned(name)) for name, value in tensors.items()}
        optimiser = _optimiser(tensors, config)
        plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, config.steps))
        for _ in range(config.steps):
            edit, local = trainer.losses(tensors, trainer.draw(choice))
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(edit + config.locality * local)
            torch.nn.utils.clip_grad_norm_(
                [p for group in optimiser.param_groups for p in group["params"]], config.clip
            )
            optimiser.step()
            plan.step()
            history.append([float(edit.detach()), float(local.detach())])
            advance(1)
    return MendNetwork(
        layers=layers,
        first_token=config.first_token,
        tensors={name: value.detach().cpu().float() for name, value in tensors.items()} | {"mark": base_mark(model)},
        notes={
            "config": asdict(config) | {"layers": list(layers)},
            "base_digest": parameters_digest(model, [site.parameter for site in trainer.sites]),
            "data_digest": data.digest,
            "edits": len(data.edits),
            "others": len(data.others),
            "left_out": list(data.left_out),
            "source": source,
            "losses": _means(history),
        },
    )


def _learned(name: str) -> bool:
    """Whether a tensor is trained: all but the normalisation."""
    return not name.endswith((".mean", ".std"))


def _optimiser(tensors: Mapping[str, Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    """Adam, with a step of its own for the rates."""
    network = [value for name, value in tensors.items() if _learned(name) and name != "log_rate"]
    groups = [{"params": network, "lr": config.lr}, {"params": [tensors["log_rate"]], "lr": config.rate_lr}]
    return torch.optim.Adam(groups)


def _share(step: int, steps: int) -> float:
    """Share of the full step: a short rise, then a cosine down."""
    warm = max(1.0, WARM_SHARE * steps)
    fall = (1 + math.cos(math.pi * min(1.0, step / max(1, steps)))) / 2
    return min(1.0, (step + 1) / warm) * (LAST_SHARE + (1 - LAST_SHARE) * fall)


def _means(history: Sequence[Sequence[float]], parts: int = 10) -> list[list[float]]:
    """Mean L_edit and L_loc over each tenth of the training."""
    size = max(1, len(history) // parts)
    blocks = [history[begin : begin + size] for begin in range(0, len(history), size)]
    return [[round(sum(column) / len(block), 4) for column in zip(*block, strict=True)] for block in blocks]
