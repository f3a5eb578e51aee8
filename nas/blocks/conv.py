"""`conv`: a convolution with norm and activation (MobileNetV4's first stages).

With `bias` and the activation `identity` it is what StarNet puts in front of a stage.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm
from nas.layers import Chain, Conv


def layers(block: Block, place: Place) -> Chain:
    """Return the layers."""
    conv = Conv(place.in_width, place.out_width, block.kernel, place.stride, bias=block.bias)
    return conv_norm(block, conv, act=block.activation != "identity")


FAMILY = Family(layers, frozenset({"kernel", "activation", "norm", "bias"}))
