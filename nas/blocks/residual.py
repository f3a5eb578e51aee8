"""`residual` and `residual_bottleneck` (ResNet, He et al. 2016, figure 5), with squeeze-excite (SE-ResNet) if asked.

- residual: kxk to eC, act, kxk to C, plus the shortcut, act
- residual_bottleneck: 1x1 to C/e, act, kxk in `groups`, act, 1x1 to C, plus the shortcut, act

The shortcut is the identity where the shape is kept, else a strided 1x1 with its norm (option B). The bottleneck
strides in its kxk convolution, as torchvision does; more than one group makes it ResNeXt's.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, middle_width, pointwise
from nas.layers import Act, Chain, Conv, SqueezeExcite, chain, residual


def layers(block: Block, place: Place) -> Chain:
    """Return the basic block; `expansion` widens (or narrows) the map between the two convolutions."""
    middle = middle_width(place.out_width, block.expansion)
    branch = chain(
        conv_in=conv_norm(block, Conv(place.in_width, middle, block.kernel, place.stride), act=True),
        conv_out=conv_norm(block, Conv(middle, place.out_width, block.kernel)),
        squeeze_excite=_gate(block, place.out_width),
    )
    return _summed(block, place, branch)


def bottleneck_layers(block: Block, place: Place) -> Chain:
    """Return the bottleneck block; `expansion` divides the output width, 4 in the source."""
    middle = _bottleneck_width(block, place)
    branch = chain(
        reduce=pointwise(block, place.in_width, middle, act=True),
        conv=conv_norm(block, Conv(middle, middle, block.kernel, place.stride, groups=block.groups), act=True),
        expand=pointwise(block, middle, place.out_width),
        squeeze_excite=_gate(block, place.out_width),
    )
    return _summed(block, place, branch)


def _summed(block: Block, place: Place, branch: Chain) -> Chain:
    projection = conv_norm(block, Conv(place.in_width, place.out_width, 1, place.stride))
    return chain(
        sum=residual(branch, None if place.keeps_shape else projection),
        act=Act(block.activation, place.out_width),
    )


def _gate(block: Block, width: int) -> SqueezeExcite | None:
    return SqueezeExcite(width, max(1, round(width * block.se_ratio))) if block.se_ratio else None


def _bottleneck_width(block: Block, place: Place) -> int:
    return middle_width(place.out_width, 1 / block.expansion)


def _groups_fault(block: Block, place: Place) -> str | None:
    middle = _bottleneck_width(block, place)
    return f"`groups` must divide the bottleneck width {middle}, got {block.groups}" if middle % block.groups else None


_GENES = frozenset({"kernel", "expansion", "activation", "norm", "se_ratio"})

FAMILY = Family(layers, _GENES)
BOTTLENECK_FAMILY = Family(bottleneck_layers, _GENES | {"groups"}, fault=_groups_fault)
