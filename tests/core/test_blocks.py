"""The layout of each family, leaf by leaf, as its source (or `nodepth`, as our page) draws it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from torch import nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig

from nas.architecture import Architecture, Stage, Stem, block_fault
from nas.attention import PositionalEncoding, SplitDepthwise
from nas.blocks import FAMILIES, Block, Place
from nas.blocks.block import middle_width, squeeze_excite
from nas.layers import (
    Act,
    AtMultiple,
    Chain,
    ChannelShuffle,
    Conv,
    Layer,
    LayerScale,
    Leaf,
    Narrow,
    Norm,
    Parallel,
    Pool,
    SqueezeExcite,
    restride,
    trace,
)
from tests.core.examples import block

WORDS: dict[type[Leaf], str] = {
    **{
        Norm: "norm",
        Act: "act",
        LayerScale: "scale",
        ChannelShuffle: "shuffle",
        PositionalEncoding: "position",
        Pool: "pool",
    },
}
TRANSFORMER = "norm attention norm 32>64+ act 64>32+ norm"
FUSE = "3x3 32>16 norm act"
LAYOUTS = [
    (block("separable"), "dw3 norm act 16>16 norm act"),
    (block("inverted", expansion=4), "16>64 norm act dw3 norm act 64>16 norm"),
    (block("inverted", expansion=1), "dw3 norm act 16>16 norm"),
    (block("inverted", expansion=0.5), "16>8 norm act dw3 norm act 8>16 norm"),
    (block("inverted", expansion=4, se_ratio=0.25), "16>64 norm act dw3 norm act se16 64>16 norm"),
    (block("fused_inverted", expansion=4), "3x3 16>64 norm act 64>16 norm"),
    (block("fused_inverted"), "3x3 16>16 norm act"),
    (block("universal_inverted", expansion=4), "16>64 norm act dw3 norm act 64>16 norm"),
    (block("universal_inverted", expansion=4, start_kernel=5), "dw5 norm 16>64 norm act dw3 norm act 64>16 norm"),
    (block("universal_inverted", expansion=4, start_kernel=5, kernel=1), "dw5 norm 16>64 norm act 64>16 norm"),
    (block("universal_inverted", expansion=4, kernel=1), "16>64 norm act 64>16 norm"),
    (block("sandglass", expansion=4), "dw3 norm act 16>4 norm 4>16 norm act dw3 norm"),
    (block("convnext", expansion=4, kernel=7), "dw7+ norm 16>64+ act 64>16+"),
    (block("convnext", expansion=4, layer_scale=1e-6), "dw3+ norm 16>64+ act 64>16+ scale"),
    (block("nodepth", expansion=4), "dw3 norm 16>64 norm act 64>16 norm"),
    (block("nodepth", expansion=1), "dw3 norm 16>16 norm act 16>16 norm"),
    (block("nodepth", expansion=0.5), "dw3 norm act 16>8 norm 8>16 norm"),
    (block("nodepth", expansion=0.5, end_kernel=5), "dw3 norm act 16>8 norm 8>16 norm dw5 norm"),
    (block("nodepth_dense", expansion=4), "3x3 16>16 norm 16>64 norm act 64>16 norm"),
    (block("nodepth_dense", expansion=0.5), "3x3 16>16 norm act 16>8 norm 8>16 norm"),
    (block("residual", expansion=0.5), "3x3 16>8 norm act 3x3 8>16 norm act"),
    (block("residual", se_ratio=0.125), "3x3 16>16 norm act 3x3 16>16 norm se2 act"),
    (block("residual_bottleneck", expansion=4), "16>4 norm act 3x3 4>4 norm act 4>16 norm act"),
    (block("residual_bottleneck", expansion=2, groups=4), "16>8 norm act 3x3/4 8>8 norm act 8>16 norm act"),
    (block("shuffle"), "channels0-8 channels8-16 8>8 norm act dw3 norm 8>8 norm act shuffle"),
    (block("ghost", expansion=2), "16>16 norm act dw3 norm act 32>8 norm dw3 norm"),
    (block("ghost", expansion=2, se_ratio=0.25), "16>16 norm act dw3 norm act se8 32>8 norm dw3 norm"),
    (block("star", expansion=4, kernel=7), "dw7+ norm 16>64+ act 16>64+ 64>16+ norm dw7+"),
    (block("dense", expansion=4), "norm act 16>16"),
    (block("mobilevit", expansion=2, layers=1), f"3x3 16>16 norm act 16>32 {TRANSFORMER} 32>16 norm act {FUSE}"),
    (block("mobilevitv2", expansion=2, layers=1), f"dw3 norm act 16>32 {TRANSFORMER} 32>16 norm"),
    (block("sdta", expansion=4, splits=4), "split4 norm attention norm 16>64+ act 64>16+"),
    (
        block("sdta", position=True, layer_scale=1e-6),
        "split2 position norm attention scale norm 16>16+ act 16>16+ scale",
    ),
    (block("former", expansion=2), "norm attention dw3 norm 16>32+ act 32>16+"),
    (block("se_mlp", expansion=2, se_ratio=0.5), "norm se8 dw3 norm 16>32+ act 32>16+"),
    (block("se_mlp", expansion=2), "dw3 norm 16>32+ act 32>16+"),
    (block("irmb", expansion=2), "norm 16>32+ act dw3 norm act 32>16"),
    (block("irmb_attention", expansion=2), "norm attention dw3 norm act 32>16"),
    (block("irmb_hybrid", expansion=2, layer_scale=1e-6), "norm attention dw3 norm act 32>16 scale"),
    (block("conv", kernel=5), "5x5 16>16 norm act"),
    (block("conv", activation="identity", bias=True), "3x3 16>16+ norm"),
    (block("patch"), "norm 16>16+"),
]


def _word(leaf: Leaf) -> str:
    match leaf:
        case Conv(groups=groups) if groups == leaf.in_width:
            return f"dw{leaf.kernel}" + "+" * leaf.bias
        case Conv():
            size = f"{leaf.kernel}x{leaf.kernel}" + f"/{leaf.groups}" * (leaf.groups > 1)
            return f"{size} " * (leaf.kernel > 1) + f"{leaf.in_width}>{leaf.out_width}" + "+" * leaf.bias
        case SqueezeExcite():
            return f"se{leaf.squeeze}"
        case Narrow():
            return f"channels{leaf.start}-{leaf.start + leaf.width}"
        case SplitDepthwise():
            return f"split{leaf.splits}"
        case _:
            return WORDS.get(type(leaf), "attention")


def _leaves(genes: Block, place: Place) -> list[Leaf]:
    return list(_flat(_layers(genes, place)))


def _flat(layer: Layer) -> Iterator[Leaf]:
    match layer:
        case Chain(inner) | Parallel(inner):
            for _, child in inner:
                yield from _flat(child)
        case AtMultiple(inner):
            yield from _flat(inner)
        case _:
            yield layer


def _layers(genes: Block, place: Place) -> Layer:
    return FAMILIES[genes.family].layers(genes, place)


@pytest.mark.parametrize(("genes", "layout"), LAYOUTS)
def test_a_family_has_the_layout_of_its_source(genes: Block, layout: str) -> None:
    assert " ".join(map(_word, _leaves(genes, Place(16, 16, 1)))) == layout


@pytest.mark.parametrize(
    ("genes", "layout"),
    [
        (block("sandglass", expansion=4), "16>4 norm 4>24 norm act dw3 norm"),
        (block("sandglass", expansion=4, start_kernel=5), "dw5 norm act 16>4 norm 4>24 norm act dw3 norm"),
        (block("sandglass", expansion=4, kernel=1), "16>4 norm 4>24 norm act"),
        (block("irmb_hybrid", expansion=2), "norm 16>64+ act dw3 norm act 64>24"),
        (block("ghost", expansion=2), "16>16 norm act dw3 norm act dw3 norm 32>12 norm dw3 norm dw3 norm 16>24 norm"),
        (block("shuffle"), "dw3 norm 16>12 norm act 16>12 norm act dw3 norm 12>12 norm act shuffle"),
        (block("former"), "3x3 16>24 norm act norm attention dw3 norm 24>24+ act 24>24+"),
        (block("dense"), "norm act 16>24 pool"),
    ],
)
def test_a_family_changes_the_shape_as_its_source_does(genes: Block, layout: str) -> None:
    assert " ".join(map(_word, _leaves(genes, Place(16, 24, 2)))) == layout


def test_a_dense_layer_adds_what_it_grows() -> None:
    grown = _leaves(block("dense", expansion=4), Place(16, 28, 1))
    assert " ".join(map(_word, grown)) == "norm act 16>48 norm act 3x3 48>12"


def test_every_family_has_a_layout_here() -> None:
    assert {genes.family for genes, _ in LAYOUTS} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("place", [Place(16, 16, 1), Place(16, 16, 2), Place(16, 24, 1), Place(16, 24, 2)])
def test_a_block_goes_from_its_width_to_its_stage_s_and_strides_once(name: str, place: Place) -> None:
    found = trace(_layers(block(name), place), place.in_width, 14)
    assert (found.channels, found.side) == (place.out_width, 14 // place.stride)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_dropped_stride_leaves_the_map_and_the_params(name: str) -> None:
    layers = _layers(block(name), Place(16, 24, 2))
    flat = trace(restride(layers, 1), 16, 14)
    assert flat.params == trace(layers, 16, 14).params
    assert flat.side == (13 if name == "patch" else 14)


def test_a_residual_block_projects_its_shortcut_where_the_shape_changes() -> None:
    shortcut = _leaves(block("residual"), Place(16, 24, 2))[-3:-1]
    assert shortcut == [Conv(16, 24, 1, 2), Norm("batch", 24)]


@pytest.mark.parametrize(("width", "expansion", "expected"), [(8, 0.25, 2), (3, 1.5, 4), (5, 0.5, 2), (1, 0.25, 1)])
def test_hidden_widths_are_rounded_to_even_halves_and_never_zero(width: int, expansion: float, expected: int) -> None:
    assert middle_width(width, expansion) == expected


@pytest.mark.parametrize("width", [16, 72, 96, 120, 144, 240, 288, 480, 576, 672, 960])
def test_squeezes_are_those_of_mobilenet_v3(width: int) -> None:
    theirs = InvertedResidualConfig(width, 3, width, width, True, "HS", 1, 1, 1.0)
    gate = InvertedResidual(theirs, nn.BatchNorm2d).get_submodule("block.1")
    ours = squeeze_excite(block("inverted", se_ratio=0.25), width, gate="hardsigmoid")
    assert ours == SqueezeExcite(width, gate.fc1.out_channels, "hardsigmoid")


def test_a_ratio_of_zero_is_no_gate() -> None:
    assert squeeze_excite(block("inverted"), 64) is None


@pytest.mark.parametrize(
    ("genes", "width", "fault"),
    [
        (block("mobilevit", expansion=1.5, heads=5), 16, "`heads` must divide the attention width 24, got 5"),
        (block("sdta", heads=3), 16, "`heads` must divide the attention width 16, got 3"),
        (block("irmb_hybrid", expansion=1.5, heads=16), 16, "`heads` must divide the attention width 24, got 16"),
        (block("sdta", splits=4), 6, "`splits` leaves no channels of width 6 for the last slice, got 4"),
        (block("residual_bottleneck", expansion=2, groups=3), 16, "`groups` must divide the bottleneck width 8, got 3"),
        (block("shuffle"), 15, "the width of a shuffle unit must be even, got 15"),
        (block("ghost"), 15, "the width of a ghost block must be even, got 15"),
    ],
)
def test_a_block_that_cannot_stand_says_why(genes: Block, width: int, fault: str) -> None:
    assert block_fault(genes, Place(width, width, 1)) == f"{genes.family}: {fault}"
    with pytest.raises(ValidationError, match=re.escape(f"stage 1: {genes.family}: {fault}")):
        Architecture(stem=Stem(width=width), stages=(Stage(width=width, blocks=(genes,)),))


@pytest.mark.parametrize(
    ("genes", "width", "heads"),
    [
        (block("irmb_hybrid", expansion=3, heads=0), 80, 4),
        (block("irmb_hybrid", expansion=3.5, heads=0), 180, 9),
        (block("irmb_attention", expansion=3.5, heads=0), 168, 8),
        (block("irmb_hybrid", expansion=1.5, heads=0), 96, 4),
        (block("sdta", heads=0), 168, 8),
        (block("sdta", heads=0), 19, 1),
        (block("mobilevit", expansion=0.5, heads=0), 80, 2),
    ],
)
def test_heads_left_open_are_as_many_as_leave_each_twenty_channels(genes: Block, width: int, heads: int) -> None:
    counted = genes.model_copy(update={"heads": heads})
    one, other = (
        Architecture(stem=Stem(width=width), stages=(Stage(width=width, blocks=(each,)),)) for each in (genes, counted)
    )
    assert one == other
    assert one.arch_id == other.arch_id
    place = Place(width, width, 1)
    assert FAMILIES[genes.family].layers(genes, place) == FAMILIES[genes.family].layers(counted, place)


def test_dense_blocks_share_the_widening_of_their_stage() -> None:
    growing = Stage(width=216, blocks=(block("dense"),) * 16).places(24)
    assert {place.out_width - place.in_width for place in growing} == {12}
    halved = Stage(width=300, stride=2, blocks=(block("dense"),) * 17).places(216)
    assert halved[0] == Place(216, 108, 2)
    assert {place.out_width - place.in_width for place in halved[1:]} == {12}
    assert halved[-1].out_width == 300
