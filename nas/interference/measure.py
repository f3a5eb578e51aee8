"""How much does a network interfere with itself? One forward pass, per layer and on average.

Averages are over layers, never sums, and every part is 0 for a network whose weights are random, whatever its width:
networks of different shapes can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from nas.errors import InputError
from nas.interference import statistics
from nas.interference.capture import BlockOutput, Projection, capture
from nas.interference.statistics import Features

DEAD_SHARE = 0.01
"""A channel that varies, or is read, less than 1 % as much as the layer's median channel is dead."""


@dataclass(frozen=True)
class ProjectionReport:
    """One 1x1 map. The logarithms are None where fewer than two channels are alive on either side (say, behind a
    batch-norm whose scale starts at zero).

    `cross_talk` = log q_ind, `excess_coherence` = log rho, `redundancy` = log(q_full / q_ind): ours, `statistics` has
    the formulas. `dead_channels` counts those left out, inputs and outputs together.
    """

    name: str
    out_features: int
    in_features: int
    cross_talk: float | None
    excess_coherence: float | None
    redundancy: float | None
    dead_channels: int

    @property
    def expands(self) -> bool:
        """Whether the features are the map's outputs (read) and not its inputs (written)."""
        return self.out_features > self.in_features


@dataclass(frozen=True)
class BlockReport:
    """One block's output; `channel_correlation` (ours) is None where fewer than two channels are alive."""

    name: str
    channels: int
    channel_correlation: float | None
    dead_channels: int


@dataclass(frozen=True)
class InterferenceReport:
    """A network's projections and blocks in the order in which they ran, and the averages over them.

    An average is over the layers that could be measured, and None where there is none.
    """

    projections: tuple[ProjectionReport, ...]
    blocks: tuple[BlockReport, ...]

    @property
    def cross_talk(self) -> float | None:
        """Mean log q_ind: overlap between directions of active channels; 0 is chance, lower is better."""
        return _mean(projection.cross_talk for projection in self.projections)

    @property
    def excess_coherence(self) -> float | None:
        """Mean log rho: how far weight vectors are from spread evenly; 0 is chance, lower is better."""
        return _mean(projection.excess_coherence for projection in self.projections)

    @property
    def redundancy(self) -> float | None:
        """Mean log(q_full / q_ind): similar channels that fire together; a guard, better networks have more."""
        return _mean(projection.redundancy for projection in self.projections)

    @property
    def channel_correlation(self) -> float | None:
        """Mean debiased squared correlation between the channels of a block's output, 0 to 1."""
        return _mean(block.channel_correlation for block in self.blocks)

    @property
    def interference(self) -> float | None:
        """Mean of `cross_talk` and `excess_coherence`: the plain composite, until a study's own records refine it."""
        if self.cross_talk is None or self.excess_coherence is None:
            return None
        return (self.cross_talk + self.excess_coherence) / 2

    def metrics(self) -> dict[str, float]:
        """Return the averages that could be measured, by the names they have in a record."""
        values = {
            "interference": self.interference,
            "cross_talk": self.cross_talk,
            "excess_coherence": self.excess_coherence,
            "redundancy": self.redundancy,
            "channel_correlation": self.channel_correlation,
        }
        return {name: value for name, value in values.items() if value is not None}


def measure(
    model: nn.Module, images: Tensor, *, blocks: Sequence[str] | None = None, positions: int = 2048, seed: int = 0
) -> InterferenceReport:
    """Return the interference of `model`, any `nn.Module`, on the float batch `images` (B, C, H, W), B >= 2.

    One forward pass in eval mode; the network is left as it was. `blocks` names the modules whose outputs are
    correlated (None: `discovery.guessed_blocks`); `positions` rows are sampled from every map with `seed`. InputError:
    images that are no such batch, values that are not finite (naming the layer), and a network in which there is
    neither a 1x1 map nor a block to measure.
    """
    captured = capture(model, images, blocks=blocks, positions=positions, seed=seed)
    if not captured.projections and not captured.blocks:
        raise InputError("network: no 1x1 convolution or linear layer acts on a map, and no block gives one")
    return InterferenceReport(
        tuple(_projection_report(projection) for projection in captured.projections),
        tuple(_block_report(block) for block in captured.blocks),
    )


def _projection_report(projection: Projection) -> ProjectionReport:
    features, dead_channels = _living_features(projection)
    cross_talk = excess_coherence = redundancy = None
    if min(features.vectors.shape) >= 2:
        independent = statistics.log_ratio(statistics.cross_talk_ratio(features))
        cross_talk = independent.item()
        excess_coherence = statistics.log_ratio(statistics.coherence_ratio(features.vectors)).item()
        redundancy = (statistics.log_ratio(statistics.interference_ratio(features)) - independent).item()
    outs, ins = projection.weight.shape
    return ProjectionReport(projection.name, outs, ins, cross_talk, excess_coherence, redundancy, dead_channels)


def _living_features(projection: Projection) -> tuple[Features, int]:
    """Return the features and dimensions that are alive, and how many channels are not.

    An input is alive if it varies and is read; an output if it varies.
    """
    weight, inputs = projection.weight, projection.inputs
    kind = Features.read_by if len(weight) > weight.shape[1] else Features.written_by
    ins = _alive(_spread(inputs)) & _alive(_lengths(weight))
    if not ins.all():
        weight, inputs = weight[:, ins], inputs[:, ins]
    living = kind(weight, inputs)
    outs = _alive((living.variance if living.read else living.sum_variance).clamp_min(0).sqrt())
    if not outs.all():
        living = Features.read_by(weight[outs], inputs) if living.read else living.within(outs)
    return living, int((~ins).sum() + (~outs).sum())


def _block_report(block: BlockOutput) -> BlockReport:
    alive = _alive(_spread(block.outputs))
    rows, channels = block.outputs.shape
    correlation = None
    if alive.sum() >= 2 and rows >= 3:
        correlation = statistics.channel_correlation(block.outputs[:, alive]).item()
    return BlockReport(block.name, channels, correlation, int((~alive).sum()))


def _spread(rows: Tensor) -> Tensor:
    """Return the length of each centred column of `rows` (N, C), (C,): its standard deviation but for a constant."""
    return _lengths(rows - rows.mean(0))


def _lengths(columns: Tensor) -> Tensor:
    # Squares of float32 overflow, or vanish, in the activations of a deep network without working norms.
    lengths: Tensor = torch.linalg.vector_norm(columns, dim=0, dtype=torch.float64)
    return lengths


def _alive(scales: Tensor) -> Tensor:
    """Return which of the `scales` (C,) are at least `DEAD_SHARE` of the median of those that are not zero.

    A constant channel's scale may come out as rounding noise: up to a millionth of the largest counts as zero.
    """
    positive = scales[scales > 1e-6 * scales.max()]
    if positive.numel() == 0:
        return torch.zeros_like(scales, dtype=torch.bool)
    return scales >= DEAD_SHARE * positive.median()


def _mean(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None
