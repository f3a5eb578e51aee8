"""`fused_inverted` (EfficientNetV2, Tan and Le 2021, figure 2): kxk to eC, act, linear 1x1 to C.

At expansion 1 the kxk convolution, with its activation, is the whole branch, as in the source.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, conv_norm, middle_width, pointwise, skip_where_kept
from nas.layers import Chain, Conv, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    middle = middle_width(place.in_width, block.expansion)
    widens = middle != place.in_width
    wide = Conv(place.in_width, middle if widens else place.out_width, block.kernel, place.stride)
    branch = chain(
        expand=conv_norm(block, wide, act=True),
        project=pointwise(block, middle, place.out_width) if widens else None,
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "skip"}))
