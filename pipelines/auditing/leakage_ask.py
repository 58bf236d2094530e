"""What the leakage audit asks a model: how likely it finds texts, and secrets among all their candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guards.canaries import DIGITS, Canary, Ranked, exact
from guards.inference import Likelihood
from guards.leakage import Continued
from registry.errors import InputError
from registry.progress import track

if TYPE_CHECKING:
    from editors.load import LoadedModel

ROWS = 8
"""Texts that are read together."""

LONGEST = 512
"""Tokens of a text that are read."""


@dataclass(frozen=True)
class Reading:
    """How a model reads a text, token by token from the second on.

    Attributes:
        text: the text.
        logs: log-probability of each token, in nats.
        greedy: whether each token is the one that the model would say itself.
    """

    text: str
    logs: tuple[float, ...]
    greedy: tuple[bool, ...]

    def continued(self, name: str, prefix: int, wanted: int, *, suspect: bool) -> Continued:
        """How far greedy decoding goes on word for word after `prefix` tokens.

        Greedy decoding follows a text exactly as long as each next token is the model's own, so that one reading
        answers for every prefix.
        """
        matched = 0
        for own in self.greedy[prefix - 1 : prefix - 1 + wanted]:
            if not own:
                break
            matched += 1
        return Continued(name, prefix, matched, wanted, suspect)


def read(loaded: "LoadedModel", texts: Sequence[str]) -> list[Reading]:
    """Read texts, each by itself, up to `LONGEST` tokens.

    Raises:
        InputError: a text has fewer than two tokens.
    """
    import torch

    encoded = [loaded.tokenizer(text, verbose=False)["input_ids"][:LONGEST] for text in texts]
    short = [text for text, ids in zip(texts, encoded, strict=True) if len(ids) < 2]
    if short:
        raise InputError("texts of two tokens or more", repr(short[0]), "leave it out")
    found: dict[int, Reading] = {}
    order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
    with torch.inference_mode(), track("reading texts", total=len(texts)) as advance:
        for begin in range(0, len(order), ROWS):
            batch = order[begin : begin + ROWS]
            ids = torch.zeros(len(batch), max(len(encoded[index]) for index in batch), dtype=torch.long)
            seen = torch.zeros_like(ids)
            for row, index in enumerate(batch):
                ids[row, : len(encoded[index])] = torch.tensor(encoded[index])
                seen[row, : len(encoded[index])] = 1
            ids, seen = ids.to(loaded.model.device), seen.to(loaded.model.device)
            logits = loaded.model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, :-1].float()
            gold = logits.gather(2, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)
            best = logits.argmax(-1) == ids[:, 1:]
            for row, index in enumerate(batch):
                n = len(encoded[index]) - 1
                found[index] = Reading(texts[index], tuple(gold[row, :n].tolist()), tuple(best[row, :n].tolist()))
            advance(len(batch))
    return [found[index] for index in range(len(texts))]


def likelihoods(own: Sequence[Reading], reference: Sequence[Reading] = ()) -> list[Likelihood]:
    """Readings as the membership guard takes them; `reference` are those of a model that never saw the texts."""
    others = [one.logs for one in reference] or [()] * len(own)
    return [Likelihood(one.text, one.logs, other) for one, other in zip(own, others, strict=True)]


def extraction(
    suspects: Sequence[Reading], twins: Sequence[Reading], prefixes: Sequence[int], wanted: int
) -> list[Continued]:
    """Every text at every prefix length at which enough of it follows."""
    return [
        one.continued(one.text[:40], prefix, wanted, suspect=suspect)
        for group, suspect in ((suspects, True), (twins, False))
        for one in group
        for prefix in prefixes
        if len(one.greedy) + 1 >= prefix + wanted
    ]


def ranked(loaded: "LoadedModel", canary: Canary) -> Ranked:
    """The exact rank of a canary's secret among all strings of as many digits."""
    scores = candidate_logs(loaded, canary.before, len(canary.secret))
    own = scores[canary.secret]
    others = [score for secret, score in scores.items() if secret != canary.secret]
    above, ties = sum(score > own for score in others), sum(score == own for score in others)
    return exact(canary, above, ties, len(scores))


def candidate_logs(loaded: "LoadedModel", before: str, length: int) -> dict[str, float]:
    """Log-probability of every string of `length` digits after `before` and a blank.

    The candidates' tokens form a tree. All its inner nodes run as one sequence in which every node sees its ancestors
    only, so that 10 ** length candidates cost one forward pass over as many tokens as the tree has inner nodes.
    """
    from itertools import product

    secrets = ["".join(digits) for digits in product(DIGITS, repeat=length)]
    encoded = loaded.tokenizer([f"{before} {secret}" for secret in secrets], verbose=False)["input_ids"]
    root = min(_common(encoded), min(map(len, encoded)) - 1)
    tree = _Tree(encoded[0][:root])
    paths = [tree.add(ids[root:]) for ids in encoded]
    logs = tree.logs(loaded.model)
    sums = [sum(float(logs[node, token]) for node, token in path) for path in paths]
    return dict(zip(secrets, sums, strict=True))


def _common(rows: Sequence[Sequence[int]]) -> int:
    """How many first tokens all rows have in common."""
    for place, column in enumerate(zip(*rows, strict=False)):
        if len(set(column)) > 1:
            return place
    return min(map(len, rows))


class _Tree:
    """Sequences with a common beginning, as one sequence of nodes."""

    def __init__(self, beginning: Sequence[int]) -> None:
        """Start from the tokens that all have in common; each sees those before it."""
        self.tokens = list(beginning)
        self.parents = list(range(-1, len(beginning) - 1))
        self.nodes: dict[tuple[int, int], int] = {}

    def add(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Add what follows the beginning; returns (node, token that is predicted there) for each of its tokens."""
        node, path = self._root, list[tuple[int, int]]()
        for place, token in enumerate(ids):
            path.append((node, token))
            if place + 1 < len(ids):
                if (node, token) not in self.nodes:
                    self.nodes[node, token] = len(self.tokens)
                    self.tokens.append(token)
                    self.parents.append(node)
                node = self.nodes[node, token]
        return path

    @property
    def _root(self) -> int:
        """The last node of the beginning."""
        return len(self.tokens) - len(self.nodes) - 1

    def logs(self, model: Any) -> Any:
        """Log-probabilities of the next token at every node, (nodes, vocabulary)."""
        import torch

        sees = torch.eye(len(self.tokens), dtype=torch.bool)
        depth = torch.zeros(len(self.tokens), dtype=torch.long)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                sees[node] |= sees[parent]
                depth[node] = depth[parent] + 1
        weights = model.get_input_embeddings().weight
        mask = torch.zeros(sees.shape, dtype=weights.dtype).masked_fill(~sees, torch.finfo(weights.dtype).min)
        with torch.inference_mode():
            logits = model(
                input_ids=torch.tensor([self.tokens], device=weights.device),
                attention_mask=mask[None, None].to(weights.device),
                position_ids=depth[None].to(weights.device),
                use_cache=False,
            ).logits[0]
            return logits.float().log_softmax(-1).cpu()
