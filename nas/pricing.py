"""What a genotype costs, part by part: a changed gene is priced only where it matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple, cast

from nas.architecture import dropped_strides
from nas.budget import (
    BYTES_PER_ELEMENT,
    Budget,
    Cost,
    block_params,
    block_traces,
    cost_of,
    head_trace,
    in_sequence,
    stem_trace,
)
from nas.layers import Trace
from nas.space import GeneValue, Genotype, Reader, SearchSpace

MOST_PRICED = 100_000
"""Prices of parts that are kept of a space; with one more all are forgotten, and counted again."""


class PricedPart(NamedTuple):
    """What the stem, a stage or the head costs, the genes that it reads, and the number of its blocks."""

    trace: Trace
    genes: frozenset[str]
    blocks: int = 0


@dataclass(frozen=True)
class Bill:
    """A genotype of a space, and its parts in the order of `SearchSpace.parts` with their prices.

    `strides` are those in effect, stem first; None where stages have no price but their parameters.
    """

    space: SearchSpace
    genotype: Genotype
    strides: list[int] | None
    parts: tuple[PricedPart, ...]

    @cached_property
    def cost(self) -> Cost:
        """What the whole network costs on the target of the space, where it is priced in full."""
        return cost_of(in_sequence(part.trace for part in self.parts))

    def excess(self, budget: Budget) -> float:
        """Return the largest ratio of cost to cap, as `Budget.excess` does."""
        return _excess(self.parts, budget)

    def share(self, span: range, budget: Budget) -> float:
        """Return what the parts of `span` and the next one have of the excess: a gene of theirs cannot free more."""
        return _excess(self.parts[span.start : span.stop + 1], budget)

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return sum([part.blocks for part in self.parts])

    @property
    def active(self) -> frozenset[str]:
        """The names of the genes that matter."""
        return frozenset().union(*(part.genes for part in self.parts))

    def changed(self, change: Mapping[str, GeneValue]) -> Bill:
        """Return the bill with some genes changed; what cannot cost anything else is not priced again."""
        spans = [self.space.spans[name] for name in change]
        first, last = min([span.start for span in spans]), max([span.stop for span in spans]) - 1
        genotype = {**self.genotype, **change}
        is_wide = self.strides and last - first == len(self.strides)
        strides = _strides(self.space, genotype) if is_wide else self.strides
        parts = list(self.parts[:first])
        for i in range(first, len(self.parts)):
            parts.append(_part(self.space, genotype, strides, parts))
            if i >= last and _shape(parts[i]) == _shape(self.parts[i]):  # what follows stands on the same map as before
                break
        return Bill(self.space, genotype, strides, (*parts, *self.parts[len(parts) :]))


def bill(space: SearchSpace, genotype: Genotype, budget: Budget | None = None) -> Bill:
    """Return what a genotype of `space` costs, which must be one (`SearchSpace.check`).

    With a `budget` that caps nothing but parameters, stages are priced by those alone, which is much faster.
    """
    only_params = budget is not None and budget.macs is None and budget.peak_activation_bytes is None
    strides = None if only_params else _strides(space, genotype)
    parts: list[PricedPart] = []
    for _ in range(len(space.stages) + 2):
        parts.append(_part(space, genotype, strides, parts))
    return Bill(space, genotype, strides, tuple(parts))


def _excess(parts: tuple[PricedPart, ...], budget: Budget) -> float:
    traces = [part.trace for part in parts]
    ratios = [0.0]
    if budget.params:
        ratios.append(sum([trace.params for trace in traces]) / budget.params)
    if budget.macs:
        ratios.append(sum([trace.macs for trace in traces]) / budget.macs)
    if budget.peak_activation_bytes:
        peak = max([trace.peak_activation_elements for trace in traces])
        ratios.append(peak * BYTES_PER_ELEMENT / budget.peak_activation_bytes)
    return max(ratios)


def _shape(part: PricedPart) -> tuple[int, int]:
    return part.trace.channels, part.trace.side


def _strides(space: SearchSpace, genotype: Genotype) -> list[int]:
    """Return the strides in effect, stem first."""
    reader = Reader(genotype)
    slots = (space.stems[str(reader.read(space.stem))]["stride"], *(stage.stride for stage in space.stages))
    return dropped_strides([int(reader.read(slot)) for slot in slots], space.target.resolution)


def _part(space: SearchSpace, genotype: Genotype, strides: list[int] | None, before: list[PricedPart]) -> PricedPart:
    """Return the price of the part behind those that stand `before` it.

    It follows from the genes of the part, the map before it and its stride: most parts of a genotype that was changed
    in one gene were priced before.
    """
    index, prices = len(before), space.prices
    stride = strides[index] if strides and index < len(strides) else 0
    shape = _shape(before[-1]) if before else None
    key = (index, stride, shape, tuple([genotype[name] for name in space.part_genes[index]]))
    if (known := prices.get(key)) is None:
        if len(prices) >= MOST_PRICED:
            prices.clear()
        known = prices[key] = _priced(space, genotype, stride, before)
    return cast(PricedPart, known)


def _priced(space: SearchSpace, genotype: Genotype, stride: int, before: list[PricedPart]) -> PricedPart:
    """Return the price of a part, counted; of a stage without a `stride` the parameters alone."""
    reader, target, index = Reader(genotype), space.target, len(before)
    if not before:
        trace = stem_trace(reader.stem(space), target.in_channels, stride or 1, target.resolution)
        return PricedPart(trace, frozenset(reader.names))
    width, side = _shape(before[-1])
    if index > len(space.stages):
        trace = head_trace(reader.head(space), width, target.num_classes, side)
        return PricedPart(trace, frozenset(reader.names))
    standing = reader.blocks(space.stages[index - 1], width)
    if stride:
        trace = in_sequence(block_traces(standing, stride, side))
    else:
        runs = [list(run) for _, run in groupby(standing, key=id)]  # repeated blocks are one object
        params = sum([len(run) * block_params(*run[0]) for run in runs])
        trace = Trace(params, 0, 0, standing[-1][1].out_width, side)
    return PricedPart(trace, frozenset(reader.names), len(standing))
