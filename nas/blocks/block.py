"""The genes of one block, and the pieces that block families are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from nas.errors import unknown
from nas.layers import ACTIVATIONS, NORMS, Act, Chain, Conv, Layer, Norm, Parallel, SqueezeExcite, chain, residual
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


class Block(Value):
    """What one block is, apart from the widths and the stride that its stage gives it."""

    family: str
    kernel: Kernel = 3
    expansion: float = Field(default=1.0, gt=0, le=16)
    activation: Activation = "relu"
    norm: NormKind = "batch"
    se_ratio: float = Field(default=0.0, ge=0, le=1)
    skip: bool = True


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


@dataclass(frozen=True, slots=True)
class Family:
    """A block family: which genes of `Block` it reads, and the layers they give at a place."""

    layers: Callable[[Block, Place], Layer]
    genes: frozenset[str]


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


def squeeze_excite(block: Block, width: int) -> SqueezeExcite | None:
    """Return the gate of `se_ratio`, its squeeze a multiple of 8, at most 10 % down, as in MobileNetV3; None at 0."""
    if block.se_ratio == 0:
        return None
    wanted = width * block.se_ratio
    squeeze = max(8, int(wanted + 4) // 8 * 8)
    return SqueezeExcite(width, squeeze if squeeze >= 0.9 * wanted else squeeze + 8)


def skip_where_kept(block: Block, place: Place, branch: Chain) -> Chain | Parallel:
    """Return the branch with an identity skip where the shape allows one and the gene asks for it."""
    return residual(branch) if block.skip and place.keeps_shape else branch
