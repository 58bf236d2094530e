"""The change of one matrix as thin factors, and how it is added so that every machine gets the same bits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from registry.digests import digest_bytes
from registry.errors import EditError

Rule = Literal["ridge", "sequence", "sum"]
"""How the columns were solved; see the head of `editors.delta`."""

_CHUNK = 1 << 17


@dataclass(frozen=True, eq=False)
class LayerDelta:
    """The change of one matrix.

    Attributes:
        parameter: name of the parameter.
        transposed: whether the parameter is stored as (d_in, d_out).
        left: targets, (d_out, n), float32.
        right: solved keys, (n, d_in), float32.
        gram: G, (n, n), float64; of no rows where `right` is not solved for ("sum").
    """

    parameter: str
    transposed: bool
    left: Tensor
    right: Tensor
    gram: Tensor

    @classmethod
    def solved(
        cls, parameter: str, transposed: bool, rule: Rule, targets: Tensor, basis: Tensor, gram: Tensor
    ) -> "LayerDelta":
        """Solve for the right factor.

        Args:
            parameter: name of the parameter.
            transposed: whether it is stored as (d_in, d_out).
            rule: how the columns depend on each other.
            targets: R, (d_out, n), float64.
            basis: U^T, (n, d_in), float64.
            gram: G, (n, n), float64.
        """
        system = _system(rule, gram)
        if rule == "ridge":
            right = torch.linalg.solve(system, basis)
        else:
            right = torch.linalg.solve_triangular(system, basis, upper=True)
        narrow = [part.to(torch.float32).contiguous() for part in (targets, right)]
        return cls(parameter, transposed, narrow[0], narrow[1], gram.contiguous())

    @classmethod
    def summed(cls, parameter: str, transposed: bool, left: Tensor, right: Tensor) -> "LayerDelta":
        """The sum of terms that do not depend on each other (rule "sum"): left (d_out, n), right (n, d_in)."""
        narrow = [part.detach().to("cpu", torch.float32).contiguous() for part in (left, right)]
        return cls(parameter, transposed, narrow[0], narrow[1], torch.zeros(0, 0, dtype=torch.float64))

    def tensors(self) -> dict[str, Tensor]:
        """The three tensors by name."""
        return {"left": self.left, "right": self.right, "gram": self.gram}

    def basis(self, rule: Rule) -> Tensor:
        """U^T, (n, d_in), float64, from what it was solved to: it needs no room of its own on disk.

        Its relative error is that of `right` in float32, times the condition number of the system, which the metric
        keeps small (about 7 for 23 facts of the reference model).
        """
        return _system(rule, self.gram) @ self.right.to(torch.float64)

    def added_to(self, weight: Tensor) -> Tensor:
        """`weight` (as stored) plus the change, in the weight's dtype; `weight` itself is left alone.

        Raises:
            EditError: shapes do not fit, or the result is not finite.
        """
        new = weight.detach().clone()
        view = new.t() if self.transposed else new
        if view.shape != (self.left.shape[0], self.right.shape[1]):
            raise EditError(
                f"{self.parameter}: expected shape {(self.left.shape[0], self.right.shape[1])}, got {tuple(view.shape)}"
                "; apply the delta to the model that it was fitted on"
            )
        left = self.left.to(weight.device, torch.float64)
        right = self.right.to(weight.device, torch.float64)
        rows = max(1, _CHUNK // view.shape[1])
        for begin in range(0, view.shape[0], rows):
            part = left[begin : begin + rows]
            total = torch.zeros(len(part), view.shape[1], dtype=torch.float64, device=weight.device)
            term = torch.empty_like(total)
            for column in range(part.shape[1]):
                torch.mul(part[:, column, None], right[column], out=term)
                total.add_(term)
            total.add_(view[begin : begin + rows].to(torch.float64))
            view[begin : begin + rows] = total.to(weight.dtype)
        if not bool(torch.isfinite(new).all()):
            raise EditError(
                f"{self.parameter}: the edited weight is not finite; refit with smaller steps or fewer facts"
            )
        return new

    def subset(self, rule: Rule, kept: Sequence[int]) -> "LayerDelta":
        """The solution for some of the columns, with the same targets."""
        index = torch.tensor(kept, dtype=torch.long)
        if rule == "sum":
            return LayerDelta.summed(self.parameter, self.transposed, self.left[:, index], self.right[index])
        return LayerDelta.solved(
            self.parameter,
            self.transposed,
            rule,
            self.left[:, index].to(torch.float64),
            self.basis(rule)[index],
            self.gram[index][:, index],
        )

    def shortened(self, shares: Tensor) -> "LayerDelta":
        """The same keys with every target cut to a share of its length, (n,) float64."""
        left = (self.left.to(torch.float64) * shares).to(torch.float32).contiguous()
        return replace(self, left=left)


def _system(rule: Rule, gram: Tensor) -> Tensor:
    """What the solved keys are multiplied with to give U^T, (n, n)."""
    return torch.eye(len(gram), dtype=gram.dtype) + gram if rule == "ridge" else gram.triu()


def tensor_digest(tensor: Tensor) -> str:
    """Digest of a tensor's dtype, shape and bytes."""
    plain = tensor.detach().to("cpu").contiguous()
    head = f"{plain.dtype}:{tuple(plain.shape)}:".encode()
    return digest_bytes(head + plain.view(-1).view(torch.uint8).numpy().tobytes())
