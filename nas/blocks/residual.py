"""`residual` (ResNet basic block, He et al. 2016, figure 5): kxk to eC, act, kxk to C, plus the shortcut, act.

Squeeze-excite before the sum makes it SE-ResNet's. The shortcut is the identity where the shape is kept, else a strided
1x1 with its norm (option B).
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, middle_width
from nas.layers import Act, Chain, Conv, SqueezeExcite, chain, residual


def layers(block: Block, place: Place) -> Chain:
    """Return the layers; `expansion` widens (or narrows) the map between the two convolutions."""
    middle = middle_width(place.out_width, block.expansion)
    branch = chain(
        conv_in=conv_norm(block, Conv(place.in_width, middle, block.kernel, place.stride), act=True),
        conv_out=conv_norm(block, Conv(middle, place.out_width, block.kernel)),
        squeeze_excite=gate(block, place.out_width),
    )
    return summed(block, place, branch)


def summed(block: Block, place: Place, branch: Chain) -> Chain:
    """Return the branch plus the shortcut of its place, then the activation."""
    projection = conv_norm(block, Conv(place.in_width, place.out_width, 1, place.stride))
    return chain(
        sum=residual(branch, None if place.keeps_shape else projection),
        act=Act(block.activation, place.out_width),
    )


def gate(block: Block, width: int) -> SqueezeExcite | None:
    """Return the gate of SE-ResNet; None at a ratio of 0."""
    return SqueezeExcite(width, max(1, round(width * block.se_ratio))) if block.se_ratio else None


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "se_ratio"}))
