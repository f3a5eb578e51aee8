"""`ghost` (GhostNet, Han et al. 2020, figure 4): 1x1s make half of the channels, cheap 3x3 depthwise ones the rest.

Ghost module to eC with act, [strided depthwise], [squeeze-excite], linear ghost module to C, plus the shortcut: the
identity, or depthwise and 1x1 where the shape changes.
"""

from __future__ import annotations

from nas.blocks.block import (
    Block,
    Family,
    Place,
    conv_norm,
    depthwise,
    middle_width,
    pointwise,
    squeeze_excite,
)
from nas.layers import Chain, Conv, Parallel, chain, residual

CHEAP_KERNEL = 3
SQUEEZE_DIVISOR = 4


def layers(block: Block, place: Place) -> Parallel:
    """Return the layers; the expansion is of the input width, rounded up to an even one."""
    middle = middle_width(place.in_width, block.expansion)
    middle += middle % 2
    branch = chain(
        expand=_ghost(block, place.in_width, middle, act=True),
        depthwise=depthwise(block, middle, place.stride) if place.stride > 1 else None,
        squeeze_excite=squeeze_excite(block, middle, divisor=SQUEEZE_DIVISOR, gate="hardsigmoid"),
        project=_ghost(block, middle, place.out_width, act=False),
    )
    projection = chain(
        depthwise=depthwise(block, place.in_width, place.stride),
        pointwise=pointwise(block, place.in_width, place.out_width),
    )
    return residual(branch, None if place.keeps_shape else projection)


def _ghost(block: Block, in_width: int, out_width: int, *, act: bool) -> Chain:
    half = out_width // 2
    cheap = conv_norm(block, Conv(half, half, CHEAP_KERNEL, groups=half), act=act)
    return chain(
        primary=pointwise(block, in_width, half, act=act),
        ghosts=Parallel((("primary", Chain(())), ("cheap", cheap)), combine="concat"),
    )


def _fault(block: Block, place: Place) -> str | None:  # noqa: ARG001 - only the width matters
    return f"the width of a ghost block must be even, got {place.out_width}" if place.out_width % 2 else None


def _idle(place: Place) -> frozenset[str]:
    return frozenset({"kernel"}) if place.keeps_shape else frozenset()


FAMILY = Family(layers, frozenset({"kernel", "expansion", "activation", "norm", "se_ratio"}), _idle, _fault)
