"""`former` and `se_mlp` (TinyNeXt, ICCV 2025, figure 4; layouts from its repository): a mixer, a local filter, an MLP.

- former: norm, single-head attention; depthwise kxk; norm, MLP
- se_mlp: norm, squeeze-excite with a norm inside; depthwise kxk; norm, MLP

Each of the three is a residual branch. The source uses kernel 3, expansion 2, batch norms, gelu, and se_ratio 1/4; at
0 the gate is left out. Where the shape changes a strided 3x3 convolution stands in front; the source puts `inverted`
there.
"""

from __future__ import annotations

from functools import partial

from nas.attention import SingleHeadAttention
from nas.blocks.block import Block, Family, Place, downsampled, mlp
from nas.layers import Chain, Conv, Leaf, Norm, SqueezeExcite, chain, residual

SMALLEST_SQUEEZE = 8


def layers(block: Block, place: Place) -> Chain:
    """Return the layers of `former`."""
    return downsampled(block, place, lambda width: _at_rest(block, width, SingleHeadAttention(width)))


def se_mlp_layers(block: Block, place: Place) -> Chain:
    """Return the layers of `se_mlp`."""
    return downsampled(block, place, partial(_se_mlp_at_rest, block))


def _se_mlp_at_rest(block: Block, width: int) -> Chain:
    squeeze = max(SMALLEST_SQUEEZE, int(width * block.se_ratio))
    gate = SqueezeExcite(width, squeeze, "hardsigmoid", norm="batch") if block.se_ratio else None
    return _at_rest(block, width, gate)


def _at_rest(block: Block, width: int, mixer: Leaf | None) -> Chain:
    return chain(
        mixer=residual(chain(norm=Norm(block.norm, width), mixer=mixer)) if mixer else None,
        local=residual(chain(depthwise=Conv(width, width, block.kernel, groups=width))),
        mlp=residual(chain(norm=Norm(block.norm, width), mlp=mlp(block, width))),
    )


_GENES = frozenset({"kernel", "expansion", "activation", "norm"})

FAMILY = Family(layers, _GENES)
SE_MLP_FAMILY = Family(se_mlp_layers, _GENES | {"se_ratio"})
