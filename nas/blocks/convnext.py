"""`convnext` (Liu et al. 2022, figure 4): depthwise, norm, 1x1 to eC, act, 1x1 to C.

Where the shape changes the depthwise convolution carries the stride and the last 1x1 the width, in place of the
source's separate downsampling layers. The 1x1s have biases and no norm of their own, as in the source.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, depthwise, middle_width, skip_where_kept
from nas.layers import Act, Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the source uses `norm` = layer and kernel 7, here both are genes."""
    middle = middle_width(place.in_width, block.expansion)
    branch = chain(
        depthwise=depthwise(block, place.in_width, place.stride),
        expand=Conv(place.in_width, middle, bias=True),
        act=Act(block.activation, middle),
        project=Conv(middle, place.out_width, bias=True),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "skip"}))
