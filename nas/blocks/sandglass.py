"""`sandglass` (MobileNeXt, Zhou et al. 2020, figure 3): depthwise, act, 1x1 to C/e, 1x1 to C, act, depthwise."""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, depthwise, middle_width, pointwise, skip_where_kept
from nas.layers import Chain, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; `expansion` divides the wide ends, so a larger one is a narrower bottleneck."""
    middle = middle_width(place.in_width, 1 / block.expansion)
    branch = chain(
        depthwise_in=depthwise(block, place.in_width, act=True),
        reduce=pointwise(block, place.in_width, middle),
        expand=pointwise(block, middle, place.out_width, act=True),
        depthwise_out=depthwise(block, place.out_width, place.stride),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "skip"}))
