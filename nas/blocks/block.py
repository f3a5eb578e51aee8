"""The genes of one block, and the pieces that block families are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nas.errors import unknown
from nas.layers import (
    ACTIVATIONS,
    NORMS,
    Act,
    Chain,
    Conv,
    Layer,
    LayerScale,
    Norm,
    Parallel,
    SqueezeExcite,
    chain,
    residual,
)
from nas.value import Value


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"must be odd, got {kernel}")
    return kernel


def _known_activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise ValueError(unknown("activation", name, ACTIVATIONS))
    return name


def _known_norm(name: str) -> str:
    if name not in NORMS:
        raise ValueError(unknown("norm", name, NORMS))
    return name


Kernel = Annotated[int, Field(ge=1, le=31), AfterValidator(_odd)]
Activation = Annotated[str, AfterValidator(_known_activation)]
NormKind = Annotated[str, AfterValidator(_known_norm)]


NARROWEST_HEAD = 20
"""Channels of an attention head where their number is left open: what EMO and EMOv2 use in their small networks."""


class Block(Value):
    """What one block is, apart from the widths and the stride that its stage gives it.

    A family reads some of these genes (`Family.genes`); the others are idle and hold their defaults.
    """

    family: str
    kernel: Kernel = 3
    expansion: float = Field(default=1.0, gt=0, le=16)
    activation: Activation = "relu"
    norm: NormKind = "batch"
    se_ratio: float = Field(default=0.0, ge=0, le=1)
    skip: bool = True
    start_kernel: Kernel = Field(default=1, description="depthwise convolution before the expansion; 1: none")
    end_kernel: Kernel = Field(default=1, description="depthwise convolution behind the last projection; 1: none")
    groups: int = Field(default=1, ge=1, description="groups of the dense convolution")
    bias: bool = Field(default=False, description="bias of the convolution, beside its norm")
    layer_scale: float = Field(default=0.0, ge=0, le=1, description="first value of the learned factor; 0: none")
    heads: int = Field(default=1, ge=0, description="attention heads; 0: as many as leave each 20 channels")
    window: int = Field(default=7, ge=2, description="side of an attention window, positions")
    layers: int = Field(default=2, ge=1, le=12, description="transformer layers inside the block")
    splits: int = Field(default=2, ge=2, le=8, description="slices of the channels")
    position: bool = Field(default=False, description="whether positions are encoded")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block stands: the width it is given, the width it gives, and its stride at the target resolution."""

    in_width: int
    out_width: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether input and output can be added without a projection."""
        return self.stride == 1 and self.in_width == self.out_width


def _no_skip_where_changed(place: Place) -> frozenset[str]:
    return frozenset() if place.keeps_shape else frozenset({"skip"})


def _no_attention(block: Block, place: Place) -> tuple[int, ...]:  # noqa: ARG001
    return ()


def _no_fault(block: Block, place: Place) -> str | None:  # noqa: ARG001
    return None


@dataclass(frozen=True, slots=True)
class Family:
    """A block family: the layers of a block at a place, and what decides about them.

    `layers` gives the layers, for the stride of the place; `genes` are the fields of `Block` it reads anywhere, `idle`
    gives those that do not matter at a place. `fault` says in words why a block cannot stand at a place, or None.
    `grows` marks families whose blocks share the widening of their stage among them; `attended` gives the widths that
    the heads of a block's attention must divide.
    """

    layers: Callable[[Block, Place], Layer]
    genes: frozenset[str]
    idle: Callable[[Place], frozenset[str]] = _no_skip_where_changed
    fault: Callable[[Block, Place], str | None] = _no_fault
    grows: bool = False
    attended: Callable[[Block, Place], tuple[int, ...]] = _no_attention

    def reads(self, place: Place) -> frozenset[str]:
        """Return the genes that matter at `place`."""
        return self.genes - self.idle(place)


def attention_heads(block: Block, widths: tuple[int, ...]) -> int:
    """Return the heads of an attention over `widths`; for 0 as many as leave each `NARROWEST_HEAD` channels (EMOv2)."""
    most = widths[0] // NARROWEST_HEAD
    return block.heads or next((n for n in range(most, 0, -1) if not any(width % n for width in widths)), 1)


def heads_fault(block: Block, widths: tuple[int, ...]) -> str | None:
    """Return what is wrong when the heads do not divide the widths of an attention."""
    wrong = next((width for width in widths if block.heads and width % block.heads), None)
    return f"`heads` must divide the attention width {wrong}, got {block.heads}" if wrong else None


def middle_width(width: int, expansion: float) -> int:
    """Return `expansion` times `width`, rounded as MobileNetV2 rounds its hidden widths; at least one."""
    return max(1, round(width * expansion))


def conv_norm(block: Block, conv: Conv, *, act: bool = False) -> Chain:
    """Return a convolution, its norm and, when asked, the block's activation."""
    return chain(
        conv=conv,
        norm=Norm(block.norm, conv.out_width),
        act=Act(block.activation, conv.out_width) if act else None,
    )


def pointwise(block: Block, in_width: int, out_width: int, *, act: bool = False) -> Chain:
    """Return a 1x1 convolution with its norm and, when asked, the activation."""
    return conv_norm(block, Conv(in_width, out_width), act=act)


def depthwise(block: Block, width: int, stride: int = 1, *, act: bool = False) -> Chain:
    """Return a depthwise convolution of the block's kernel with its norm and, when asked, the activation."""
    return conv_norm(block, Conv(width, width, block.kernel, stride, groups=width), act=act)


def divisible(width: float, divisor: int = 8) -> int:
    """Return `width` rounded to a multiple of `divisor`, not more than 10 % down (MobileNetV2's rule)."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * width else rounded + divisor


def squeeze_excite(
    block: Block, width: int, *, divisor: int = 8, gate: Literal["sigmoid", "hardsigmoid"] = "sigmoid"
) -> SqueezeExcite | None:
    """Return the gate of `se_ratio`, its squeeze a multiple of `divisor` as in MobileNetV3; None at 0."""
    return SqueezeExcite(width, divisible(width * block.se_ratio, divisor), gate) if block.se_ratio else None


def layer_scale(block: Block, width: int) -> LayerScale | None:
    """Return the learned factors for `width` channels; None when they start at 0."""
    return LayerScale(width, block.layer_scale) if block.layer_scale else None


def mlp(block: Block, width: int) -> Chain:
    """Return 1x1 to `expansion` times the width, activation, 1x1 back, with biases and without norms."""
    middle = middle_width(width, block.expansion)
    return chain(
        expand=Conv(width, middle, bias=True),
        act=Act(block.activation, middle),
        project=Conv(middle, width, bias=True),
    )


def skip_where_kept(block: Block, place: Place, branch: Chain) -> Chain | Parallel:
    """Return the branch with an identity skip where the shape allows one and the gene asks for it."""
    return residual(branch) if block.skip and place.keeps_shape else branch


def downsampled(block: Block, place: Place, at_rest: Callable[[int], Layer]) -> Chain:
    """Return the block of one width, behind a strided 3x3 convolution where the shape changes."""
    conv = Conv(place.in_width, place.out_width, 3, place.stride)
    return chain(
        downsample=None if place.keeps_shape else conv_norm(block, conv, act=True), body=at_rest(place.out_width)
    )
