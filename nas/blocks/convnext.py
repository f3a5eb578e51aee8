"""`convnext` (Liu et al. 2022, figure 4): depthwise, norm, 1x1 to eC, act, 1x1 to C, [layer scale].

Where the shape changes the depthwise convolution carries the stride and the last 1x1 the width; the source puts
`patch` in front instead. All convolutions have biases and the 1x1s no norm, as in the source; EdgeNeXt's convolution
encoder is the same block. The source uses `norm` = layer, kernel 7 and expansion 4.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, layer_scale, middle_width, skip_where_kept
from nas.layers import Act, Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    width, middle = place.in_width, middle_width(place.in_width, block.expansion)
    branch = chain(
        depthwise=conv_norm(block, Conv(width, width, block.kernel, place.stride, groups=width, bias=True)),
        expand=Conv(width, middle, bias=True),
        act=Act(block.activation, middle),
        project=Conv(middle, place.out_width, bias=True),
        layer_scale=layer_scale(block, place.out_width),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "layer_scale", "skip"}))
