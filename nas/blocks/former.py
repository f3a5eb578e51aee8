"""`former` (TinyNeXt, ICCV 2025, figure 4; layout from its repository): single-head attention, local filter, MLP.

Norm, single-head attention; depthwise kxk; norm, MLP: each of the three a residual branch. The source uses kernel 3,
expansion 2, batch norms and gelu. Where the shape changes a strided 3x3 convolution stands in front; the source puts
`inverted` there.
"""

from __future__ import annotations

from functools import partial

from nas.attention import SingleHeadAttention
from nas.blocks.block import Block, Family, Place, downsampled, mlp
from nas.layers import Chain, Conv, Leaf, Norm, chain, residual


def layers(block: Block, place: Place) -> Chain:
    """Return the layers."""
    return downsampled(block, place, partial(_at_rest, block))


def _at_rest(block: Block, width: int) -> Chain:
    return behind(SingleHeadAttention(width), block, width)


def behind(mixer: Leaf | None, block: Block, width: int) -> Chain:
    """Return the block around what mixes first; None leaves that branch out."""
    return chain(
        mixer=residual(chain(norm=Norm(block.norm, width), mixer=mixer)) if mixer else None,
        local=residual(chain(depthwise=Conv(width, width, block.kernel, groups=width))),
        mlp=residual(chain(norm=Norm(block.norm, width), mlp=mlp(block, width))),
    )


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm"}))
