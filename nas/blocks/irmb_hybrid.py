"""`irmb_hybrid` (EMOv2, Zhang et al. 2024): `irmb` that attends inside windows of far and of near positions, summed.

The weights mix the widened map. Where the shape changes it is `irmb`, as in the source.
"""

from __future__ import annotations

from nas.attention import WindowAttention
from nas.blocks import irmb
from nas.blocks.block import Block, Family, Place, attention_heads
from nas.layers import Chain, Parallel

PARTITIONS = ("far", "near")


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    if not place.keeps_shape:
        return irmb.layers(block, place)
    width, heads = place.in_width, attention_heads(block, _attended(block, place))
    wide = irmb.wide_width(block, place)
    attention = WindowAttention(width, wide, heads, block.window, PARTITIONS, block.activation, attend_first=False)
    return irmb.behind(attention, block, place)


def _attended(block: Block, place: Place) -> tuple[int, ...]:
    return (place.out_width, irmb.wide_width(block, place)) if place.keeps_shape else ()


FAMILY = Family(layers, irmb.FAMILY.genes | {"heads", "window"}, irmb.idle, attended=_attended)
