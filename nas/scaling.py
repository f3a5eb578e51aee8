"""How a network is scaled into a cap: the member of its family, wider or deeper, that fills the cap best.

- width: every width times one factor, rounded to multiples of 8, or of 4, 2, 1 where those leave too much unused
- depth: the repeated blocks of every stage times one factor
- both: depth by about the square root of cap over parameters, then width into what is left

What one factor leaves unused goes to single stages, a step each, the last ones first, unless the step would turn the
order of two neighbours round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count, groupby, pairwise, product
from typing import Literal

from nas.architecture import Architecture, Stage, Task, block_fault
from nas.blocks import Block, Place, family
from nas.budget import Budget, cost
from nas.errors import CapError

By = Literal["width", "depth", "both"]
Sizes = tuple[int, ...]

ENOUGH = 0.99
"""Share of the cap at which finer steps are not tried."""

DEPTH_POWERS = (1 / 2, 1 / 4, 3 / 4)
"""Of cap over parameters, for the depth when width follows: the first whose widths can fill the cap."""

UNITS = (8, 4, 2, 1)
BISECTIONS = 14
"""Halvings of the range of a factor: the last one is finer than a channel of a wide layer."""

_DIVIDERS = {"heads": 1, "groups": 1, "splits": 2}
"""Genes that must suit a width, with their least values."""


@dataclass(frozen=True)
class _Axis:
    """What can grow: the given sizes, those at a factor (0: the smallest), their network, and what steps together."""

    given: Sizes
    sizes: Callable[[float], Sizes]
    build: Callable[[Sizes], Architecture]
    together: list[list[int]]
    step: int = 1


def scale(architecture: Architecture, task: Task, budget: Budget, by: By = "both") -> Architecture:
    """Return the member of the architecture's family that fills the caps best when built for `task`.

    One that fills the cap on parameters already is returned as it is. Blocks are coarse: by depth alone, more than
    1 % of the cap may stay unused. CapError when even the smallest member does not fit.
    """
    cap = budget.params
    if cap is None:
        raise CapError("cap: scaling needs a cap on params, got none")

    def used(member: Architecture) -> float:
        """Return the share of the cap that `member` uses, 0 when it exceeds any."""
        counted = cost(member, task)
        return 0.0 if budget.violations(counted) else counted.params / cap

    best = architecture
    axes = list(_axes(architecture, cap / cost(architecture, task).params, by))
    for axis in axes:
        if used(best) < ENOUGH:
            best = max(best, _grown(axis, used), key=used)
    if not used(best):
        smallest = cost(axes[-1].build(axes[-1].sizes(0)), task)
        raise CapError(f"cap: scaled by {by}, even the smallest member fails: {budget.violations(smallest)[0]}")
    return best


def _axes(architecture: Architecture, ratio: float, by: By) -> Iterator[_Axis]:
    """Yield what to grow, until the cap is filled."""
    if by == "depth":
        each = [[i] for i in range(len(architecture.stages))]
        yield _Axis(_depths(architecture, 1), partial(_depths, architecture), partial(_deepened, architecture), each)
    elif by == "width":
        yield from _width_axes(architecture)
    else:
        for power in DEPTH_POWERS:
            yield from _width_axes(_deepened(architecture, _depths(architecture, ratio**power)))


def _grown(axis: _Axis, used: Callable[[Architecture], float]) -> Architecture:
    """Return the member of the largest factor that fits, then of single steps; the smallest when nothing fits."""
    low, high = 0.0, 1.0
    while used(axis.build(axis.sizes(high))):  # ends: parameters grow with the factor
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if used(axis.build(axis.sizes(middle))) else (low, middle)
    sizes = axis.sizes(low)
    best = axis.build(sizes)
    for together in reversed(axis.together):
        wider = tuple(size + axis.step * (i in together) for i, size in enumerate(sizes))
        if _keeps_order(axis.given, wider) and used(candidate := axis.build(wider)) > used(best):
            sizes, best = wider, candidate
    return best


def _keeps_order(given: Sizes, sizes: Sizes) -> bool:
    """Return whether no two neighbours have changed places by size; a size of 0 is not there."""
    pairs = pairwise([pair for pair in zip(given, sizes, strict=True) if pair[0]])
    return all((before - next_before) * (now - next_now) >= 0 for (before, now), (next_before, next_now) in pairs)


def _width_axes(architecture: Architecture) -> list[_Axis]:
    """Return the widths in multiples of each unit at which every block can stand; equal neighbours step together."""
    given = _widths(architecture)
    least = max(map(_least_width, architecture.stages))
    inner = range(len(given))
    together = [list(run) for width, run in groupby(inner, key=given.__getitem__) if width]
    return [
        _Axis(given, partial(_times, given, unit=unit), partial(_rewidened, architecture), together, unit)
        for unit in UNITS
        if unit >= least
    ]


def _times(widths: Sizes, factor: float, *, unit: int) -> Sizes:
    """Return the widths times `factor` in multiples of `unit`; a width of 0 is a layer that is not there."""
    return tuple(max(unit, round(width * factor / unit) * unit) if width else 0 for width in widths)


def _widths(architecture: Architecture) -> Sizes:
    """Return every width in the order of execution."""
    stem, head = architecture.stem, architecture.head
    return (stem.first_width, stem.width, *(stage.width for stage in architecture.stages), head.width, head.hidden)


def _rewidened(architecture: Architecture, widths: Sizes) -> Architecture:
    """Return the architecture with other widths, and with heads, groups and splits that suit them."""
    first_width, in_width, *stage_widths, head_width, hidden = widths
    stem = architecture.stem.model_copy(update={"first_width": first_width, "width": in_width})
    stages = []
    for stage, width in zip(architecture.stages, stage_widths, strict=True):
        wide = stage.model_copy(update={"width": width})
        blocks = tuple(map(_suited, wide.blocks, wide.places(in_width)))
        stages.append(wide.model_copy(update={"blocks": blocks}))
        in_width = width
    head = architecture.head.model_copy(update={"width": head_width, "hidden": hidden})
    return Architecture(stem=stem, stages=tuple(stages), head=head)


@lru_cache(maxsize=65_536)
def _suited(block: Block, place: Place) -> Block:
    """Return the block with the nearest heads, groups and splits with which it can stand at `place`; else itself."""
    if block_fault(block, place) is None:
        return block
    given = {gene: getattr(block, gene) for gene in sorted(_DIVIDERS.keys() & family(block.family).genes)}
    choices = product(*(range(_DIVIDERS[gene], 2 * value + 1) for gene, value in given.items()))
    nearest = sorted(choices, key=lambda values: sum(map(abs, map(int.__sub__, values, given.values()))))
    variants = (block.model_copy(update=dict(zip(given, values, strict=True))) for values in nearest)
    return next((variant for variant in variants if block_fault(variant, place) is None), block)


def _least_width(stage: Stage) -> int:
    """Return the smallest width at which the blocks of `stage` can stand; they can at its multiples, too."""
    return next(
        width
        for width in count(1)
        if all(block_fault(_suited(block, place := Place(width, width, 1)), place) is None for block in stage.blocks)
    )


def _repeated(stage: Stage) -> slice:
    """Return the blocks of `stage` that are repeated: without a first and a last one that differ from their neighbours.

    The first of a growing family is another kind of block where it strides: DenseNet's transition.
    """
    blocks = stage.blocks
    differs = len(blocks) > 1 and (blocks[0] != blocks[1] or (family(blocks[0].family).grows and stage.stride > 1))
    first, last = int(differs), len(blocks)
    return slice(first, last - 1 if last - first > 1 and blocks[-1] != blocks[-2] else last)


def _depths(architecture: Architecture, factor: float) -> Sizes:
    """Return how often the repeated blocks of each stage stand there at `factor`; at least once."""
    return tuple(max(1, round(len(stage.blocks[_repeated(stage)]) * factor)) for stage in architecture.stages)


def _deepened(architecture: Architecture, depths: Sizes) -> Architecture:
    """Return the architecture with other numbers of repeated blocks; a growing stage keeps what each block adds."""
    before = in_width = architecture.stem.width
    stages = []
    for stage, depth in zip(architecture.stages, depths, strict=True):
        part = _repeated(stage)
        body = stage.blocks[part]
        longer = tuple(body[i * len(body) // depth] for i in range(depth))
        blocks = (*stage.blocks[: part.start], *longer, *stage.blocks[part.stop :])
        width = stage.width
        if all(family(block.family).grows for block in body):
            halved = 1 if stage.stride == 1 else 2
            width = in_width // halved + (stage.width - before // halved) * depth // len(body)
        stages.append(stage.model_copy(update={"width": max(1, width), "blocks": blocks}))
        before, in_width = stage.width, stages[-1].width
    return Architecture(stem=architecture.stem, stages=tuple(stages), head=architecture.head)
