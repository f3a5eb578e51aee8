"""The peak of the memory model is the peak of a real forward pass, tensor by tensor.

Norms, activations and layer scales are taken out of both: they fold away, or run in place.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from nas.architecture import Architecture, Head, Stage, Stem, Task
from nas.blocks import FAMILIES, Place
from nas.budget import BYTES_PER_ELEMENT, cost
from nas.layers import Act, AtMultiple, Chain, Layer, LayerScale, Norm, Parallel, trace
from nas.network.build import build, module
from tests.core.examples import block
from tests.core.live_memory import fold, measured_peak_bytes

PLACES = (Place(16, 16, 1), Place(16, 24, 2))
INEXACT = {"irmb_hybrid": 0.05, "mobilevit": 0.05, "mobilevitv2": 0.05}
"""Families whose attention copies windows or patches: the model leaves small temporaries out."""


def _bare(layer: Layer) -> Layer:
    match layer:
        case Chain(layers):
            kept = ((name, inner) for name, inner in layers if not isinstance(inner, Norm | Act | LayerScale))
            return Chain(tuple((name, _bare(inner)) for name, inner in kept))
        case Parallel(branches):
            return replace(layer, branches=tuple((name, _bare(inner)) for name, inner in branches))
        case AtMultiple(inner):
            return replace(layer, layer=_bare(inner))
        case _:
            return layer


@pytest.mark.parametrize("side", [8, 14])
@pytest.mark.parametrize("place", PLACES, ids=["at rest", "strided"])
@pytest.mark.parametrize("expansion", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_peak_of_a_block_is_what_a_forward_pass_holds(name: str, expansion: float, place: Place, side: int) -> None:
    genes = block(name, expansion=expansion, kernel=5, heads=4, se_ratio=0.25, position=True, window=4, start_kernel=3)
    layer = _bare(FAMILIES[name].layers(genes, place))
    expected = trace(layer, place.in_width, side).peak_activation_elements * BYTES_PER_ELEMENT
    measured = measured_peak_bytes(fold(nn.Sequential(module(layer))), place.in_width, side)
    assert measured == pytest.approx(expected, rel=INEXACT.get(name, 0.0))


@pytest.mark.parametrize("name", ["inverted", "residual", "convnext"])
def test_the_peak_of_a_network_is_what_a_forward_pass_holds(name: str) -> None:
    stages = (Stage(width=16, blocks=(block(name, expansion=3),) * 2), Stage(width=24, stride=2, blocks=(block(name),)))
    design = Architecture(stem=Stem(width=8), stages=stages, head=Head(width=32))
    task = Task(num_classes=10, resolution=32)
    assert measured_peak_bytes(fold(build(design, task)), 3, 32) == cost(design, task).peak_activation_bytes
