"""`mobilevitv2` (Mehta and Rastegari 2022, Separable Self-attention, figure 4): a transformer of linear cost.

Depthwise kxk, 1x1 to the transformer's width, `layers` of separable attention and MLP, norm, linear 1x1 back. Genes are
those of `mobilevit`, without heads; the transformer's norm is over its whole map. An odd map is shrunk back to the side
it had; the source leaves it stretched.
"""

from __future__ import annotations

from functools import partial

from nas.attention import LinearAttention
from nas.blocks import mobilevit
from nas.blocks.block import Block, Family, Place, depthwise, downsampled, middle_width, pointwise
from nas.layers import Chain, Conv, Norm, chain


def layers(block: Block, place: Place) -> Chain:
    """Return the layers."""
    return downsampled(block, place, partial(_at_rest, block))


def _at_rest(block: Block, width: int) -> Chain:
    inner = middle_width(width, block.expansion)
    attention, norm = LinearAttention(inner, mobilevit.PATCH), Norm("group", inner, most_groups=1)
    return chain(
        local=depthwise(block, width, act=True),
        project_in=Conv(width, inner),
        transformer=mobilevit.transformer(block, inner, attention, norm),
        project_out=pointwise(block, inner, width),
    )


FAMILY = Family(layers, mobilevit.FAMILY.genes - {"heads"})
