"""The search space: choices with ordered values, genotype -> architecture, normal form.

A genotype maps every gene to one of its values; its length is the same for all members. Genes that another choice
makes inactive are set to their first value by `SearchSpace.canonical`, so that equal networks have equal genotypes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from pydantic import Field

from nas.architecture import Architecture, Head, Stage, Stem, Task
from nas.blocks import Block, Place, family
from nas.errors import SpaceError
from nas.value import Value

GeneValue = int | float | str | bool
Genotype = Mapping[str, GeneValue]

BLOCK_GENES = ("block", *(name for name in Block.model_fields if name != "family"))
"""The keys of a stage that describe its blocks; the rest are `width`, `depth` and `stride`."""


class Target(Value):
    """The task that a cap is counted on, and the cap that the space proposes."""

    dataset: str = "imagenet"
    num_classes: int = Field(default=1000, ge=2)
    in_channels: int = Field(default=3, ge=1)
    resolution: int = Field(default=224, ge=4)
    cap: str = "1.5M"

    @property
    def task(self) -> Task:
        """The target as a task."""
        return Task(num_classes=self.num_classes, in_channels=self.in_channels, resolution=self.resolution)


@dataclass(frozen=True, slots=True)
class Gene:
    """One decision with its ordered values."""

    name: str
    values: tuple[GeneValue, ...]

    @property
    def is_ordered(self) -> bool:
        """Whether the values are numbers, so that neighbours are alike."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)


Slot = Gene | GeneValue
"""Where a value comes from: a gene, or a decision already made."""


@dataclass(frozen=True)
class StageSpace:
    """The slots of one stage; block slots are one per position, all the same unless `per_block` names the key."""

    width: Slot
    depth: Slot
    stride: Slot
    blocks: tuple[Mapping[str, Slot], ...]


@dataclass(frozen=True)
class SearchSpace:
    """A finite set of architectures, described by slots."""

    name: str
    description: str
    target: Target
    stem: Mapping[str, Slot]
    stages: tuple[StageSpace, ...]
    head: Mapping[str, Slot]
    text: str = field(repr=False, default="")

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """All genes, in the order of the file."""
        return tuple(dict.fromkeys(slot for slot in self._slots() if isinstance(slot, Gene)))

    def _slots(self) -> Iterator[Slot]:
        yield from self.stem.values()
        for stage in self.stages:
            yield from (stage.width, stage.depth, stage.stride)
            for block in stage.blocks:
                yield from block.values()
        yield from self.head.values()

    def check(self, genotype: Genotype) -> None:
        """Raise SpaceError unless `genotype` gives every gene one of its values, and nothing else."""
        names = {gene.name for gene in self.genes}
        if stray := sorted(set(genotype) ^ names):
            kind = "unknown gene" if stray[0] in genotype else "missing gene"
            raise SpaceError(f"space {self.name}: {kind} {stray[0]!r} (genes: {', '.join(sorted(names))})")
        for gene in self.genes:
            if genotype[gene.name] not in gene.values:
                rule = f"must be one of {', '.join(map(str, gene.values))}, got {genotype[gene.name]!r}"
                raise SpaceError(f"space {self.name}: {gene.name} {rule}")

    def random(self, rng: random.Random) -> dict[str, GeneValue]:
        """Return a genotype drawn uniformly over the values of each gene, inactive ones normalised."""
        return self.canonical({gene.name: rng.choice(gene.values) for gene in self.genes})

    def decode(self, genotype: Genotype) -> Architecture:
        """Return the architecture of `genotype`."""
        self.check(genotype)
        return _Reader(genotype).architecture(self)

    def canonical(self, genotype: Genotype) -> dict[str, GeneValue]:
        """Return `genotype` with every inactive gene at its first value."""
        self.check(genotype)
        active = self.active(genotype)
        return {gene.name: genotype[gene.name] if gene.name in active else gene.values[0] for gene in self.genes}

    def active(self, genotype: Genotype) -> frozenset[str]:
        """Return the names of the genes that matter to the network of `genotype`."""
        reader = _Reader(genotype)
        architecture = reader.architecture(self)
        in_width = architecture.stem.width
        for stage, slots in zip(architecture.stages, self.stages, strict=True):
            for block, place, block_slots in zip(stage.blocks, stage.places(in_width), slots.blocks, strict=False):
                for key in read_keys(block.family, place):
                    reader.read(block_slots[key])
            in_width = stage.width
        return frozenset(reader.names)


def slot_values(slot: Slot) -> tuple[GeneValue, ...]:
    """Return the values that a slot can take."""
    return slot.values if isinstance(slot, Gene) else (slot,)


class _Reader:
    """Reads slots of one genotype, and keeps the names of the genes that were asked for."""

    def __init__(self, genotype: Genotype) -> None:
        self.genotype = genotype
        self.names: set[str] = set()

    def read(self, slot: Slot) -> GeneValue:
        if not isinstance(slot, Gene):
            return slot
        self.names.add(slot.name)
        return self.genotype[slot.name]

    def peek(self, slot: Slot) -> GeneValue:
        return self.genotype[slot.name] if isinstance(slot, Gene) else slot

    def architecture(self, space: SearchSpace) -> Architecture:
        stem = _stem(tuple((key, self.read(slot)) for key, slot in space.stem.items()))
        stages = tuple(map(self._stage, space.stages))
        has_head = self.read(space.head["width"]) != 0
        head = {key: self.read(slot) for key, slot in space.head.items() if key == "width" or has_head}
        return Architecture(stem=stem, stages=stages, head=_head(tuple(head.items())))

    def _stage(self, slots: StageSpace) -> Stage:
        depth, width, stride = self.read(slots.depth), self.read(slots.width), self.read(slots.stride)
        blocks = slots.blocks[: int(depth)]
        for block in blocks:
            self.read(block["block"])
        built = tuple(_block(tuple((key, self.peek(slot)) for key, slot in block.items())) for block in blocks)
        return Stage.model_validate({"width": width, "stride": stride, "blocks": built})


@lru_cache(maxsize=65_536)
def _block(items: tuple[tuple[str, GeneValue], ...]) -> Block:
    return Block.model_validate({"family" if key == "block" else key: value for key, value in items})


@lru_cache(maxsize=4_096)
def _stem(items: tuple[tuple[str, GeneValue], ...]) -> Stem:
    return Stem.model_validate(dict(items))


@lru_cache(maxsize=4_096)
def _head(items: tuple[tuple[str, GeneValue], ...]) -> Head:
    return Head.model_validate(dict(items))


@lru_cache(maxsize=4_096)
def read_keys(family_name: str, place: Place) -> frozenset[str]:
    """Return the block genes that a family reads at a place."""
    return family(family_name).reads(place)
