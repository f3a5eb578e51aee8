"""`separable` (MobileNetV1, Howard et al. 2017, table 1): depthwise, act, 1x1, act. No bottleneck."""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, depthwise, pointwise, skip_where_kept
from nas.layers import Chain, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the original has no skip, the gene adds one where the shape is kept."""
    branch = chain(
        depthwise=depthwise(block, place.in_width, place.stride, act=True),
        pointwise=pointwise(block, place.in_width, place.out_width, act=True),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "activation", "norm", "skip"}))
