"""`conv` and `patch`: single convolutions, which put a stage at its width and stride before its other blocks.

- conv: kxk, norm, act (MobileNetV4's first stages; StarNet's, with `bias` and no activation)
- patch: norm, then the squares of `stride` positions as one (ConvNeXt, EdgeNeXt: 2x2, stride 2), with bias
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm
from nas.layers import Chain, Conv, Norm, chain


def layers(block: Block, place: Place) -> Chain:
    """Return the layers of `conv`."""
    conv = Conv(place.in_width, place.out_width, block.kernel, place.stride, bias=block.bias)
    return conv_norm(block, conv, act=block.activation != "identity")


def patch_layers(block: Block, place: Place) -> Chain:
    """Return the layers of `patch`."""
    return chain(
        norm=Norm(block.norm, place.in_width),
        conv=Conv(place.in_width, place.out_width, place.stride, place.stride, bias=True),
    )


FAMILY = Family(layers, frozenset({"kernel", "activation", "norm", "bias"}))
PATCH_FAMILY = Family(patch_layers, frozenset({"norm"}))
