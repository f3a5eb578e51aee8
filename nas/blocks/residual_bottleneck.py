"""`residual_bottleneck` (ResNet, He et al. 2016, figure 5): 1x1 to C/e, act, kxk, act, 1x1 to C, shortcut, act.

It strides in the kxk convolution, as torchvision does; more than one of its `groups` makes it ResNeXt's.
"""

from __future__ import annotations

from nas.blocks import residual
from nas.blocks.block import Block, Family, Place, conv_norm, middle_width, pointwise
from nas.layers import Chain, Conv, chain


def layers(block: Block, place: Place) -> Chain:
    """Return the layers; `expansion` divides the output width, by 4 in the source."""
    middle = _middle(block, place)
    branch = chain(
        reduce=pointwise(block, place.in_width, middle, act=True),
        conv=conv_norm(block, Conv(middle, middle, block.kernel, place.stride, groups=block.groups), act=True),
        expand=pointwise(block, middle, place.out_width),
        squeeze_excite=residual.gate(block, place.out_width),
    )
    return residual.summed(block, place, branch)


def _middle(block: Block, place: Place) -> int:
    return middle_width(place.out_width, 1 / block.expansion)


def _fault(block: Block, place: Place) -> str | None:
    middle = _middle(block, place)
    return f"`groups` must divide the bottleneck width {middle}, got {block.groups}" if middle % block.groups else None


FAMILY = Family(layers, residual.FAMILY.genes | {"groups"}, fault=_fault)
