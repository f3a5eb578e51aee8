"""`irmb_attention` (EMO, Zhang et al. 2023, section 3.2): `irmb` that attends inside windows of far positions.

The weights mix the map before it is widened. Where the shape changes it is `irmb`, as in the source.
"""

from __future__ import annotations

from nas.attention import WindowAttention
from nas.blocks import irmb
from nas.blocks.block import Block, Family, Place, attention_heads
from nas.layers import Chain, Parallel


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    if not place.keeps_shape:
        return irmb.layers(block, place)
    width, heads = place.in_width, attention_heads(block, _attended(block, place))
    wide = irmb.wide_width(block, place)
    attention = WindowAttention(width, wide, heads, block.window, ("far",), block.activation, attend_first=True)
    return irmb.behind(attention, block, place)


def _attended(block: Block, place: Place) -> tuple[int, ...]:  # noqa: ARG001 - it mixes before it widens
    return (place.out_width,) if place.keeps_shape else ()


FAMILY = Family(layers, irmb.FAMILY.genes | {"heads", "window"}, irmb.idle, attended=_attended)
