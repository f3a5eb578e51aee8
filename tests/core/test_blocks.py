"""The layout of each family, leaf by leaf, as its source (or `nodepth`, as our page) draws it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch import nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig

from nas.blocks import FAMILIES, Block, Place
from nas.blocks.block import middle_width, squeeze_excite
from nas.layers import Act, Chain, Conv, Layer, Leaf, Norm, Parallel, SqueezeExcite
from tests.core.examples import block

LAYOUTS = [
    (block("separable"), "dw3 norm act 16>16 norm act"),
    (block("inverted", expansion=4), "16>64 norm act dw3 norm act 64>16 norm"),
    (block("inverted", expansion=1), "dw3 norm act 16>16 norm"),
    (block("inverted", expansion=0.5), "16>8 norm act dw3 norm act 8>16 norm"),
    (block("inverted", expansion=4, se_ratio=0.25), "16>64 norm act dw3 norm act se16 64>16 norm"),
    (block("sandglass", expansion=4), "dw3 norm act 16>4 norm 4>16 norm act dw3 norm"),
    (block("convnext", expansion=4, kernel=7), "dw7 norm 16>64 act 64>16"),
    (block("nodepth", expansion=4), "dw3 norm 16>64 norm act 64>16 norm"),
    (block("nodepth", expansion=1), "dw3 norm 16>16 norm act 16>16 norm"),
    (block("nodepth", expansion=0.5), "dw3 norm act 16>8 norm 8>16 norm"),
    (block("residual", expansion=0.5), "3x3 16>8 norm act 3x3 8>16 norm act"),
]


def _word(leaf: Leaf) -> str:
    match leaf:
        case Conv(groups=groups) if groups > 1:
            return f"dw{leaf.kernel}"
        case Conv():
            return f"{leaf.kernel}x{leaf.kernel} " * (leaf.kernel > 1) + f"{leaf.in_width}>{leaf.out_width}"
        case SqueezeExcite():
            return f"se{leaf.squeeze}"
        case _:
            return {Norm: "norm", Act: "act"}[type(leaf)]


def _leaves(genes: Block, place: Place) -> list[Leaf]:
    return list(_flat(_layers(genes, place)))


def _flat(layer: Layer) -> Iterator[Leaf]:
    match layer:
        case Chain(inner) | Parallel(inner):
            for _, child in inner:
                yield from _flat(child)
        case _:
            yield layer


def _layers(genes: Block, place: Place) -> Layer:
    return FAMILIES[genes.family].layers(genes, place)


@pytest.mark.parametrize(("genes", "layout"), LAYOUTS)
def test_a_family_has_the_layout_of_its_source(genes: Block, layout: str) -> None:
    assert " ".join(map(_word, _leaves(genes, Place(16, 16, 1)))) == layout


def test_every_family_has_a_layout_here() -> None:
    assert {genes.family for genes, _ in LAYOUTS} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("place", [Place(16, 16, 1), Place(16, 16, 2), Place(16, 24, 1), Place(16, 24, 2)])
def test_a_block_goes_from_its_width_to_its_stage_s_and_strides_once(name: str, place: Place) -> None:
    layer = _layers(block(name), place)
    body = [leaf for leaf in _leaves(block(name), place) if isinstance(leaf, Conv)]
    body = body[:-1] if name == "residual" and not place.keeps_shape else body  # its last convolution is the shortcut
    assert (body[0].in_width, body[-1].out_width) == (16, place.out_width)
    assert sorted(leaf.stride for leaf in body)[-2:] == [1, place.stride]
    assert isinstance(layer, Parallel) == (place.keeps_shape and name != "residual")


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
    assert squeeze_excite(block("inverted", se_ratio=0.25), width) == SqueezeExcite(width, gate.fc1.out_channels)


def test_a_ratio_of_zero_is_no_gate() -> None:
    assert squeeze_excite(block("inverted"), 64) is None
