"""`sandglass` (MobileNeXt, Zhou et al. 2020, figure 3): depthwise, act, 1x1 to C/e, 1x1 to C, act, depthwise.

Where the shape changes the first depthwise convolution has `start_kernel`: the source leaves it out there (1), but for
its first blocks. A `kernel` of 1 leaves out the last one (and, where the shape is kept, both), and the stride is taken
by the 1x1 before it.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, middle_width, pointwise, skip_where_kept
from nas.layers import Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; `expansion` divides the wide ends, so a larger one is a narrower bottleneck."""
    width, out_width = place.in_width, place.out_width
    middle = middle_width(width, 1 / block.expansion)
    start_kernel, ends = block.kernel if place.keeps_shape else block.start_kernel, block.kernel > 1
    start = Conv(width, width, start_kernel, groups=width)
    end = Conv(out_width, out_width, block.kernel, place.stride, groups=out_width)
    branch = chain(
        depthwise_in=conv_norm(block, start, act=True) if start_kernel > 1 else None,
        reduce=pointwise(block, width, middle),
        expand=conv_norm(block, Conv(middle, out_width, stride=1 if ends else place.stride), act=True),
        depthwise_out=conv_norm(block, end) if ends else None,
    )
    return skip_where_kept(block, place, branch)


def _idle(place: Place) -> frozenset[str]:
    return frozenset({"start_kernel" if place.keeps_shape else "skip"})


FAMILY = Family(layers, frozenset({"start_kernel", "kernel", "expansion", "activation", "norm", "skip"}), _idle)
