"""`mobilevit` (Mehta and Rastegari 2022, figure 1), `mobilevitv2` (figure 2): a transformer between convolutions.

- mobilevit: kxk, 1x1 to the transformer's width, `layers` of multi-head attention and MLP among the pixels that stand
  at one place of their 2x2 patches, norm, 1x1 back, joined with the input, kxk
- mobilevitv2: depthwise kxk, 1x1, `layers` of separable attention and MLP, norm, linear 1x1 back

`expansion` is the transformer's width over the block's; its MLP doubles it. Its norm is a layer norm (v2: over the
whole map), the convolutions have the block's. Where the shape changes a strided 3x3 convolution stands in front. An odd
map is stretched to an even one and shrunk back; v2's authors leave it stretched.
"""

from __future__ import annotations

from functools import partial

from nas.attention import LinearAttention, PatchAttention
from nas.blocks.block import (
    Block,
    Family,
    Place,
    attention_heads,
    conv_norm,
    depthwise,
    downsampled,
    middle_width,
    mlp,
    pointwise,
)
from nas.layers import AtMultiple, Chain, Conv, Leaf, Norm, Parallel, chain, residual

PATCH = 2


def layers(block: Block, place: Place) -> Chain:
    """Return the layers of `mobilevit`."""
    return downsampled(block, place, partial(_at_rest, block))


def v2_layers(block: Block, place: Place) -> Chain:
    """Return the layers of `mobilevitv2`."""
    return downsampled(block, place, partial(_v2_at_rest, block))


def _at_rest(block: Block, width: int) -> Chain:
    inner = middle_width(width, block.expansion)
    transformer = _transformer(
        block, inner, PatchAttention(inner, attention_heads(block, (inner,)), PATCH), Norm("layer", inner)
    )
    branch = chain(
        local=conv_norm(block, Conv(width, width, block.kernel), act=True),
        project_in=Conv(width, inner),
        transformer=transformer,
        project_out=pointwise(block, inner, width, act=True),
    )
    return chain(
        joined=Parallel((("input", Chain(())), ("transformer", branch)), combine="concat"),
        fuse=conv_norm(block, Conv(2 * width, width, block.kernel), act=True),
    )


def _v2_at_rest(block: Block, width: int) -> Chain:
    inner = middle_width(width, block.expansion)
    transformer = _transformer(block, inner, LinearAttention(inner, PATCH), Norm("group", inner, most_groups=1))
    return chain(
        local=depthwise(block, width, act=True),
        project_in=Conv(width, inner),
        transformer=transformer,
        project_out=pointwise(block, inner, width),
    )


def _transformer(block: Block, width: int, attention: Leaf, norm: Norm) -> AtMultiple:
    doubled = block.model_copy(update={"expansion": 2.0})
    layer = chain(
        attention=residual(chain(norm=norm, attention=attention)),
        mlp=residual(chain(norm=norm, mlp=mlp(doubled, width))),
    )
    names = (f"layer{i}" for i in range(1, block.layers + 1))
    return AtMultiple(Chain((*((name, layer) for name in names), ("norm", norm))), PATCH)


def _attended(block: Block, place: Place) -> tuple[int, ...]:
    return (middle_width(place.out_width, block.expansion),)


_GENES = frozenset({"kernel", "expansion", "activation", "norm", "layers"})

FAMILY = Family(layers, _GENES | {"heads"}, attended=_attended)
V2_FAMILY = Family(v2_layers, _GENES)
