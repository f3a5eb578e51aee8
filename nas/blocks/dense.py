"""`dense` (DenseNet-BC layer, Huang et al. 2017, section 3): what the layers before gave, and some channels more.

Norm, act, 1x1 to e times the growth, norm, act, kxk to the growth, concatenated with the input.

The blocks of a stage share its widening, so the growth of a layer is what its place asks for. Where the map does not
grow, or shrinks, the block is the source's transition: norm, act, 1x1, [mean over 2x2]. The source uses e = 4.
"""

from __future__ import annotations

from nas.blocks.block import Block, Family, Place, middle_width
from nas.layers import Act, Chain, Conv, Norm, Parallel, Pool, chain


def layers(block: Block, place: Place) -> Chain | Parallel:
    """Return the dense layer, or the transition where the width does not grow or the place strides."""
    if not _grows(place):
        return _transition(block, place)
    growth = place.out_width - place.in_width
    middle = middle_width(growth, block.expansion)
    branch = chain(
        norm_in=Norm(block.norm, place.in_width),
        act_in=Act(block.activation, place.in_width),
        reduce=Conv(place.in_width, middle),
        norm=Norm(block.norm, middle),
        act=Act(block.activation, middle),
        conv=Conv(middle, growth, block.kernel),
    )
    return Parallel((("input", Chain(())), ("grown", branch)), combine="concat")


def _grows(place: Place) -> bool:
    return place.stride == 1 and place.out_width > place.in_width


def _idle(place: Place) -> frozenset[str]:
    return frozenset() if _grows(place) else frozenset({"kernel", "expansion"})


def _transition(block: Block, place: Place) -> Chain:
    return chain(
        norm=Norm(block.norm, place.in_width),
        act=Act(block.activation, place.in_width),
        conv=Conv(place.in_width, place.out_width),
        pool=Pool("mean", place.stride, place.stride) if place.stride > 1 else None,
    )


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm"}), _idle, grows=True)
