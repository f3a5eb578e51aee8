"""`residual` (ResNet basic block, He et al. 2016, figure 2): kxk, act, kxk, plus the shortcut, act.

The shortcut is the identity where the shape is kept, else a strided 1x1 with its norm (option B).
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, middle_width
from nas.layers import Act, Chain, Conv, chain, residual


def layers(block: Block, place: Place) -> Chain:
    """Return the layers; `expansion` widens (or narrows) the map between the two convolutions."""
    middle = middle_width(place.out_width, block.expansion)
    branch = chain(
        conv_in=conv_norm(block, Conv(place.in_width, middle, block.kernel, place.stride), act=True),
        conv_out=conv_norm(block, Conv(middle, place.out_width, block.kernel)),
    )
    projection = conv_norm(block, Conv(place.in_width, place.out_width, 1, place.stride))
    return chain(
        sum=residual(branch, None if place.keeps_shape else projection),
        act=Act(block.activation, place.out_width),
    )


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm"}))
