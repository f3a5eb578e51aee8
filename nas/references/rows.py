"""The tables of papers as stages: rows of one block each, put together where the map keeps its shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from nas.architecture import Stage
from nas.blocks import Block
from nas.blocks.block import divisible

Stride = Literal[1, 2]
Row = tuple[int, Stride, Block]
"""The width that a block gives, its stride, and its genes."""


def repeated(width: int, stride: Stride, block: Block, depth: int) -> list[Row]:
    """Return `depth` rows of a block, the first of which strides."""
    return [(width, stride, block), *[(width, 1, block)] * (depth - 1)]


def stages(rows: Iterable[Row]) -> tuple[Stage, ...]:
    """Return the rows as stages: one that strides or changes the width begins a new one."""
    found: list[Stage] = []
    for width, stride, block in rows:
        if found and stride == 1 and found[-1].width == width:
            found[-1] = found[-1].model_copy(update={"blocks": (*found[-1].blocks, block)})
        else:
            found.append(Stage(width=width, stride=stride, blocks=(block,)))
    return tuple(found)


def rounded(in_width: int, expansion: float, divisor: int = 8) -> float:
    """Return the expansion of `in_width` whose hidden width is a multiple of `divisor`, as MobileNetV3 and on have it."""
    return divisible(in_width * expansion, divisor) / in_width
