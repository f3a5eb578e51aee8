"""What an architecture costs, in closed form, and whether it keeps to the caps.

The closed form needs no module and no torch: microseconds, so that a search can count every proposal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    placed_blocks,
    stem_layers,
    walk,
)
from nas.blocks import Block, Place
from nas.errors import CapError
from nas.layers import Trace, trace
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

    def violations(self, cost: Cost) -> list[Violation]:
        """Return the caps that `cost` exceeds; none means it fits."""
        caps = ((name, getattr(self, name)) for name in type(self).model_fields)
        return [
            Violation(name=name, value=getattr(cost, name), cap=cap)
            for name, cap in caps
            if cap is not None and getattr(cost, name) > cap
        ]

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
    return _total(_traces(architecture, task))


def cost_table(architecture: Architecture, task: Task) -> list[tuple[str, Trace]]:
    """Return the trace of the stem, every block and the head, by name."""
    return list(zip((name for name, _ in walk(architecture, task)), _traces(architecture, task), strict=True))


def _traces(architecture: Architecture, task: Task) -> Iterable[Trace]:
    strides = effective_strides(architecture, task.resolution)
    step = _stem_trace(architecture.stem, task.in_channels, strides[0], task.resolution)
    yield step
    for block, place, stride in placed_blocks(architecture, strides):
        step = _block_trace(block, place, stride, step.side)
        yield step
    yield _head_trace(architecture.head, step.channels, task.num_classes, step.side)


def _total(traces: Iterable[Trace]) -> Cost:
    params = macs = peak = 0
    for step in traces:
        params += step.params
        macs += step.macs
        peak = max(peak, step.peak_activation_elements)
    return Cost(
        params=params,
        macs=macs,
        peak_activation_bytes=peak * BYTES_PER_ELEMENT,
        weight_bytes=params * BYTES_PER_ELEMENT,
    )


@lru_cache(maxsize=4_096)
def _stem_trace(stem: Stem, in_channels: int, stride: int, side: int) -> Trace:
    return trace(stem_layers(stem, in_channels, stride), in_channels, side)


@lru_cache(maxsize=65_536)
def _block_trace(block: Block, place: Place, stride: int, side: int) -> Trace:
    return trace(block_layers(block, place, stride), place.in_width, side)


@lru_cache(maxsize=4_096)
def _head_trace(head: Head, in_width: int, num_classes: int, side: int) -> Trace:
    return trace(head_layers(head, in_width, num_classes), in_width, side)
