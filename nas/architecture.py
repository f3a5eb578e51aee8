"""The description of a network: stem, stages, head. Frozen, in normal form, with JSON and an id.

Strides belong to the target resolution. For a smaller input the earliest strides are dropped until the last
feature map is at least 4x4; parameters do not change.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from nas.blocks import FAMILIES, Block, Place, family
from nas.blocks.block import Activation, NormKind, attention_heads, heads_fault
from nas.errors import SpaceError, unknown
from nas.layers import (
    Act,
    Chain,
    Classifier,
    Conv,
    GlobalPool,
    Layer,
    Norm,
    Pool,
    SqueezeExcite,
    chain,
    restride,
)
from nas.value import Value, canonical_json, digest, explain

SMALLEST_LAST_SIDE = 4

V = TypeVar("V", bound=Value)


class Task(Value):
    """What a network is built for: the same architecture is trained on one task and counted on another."""

    num_classes: int = Field(ge=2)
    in_channels: int = Field(default=3, ge=1)
    resolution: int = Field(ge=1, description="side of the input, pixels")


class Stem(Value):
    """One strided convolution with norm and activation, or what leading networks put there.

    `first_width` puts a strided 3x3 convolution in front and shares the stride with it (TinyNeXt); an even `kernel`
    equal to the stride cuts patches (ConvNeXt); `max_pool` takes half of the stride as 3x3 pooling (ResNet);
    `separable` adds a 3x3 depthwise convolution and a linear 1x1, with squeeze-excite at `se_ratio` (EMO, EMOv2).
    """

    width: int = Field(ge=1)
    kernel: int = Field(default=3, ge=1, le=31)
    stride: Literal[1, 2, 4] = 2
    activation: Activation = "relu"
    norm: NormKind = "batch"
    bias: bool = False
    first_width: int = Field(default=0, ge=0)
    max_pool: bool = False
    separable: bool = False
    se_ratio: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kernel % 2 == 0 and (self.kernel != self.stride or self.first_width or self.max_pool):
            raise ValueError(f"kernel must be odd, or the stride for patches, got {self.kernel}")
        if (self.first_width or self.max_pool) and self.stride == 1:
            raise ValueError("first_width and max_pool need a stride to share, got stride 1")
        if self.first_width and self.max_pool:
            raise ValueError("first_width and max_pool cannot both take half of the stride")
        return self

    @property
    def idle(self) -> frozenset[str]:
        """The fields that nothing reads."""
        return frozenset() if self.separable else frozenset({"se_ratio"})


class Stage(Value):
    """Blocks of one output width; the first one carries the stride."""

    width: int = Field(ge=1)
    stride: Literal[1, 2] = 1
    blocks: tuple[Block, ...] = Field(min_length=1)

    @field_validator("blocks")
    @classmethod
    def _known_families(cls, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        for block in blocks:
            if block.family not in FAMILIES:
                raise ValueError(unknown("block", block.family, FAMILIES))
        return blocks

    def places(self, in_width: int) -> list[Place]:
        """Return where each block stands when the stage is given `in_width` channels."""
        return stage_places(tuple(block.family for block in self.blocks), in_width, self.width, self.stride)


def stage_places(families: Sequence[str], in_width: int, width: int, stride: int) -> list[Place]:
    """Return where the blocks of `families` stand in a stage of `width` and `stride` behind `in_width` channels."""
    places: list[Place] = []
    for left, name in zip(range(len(families), 0, -1), families, strict=True):
        if in_width == width and stride == 1:  # nothing changes any more, whatever the families
            return places + [_place(width, width, 1)] * left
        places.append(next_place(name, in_width, width, stride, left))
        in_width, stride = places[-1].out_width, 1
    return places


def next_place(family_name: str, in_width: int, width: int, stride: int, left: int) -> Place:
    """Return where a block stands with `left` blocks, itself among them, to the end of a stage of `width`.

    Blocks of a family that grows share the widening that is left among the blocks that are left; one that strides
    halves the width first, as between the blocks of DenseNet-BC (compression 0.5).
    """
    if family(family_name).grows and left > 1:
        width = max(1, in_width // 2 if stride > 1 else in_width + (width - in_width) // left)
    return _place(in_width, width, stride)


@lru_cache(maxsize=16_384)
def _place(in_width: int, out_width: int, stride: int) -> Place:
    return Place(in_width, out_width, stride)


class Head(Value):
    """From the last feature map to the classifier.

    [`map_norm`, `map_activation`], [1x1 convolution to `width` with norm and activation], global pooling,
    [`pool_norm`], [linear layer to `hidden` with `hidden_norm` and activation], classifier. A width of 0 leaves a layer
    out.
    """

    width: int = Field(default=0, ge=0)
    activation: Activation = "relu"
    norm: NormKind = "batch"
    map_norm: NormKind = "none"
    map_activation: Activation = "identity"
    pool_norm: Literal["none", "layer"] = "none"
    hidden: int = Field(default=0, ge=0)
    hidden_norm: Literal["none", "batch"] = "none"

    @property
    def idle(self) -> frozenset[str]:
        """The fields that nothing reads."""
        readers = {"norm": self.width, "hidden_norm": self.hidden, "activation": self.width or self.hidden}
        return frozenset(name for name, reader in readers.items() if not reader)


class Architecture(Value):
    """Everything needed to rebuild a network but its task.

    Always in normal form: genes that a block does not read, or that cannot matter where it stands, hold their
    defaults, so that equal networks are equal values and have equal ids.
    """

    stem: Stem
    stages: tuple[Stage, ...] = Field(min_length=1)
    head: Head = Head()

    @model_validator(mode="after")
    def _normalise(self) -> Self:
        in_width, stages = self.stem.width, []
        for i, stage in enumerate(self.stages, start=1):
            places = stage.places(in_width)
            for block, place in zip(stage.blocks, places, strict=True):
                if fault := block_fault(block, place):
                    raise ValueError(f"stage {i}: {fault}")
            blocks = tuple(map(normal_block, stage.blocks, places))
            is_normal = all(map(operator.is_, blocks, stage.blocks))
            stages.append(stage if is_normal else stage.model_copy(update={"blocks": blocks}))
            in_width = stage.width
        object.__setattr__(self, "stages", tuple(stages))  # the value is not yet visible to anyone
        object.__setattr__(self, "stem", _defaulted(self.stem, self.stem.idle))
        object.__setattr__(self, "head", _defaulted(self.head, self.head.idle))
        return self

    @cached_property
    def arch_id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical JSON."""
        return digest(canonical_json(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the architecture of a JSON text; SpaceError in one line when it is not one."""
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise SpaceError(f"architecture: {explain(error)}") from None

    def words(self) -> str:
        """Return the architecture in one line: widths, depths, families."""
        stages = (f"{'/'.join(_runs(stage))} w{stage.width} s{stage.stride}" for stage in self.stages)
        head = tuple(f"head w{width}" for width in (self.head.width, self.head.hidden) if width)
        return " | ".join((f"stem w{self.stem.width}", *stages, *head))


def _runs(stage: Stage) -> list[str]:
    """Return the blocks of a stage in words, equal neighbours counted: ``2x nodepth e2 k3 relu``."""
    runs: list[tuple[str, int]] = []
    for block in stage.blocks:
        genes = family(block.family).genes
        word = block.family
        word += f" e{block.expansion:g}" * ("expansion" in genes) + f" k{block.kernel}" * ("kernel" in genes)
        word += f" {block.activation}" * ("activation" in genes) + f" se{block.se_ratio:g}" * (block.se_ratio > 0)
        if runs and runs[-1][0] == word:
            runs[-1] = (word, runs[-1][1] + 1)
        else:
            runs.append((word, 1))
    return [f"{count}x {word}" for word, count in runs]


@lru_cache(maxsize=65_536)
def block_fault(block: Block, place: Place) -> str | None:
    """Return in words why `block` cannot stand at `place`; None when it can."""
    rules = family(block.family)
    fault = rules.fault(block, place) or heads_fault(block, rules.attended(block, place))
    return fault and f"{block.family}: {fault}"


@lru_cache(maxsize=65_536)
def normal_block(block: Block, place: Place) -> Block:
    """Return the block with its idle genes at their defaults and its heads counted; itself when it is so already."""
    rules = family(block.family)
    read = {"family", *rules.reads(place)}
    if "heads" in read and not block.heads:
        block = block.model_copy(update={"heads": attention_heads(block, rules.attended(block, place))})
    return _defaulted(block, Block.model_fields.keys() - read)


def _defaulted(value: V, idle: Iterable[str]) -> V:
    """Return `value` with the fields `idle` at their defaults; the same object when they are there already."""
    fields = type(value).model_fields
    stray = {name: fields[name].default for name in idle if getattr(value, name) != fields[name].default}
    return value.model_copy(update=stray) if stray else value


def block_layers(block: Block, place: Place, stride: int) -> Layer:
    """Return the layers of `block`, its design stride replaced by the `stride` in effect."""
    layers = family(block.family).layers(block, place)
    return layers if stride == place.stride else restride(layers, stride)


def stem_layers(stem: Stem, in_channels: int, stride: int) -> Layer:
    """Return the stem for images of `in_channels`, the `stride` in effect shared by its layers."""
    first_stride = min(stride, 2) if stem.first_width else 1
    conv_stride = min(stride // first_stride, stem.stride // 2 if stem.max_pool else stem.stride)
    conv = Conv(stem.first_width or in_channels, stem.width, stem.kernel, conv_stride, bias=stem.bias)
    act = Act(stem.activation, stem.width)
    return chain(
        first=_stem_conv(stem, Conv(in_channels, stem.first_width, 3, first_stride)) if stem.first_width else None,
        conv=conv,
        norm=Norm(stem.norm, stem.width),
        act=None if stem.separable and stem.se_ratio else act,  # EMO gates a linear stem
        pool=Pool("max", 3, 2) if stem.max_pool and stride > conv_stride else None,
        separable=_separable(stem) if stem.separable else None,
    )


def _stem_conv(stem: Stem, conv: Conv) -> Chain:
    return chain(conv=conv, norm=Norm(stem.norm, conv.out_width), act=Act(stem.activation, conv.out_width))


def _separable(stem: Stem) -> Chain:
    width = stem.width
    gate = SqueezeExcite(width, max(1, round(width * stem.se_ratio)), activation=stem.activation)
    return chain(
        depthwise=Conv(width, width, 3, groups=width),
        norm=Norm(stem.norm, width),
        act=Act(stem.activation, width),
        squeeze_excite=gate if stem.se_ratio else None,
        project=Conv(width, width),
    )


def head_layers(head: Head, in_width: int, num_classes: int) -> Chain:
    """Return the head for `num_classes`."""
    pooled = head.width or in_width
    widen = chain(
        conv=Conv(in_width, head.width), norm=Norm(head.norm, head.width), act=Act(head.activation, head.width)
    )
    hidden = chain(
        conv=Conv(pooled, head.hidden, bias=head.hidden_norm == "none"),
        norm=None if head.hidden_norm == "none" else Norm(head.hidden_norm, head.hidden),
        act=Act(head.activation, head.hidden),
    )
    return chain(
        map_norm=None if head.map_norm == "none" else Norm(head.map_norm, in_width),
        map_act=None if head.map_activation == "identity" else Act(head.map_activation, in_width),
        widen=widen if head.width else None,
        pool=GlobalPool(),
        pool_norm=None if head.pool_norm == "none" else Norm(head.pool_norm, pooled),
        hidden=hidden if head.hidden else None,
        classifier=Classifier(head.hidden or pooled, num_classes),
    )


def effective_strides(architecture: Architecture, resolution: int) -> list[int]:
    """Return the strides in effect at `resolution`, stem first."""
    return dropped_strides([architecture.stem.stride, *(stage.stride for stage in architecture.stages)], resolution)


def dropped_strides(strides: Sequence[int], resolution: int) -> list[int]:
    """Return `strides` at `resolution`: the earliest are dropped until a map of 4x4 is left."""
    kept = list(strides)
    for i in range(len(kept)):
        while kept[i] > 1 and last_side(kept, resolution) < SMALLEST_LAST_SIDE:
            kept[i] //= 2
    return kept


def last_side(strides: Iterable[int], resolution: int) -> int:
    """Return the side that `strides` leave of `resolution`, rounded up at each."""
    side = resolution
    for stride in strides:
        side = -(-side // stride)
    return side


def placed_blocks(architecture: Architecture, strides: list[int]) -> Iterator[tuple[Block, Place, int]]:
    """Yield every block with its place and the stride in effect, in the order of execution."""
    in_width = architecture.stem.width
    for stage, first_stride in zip(architecture.stages, strides[1:], strict=True):
        stride = first_stride
        for block, place in zip(stage.blocks, stage.places(in_width), strict=True):
            yield block, place, stride
            stride = 1
        in_width = stage.width


def walk(architecture: Architecture, task: Task) -> Iterator[tuple[str, Layer]]:
    """Yield ``stem``, ``stage1.block1`` … and ``head`` with their layers, in the order of execution."""
    strides = effective_strides(architecture, task.resolution)
    depths = (len(stage.blocks) for stage in architecture.stages)
    names = (f"stage{i}.block{j}" for i, depth in enumerate(depths, start=1) for j in range(1, depth + 1))
    yield "stem", stem_layers(architecture.stem, task.in_channels, strides[0])
    for name, (block, place, stride) in zip(names, placed_blocks(architecture, strides), strict=True):
        yield name, block_layers(block, place, stride)
    yield "head", head_layers(architecture.head, architecture.stages[-1].width, task.num_classes)
