"""`interference` in one number: what its parts say of a network beyond its size, its depth and how well it has trained.

Ours. Within a bin of networks of about one size, each part is taken as the residual of a least-squares fit on log
params, depth and the loss of the proxy training, in units of the bin's robust spread; the composite is the mean of the
parts, plus a penalty for redundancy far above what the bin has. Fitted on a study's own records at one fidelity: the
records keep the raw parts, so the composite can change without a new run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.trust.measured import Measured

NAME, GUARD = "interference", "redundancy"
PARTS = ("cross_talk", "excess_coherence", "class_overlap")
NEEDED = PARTS[:2]
"""Parts without which a network has no composite; the third takes part where it was measured."""
LOSSES = ("val_loss", "train_loss")
FEWEST = 8
"""Records below which nothing is fitted, and the plain composite of a single network is used."""
LEAST_IN_BIN, MOST_BINS = 10, 4
GUARD_QUANTILE = 0.9
MAD_TO_STD = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""
LEAST_LEFT = 1e-9
"""Share of a part's own spread below which its residuals are rounding."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """How one part depends on the controls in one bin, and the spread of what that leaves."""

    name: str
    mean: float
    slopes: tuple[float, ...]
    centre: float
    spread: float

    def score(self, value: float, centred: Array) -> float:
        """Return the robust z-score of a network's residual; `centred` are its controls less their means (K,)."""
        residual = value - self.mean - float(centred @ np.array(self.slopes))
        return (residual - self.centre) / self.spread if self.spread else 0.0


@dataclass(frozen=True)
class SizeBin:
    """The networks of up to `upper` params, above those of the bin before."""

    upper: float
    controls: tuple[float, ...]
    parts: tuple[Part, ...]
    guard: float
    guard_spread: float

    def score(self, controls: Array, metrics: Mapping[str, float]) -> float:
        """Return the mean of the parts that were measured, plus the penalty for redundancy above the guard."""
        centred = controls - np.array(self.controls)
        scores = [part.score(metrics[part.name], centred) for part in self.parts if part.name in metrics]
        excess = max(0.0, metrics.get(GUARD, self.guard) - self.guard)
        return sum(scores) / len(scores) + (excess / self.guard_spread if self.guard_spread else 0.0)


@dataclass(frozen=True)
class Composite:
    """The composite of a study at one fidelity; without bins it is the plain one that each network brings along."""

    bins: tuple[SizeBin, ...]
    records: int
    loss: str | None = None

    @classmethod
    def fitted(cls, networks: Sequence[Measured]) -> Composite:
        """Return the composite of networks measured at one fidelity; their order makes no difference."""
        usable = sorted((each for each in networks if _is_usable(each.metrics)), key=_order)
        if len(usable) < FEWEST:
            return cls((), len(usable))
        loss = next((name for name in LOSSES if all(name in each.metrics for each in usable)), None)
        bins, rest = [], usable
        for upper in (*size_edges([each.params for each in usable]), math.inf):
            members = [each for each in rest if each.params <= upper]
            rest = rest[len(members) :]
            bins.append(_fit(members, upper, loss))
        return cls(tuple(bins), len(usable), loss)

    def value(self, network: Measured) -> float | None:
        """Return the composite of a network, lower is better; None where its parts were not measured."""
        if not self.bins:
            return network.metrics.get(NAME)
        if not _is_usable(network.metrics):
            return None
        chosen = next(each for each in self.bins if network.params <= each.upper)
        controls = _controls(network, self.loss, missing=chosen.controls[-1])
        return chosen.score(controls, network.metrics)

    def metrics(self, network: Measured) -> dict[str, float]:
        """Return the metrics of a network with its composite in the place of the plain one."""
        value = self.value(network)
        rest = {name: each for name, each in network.metrics.items() if name != NAME}
        return rest if value is None else {**rest, NAME: value}

    @cached_property
    def words(self) -> str:
        """Which composite it is, and why."""
        if not self.bins:
            return f"plain composite ({self.records} records with its parts, refitting needs {FEWEST})"
        bins = f"{len(self.bins)} size bin{'s' * (len(self.bins) > 1)}"
        return f"refitted on {self.records} records in {bins}"


def size_edges(params: Sequence[int]) -> tuple[int, ...]:
    """Return the largest size of every bin but the last: bins of about equal count, each of at least `LEAST_IN_BIN`.

    Networks of one size stay together, so that a bin can be larger than its share.
    """
    ordered = sorted(params)
    count = min(MOST_BINS, len(ordered) // LEAST_IN_BIN)
    edges: list[int] = []
    for i in range(1, count):
        edge = ordered[len(ordered) * i // count - 1]
        inside = sum(1 for size in ordered if size <= edge and (not edges or size > edges[-1]))
        if inside >= LEAST_IN_BIN and sum(1 for size in ordered if size > edge) >= LEAST_IN_BIN:
            edges.append(edge)
    return tuple(edges)


def robust_spread(values: Array) -> float:
    """Return the spread of `values` (N,) in units of a standard deviation, from the median absolute deviation.

    Where more than half are equal that is zero, and the mean absolute deviation stands in; 0 where all are equal.
    """
    deviations = np.abs(values - np.median(values))
    spread = MAD_TO_STD * float(np.median(deviations))
    return spread or math.sqrt(math.pi / 2) * float(deviations.mean())


def _is_usable(metrics: Mapping[str, float]) -> bool:
    return all(name in metrics for name in NEEDED)


def _order(network: Measured) -> tuple[int, int]:
    return network.params, network.number


def _controls(network: Measured, loss: str | None, missing: float = 0.0) -> Array:
    """Return log params, depth and, where it is a control, the loss, (K,)."""
    losses = [network.metrics.get(loss, missing)] if loss else []
    return np.array([math.log(max(1, network.params)), network.depth, *losses], dtype=np.float64)


def _fit(members: Sequence[Measured], upper: float, loss: str | None) -> SizeBin:
    controls = np.array([_controls(each, loss) for each in members])
    parts = (_fit_part(name, members, controls) for name in PARTS)
    redundancy = np.array([each.metrics[GUARD] for each in members if GUARD in each.metrics])
    return SizeBin(
        upper=upper,
        controls=tuple(map(float, controls.mean(axis=0))),
        parts=tuple(part for part in parts if part is not None),
        guard=float(np.quantile(redundancy, GUARD_QUANTILE)) if len(redundancy) else 0.0,
        guard_spread=robust_spread(redundancy) if len(redundancy) else 0.0,
    )


def _fit_part(name: str, members: Sequence[Measured], controls: Array) -> Part | None:
    """Return how a part depends on the controls (N, K); None where too few of the members have it."""
    has = np.array([name in each.metrics for each in members])
    if has.sum() < FEWEST:
        return None
    values = np.array([each.metrics[name] for each in members if name in each.metrics])
    centred = controls[has] - controls.mean(axis=0)
    design, mean = centred - centred.mean(axis=0), float(values.mean())
    widths = design.std(axis=0)
    widths[widths <= LEAST_LEFT * (1 + np.abs(controls).max(axis=0))] = np.inf  # a constant control explains nothing
    slopes = np.linalg.lstsq(design / widths, values - mean, rcond=LEAST_LEFT)[0] / widths
    residuals = values - mean - centred @ slopes
    spread = robust_spread(residuals)
    is_rounding = spread <= LEAST_LEFT * (float(np.abs(values).max()) or 1.0)
    return Part(name, mean, tuple(map(float, slopes)), float(np.median(residuals)), 0.0 if is_rounding else spread)
