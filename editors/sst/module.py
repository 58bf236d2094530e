"""A linear projection as its singular value decomposition, trained sparsely."""

import torch
from torch import Tensor, nn

from editors.sst.solve import SpectralProduct, composed, decomposed, draw


class SpectralLinear(nn.Module):
    """y = U diag(S) V^T x + bias; stands in for a projection, of which only the bias is used.

    Attributes:
        left: U, (d_out, k) float32.
        right: V, (d_in, k) float32.
        values: S, (k,) float32; trained.
        u: the drawn columns of U, (d_out, r); trained.
        v: the drawn columns of V, (d_in, r); trained.
        some: which were drawn, (r,).
        length: Frobenius norm of the matrix at the start.
        weight: the projection's own, kept for those who look for it; it is not read.
    """

    left: Tensor
    right: Tensor
    some: Tensor

    def __init__(
        self, parts: tuple[Tensor, Tensor, Tensor], base: nn.Module, rank: int, generator: torch.Generator
    ) -> None:
        """Start from a decomposition.

        Args:
            parts: U, S and V.
            base: the projection.
            rank: vectors to train at a time.
            generator: what the drawing takes its chances from.
        """
        super().__init__()
        left, values, right = (part.clone() for part in parts)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        self.weight, self.bias = base.weight, getattr(base, "bias", None)
        self.rank, self.generator = min(rank, len(values)), generator
        self.length = float(values.norm())
        self.values = nn.Parameter(values)
        self.u = nn.Parameter(left[:, : self.rank].clone())
        self.v = nn.Parameter(right[:, : self.rank].clone())
        self.register_buffer("some", torch.arange(self.rank, device=left.device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Project inputs (..., d_in) to (..., d_out)."""
        wide = x.to(self.left.dtype)
        out: Tensor = SpectralProduct.apply(  # type: ignore[no-untyped-call]
            wide, self.left, self.values, self.right, self.some, self.u, self.v
        )
        out = out if self.bias is None else out + self.bias
        found: Tensor = out.to(x.dtype)
        return found

    @torch.no_grad()
    def redraw(self) -> None:
        """Choose which vectors are trained next."""
        self.some.copy_(draw(self.values, self.rank, self.generator))
        self.u.copy_(self.left[:, self.some])
        self.v.copy_(self.right[:, self.some])

    @torch.no_grad()
    def settle(self) -> None:
        """After a step: no singular value below 0, every vector of length 1, the trained ones in their places."""
        self.values.clamp_(min=0)
        for trained, whole in ((self.u, self.left), (self.v, self.right)):
            trained.div_(trained.norm(dim=0, keepdim=True).clamp(min=1e-12))
            whole[:, self.some] = trained

    @torch.no_grad()
    def decompose_again(self) -> None:
        """Make the vectors orthogonal anew: the decomposition of the product as it is."""
        left, values, right = decomposed(self.product())
        self.left.copy_(left)
        self.values.copy_(values)
        self.right.copy_(right)

    @torch.no_grad()
    def product(self) -> Tensor:
        """U diag(S) V^T, (d_out, d_in) float64."""
        return composed(self.left, self.values, self.right)
