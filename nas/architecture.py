"""The description of a network: stem, stages, head. Frozen, in normal form, with JSON and an id.

Strides belong to the target resolution. For a smaller input the earliest strides are dropped until the last
feature map is at least 4x4; parameters do not change.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from nas.blocks import FAMILIES, Block, Place, family
from nas.blocks.block import Activation, Kernel, NormKind
from nas.errors import SpaceError, unknown
from nas.layers import Act, Chain, Classifier, Conv, GlobalPool, Layer, Norm, chain, restride
from nas.value import Value, canonical_json, digest, explain

SMALLEST_LAST_SIDE = 4


class Task(Value):
    """What a network is built for: the same architecture is trained on one task and counted on another."""

    num_classes: int = Field(ge=2)
    in_channels: int = Field(default=3, ge=1)
    resolution: int = Field(ge=1, description="side of the input, pixels")


class Stem(Value):
    """One strided convolution with norm and activation."""

    width: int = Field(ge=1)
    kernel: Kernel = 3
    stride: Literal[1, 2, 4] = 2
    activation: Activation = "relu"
    norm: NormKind = "batch"


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
        first = Place(in_width, self.width, self.stride)
        return [first, *[Place(self.width, self.width, 1)] * (len(self.blocks) - 1)]


class Head(Value):
    """An optional 1x1 convolution to `width` (0: none), global pooling, the classifier."""

    width: int = Field(default=0, ge=0)
    activation: Activation = "relu"
    norm: NormKind = "batch"


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
        for stage in self.stages:
            blocks = tuple(map(_normal_block, stage.blocks, stage.places(in_width)))
            is_normal = all(map(operator.is_, blocks, stage.blocks))
            stages.append(stage if is_normal else stage.model_copy(update={"blocks": blocks}))
            in_width = stage.width
        object.__setattr__(self, "stages", tuple(stages))  # the value is not yet visible to anyone
        if self.head.width == 0:
            object.__setattr__(self, "head", Head())
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
        head = (f"head w{self.head.width}",) if self.head.width else ()
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


def _normal_block(block: Block, place: Place) -> Block:
    """Return the block with its idle genes at their defaults; the same object when they are there already."""
    idle = _idle_defaults(block.family, place.keeps_shape)
    stray = {name: default for name, default in idle if getattr(block, name) != default}
    return block.model_copy(update=stray) if stray else block


@lru_cache
def _idle_defaults(family_name: str, keeps_shape: bool) -> tuple[tuple[str, Any], ...]:
    """Return the genes that a block of this family does not read, with their defaults."""
    read = {"family", *family(family_name).genes} - (set() if keeps_shape else {"skip"})
    return tuple((name, field.default) for name, field in Block.model_fields.items() if name not in read)


def block_layers(block: Block, place: Place, stride: int) -> Layer:
    """Return the layers of `block`, its design stride replaced by the `stride` in effect."""
    layers = family(block.family).layers(block, place)
    return layers if stride == place.stride else restride(layers, stride)


def stem_layers(stem: Stem, in_channels: int, stride: int) -> Layer:
    """Return the stem for images of `in_channels`."""
    conv = Conv(in_channels, stem.width, stem.kernel, stem.stride)
    return chain(
        conv=conv if stride == stem.stride else restride(conv, stride),
        norm=Norm(stem.norm, stem.width),
        act=Act(stem.activation, stem.width),
    )


def head_layers(head: Head, in_width: int, num_classes: int) -> Chain:
    """Return the head: widening if any, pooling, classifier."""
    widen = chain(
        conv=Conv(in_width, head.width), norm=Norm(head.norm, head.width), act=Act(head.activation, head.width)
    )
    return chain(
        widen=widen if head.width else None,
        pool=GlobalPool(),
        classifier=Classifier(head.width or in_width, num_classes),
    )


def effective_strides(architecture: Architecture, resolution: int) -> list[int]:
    """Return the strides in effect at `resolution`, stem first: the earliest are dropped until 4x4 is left."""
    strides: list[int] = [architecture.stem.stride, *(stage.stride for stage in architecture.stages)]
    for i in range(len(strides)):
        while strides[i] > 1 and _last_side(strides, resolution) < SMALLEST_LAST_SIDE:
            strides[i] //= 2
    return strides


def _last_side(strides: list[int], resolution: int) -> int:
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
