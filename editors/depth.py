"""Which blocks an editor writes to or lies beside, where its config names none."""

import math
from typing import Any

from editors.layouts import layout_of
from editors.norms import gains
from editors.targets import rest_length
from registry.errors import EditError

NEAR = 8
"""One in so many blocks of the depth is how far a layer may be from where depth says."""


def edit_layers(wanted: tuple[int, ...], model: Any, first: float, count: int) -> tuple[int, ...]:
    """The layers to edit: those wanted, or `count` from the share `first` of the depth on; never the last block.

    Raises:
        EditError: a wanted layer does not exist, is the model's last, or they do not rise.
    """
    depth = len(layout_of(model).block_list(model))
    wanted = wanted or by_depth(depth, first, count)
    if not wanted or list(wanted) != sorted(set(wanted)) or wanted[0] < 0 or wanted[-1] > depth - 2:
        raise EditError(f"expected rising layers from 0 to {depth - 2}, got {list(wanted)}; name others in the config")
    return wanted


def one_layer(wanted: tuple[int, ...], model: Any, share: float, name: str) -> int:
    """The one layer to edit, or to lie beside: the one wanted, or that at the share `share` of the depth.

    Raises:
        EditError: more than one is wanted of the editor called `name`, or it does not exist or is the last.
    """
    layers = edit_layers(wanted, model, share, 1)
    if len(layers) != 1:
        raise EditError(f"expected one layer for {name}, got {list(layers)}; name one")
    return layers[0]


def by_depth(depth: int, first: float, count: int) -> tuple[int, ...]:
    """`count` blocks of `depth` from the share `first` on, without the last."""
    last = min(int(depth * first) + count - 1, depth - 2)
    return tuple(range(max(0, last - count + 1), last + 1))


def furthest_reaching(model: Any, layer: int) -> int:
    """The block near `layer` whose MLP can move the residual stream furthest.

    Where a norm with gains g lies between MLP and stream, block l adds a vector of about the length |g_l| whatever its
    weights are, beside what the blocks up to it have added. With massive features left out its reach is
    |g_l| / sqrt(sum of |g_j|^2 over j <= l). Near is an eighth of the depth. Without such norms it is `layer`.
    """
    layout = layout_of(model)
    blocks = layout.block_list(model)
    norms = [layout.post_norm(model, place) for place in range(len(blocks))]
    width = model.get_input_embeddings().weight[:1]
    lengths = [float(rest_length(gains(norm, width))) for norm in norms if norm is not None]
    if not lengths:
        return layer
    reach = [length / math.hypot(*lengths[: place + 1]) for place, length in enumerate(lengths)]
    near = range(max(0, layer - len(blocks) // NEAR), min(layer + len(blocks) // NEAR, len(blocks) - 2) + 1)
    return max(near, key=lambda place: (reach[place], -abs(place - layer)))
