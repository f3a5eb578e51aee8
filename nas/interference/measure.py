"""How much does a network interfere with itself? One forward pass, with labels one backward pass, and a few of blocks.

Averages are over layers, never sums, and each metric has a value that means chance, whatever the width (`meaning`):
networks of different shapes can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas.errors import InputError
from nas.interference import statistics
from nas.interference.branch import superlinearity
from nas.interference.capture import BlockOutput, Capture, Projection, capture
from nas.interference.class_overlap import class_overlap
from nas.interference.contributions import activation_ratio, topk_drop
from nas.interference.report import BlockReport, InterferenceReport, ProjectionReport
from nas.interference.statistics import Features

DEAD_SHARE = 0.01
"""A channel that varies, or is read, less than 1 % as much as the layer's median channel is dead."""


def measure(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    blocks: Sequence[str] | None = None,
    positions: int = 2048,
    seed: int = 0,
    trained: bool = False,
) -> InterferenceReport:
    """Return the interference of `model`, any `nn.Module`, on the float batch `images` (B, C, H, W), B >= 2.

    One forward pass in eval mode, and each block twice more on `branch.IMAGES` images; the network is left as it was.
    `labels` (B,), integers, add the metrics of gradients, `class_overlap` and `importance_weighted`, for one backward
    pass to the activations; without labels, or where the network gives no logits (B, K), they are None. `trained` asks
    for `topk_drop`, which needs labels and a second forward pass. `blocks` names the modules whose outputs are looked
    at (None: `discovery.guessed_blocks`); `positions` rows are sampled from every map with `seed`. InputError: images
    that are no such batch, labels that do not fit them or the network's classes, values that are not finite (naming
    the layer), and a network in which there is neither a 1x1 map nor a block to measure.
    """
    captured = capture(model, images, labels, blocks=blocks, positions=positions, seed=seed)
    if not captured.projections and not captured.blocks:
        raise InputError("network: no 1x1 convolution or linear layer acts on a map, and no block gives one")
    drop = None
    if trained and labels is not None and captured.logits is not None and captured.projections:
        weights = {projection.name: projection.weight for projection in captured.projections}
        drop = topk_drop(model, images, labels, captured.logits, weights)
    return InterferenceReport(
        tuple(_projection_report(projection) for projection in captured.projections),
        _block_reports(captured, labels, seed),
        drop,
    )


def projection_gram(projection: Projection) -> Tensor:
    """Return the cosines between all features of a captured projection, (n, n), in channel order, dead ones included.

    A report holds no Gram matrix: `capture(model, images).projections` has what this needs.
    """
    return statistics.gram(projection.weight.T if projection.expands else projection.weight)


def _projection_report(projection: Projection) -> ProjectionReport:
    features, living, dead_channels = _living_features(projection)
    cross_talk = excess_coherence = redundancy = importance = ratio = None
    realised: tuple[float, ...] = ()
    if min(features.vectors.shape) >= 2:
        independent = statistics.log_ratio(statistics.cross_talk_ratio(features))
        cross_talk = independent.item()
        excess_coherence = statistics.log_ratio(statistics.coherence_ratio(features.vectors)).item()
        redundancy = (statistics.log_ratio(statistics.interference_ratio(features)) - independent).item()
        realised = tuple(statistics.realised_ratio(features).tolist())
        if projection.importance is not None and projection.importance[living].any():
            importance = statistics.importance_weighted(features, projection.importance[living]).item()
        ratio = activation_ratio(projection.weight, projection.inputs)
    outs, ins = projection.weight.shape
    return ProjectionReport(
        name=projection.name,
        out_features=outs,
        in_features=ins,
        cross_talk=cross_talk,
        excess_coherence=excess_coherence,
        redundancy=redundancy,
        importance_weighted=importance,
        activation_ratio=ratio,
        realised=realised,
        dead_channels=dead_channels,
    )


def _living_features(projection: Projection) -> tuple[Features, Tensor, int]:
    """Return the features and dimensions that are alive, which features those are (n,), and how many channels are not.

    An input is alive if it varies and is read; an output if it varies.
    """
    weight, inputs = projection.weight, projection.inputs
    kind = Features.read_by if projection.expands else Features.written_by
    ins = _alive(_spread(inputs)) & _alive(_lengths(weight))
    if not ins.all():
        weight, inputs = weight[:, ins], inputs[:, ins]
    living = kind(weight, inputs)
    outs = _alive((living.variance if living.read else living.sum_variance).clamp_min(0).sqrt())
    if not outs.all():
        living = Features.read_by(weight[outs], inputs) if living.read else living.within(outs)
    return living, outs if living.read else ins, int((~ins).sum() + (~outs).sum())


def _block_reports(captured: Capture, labels: Tensor | None, seed: int) -> tuple[BlockReport, ...]:
    last_third = captured.blocks[-max(1, len(captured.blocks) // 3) :]
    return tuple(_block_report(block, labels if block in last_third else None, seed) for block in captured.blocks)


def _block_report(block: BlockOutput, labels: Tensor | None, seed: int) -> BlockReport:
    alive = _alive(_spread(block.outputs))
    rows, channels = block.outputs.shape
    correlation = overlap = None
    if alive.sum() >= 2 and rows >= 3:
        correlation = statistics.channel_correlation(block.outputs[:, alive]).item()
    if labels is not None and block.profiles is not None:
        overlap = class_overlap(block.profiles, labels, seed=seed)
    return BlockReport(
        name=block.name,
        channels=channels,
        channel_correlation=correlation,
        superlinearity=None if block.call is None else superlinearity(block.call),
        channel_kurtosis=_kurtosis(block.outputs),
        class_overlap=overlap,
        dead_channels=int((~alive).sum()),
    )


def _kurtosis(outputs: Tensor) -> float | None:
    """Return the kurtosis of the channels that are not silent; one that is loud but constant counts as loud."""
    heard = _alive(_lengths(outputs))
    return statistics.channel_kurtosis(outputs[:, heard]).item() if heard.any() else None


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
