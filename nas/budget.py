"""What an architecture costs, in closed form, and whether it keeps to the caps.

The closed form needs no module and no torch: microseconds, so that a search can count every proposal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

from pydantic import Field

from nas.architecture import (
    Architecture,
    Head,
    Stem,
    Task,
    block_layers,
    effective_strides,
    head_layers,
    stem_layers,
    walk,
)
from nas.blocks import Block, Place
from nas.errors import CapError
from nas.layers import Trace, count_params, trace
from nas.value import Value

BYTES_PER_ELEMENT = 4
"""Weights and activations are counted in float32."""

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


class Cost(Value):
    """What one image costs, in eval mode with norms folded.

    `macs` counts multiply-accumulates of convolutions, linear layers and matrix products (most papers call them
    FLOPs). `peak_activation_bytes` follows the memory model of `nas.layers`.
    """

    params: int = Field(ge=0)
    macs: int = Field(ge=0)
    peak_activation_bytes: int = Field(ge=0)
    weight_bytes: int = Field(ge=0)


class Violation(Value):
    """A cap that a cost exceeds."""

    name: str
    value: int
    cap: int

    def __str__(self) -> str:
        """Return the violation in words."""
        return f"{self.name} {self.value:,} exceeds the cap {self.cap:,}"


class Budget(Value):
    """Hard caps on a cost; None leaves a quantity free."""

    params: int | None = Field(default=1_500_000, ge=1)
    macs: int | None = Field(default=None, ge=1)
    peak_activation_bytes: int | None = Field(default=None, ge=1)

    def with_params(self, params: int) -> Budget:
        """Return the same caps but that on parameters."""
        return self.model_copy(update={"params": params})

    def violations(self, cost: Cost) -> list[Violation]:
        """Return the caps that `cost` exceeds; none means it fits."""
        caps = ((name, getattr(self, name)) for name in type(self).model_fields)
        return [
            Violation(name=name, value=getattr(cost, name), cap=cap)
            for name, cap in caps
            if cap is not None and getattr(cost, name) > cap
        ]

    def holds(self, cost: Cost) -> bool:
        """Return whether `cost` fits: the same as no violations, and quicker."""
        return (
            (self.params is None or cost.params <= self.params)
            and (self.macs is None or cost.macs <= self.macs)
            and (self.peak_activation_bytes is None or cost.peak_activation_bytes <= self.peak_activation_bytes)
        )

    def excess(self, cost: Cost) -> float:
        """Return the largest ratio of cost to cap; at most 1 when the cost fits, 0 without caps."""
        caps = ((getattr(cost, name), getattr(self, name)) for name in type(self).model_fields)
        return max((value / cap for value, cap in caps if cap is not None), default=0.0)


def parse_count(text: str, *, what: str = "cap") -> int:
    """Return the integer of ``1.5M``, ``100k`` or ``15000``; CapError when it is not a positive count."""
    match = re.fullmatch(r"(\d{1,3}(?:[,_]\d{3})+|\d+)(\.\d+)?\s*([kmg]?)", text.strip().lower())
    count = Fraction(re.sub("[,_]", "", match[1]) + (match[2] or "")) * _UNITS[match[3]] if match else Fraction(0)
    if count < 1 or count.denominator > 1:
        raise CapError(f"{what}: must be a positive count such as 1.5M, 100k or 15000, got {text!r}")
    return int(count)


def cost(architecture: Architecture, task: Task) -> Cost:
    """Return the closed-form cost of `architecture` built for `task`."""
    return cost_of(in_sequence(_traces(architecture, task)))


def cost_table(architecture: Architecture, task: Task) -> list[tuple[str, Trace]]:
    """Return the trace of the stem, every block and the head, by name."""
    return list(zip((name for name, _ in walk(architecture, task)), _traces(architecture, task), strict=True))


def _traces(architecture: Architecture, task: Task) -> Iterator[Trace]:
    strides = effective_strides(architecture, task.resolution)
    step = stem_trace(architecture.stem, task.in_channels, strides[0], task.resolution)
    yield step
    for stage, stride in zip(architecture.stages, strides[1:], strict=True):
        standing = zip(stage.blocks, stage.places(step.channels), strict=True)
        traces = block_traces(standing, stride, step.side)
        for step in traces:
            yield step
    yield head_trace(architecture.head, step.channels, task.num_classes, step.side)


def block_traces(standing: Iterable[tuple[Block, Place]], stride: int, side: int) -> Iterator[Trace]:
    """Yield the traces of a stage's blocks on a map of `side`, the first one with `stride` in effect."""
    before: tuple[Block, Place, int, int] | None = None
    for block, place in standing:
        here = (block, place, stride, side)
        if here != before:  # most blocks are the one before once more
            step, before = block_trace(*here), here
        yield step
        stride, side = 1, step.side


def in_sequence(traces: Iterable[Trace]) -> Trace:
    """Return the trace of layers that run one after another."""
    params = macs = peak = 0
    for step in traces:
        params += step.params
        macs += step.macs
        peak = max(peak, step.peak_activation_elements)
    return Trace(params, macs, peak, step.channels, step.side)


def cost_of(whole: Trace) -> Cost:
    """Return the trace of a whole network as its cost."""
    return Cost(
        params=whole.params,
        macs=whole.macs,
        peak_activation_bytes=whole.peak_activation_elements * BYTES_PER_ELEMENT,
        weight_bytes=whole.params * BYTES_PER_ELEMENT,
    )


@lru_cache(maxsize=4_096)
def stem_trace(stem: Stem, in_channels: int, stride: int, side: int) -> Trace:
    """Return the trace of a stem on images of `in_channels`, its `stride` in effect."""
    return trace(stem_layers(stem, in_channels, stride), in_channels, side)


@lru_cache(maxsize=65_536)
def block_trace(block: Block, place: Place, stride: int, side: int) -> Trace:
    """Return the trace of a block on a map of `side`, its `stride` in effect."""
    return trace(block_layers(block, place, stride), place.in_width, side)


@lru_cache(maxsize=65_536)
def block_params(block: Block, place: Place) -> int:
    """Return the parameters of a block, those of its trace on any map."""
    return count_params(block_layers(block, place, place.stride))


@lru_cache(maxsize=4_096)
def head_trace(head: Head, in_width: int, num_classes: int, side: int) -> Trace:
    """Return the trace of a head on a map of (`in_width`, `side`)."""
    return trace(head_layers(head, in_width, num_classes), in_width, side)
