"""`sdta` (EdgeNeXt, Maaz et al. 2022, figure 2): split depthwise filters, attention among channels, MLP.

Slices of the channels are filtered one after the other, [positions are encoded], transposed attention with its own
residual branch, then norm and MLP, all in one residual branch. The source uses `norm` = layer, expansion 4 and a layer
scale of 1e-6. Where the shape changes a strided 3x3 convolution stands in front; the source puts `patch` there.
"""

from __future__ import annotations

from functools import partial

from nas.attention import PositionalEncoding, SplitDepthwise, TransposedAttention
from nas.blocks.block import Block, Family, Place, attention_heads, downsampled, layer_scale, mlp
from nas.layers import Chain, Norm, Parallel, chain, residual


def layers(block: Block, place: Place) -> Chain:
    """Return the layers."""
    return downsampled(block, place, partial(_at_rest, block))


def _at_rest(block: Block, width: int) -> Parallel:
    attention = chain(
        norm=Norm(block.norm, width),
        attention=TransposedAttention(width, attention_heads(block, (width,))),
        layer_scale=layer_scale(block, width),
    )
    branch = chain(
        split=SplitDepthwise(width, block.splits, block.kernel),
        position=PositionalEncoding(width) if block.position else None,
        attention=residual(attention),
        norm=Norm(block.norm, width),
        mlp=mlp(block, width),
        layer_scale=layer_scale(block, width),
    )
    return residual(branch)


def _attended(block: Block, place: Place) -> tuple[int, ...]:  # noqa: ARG001
    return (place.out_width,)


def _fault(block: Block, place: Place) -> str | None:
    width, splits = place.out_width, block.splits
    leaves_none = -(-width // splits) * (splits - 1) >= width
    return f"`splits` leaves no channels of width {width} for the last slice, got {splits}" if leaves_none else None


FAMILY = Family(
    layers,
    frozenset({"kernel", "expansion", "activation", "norm", "layer_scale", "heads", "splits", "position"}),
    fault=_fault,
    attended=_attended,
)
