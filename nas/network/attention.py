"""Modules of the layers in `nas.attention`: maps (B, C, H, W) in, maps out."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.attention import (
    FOURIER_FEATURES,
    LinearAttention,
    PatchAttention,
    PositionalEncoding,
    SingleHeadAttention,
    SplitDepthwise,
    TransposedAttention,
    WindowAttention,
)
from nas.network.modules import ACTIVATIONS, NarrowConv2d

_TEMPERATURE = 10_000.0
"""The slowest sine turns once over this many radians (Vaswani et al. 2017, section 3.5)."""


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(query key^T / sqrt(d)) value over the last two axes (…, positions, d).

    Written as two products, which fvcore counts; torch's fused attention it does not.
    """
    weights = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(dim=-1)
    mixed: Tensor = weights @ value
    return mixed


def to_heads(x: Tensor, heads: int) -> Tensor:
    """Return (B, C, …positions) as (B, heads, positions, C / heads)."""
    tokens: Tensor = x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)
    return tokens


def from_heads(x: Tensor) -> Tensor:
    """Return (B, heads, positions, d) as (B, heads * d, positions)."""
    return x.transpose(2, 3).flatten(1, 2)


def to_patches(x: Tensor, patch: int) -> Tensor:
    """Return (B, C, H, W) as (B, C, place in the patch, patch)."""
    cells: Tensor = x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # B C nh ph nw pw
    return cells.permute(0, 1, 3, 5, 2, 4).flatten(4, 5).flatten(2, 3)


def from_patches(x: Tensor, patch: int, side: int) -> Tensor:
    """Return (B, C, place in the patch, patch) as (B, C, side, side)."""
    cells: Tensor = x.unflatten(3, (side // patch, side // patch)).unflatten(2, (patch, patch))  # B C ph pw nh nw
    return cells.permute(0, 1, 4, 2, 5, 3).reshape(*x.shape[:2], side, side)


def to_windows(x: Tensor, window: int, partition: str) -> Tensor:
    """Return (B, C, H, W) as (B * windows, C, window, window); H and W are multiples of `window`."""
    near = partition == "near"
    size, order = ((-1, window), (0, 2, 4, 1, 3, 5)) if near else ((window, -1), (0, 3, 5, 1, 2, 4))
    cells: Tensor = x.unflatten(3, size).unflatten(2, size)
    return cells.permute(*order).flatten(0, 2)


def from_windows(x: Tensor, side: int, partition: str) -> Tensor:
    """Return (B * windows, C, window, window) as (B, C, side, side)."""
    count = side // x.shape[-1]
    cells: Tensor = x.unflatten(0, (-1, count, count))  # B n1 n2 C w w
    order = (0, 3, 1, 4, 2, 5) if partition == "near" else (0, 3, 4, 1, 5, 2)
    return cells.permute(*order).reshape(-1, x.shape[1], side, side)


class PatchAttentionModule(nn.Module):
    """Computes `PatchAttention`."""

    def __init__(self, layer: PatchAttention) -> None:
        """Take widths and heads from `layer`."""
        super().__init__()
        self.heads, self.patch = layer.heads, layer.patch
        self.qkv = NarrowConv2d(layer.width, 3 * layer.width, 1)
        self.project = NarrowConv2d(layer.width, layer.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map of the same shape."""
        patches = to_patches(self.qkv(x), self.patch)  # B 3C places patches
        tokens = patches.unflatten(1, (3, self.heads, -1)).permute(1, 0, 4, 2, 5, 3)  # qkv B places heads patches d
        mixed = attend(*tokens.unbind(0)).permute(0, 2, 4, 1, 3).flatten(1, 2)
        projected: Tensor = self.project(from_patches(mixed, self.patch, x.shape[-1]))
        return projected


class SingleHeadAttentionModule(nn.Module):
    """Computes `SingleHeadAttention`."""

    def __init__(self, layer: SingleHeadAttention) -> None:
        """Take the width from `layer`."""
        super().__init__()
        self.query = NarrowConv2d(layer.width, layer.width, 1, bias=False)
        self.value = NarrowConv2d(layer.width, layer.width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map of the same shape."""
        mixed = attend(to_heads(self.query(x), 1), to_heads(x, 1), to_heads(self.value(x), 1))
        mixed_map: Tensor = from_heads(mixed).unflatten(2, x.shape[2:])
        return mixed_map


class WindowAttentionModule(nn.Module):
    """Computes `WindowAttention`."""

    def __init__(self, layer: WindowAttention) -> None:
        """Take widths, heads and windows from `layer`."""
        super().__init__()
        self.layer = layer
        self.query_key = NarrowConv2d(layer.width, 2 * layer.width, 1)
        self.value = NarrowConv2d(layer.width, layer.out_width, 1)
        self.act = ACTIVATIONS[layer.activation](layer.out_width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the widened map (B, out width, H, W)."""
        side = x.shape[-1]
        window, padded = self.layer.padded(side)
        x = F.pad(x, (0, padded - side, 0, padded - side))
        query_key = self.query_key(x)
        values = x if self.layer.attend_first else self.act(self.value(x))
        mix = partial(self._mix, query_key, values, window)
        mixed = sum((mix(partition) for partition in self.layer.partitions[1:]), mix(self.layer.partitions[0]))
        if self.layer.attend_first:
            mixed = self.act(self.value(mixed))
        return mixed[:, :, :side, :side]

    def _mix(self, query_key: Tensor, values: Tensor, window: int, partition: str) -> Tensor:
        query, key = to_windows(query_key, window, partition).chunk(2, dim=1)
        tokens = (to_heads(part, self.layer.heads) for part in (query, key, to_windows(values, window, partition)))
        mixed = from_heads(attend(*tokens)).unflatten(2, (window, window))
        return from_windows(mixed, query_key.shape[-1], partition)


class TransposedAttentionModule(nn.Module):
    """Computes `TransposedAttention`."""

    def __init__(self, layer: TransposedAttention) -> None:
        """Take width and heads from `layer`."""
        super().__init__()
        self.heads = layer.heads
        self.qkv = NarrowConv2d(layer.width, 3 * layer.width, 1)
        self.temperature = nn.Parameter(torch.ones(layer.heads))
        self.project = NarrowConv2d(layer.width, layer.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map of the same shape."""
        query, key, value = self.qkv(x).flatten(2).unflatten(1, (3, self.heads, -1)).unbind(1)  # B heads d positions
        covariance = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        mixed = (covariance * self.temperature[:, None, None]).softmax(dim=-1) @ value
        projected: Tensor = self.project(mixed.flatten(1, 2).unflatten(2, x.shape[2:]))
        return projected


class LinearAttentionModule(nn.Module):
    """Computes `LinearAttention`."""

    def __init__(self, layer: LinearAttention) -> None:
        """Take the width from `layer`."""
        super().__init__()
        self.width, self.patch = layer.width, layer.patch
        self.score_key_value = NarrowConv2d(layer.width, 1 + 2 * layer.width, 1)
        self.project = NarrowConv2d(layer.width, layer.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map of the same shape."""
        parts = self.score_key_value(x)
        score, key, value = parts.split([1, self.width, self.width], dim=1)
        weighted = to_patches(key, self.patch) * to_patches(score, self.patch).softmax(dim=-1)
        context = weighted.sum(dim=-1, keepdim=True)  # B C places 1
        mixed = to_patches(F.relu(value), self.patch) * context
        projected: Tensor = self.project(from_patches(mixed, self.patch, x.shape[-1]))
        return projected


class SplitDepthwiseModule(nn.Module):
    """Computes `SplitDepthwise`."""

    def __init__(self, layer: SplitDepthwise) -> None:
        """Take the slices from `layer`."""
        super().__init__()
        width = layer.slice_width
        self.width = width
        convs = (
            NarrowConv2d(width, width, layer.kernel, padding=layer.kernel // 2, groups=width)
            for _ in range(layer.splits - 1)
        )
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with all slices but the last filtered."""
        *slices, last = x.split(self.width, dim=1)
        results: list[Tensor] = []
        for part, conv in zip(slices, self.convs, strict=True):
            results.append(conv(part + results[-1] if results else part))
        return torch.cat([*results, last], dim=1)


class PositionalEncodingModule(nn.Module):
    """Computes `PositionalEncoding`."""

    def __init__(self, layer: PositionalEncoding) -> None:
        """Take the width from `layer`."""
        super().__init__()
        self.project = NarrowConv2d(2 * FOURIER_FEATURES, layer.width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with its positions added."""
        encoded: Tensor = x + self.project(fourier_features(x.shape[-1], x))
        return encoded


def fourier_features(side: int, like: Tensor) -> Tensor:
    """Return (1, 2 * FOURIER_FEATURES, side, side): sines and cosines of y, then of x, in the type of `like`."""
    turns = torch.arange(1, side + 1, device=like.device) * (2 * math.pi / (side + 1e-6))
    index = torch.arange(0, FOURIER_FEATURES, 2, device=like.device)
    angles = turns[:, None] / _TEMPERATURE ** (index / FOURIER_FEATURES)  # side x features / 2
    waves = torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1).T  # features x side
    rows, columns = waves[:, :, None].expand(-1, -1, side), waves[:, None, :].expand(-1, side, -1)
    return torch.cat((rows, columns))[None].to(like.dtype)


MODULES: dict[type, Callable[..., nn.Module]] = {
    PatchAttention: PatchAttentionModule,
    SingleHeadAttention: SingleHeadAttentionModule,
    WindowAttention: WindowAttentionModule,
    TransposedAttention: TransposedAttentionModule,
    LinearAttention: LinearAttentionModule,
    SplitDepthwise: SplitDepthwiseModule,
    PositionalEncoding: PositionalEncodingModule,
}
