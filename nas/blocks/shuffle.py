"""`shuffle` (ShuffleNetV2 unit, Ma et al. 2018, figure 3): half the channels pass, half are filtered, then shuffled.

Where the shape changes both halves are made from all channels: depthwise and 1x1 on one side, 1x1, depthwise, 1x1 on
the other.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, depthwise, pointwise
from nas.layers import Chain, ChannelShuffle, Narrow, Parallel, chain


def layers(block: Block, place: Place) -> Chain:
    """Return the layers; activations follow the 1x1s only, as in the source."""
    half = place.out_width // 2
    given = half if place.keeps_shape else place.in_width
    filtered = chain(
        narrow=Narrow(half, half) if place.keeps_shape else None,
        reduce=pointwise(block, given, half, act=True),
        depthwise=depthwise(block, half, place.stride),
        expand=pointwise(block, half, half, act=True),
    )
    projected = chain(
        depthwise=depthwise(block, place.in_width, place.stride),
        pointwise=pointwise(block, place.in_width, half, act=True),
    )
    passed = Narrow(0, half) if place.keeps_shape else projected
    return chain(
        halves=Parallel((("passed", passed), ("filtered", filtered)), combine="concat"),
        shuffle=ChannelShuffle(2),
    )


def _fault(block: Block, place: Place) -> str | None:  # noqa: ARG001 - only the width matters
    return f"the width of a shuffle unit must be even, got {place.out_width}" if place.out_width % 2 else None


FAMILY = Family(layers, frozenset({"kernel", "activation", "norm"}), fault=_fault)
