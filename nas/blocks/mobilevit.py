"""`mobilevit` (Mehta and Rastegari 2022, figure 1): a transformer between convolutions.

kxk, 1x1 to the transformer's width, `layers` of multi-head attention and MLP among the pixels that stand at one place
of their 2x2 patches, norm, 1x1 back, joined with the input, kxk. `expansion` is the transformer's width over the
block's; its MLP doubles it. Its norm is a layer norm, the convolutions have the block's. Where the shape changes a
strided 3x3 convolution stands in front. An odd map is stretched to an even one and shrunk back.
"""

from __future__ import annotations

from functools import partial

from nas.attention import PatchAttention
from nas.blocks.block import (
    Block,
    Family,
    Place,
    attention_heads,
    conv_norm,
    downsampled,
    middle_width,
    mlp,
    pointwise,
)
from nas.layers import AtMultiple, Chain, Conv, Leaf, Norm, Parallel, chain, residual

PATCH = 2


def layers(block: Block, place: Place) -> Chain:
    """Return the layers."""
    return downsampled(block, place, partial(_at_rest, block))


def _at_rest(block: Block, width: int) -> Chain:
    inner = middle_width(width, block.expansion)
    attention = PatchAttention(inner, attention_heads(block, (inner,)), PATCH)
    branch = chain(
        local=conv_norm(block, Conv(width, width, block.kernel), act=True),
        project_in=Conv(width, inner),
        transformer=transformer(block, inner, attention, Norm("layer", inner)),
        project_out=pointwise(block, inner, width, act=True),
    )
    return chain(
        joined=Parallel((("input", Chain(())), ("transformer", branch)), combine="concat"),
        fuse=conv_norm(block, Conv(2 * width, width, block.kernel), act=True),
    )


def transformer(block: Block, width: int, attention: Leaf, norm: Norm) -> AtMultiple:
    """Return the layers of a transformer of `width`, on a map of even sides, and the norm behind them."""
    doubled = block.model_copy(update={"expansion": 2.0})
    layer = chain(
        attention=residual(chain(norm=norm, attention=attention)),
        mlp=residual(chain(norm=norm, mlp=mlp(doubled, width))),
    )
    names = (f"layer{i}" for i in range(1, block.layers + 1))
    return AtMultiple(Chain((*((name, layer) for name in names), ("norm", norm))), PATCH)


def _attended(block: Block, place: Place) -> tuple[int, ...]:
    return (middle_width(place.out_width, block.expansion),)


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "layers", "heads"}), attended=_attended)
