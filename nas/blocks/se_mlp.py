"""`se_mlp` (TinyNeXt, ICCV 2025, figure 4; layout from its repository): squeeze-excite, local filter, MLP.

As `former`, with a gate that has a norm inside for the attention. The source uses an se_ratio of 1/4; at 0 the gate is
left out.
"""

from __future__ import annotations

from functools import partial

from nas.blocks import former
from nas.blocks.block import Block, Family, Place, downsampled
from nas.layers import Chain, SqueezeExcite

SMALLEST_SQUEEZE = 8


def layers(block: Block, place: Place) -> Chain:
    """Return the layers."""
    return downsampled(block, place, partial(_at_rest, block))


def _at_rest(block: Block, width: int) -> Chain:
    squeeze = max(SMALLEST_SQUEEZE, int(width * block.se_ratio))
    gate = SqueezeExcite(width, squeeze, "hardsigmoid", norm="batch") if block.se_ratio else None
    return former.behind(gate, block, width)


FAMILY = Family(layers, former.FAMILY.genes | {"se_ratio"})
