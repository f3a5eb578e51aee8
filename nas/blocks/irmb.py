"""`irmb`, `irmb_attention` (EMO, Zhang et al. 2023, section 3.2), `irmb_hybrid` (EMOv2, 2024): attention that widens.

Norm, widening 1x1 with act, depthwise (with batch norm and silu, as in the sources) plus its own input, linear 1x1 to
C, [layer scale]. The widening of `irmb_attention` attends inside windows of far positions, that of `irmb_hybrid` inside
far and near ones. Where the shape changes there is no attention, no skip, and twice the expansion, as in the sources.
"""

from __future__ import annotations

from functools import partial

from nas.attention import WindowAttention
from nas.blocks.block import Block, Family, Place, attention_heads, layer_scale, middle_width, skip_where_kept
from nas.layers import Act, Chain, Conv, Layer, Norm, Parallel, chain, residual


def layers(block: Block, place: Place, partitions: tuple[str, ...] = ()) -> Chain | Parallel:
    """Return the layers; the expansion is of the input width."""
    width, at_rest = place.in_width, place.keeps_shape
    middle = middle_width(width, block.expansion if at_rest else 2 * block.expansion)
    local = chain(
        conv=Conv(middle, middle, block.kernel, place.stride, groups=middle),
        norm=Norm("batch", middle),
        act=Act("silu", middle),
    )
    branch = chain(
        norm=Norm(block.norm, width),
        expand=_expand(block, width, middle, partitions if at_rest else ()),
        local=residual(local) if at_rest and block.skip else local,
        project=Conv(middle, place.out_width),
        layer_scale=layer_scale(block, place.out_width),
    )
    return skip_where_kept(block, place, branch)


def _expand(block: Block, width: int, middle: int, partitions: tuple[str, ...]) -> Layer:
    if not partitions:
        return chain(conv=Conv(width, middle, bias=True), act=Act(block.activation, middle))
    attend_first = len(partitions) == 1
    heads = attention_heads(block, (width,) if attend_first else (width, middle))
    return WindowAttention(width, middle, heads, block.window, partitions, block.activation, attend_first)


def _attended(block: Block, place: Place) -> tuple[int, ...]:  # noqa: ARG001 - EMO mixes before it widens
    return (place.out_width,) if place.keeps_shape else ()


def _hybrid_attended(block: Block, place: Place) -> tuple[int, ...]:
    middle = middle_width(place.out_width, block.expansion)
    return (place.out_width, middle) if place.keeps_shape else ()


def _idle(place: Place) -> frozenset[str]:
    return frozenset() if place.keeps_shape else frozenset({"skip", "heads", "window"})


_GENES = frozenset({"kernel", "expansion", "activation", "norm", "layer_scale", "skip"})
_ATTENTION_GENES = _GENES | {"heads", "window"}

FAMILY = Family(layers, _GENES)
ATTENTION_FAMILY = Family(partial(layers, partitions=("far",)), _ATTENTION_GENES, _idle, attended=_attended)
HYBRID_FAMILY = Family(partial(layers, partitions=("far", "near")), _ATTENTION_GENES, _idle, attended=_hybrid_attended)
