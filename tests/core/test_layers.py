"""Costs of layers against numbers worked out by hand."""

from __future__ import annotations

import pytest

from nas.errors import SpaceError
from nas.layers import (
    Act,
    AtMultiple,
    Chain,
    ChannelShuffle,
    Classifier,
    Conv,
    GlobalPool,
    Layer,
    LayerScale,
    Narrow,
    Norm,
    Parallel,
    Pool,
    SqueezeExcite,
    chain,
    residual,
    restride,
    trace,
)

CASES: dict[str, tuple[Layer, int, int, tuple[int, int, int, int, int]]] = {
    # name: layer, channels, side -> params, macs, peak elements, channels, side
    "1x1": (Conv(8, 16), 8, 4, (128, 2048, 384, 16, 4)),
    "1x1 with bias": (Conv(8, 16, bias=True), 8, 4, (144, 2048, 384, 16, 4)),
    "3x3 stride 2": (Conv(3, 8, 3, 2), 3, 32, (216, 55_296, 5_120, 8, 16)),
    "3x3 stride 2, odd side": (Conv(3, 8, 3, 2), 3, 7, (216, 3_456, 275, 8, 4)),
    "3x3 stride 4": (Conv(3, 8, 3, 4), 3, 14, (216, 3_456, 716, 8, 4)),
    "depthwise 5x5": (Conv(8, 8, 5, groups=8), 8, 6, (200, 7_200, 576, 8, 6)),
    "patches": (Conv(3, 8, 4, 4), 3, 32, (384, 24_576, 3_584, 8, 8)),
    "batch norm": (Norm("batch", 8), 8, 4, (16, 0, 128, 8, 4)),
    "no norm": (Norm("none", 8), 8, 4, (0, 0, 128, 8, 4)),
    "relu": (Act("relu", 8), 8, 4, (0, 0, 128, 8, 4)),
    "solu": (Act("solu", 8), 8, 4, (16, 0, 128, 8, 4)),
    "squeeze-excite": (SqueezeExcite(16, 8), 16, 4, (280, 256, 528, 16, 4)),
    "pool": (GlobalPool(), 8, 4, (0, 0, 136, 8, 1)),
    "classifier": (Classifier(8, 10), 8, 1, (90, 80, 18, 10, 1)),
    "nothing": (Chain(()), 8, 4, (0, 0, 128, 8, 4)),
    "two convolutions": (chain(a=Conv(8, 32), b=Conv(32, 8)), 8, 4, (512, 8_192, 640, 8, 4)),
    "identity skip holds the input": (residual(chain(a=Conv(8, 32), b=Conv(32, 8))), 8, 4, (512, 8_192, 768, 8, 4)),
    "projection": (residual(Conv(8, 16), Conv(8, 16)), 8, 4, (256, 4_096, 768, 16, 4)),
    "product": (Parallel((("a", Conv(8, 8)), ("b", Conv(8, 8))), "multiply"), 8, 4, (128, 2_048, 384, 8, 4)),
    "concat": (Parallel((("a", Conv(8, 8)), ("b", Conv(8, 4))), "concat"), 8, 4, (96, 1_536, 384, 12, 4)),
    "norm at the head of a branch needs a copy": (residual(Norm("batch", 8)), 8, 4, (16, 0, 384, 8, 4)),
    "norm behind an identity needs a copy": (
        Parallel((("a", chain()), ("b", Norm("none", 8)))),
        8,
        4,
        (0, 0, 384, 8, 4),
    ),
    "an identity needs no copy": (Parallel((("a", chain()), ("b", Conv(8, 8)))), 8, 4, (64, 1_024, 384, 8, 4)),
    "max pooling": (Pool("max", 3, 2), 8, 7, (0, 0, 520, 8, 4)),
    "mean pooling": (Pool("mean", 2, 2), 8, 6, (0, 0, 360, 8, 3)),
    "shuffle": (ChannelShuffle(2), 8, 4, (0, 0, 256, 8, 4)),
    "layer scale": (LayerScale(8, 1e-6), 8, 4, (8, 0, 128, 8, 4)),
    "a view of a held map": (
        Parallel((("a", Narrow(0, 4)), ("b", chain(half=Narrow(4, 4), conv=Conv(4, 4)))), "concat"),
        8,
        4,
        (16, 256, 320, 8, 4),
    ),
    "stretched to even sides": (AtMultiple(Conv(8, 8), 2), 8, 3, (64, 1_024, 256, 8, 3)),
    "even already": (AtMultiple(Conv(8, 8), 2), 8, 4, (64, 1_024, 256, 8, 4)),
}

STRIDED = residual(chain(conv=Conv(8, 8, 3, 2), norm=Norm("batch", 8), out=Conv(8, 8, 5)), Conv(8, 8, 1, 2))


@pytest.mark.parametrize("name", CASES)
def test_trace_gives_the_worked_out_numbers(name: str) -> None:
    layer, channels, side, expected = CASES[name]
    found = trace(layer, channels, side)
    assert (found.params, found.macs, found.peak_activation_elements, found.channels, found.side) == expected


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("side", [1, 2, 7, 16, 33])
def test_an_odd_kernel_leaves_side_over_stride_rounded_up(kernel: int, stride: int, side: int) -> None:
    assert Conv(1, 1, kernel, stride).out(1, side) == (1, -(-side // stride))


@pytest.mark.parametrize(("width", "groups"), [(8, 8), (12, 6), (24, 8), (7, 7), (11, 1), (1, 1)])
def test_group_norm_uses_the_largest_divisor_up_to_eight(width: int, groups: int) -> None:
    assert Norm("group", width).groups == groups


def test_restride_keeps_the_params_and_the_unit_strides() -> None:
    flat = restride(STRIDED, 1)
    assert trace(flat, 8, 8).params == trace(STRIDED, 8, 8).params
    assert (trace(STRIDED, 8, 8).side, trace(flat, 8, 8).side) == (4, 8)
    assert restride(STRIDED, 2) == STRIDED


def test_chain_leaves_out_what_is_none() -> None:
    assert chain(a=Conv(1, 1), b=None) == chain(a=Conv(1, 1))


def test_a_dropped_stride_takes_its_pooling_with_it() -> None:
    pooled = chain(conv=Conv(8, 8), pool=Pool("mean", 2, 2))
    assert trace(restride(pooled, 1), 8, 7) == trace(Conv(8, 8), 8, 7)


@pytest.mark.parametrize(("stride", "side"), [(4, 8), (2, 16), (1, 31)])
def test_patches_of_a_dropped_stride_overlap(stride: int, side: int) -> None:
    assert trace(restride(Conv(3, 8, 4, 4), stride), 3, 32).side == side


@pytest.mark.parametrize("layer", [Conv(8, 8, 2, 2), Pool("mean", 2, 2), chain(a=Conv(8, 8, 2, 2), b=Conv(8, 8, 2, 2))])
def test_a_map_that_would_vanish_is_refused(layer: Layer) -> None:
    with pytest.raises(SpaceError, match=r"the map would vanish: 1x1 under a 2x2"):
        trace(layer, 8, 1)
