"""How the convolutional reference networks are laid out, each from the table of its source."""

from __future__ import annotations

from collections.abc import Sequence

from nas.architecture import Architecture, Head, Stage, Stem
from nas.blocks import Block
from nas.blocks.block import divisible
from nas.references.rows import Row, Stride, rounded, stage, stages


def mobilenet_v1(multiplier: float) -> Architecture:
    """Howard et al. 2017, table 1."""
    table: tuple[tuple[int, Stride, int], ...] = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 2, 6), (1024, 2, 2))
    block = Block(family="separable", activation="relu6", skip=False)
    return Architecture(
        stem=Stem(width=divisible(32 * multiplier), activation="relu6"),
        stages=tuple(stage(divisible(width * multiplier), stride, depth, block) for width, stride, depth in table),
    )


def mobilenet_v2(multiplier: float) -> Architecture:
    """Sandler et al. 2018, table 2."""
    table: tuple[tuple[int, int, int, Stride], ...] = (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    )
    return Architecture(
        stem=Stem(width=divisible(32 * multiplier), activation="relu6"),
        stages=tuple(
            stage(
                divisible(width * multiplier),
                stride,
                depth,
                Block(family="inverted", expansion=expansion, activation="relu6"),
            )
            for expansion, width, depth, stride in table
        ),
        head=Head(width=divisible(1280 * max(1.0, multiplier)), activation="relu6"),
    )


def mobilenet_v3_small(multiplier: float) -> Architecture:
    """Howard et al. 2019, table 2; the stem keeps its width, as in timm below three quarters."""
    table: tuple[tuple[int, float, int, float, str, Stride], ...] = (
        (3, 1, 16, 0.25, "relu", 2),
        (3, 4.5, 24, 0, "relu", 2),
        (3, 3.67, 24, 0, "relu", 1),
        (5, 4, 40, 0.25, "hardswish", 2),
        *((5, 6, 40, 0.25, "hardswish", 1),) * 2,
        *((5, 3, 48, 0.25, "hardswish", 1),) * 2,
        (5, 6, 96, 0.25, "hardswish", 2),
        *((5, 6, 96, 0.25, "hardswish", 1),) * 2,
    )
    in_width, rows = 16, list[Row]()
    for kernel, ratio, width, se_ratio, activation, stride in table:
        expansion = rounded(in_width, ratio)
        block = Block(family="inverted", kernel=kernel, expansion=expansion, activation=activation, se_ratio=se_ratio)
        in_width = divisible(width * multiplier)
        rows.append((in_width, stride, block))
    head = Head(width=divisible(576 * multiplier), hidden=1024, activation="hardswish")
    return Architecture(stem=Stem(width=16, activation="hardswish"), stages=stages(rows), head=head)


def mobilenet_v4_small(multiplier: float) -> Architecture:
    """MobileNetV4-Conv-S (Qin et al. 2024, appendix D); the stem keeps its width, as in timm below three quarters."""
    convs: tuple[tuple[int, int, Stride], ...] = ((3, 32, 2), (1, 32, 1), (3, 96, 2), (1, 64, 1))
    table: tuple[tuple[int, int, float, int, Stride], ...] = (
        (5, 5, 3, 96, 2),
        *((1, 3, 2, 96, 1),) * 4,
        (3, 1, 4, 96, 1),
        (3, 3, 6, 128, 2),
        (5, 5, 4, 128, 1),
        (1, 5, 4, 128, 1),
        (1, 5, 3, 128, 1),
        *((1, 3, 4, 128, 1),) * 2,
    )
    rows: list[Row] = [
        (divisible(width * multiplier), stride, Block(family="conv", kernel=kernel)) for kernel, width, stride in convs
    ]
    for start_kernel, kernel, ratio, width, stride in table:
        expansion = rounded(rows[-1][0], ratio)
        block = Block(family="universal_inverted", start_kernel=start_kernel, kernel=kernel, expansion=expansion)
        rows.append((divisible(width * multiplier), stride, block))
    head = Head(width=divisible(960 * multiplier), hidden=1280, hidden_norm="batch")
    return Architecture(stem=Stem(width=32), stages=stages(rows), head=head)


def mobilenext() -> Architecture:
    """MobileNeXt 1.0 (Zhou et al. 2020) as its repository builds it: not every stage begins with a whole block.

    The first depthwise convolution is left out there, and both where only the width changes, but for three stages.
    """
    both, last, none = (3, 3), (1, 3), (1, 1)
    table: tuple[tuple[tuple[int, int], int, int, Stride, int], ...] = (
        *((both, 96, 16, 2, 1), (both, 144, 32, 1, 1), (last, 192, 32, 2, 3), (last, 288, 48, 2, 3)),
        *((none, 384, 64, 1, 4), (last, 576, 96, 2, 4), (none, 960, 160, 1, 3), (both, 1280, 208, 1, 1)),
    )
    in_width, found = 32, list[Stage]()
    for (start_kernel, kernel), width, middle, stride, depth in table:
        block = Block(family="sandglass", activation="relu6", expansion=width / middle)
        changed = {"start_kernel": start_kernel, "kernel": kernel, "expansion": in_width / middle}
        found.append(stage(width, stride, depth - 1, block, first=block.model_copy(update=changed)))
        in_width = width
    return Architecture(stem=Stem(width=32, activation="relu6"), stages=tuple(found))


def shufflenet_v2(widths: Sequence[int], head: int) -> Architecture:
    """Ma et al. 2018, table 5."""
    unit = Block(family="shuffle")
    return Architecture(
        stem=Stem(width=24, stride=4, max_pool=True),
        stages=tuple(stage(width, 2, depth, unit) for width, depth in zip(widths, (4, 8, 4), strict=True)),
        head=Head(width=head),
    )


def ghostnet(multiplier: float) -> Architecture:
    """Han et al. 2020, table 1."""
    table: tuple[tuple[int, int, int, float, Stride], ...] = (
        *((3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 0.25, 2), (5, 120, 40, 0.25, 1)),
        *((3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1)),
        *((3, 480, 112, 0.25, 1), (3, 672, 112, 0.25, 1), (5, 672, 160, 0.25, 2)),
        *((5, 960, 160, 0, 1), (5, 960, 160, 0.25, 1)) * 2,
    )
    stem = in_width = divisible(16 * multiplier, 4)
    rows: list[Row] = []
    for kernel, middle, width, se_ratio, stride in table:
        expansion = divisible(middle * multiplier, 4) / in_width
        in_width = divisible(width * multiplier, 4)
        rows.append((in_width, stride, Block(family="ghost", kernel=kernel, expansion=expansion, se_ratio=se_ratio)))
    head = Head(width=divisible(960 * multiplier, 4), hidden=1280)
    return Architecture(stem=Stem(width=stem), stages=stages(rows), head=head)


def resnet(depths: Sequence[int]) -> Architecture:
    """He et al. 2016, table 1, with basic blocks."""
    table: tuple[tuple[int, Stride], ...] = ((64, 1), (128, 2), (256, 2), (512, 2))
    block = Block(family="residual")
    return Architecture(
        stem=Stem(width=64, kernel=7, stride=4, max_pool=True),
        stages=tuple(stage(width, stride, depth, block) for (width, stride), depth in zip(table, depths, strict=True)),
    )


def resnet_cifar(depth: int, se_ratio: float = 0.0) -> Architecture:
    """He et al. 2016, section 4.2, with projections as shortcuts; SE-ResNet with a `se_ratio`."""
    table: tuple[tuple[int, Stride], ...] = ((16, 1), (32, 2), (64, 2))
    block = Block(family="residual", se_ratio=se_ratio)
    return Architecture(
        stem=Stem(width=16, stride=1),
        stages=tuple(stage(width, stride, (depth - 2) // 6, block) for width, stride in table),
    )


def densenet_cifar(depth: int, growth: int) -> Architecture:
    """DenseNet-BC for CIFAR (Huang et al. 2017, section 3): three dense blocks, the later ones behind transitions."""
    strides: tuple[Stride, ...] = (1, 2, 2)
    width, layers, found = 2 * growth, (depth - 4) // 6, list[Stage]()
    for stride in strides:
        width = width // stride + layers * growth
        found.append(stage(width, stride, layers + stride - 1, Block(family="dense", expansion=4)))
    return Architecture(
        stem=Stem(width=2 * growth, stride=1, norm="none", activation="identity"),
        stages=tuple(found),
        head=Head(map_norm="batch", map_activation="relu"),
    )


def convnext(widths: Sequence[int], depths: Sequence[int]) -> Architecture:
    """Liu et al. 2022, figure 4, in the sizes that timm adds below Tiny."""
    patch = Block(family="patch", norm="layer")
    block = Block(family="convnext", kernel=7, expansion=4, activation="gelu", norm="layer", layer_scale=1e-6)
    first, *others = zip(widths, depths, strict=True)
    return Architecture(
        stem=Stem(width=first[0], kernel=4, stride=4, norm="layer", activation="identity", bias=True),
        stages=(
            stage(first[0], 1, first[1], block),
            *(stage(width, 2, depth, block, first=patch) for width, depth in others),
        ),
        head=Head(pool_norm="layer"),
    )


def starnet(width: int, depths: Sequence[int], expansion: int) -> Architecture:
    """Ma et al. 2024, figure 3, in the sizes of its repository."""
    conv = Block(family="conv", activation="identity", bias=True)
    block = Block(family="star", kernel=7, expansion=expansion, activation="relu6")
    return Architecture(
        stem=Stem(width=32, activation="relu6", bias=True),
        stages=tuple(stage(width * 2**i, 2, depth, block, first=conv) for i, depth in enumerate(depths)),
        head=Head(map_norm="batch"),
    )


def nodepth(
    stem: int, widths: Sequence[int], depths: Sequence[int], kernels: Sequence[int], expansions: Sequence[float]
) -> Architecture:
    """Ours: NoDepth bottlenecks placed as the leaders below 1.5M parameters place theirs, most of them at 1/16."""
    return Architecture(
        stem=Stem(width=stem),
        stages=tuple(
            stage(width, 2, depth, Block(family="nodepth", kernel=kernel, expansion=expansion))
            for width, depth, kernel, expansion in zip(widths, depths, kernels, expansions, strict=True)
        ),
    )
