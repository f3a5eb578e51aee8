"""How the tables of papers become stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from nas.architecture import Stage
from nas.blocks import Block
from nas.blocks.block import divisible

Stride = Literal[1, 2]
Row = tuple[int, Stride, Block]
"""The width that a block gives, its stride, and its genes."""


def stage(width: int, stride: Stride, depth: int, block: Block, *, first: Block | None = None) -> Stage:
    """Return a stage of `depth` equal blocks, behind `first` where that is given."""
    return Stage(width=width, stride=stride, blocks=(*([first] if first else ()), *(block,) * depth))


def stages(rows: Iterable[Row]) -> tuple[Stage, ...]:
    """Return the rows as stages: a row that strides or changes the width begins a new one."""
    found: list[Stage] = []
    for width, stride, block in rows:
        if found and stride == 1 and found[-1].width == width:
            found[-1] = found[-1].model_copy(update={"blocks": (*found[-1].blocks, block)})
        else:
            found.append(stage(width, stride, 1, block))
    return tuple(found)


def rounded(in_width: int, expansion: float) -> float:
    """Return the expansion of `in_width` whose hidden width is a multiple of 8, as in MobileNetV3 and V4."""
    return divisible(in_width * expansion) / in_width
