"""`patch`: norm, then each square of positions as one (ConvNeXt, EdgeNeXt: 2x2, stride 2), with bias.

It puts a stage at its width and stride before its other blocks.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place
from nas.layers import Chain, Conv, Norm, chain


def layers(block: Block, place: Place) -> Chain:
    """Return the layers: squares as large as the stride."""
    return chain(
        norm=Norm(block.norm, place.in_width),
        conv=Conv(place.in_width, place.out_width, place.stride, place.stride, bias=True),
    )


FAMILY = Family(layers, frozenset({"norm"}))
