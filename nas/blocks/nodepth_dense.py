"""`nodepth_dense` (ours): `nodepth` with a dense convolution for the depthwise one, the other reading of the name."""

from __future__ import annotations

from nas.blocks import nodepth
from nas.blocks.block import Block, Family, Place, conv_norm
from nas.layers import Chain, Conv, Parallel


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    dense = Conv(place.in_width, place.in_width, block.kernel, place.stride)
    return nodepth.behind(conv_norm(block, dense), block, place)


FAMILY = Family(layers, nodepth.FAMILY.genes)
