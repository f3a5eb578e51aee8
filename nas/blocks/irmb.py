"""`irmb` (EMO, Zhang et al. 2023, section 3.2): the inverted residual mobile block, where it does not attend.

Norm, widening 1x1 with act, depthwise (with batch norm and silu, as in the source) plus its own input, linear 1x1 to C,
[layer scale: EMOv2]. Where the shape changes there is no skip, and twice the expansion, as in the source.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, layer_scale, middle_width, skip_where_kept
from nas.layers import Act, Chain, Conv, Layer, Norm, Parallel, chain, residual


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    width, wide = place.in_width, wide_width(block, place)
    return behind(chain(conv=Conv(width, wide, bias=True), act=Act(block.activation, wide)), block, place)


def wide_width(block: Block, place: Place) -> int:
    """Return the width that the block widens to."""
    return middle_width(place.in_width, block.expansion if place.keeps_shape else 2 * block.expansion)


def behind(expand: Layer, block: Block, place: Place) -> Chain | Parallel:
    """Return the block around what widens it."""
    wide = wide_width(block, place)
    local = chain(
        conv=Conv(wide, wide, block.kernel, place.stride, groups=wide),
        norm=Norm("batch", wide),
        act=Act("silu", wide),
    )
    branch = chain(
        norm=Norm(block.norm, place.in_width),
        expand=expand,
        local=residual(local) if place.keeps_shape and block.skip else local,
        project=Conv(wide, place.out_width),
        layer_scale=layer_scale(block, place.out_width),
    )
    return skip_where_kept(block, place, branch)


def idle(place: Place) -> frozenset[str]:
    """Return the genes that do not matter at `place`: nothing attends where the shape changes."""
    return frozenset() if place.keeps_shape else frozenset({"skip", "heads", "window"})


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "layer_scale", "skip"}))
