"""`universal_inverted` (MobileNetV4, Qin et al. 2024, figure 4): depthwise before the expansion, inside, both or none.

[depthwise of `start_kernel`], 1x1 to eC, act, [depthwise of `kernel`, act], linear 1x1 to C; a kernel of 1 leaves the
convolution out. The stride is taken inside, else before, else by the expansion.
"""

from __future__ import annotations

from nas.blocks.block import (
    Block,
    Family,
    Place,
    conv_norm,
    layer_scale,
    middle_width,
    pointwise,
    skip_where_kept,
)
from nas.layers import Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    width, middle = place.in_width, middle_width(place.in_width, block.expansion)
    starts, mixes = block.start_kernel > 1, block.kernel > 1
    start_stride = 1 if mixes else place.stride
    start = Conv(width, width, block.start_kernel, start_stride, groups=width)
    mix = Conv(middle, middle, block.kernel, place.stride, groups=middle)
    expand = Conv(width, middle, stride=1 if starts or mixes else place.stride)
    branch = chain(
        start=conv_norm(block, start) if starts else None,
        expand=conv_norm(block, expand, act=True),
        depthwise=conv_norm(block, mix, act=True) if mixes else None,
        project=pointwise(block, middle, place.out_width),
        layer_scale=layer_scale(block, place.out_width),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"start_kernel", "kernel", "expansion", "activation", "norm", "layer_scale", "skip"}))
