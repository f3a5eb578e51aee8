"""Published networks written as values: every parameter tensor, and every multiply-accumulate, must be theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torchvision
from torch import nn

from nas.architecture import Architecture, Head, Stage, Stem, Task
from nas.audit import count
from nas.blocks import Block
from nas.budget import cost
from nas.network.build import build

IMAGENET = Task(num_classes=1000, resolution=224)


def _stage(width: int, depth: int, stride: int, block: Block) -> Stage:
    return Stage(width=width, stride=stride, blocks=(block,) * depth)


def _eight(width: float) -> int:
    """Round to a multiple of 8, not more than 10 % down, as MobileNetV2 does."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


def mobilenet_v1(scale: float) -> Architecture:
    """Table 1 of Howard et al. 2017."""
    rows = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]
    separable = Block(family="separable", activation="relu6", skip=False)
    stages = tuple(_stage(_eight(width * scale), depth, stride, separable) for width, depth, stride in rows)
    return Architecture(stem=Stem(width=_eight(32 * scale), activation="relu6"), stages=stages)


def mobilenet_v2(scale: float) -> Architecture:
    """Table 2 of Sandler et al. 2018."""
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    stages = tuple(
        _stage(_eight(width * scale), depth, stride, Block(family="inverted", expansion=expansion, activation="relu6"))
        for expansion, width, depth, stride in rows
    )
    stem = Stem(width=_eight(32 * scale), activation="relu6")
    return Architecture(stem=stem, stages=stages, head=Head(width=_eight(1280 * max(1.0, scale)), activation="relu6"))


def mnasnet() -> Architecture:
    """MnasNet-B1 (Tan et al. 2019, figure 7 without squeeze-excite)."""
    rows = [(1, 16, 1, 1, 3), (3, 24, 3, 2, 3), (3, 40, 3, 2, 5), (6, 80, 3, 2, 5)]
    rows += [(6, 96, 2, 1, 3), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]
    stages = tuple(
        _stage(width, depth, stride, Block(family="inverted", expansion=expansion, kernel=kernel))
        for expansion, width, depth, stride, kernel in rows
    )
    return Architecture(stem=Stem(width=32), stages=stages, head=Head(width=1280))


def resnet(*depths: int) -> Architecture:
    """Table 1 of He et al. 2016, without the max-pooling behind the stem, which a stem cannot express."""
    widths, strides = (64, 128, 256, 512), (1, 2, 2, 2)
    basic = Block(family="residual")
    stages = tuple(map(_stage, widths, depths, strides, (basic,) * 4))
    return Architecture(stem=Stem(width=64, kernel=7), stages=stages)


def _shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(parameter.shape) for parameter in network.parameters())


EXACT: dict[str, tuple[Architecture, Callable[[], nn.Module]]] = {
    "MobileNetV2 1.0": (mobilenet_v2(1.0), torchvision.models.mobilenet_v2),
    "MnasNet-B1": (mnasnet(), torchvision.models.mnasnet1_0),
}
PUBLISHED = {
    "MobileNetV1 0.25": (mobilenet_v1(0.25), 470_072),
    "MobileNetV1 0.5": (mobilenet_v1(0.5), 1_331_592),
    "MobileNetV1 1.0": (mobilenet_v1(1.0), 4_231_976),
    "MobileNetV2 1.0": (mobilenet_v2(1.0), 3_504_872),
    "MnasNet-B1": (mnasnet(), 4_383_312),
    "ResNet-18": (resnet(2, 2, 2, 2), 11_689_512),
}


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("name", EXACT)
def test_a_reference_network_is_rebuilt_to_the_last_weight(name: str) -> None:
    design, reference = EXACT[name]
    theirs, ours = reference(), build(design, IMAGENET)
    assert _shapes(ours) == _shapes(theirs)
    assert count(theirs, IMAGENET) == (cost(design, IMAGENET).params, cost(design, IMAGENET).macs)


def test_resnet_18_is_rebuilt_but_for_its_pooled_stem() -> None:
    assert _shapes(build(resnet(2, 2, 2, 2), IMAGENET)) == _shapes(torchvision.models.resnet18())


@pytest.mark.parametrize(
    ("name", "design"),
    [("mobilenetv1_100", mobilenet_v1(1.0)), ("mobilenetv2_035", mobilenet_v2(0.35))],
)
def test_the_networks_of_timm_are_rebuilt_to_the_last_weight(name: str, design: Architecture) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(name)
    assert _shapes(build(design, IMAGENET)) == _shapes(theirs)
    assert count(theirs, IMAGENET) == (cost(design, IMAGENET).params, cost(design, IMAGENET).macs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_reference_network_has_its_published_number_of_params(name: str) -> None:
    design, params = PUBLISHED[name]
    assert cost(design, IMAGENET).params == params
