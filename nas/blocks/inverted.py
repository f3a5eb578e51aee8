"""`inverted` (MobileNetV2, Sandler et al. 2018, section 3.3; V3, Howard et al. 2019, figure 4, with squeeze-excite).

1x1 to eC, act, depthwise, act, [squeeze-excite], linear 1x1. At expansion 1 the first 1x1 is left out, as in the
source.
"""

from __future__ import annotations

from nas.blocks.block import (
    Block,
    Family,
    Place,
    depthwise,
    middle_width,
    pointwise,
    skip_where_kept,
    squeeze_excite,
)
from nas.layers import Chain, Parallel, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    middle = middle_width(place.in_width, block.expansion)
    branch = chain(
        expand=pointwise(block, place.in_width, middle, act=True) if middle != place.in_width else None,
        depthwise=depthwise(block, middle, place.stride, act=True),
        squeeze_excite=squeeze_excite(block, middle, gate="hardsigmoid"),
        project=pointwise(block, middle, place.out_width),
    )
    return skip_where_kept(block, place, branch)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "se_ratio", "skip"}))
