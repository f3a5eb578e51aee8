"""How the reference networks that mix positions by attention are laid out, each from its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas.architecture import Architecture, Head, Stage, Stem
from nas.blocks import Block
from nas.references.rows import stage


def edgenext(widths: Sequence[int], depths: Sequence[int], heads: int) -> Architecture:
    """Maaz et al. 2022, table 1: convolution encoders, the last block of all stages but the first an SDTA encoder."""
    patch = Block(family="patch", norm="layer")
    genes = {"expansion": 4.0, "activation": "gelu", "norm": "layer", "layer_scale": 1e-6}
    found: list[Stage] = []
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        conv = Block(family="convnext", kernel=3 + 2 * i).model_copy(update=genes)
        mixer = Block(family="sdta", heads=heads, splits=max(2, i + 1), position=i == 1).model_copy(update=genes)
        blocks = (patch, *(conv,) * (depth - 1), mixer) if i else (conv,) * depth
        found.append(Stage(width=width, stride=2 if i else 1, blocks=blocks))
    return Architecture(
        stem=Stem(width=widths[0], kernel=4, stride=4, norm="layer", activation="identity", bias=True),
        stages=tuple(found),
        head=Head(pool_norm="layer"),
    )


def mobilevit(stem: int, widths: Sequence[int], inner: Sequence[int], expansion: float, head: int) -> Architecture:
    """Mehta and Rastegari 2022, figure 1: three stages end in transformers of the `inner` widths."""
    block = Block(family="inverted", expansion=expansion, activation="silu")
    mixers = [
        Block(family="mobilevit", expansion=width / out_width, activation="silu", heads=4, layers=layers)
        for width, out_width, layers in zip(inner, widths[2:], (2, 4, 3), strict=True)
    ]
    return _mobilevit(stem, widths, (1, 3), block, mixers, head)


def mobilevit_v2(multiplier: float) -> Architecture:
    """Mehta and Rastegari 2022, second paper: transformers of half the width."""
    widths = [int(width * multiplier) for width in (64, 128, 256, 384, 512)]
    block = Block(family="inverted", expansion=2, activation="silu")
    mixers = [Block(family="mobilevitv2", expansion=0.5, activation="silu", layers=layers) for layers in (2, 4, 3)]
    return _mobilevit(int(32 * multiplier), widths, (1, 2), block, mixers, head=0)


def _mobilevit(
    stem: int, widths: Sequence[int], depths: Sequence[int], block: Block, mixers: Sequence[Block], head: int
) -> Architecture:
    return Architecture(
        stem=Stem(width=stem, activation="silu"),
        stages=(
            stage(widths[0], 1, depths[0], block),
            stage(widths[1], 2, depths[1], block),
            *(stage(width, 2, 1, mixer, first=block) for width, mixer in zip(widths[2:], mixers, strict=True)),
        ),
        head=Head(width=head, activation="silu"),
    )


def emo(
    mixer: str,
    stem: Mapping[str, float],
    widths: Sequence[int],
    depths: Sequence[int],
    kernels: Sequence[int],
    heads: Sequence[int],
    layer_scale: float = 0.0,
) -> Architecture:
    """EMO (Zhang et al. 2023) and EMOv2 (2024): two stages of local blocks, two of `mixer` with `heads`."""
    local = Block(family="irmb", activation="silu", layer_scale=layer_scale)
    mixing = Block(family=mixer, activation="gelu", norm="layer", layer_scale=layer_scale)
    blocks = [local, local, *(mixing.model_copy(update={"heads": count}) for count in heads)]
    rows = zip(widths, depths, blocks, kernels, (2, 2.5, 3, 3.5), strict=True)
    return Architecture(
        stem=Stem.model_validate({**stem, "activation": "silu", "bias": True, "separable": True}),
        stages=tuple(
            stage(width, 2, depth, block.model_copy(update={"kernel": kernel, "expansion": expansion}))
            for width, depth, block, kernel, expansion in rows
        ),
        head=Head(map_norm="layer"),
    )


def tinynext(depths: Sequence[int]) -> Architecture:
    """TinyNeXt (ICCV 2025) as its repository builds it: between stages a block that is as wide inside as behind it."""
    local = Block(family="inverted", expansion=2)
    former, gated = (Block(family=name, expansion=2, activation="gelu") for name in ("former", "se_mlp"))
    return Architecture(
        stem=Stem(width=32, stride=4, first_width=16),
        stages=(
            stage(32, 1, depths[0], local),
            stage(64, 2, depths[1], local, first=local),
            stage(96, 2, depths[2], former, first=local.model_copy(update={"expansion": 96 / 64})),
            stage(192, 2, depths[3], gated.model_copy(update={"se_ratio": 0.25}), first=local),
        ),
        head=Head(map_norm="batch"),
    )
