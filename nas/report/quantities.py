"""How each measured quantity is called, in which unit it is shown, and with how many digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["count", "percent", "plain", "free"]

MINUS = "\N{MINUS SIGN}"
NOT_MEASURED = "not measured"
INTERFERENCE_METRICS = (
    *("interference", "cross_talk", "excess_coherence", "class_overlap", "importance_weighted"),
    *("redundancy", "channel_correlation", "superlinearity", "channel_kurtosis", "topk_drop"),
    "activation_ratio",
)

LARGE = 100_000
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as readers know it.

    Percentages are kept as fractions and shown times 100. Counts take an SI prefix (powers of 1000, also of bytes),
    unless `is_exact` asks for all their digits; so do large ones of what is free, of which nothing is known.
    """

    label: str
    kind: Kind = "plain"
    unit: str = ""
    digits: int = 3
    is_exact: bool = False

    @property
    def title(self) -> str:
        """The label with its unit, for an axis or a column."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def tick_format(self) -> str:
        """The d3 format of an axis: ``1.5M`` for counts, plotly's own otherwise."""
        return "~s" if self.kind == "count" else ""

    def shown(self, value: float) -> float:
        """Return `value` in the shown unit."""
        return 100 * value if self.kind == "percent" else value

    def number(self, value: float | None) -> str:
        """Return `value` in the shown unit but without it; an en dash when it was not measured."""
        if value is None or not math.isfinite(value):
            return "\N{EN DASH}"
        if self.is_exact and float(value).is_integer():
            return f"{value:,.0f}"
        if self.kind == "count" or (self.kind == "free" and abs(value) >= LARGE):
            return short_count(value)
        if self.kind == "free":
            return f"{value:.5g}".replace("-", MINUS)
        return f"{self.shown(value):.{self.digits}f}".replace("-", MINUS)

    def words(self, value: float | None) -> str:
        """Return `value` with its unit."""
        if value is None or not math.isfinite(value):
            return NOT_MEASURED
        number = self.number(value)
        if number[-1].isalpha():  # the prefix belongs to the unit: 12.3 kB
            return f"{number[:-1]} {number[-1]}{self.unit}" if self.unit else number
        return f"{number} {self.unit}".rstrip()


QUANTITIES: dict[str, Quantity] = {
    "val_accuracy": Quantity("validation accuracy", "percent", "%", 1),
    "retrained_accuracy": Quantity("retrained accuracy", "percent", "%", 1),
    "val_loss": Quantity("validation loss"),
    "train_loss": Quantity("training loss"),
    "train_loss_ema": Quantity("moving average of the training loss"),
    "mix": Quantity("mixed score"),
    "synflow": Quantity("synflow (log)", digits=2),
    "naswot": Quantity("NASWOT", digits=1),
    "grad_norm": Quantity("gradient norm", digits=2),
    "zen": Quantity("zen", digits=2),
    "swap": Quantity("SWAP", "count"),
    "expressivity": Quantity("expressivity", digits=2),
    "depth": Quantity("depth", "count"),
    "params": Quantity("parameters", "count", is_exact=True),
    "macs": Quantity("MACs", "count"),
    "peak_activation_bytes": Quantity("peak activation", "count", "B"),
    "weight_bytes": Quantity("weights", "count", "B"),
    "train_seconds": Quantity("training time", "plain", "s", 1),
    "interference": Quantity("interference"),
    "cross_talk": Quantity("cross-talk"),
    "excess_coherence": Quantity("excess coherence"),
    "class_overlap": Quantity("class overlap"),
    "importance_weighted": Quantity("importance-weighted interference"),
    "redundancy": Quantity("redundancy"),
    "channel_correlation": Quantity("channel correlation"),
    "superlinearity": Quantity("superlinearity"),
    "channel_kurtosis": Quantity("channel kurtosis"),
    "topk_drop": Quantity("top-k drop"),
    "activation_ratio": Quantity("activation ratio", "percent", "%", 1),
}
"""Every quantity with a name of its own; others are shown under the name they were recorded with."""


def quantity(name: str) -> Quantity:
    """Return how the metric called `name` is shown."""
    return QUANTITIES.get(name) or Quantity(name.replace("_", " "), "free")


def measured(metrics: Mapping[str, float], name: str) -> float | None:
    """Return the finite value of a metric, None when there is none."""
    value = metrics.get(name)
    return value if value is not None and math.isfinite(value) else None


def short_count(value: float) -> str:
    """Return a count in three significant digits with an SI prefix: ``1.5M``, ``12.3k``, ``980``."""
    rounded = float(f"{value:.3g}")
    for size, suffix in _SUFFIXES:
        if abs(rounded) >= size:
            return f"{rounded / size:g}{suffix}"
    return f"{rounded:g}"


def plural(count: int, noun: str) -> str:
    """Return ``1 trial``, ``2 trials``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
