"""`star` (StarNet, Ma et al. 2024, figure 3): depthwise, (1x1 to eC, act) * (1x1 to eC), 1x1 to C, depthwise.

All convolutions have biases and the last depthwise no norm, as in the source, which uses kernel 7 and puts `conv` in
front where the shape changes; here the first depthwise carries the stride and the last 1x1 the width.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, middle_width, skip_where_kept
from nas.layers import Act, Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    width, out_width = place.in_width, place.out_width
    middle = middle_width(width, block.expansion)
    gate = chain(conv=Conv(width, middle, bias=True), act=Act(block.activation, middle))
    value = chain(conv=Conv(width, middle, bias=True))
    branch = chain(
        depthwise_in=conv_norm(block, Conv(width, width, block.kernel, place.stride, groups=width, bias=True)),
        star=Parallel((("gate", gate), ("value", value)), combine="multiply"),
        project=conv_norm(block, Conv(middle, out_width, bias=True)),
        depthwise_out=Conv(out_width, out_width, block.kernel, groups=out_width, bias=True),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "skip"}))
