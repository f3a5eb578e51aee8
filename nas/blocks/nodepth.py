"""`nodepth` (ours, from the claims of arXiv 2507.15798, whose own layout we could not read).

Depthwise and norm at C, never inside the bottleneck; the nonlinearity acts in the wider of the two spaces, so that
compression is a purely linear map:

- expansion >= 1: 1x1 to eC, act, linear 1x1 to C
- expansion < 1: act at C, linear 1x1 to eC, linear 1x1 to C

With `end_kernel` a second depthwise convolution stands at the other wide end, behind the bottleneck.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, depthwise, middle_width, pointwise, skip_where_kept
from nas.layers import Act, Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    return behind(depthwise(block, place.in_width, place.stride), block, place)


def behind(spatial: Chain, block: Block, place: Place) -> Chain | Parallel:
    """Return the block around its `spatial` convolution, which is followed by the bottleneck."""
    middle = middle_width(place.in_width, block.expansion)
    compresses = block.expansion < 1
    end = Conv(place.out_width, place.out_width, block.end_kernel, groups=place.out_width)
    branch = chain(
        spatial=spatial,
        act=Act(block.activation, place.in_width) if compresses else None,
        mix=pointwise(block, place.in_width, middle, act=not compresses),
        project=pointwise(block, middle, place.out_width),
        depthwise_out=conv_norm(block, end) if block.end_kernel > 1 else None,
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "end_kernel", "expansion", "activation", "norm", "skip"}))
