"""The search space: choices with ordered values, genotype -> architecture, normal form.

A genotype maps every gene to one of its values; its length is the same for all members. Genes that another choice
makes inactive are set to their first value by `SearchSpace.canonical`, so that equal networks have equal genotypes;
but a `downsample` or `last` that repeats what the blocks of its stage can be describes some networks twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, product
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from nas.architecture import Architecture, Head, Stage, Stem, Task, stage_places
from nas.blocks import Block, Place, family
from nas.budget import Budget, parse_count
from nas.errors import SpaceError
from nas.layers import Trace
from nas.value import Value, explain

GeneValue = int | float | str | bool
Genotype = Mapping[str, GeneValue]
Part = TypeVar("Part", Stem, Head)

BLOCK_GENES = ("block", *(name for name in Block.model_fields if name != "family"))
"""The keys of a stage that describe its blocks; the rest are `width`, `depth` and `stride`."""

NO_BLOCK = "none"
"""The family of a `downsample` or a `last` that is not there."""


def _as_text(given: object) -> object:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


Count = Annotated[str, BeforeValidator(_as_text)]
"""A count as a file gives it: 5000, "100k" or "1.5M"."""


class Target(Value):
    """The task that a cap is counted on, and the caps that the space proposes.

    `cap` counts parameters, `macs` multiply-accumulates, `peak_activation` the bytes of activations alive at once.
    """

    dataset: str = "imagenet"
    num_classes: int = Field(default=1000, ge=2)
    in_channels: int = Field(default=3, ge=1)
    resolution: int = Field(default=224, ge=4)
    cap: Count = "1.5M"
    macs: Count | None = None
    peak_activation: Count | None = None

    @property
    def task(self) -> Task:
        """The target as a task."""
        return Task(num_classes=self.num_classes, in_channels=self.in_channels, resolution=self.resolution)

    def budget(self, cap: str | None = None) -> Budget:
        """Return the caps; those on parameters are `cap`, where given. CapError names the one that is no count."""
        params = parse_count(self.cap) if cap is None else parse_count(cap, what="--cap")
        macs = None if self.macs is None else parse_count(self.macs, what="macs")
        peak = None if self.peak_activation is None else parse_count(self.peak_activation, what="peak_activation")
        return Budget(params=params, macs=macs, peak_activation_bytes=peak)


@dataclass(frozen=True, slots=True)
class Gene:
    """One decision with its ordered values."""

    name: str
    values: tuple[GeneValue, ...]

    @property
    def is_ordered(self) -> bool:
        """Whether the values are numbers, so that neighbours are alike."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    @property
    def is_kind(self) -> bool:
        """Whether it chooses the family of a block or a stem, and so which other genes are read."""
        return self.name.endswith((".block", "stem.name"))


Slot = Gene | GeneValue
"""Where a value comes from: a gene, or a decision already made."""

Slots = Mapping[str, Slot]


@dataclass(frozen=True)
class StageSpace:
    """The slots of one stage: those of its shape, and those of each block.

    `blocks` has one entry per position, all the same unless `per_block` names a key. `downsample` stands in front of
    them where the stage changes width or stride, `last` behind them; either may be of the family "none".
    """

    width: Slot
    depth: Slot
    stride: Slot
    blocks: tuple[Slots, ...]
    downsample: Slots | None = None
    last: Slots | None = None

    @property
    def slots(self) -> Iterator[Slot]:
        """All slots; those of repeated blocks several times."""
        yield from (self.width, self.depth, self.stride)
        for block in (self.downsample, *self.blocks, self.last):
            yield from block.values() if block else ()


@dataclass(frozen=True)
class SearchSpace:
    """A finite set of architectures, described by slots; `stem` names one of the `stems`."""

    name: str
    description: str
    target: Target
    stem: Slot
    stems: Mapping[str, Slots]
    stages: tuple[StageSpace, ...]
    head: Slots
    text: str = field(repr=False, default="")

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """All genes, in the order of the file."""
        return tuple(dict.fromkeys(slot for part in self.parts for slot in part if isinstance(slot, Gene)))

    @property
    def parts(self) -> tuple[tuple[Slot, ...], ...]:
        """The slots of the stem, of each stage, and of the head."""
        stem = (self.stem, *(slot for slots in self.stems.values() for slot in slots.values()))
        return (stem, *(tuple(stage.slots) for stage in self.stages), tuple(self.head.values()))

    @cached_property
    def _allowed(self) -> Mapping[str, tuple[GeneValue, ...]]:
        """The values of each gene, by its name."""
        return {gene.name: gene.values for gene in self.genes}

    @cached_property
    def part_genes(self) -> tuple[tuple[str, ...], ...]:
        """The names of the genes of each of the `parts`, whether another choice makes them inactive or not."""
        return tuple(tuple(dict.fromkeys(slot.name for slot in part if isinstance(slot, Gene))) for part in self.parts)

    @cached_property
    def prices(self) -> dict[tuple[object, ...], tuple[Trace, frozenset[str], int]]:
        """What `nas.pricing` remembers of parts that it has counted."""
        return {}

    @property
    def strides(self) -> list[list[Slot]]:
        """The strides of the stem, one for each of the `stems`, and the stride of each stage."""
        return [[slots["stride"] for slots in self.stems.values()], *([stage.stride] for stage in self.stages)]

    @cached_property
    def spans(self) -> Mapping[str, range]:
        """The `parts` that a gene may change, by name; a stride may change them all: strides are dropped together."""
        parts = [{slot.name for slot in part if isinstance(slot, Gene)} for part in self.parts]
        slots = (self.stem, *chain.from_iterable(self.strides))
        parts[0] |= (wide := {slot.name for slot in slots if isinstance(slot, Gene)})
        parts[-1] |= wide
        found = {gene.name: [i for i, names in enumerate(parts) if gene.name in names] for gene in self.genes}
        return {name: range(indices[0], indices[-1] + 1) for name, indices in found.items()}

    def check(self, genotype: Genotype) -> None:
        """Raise SpaceError unless `genotype` gives every gene one of its values, and nothing else."""
        names = self._allowed.keys()
        if genotype.keys() != names:
            stray = sorted(set(genotype) ^ names)
            kind = "unknown gene" if stray[0] in genotype else "missing gene"
            raise SpaceError(f"space {self.name}: {kind} {stray[0]!r} (genes: {', '.join(sorted(names))})")
        for name, values in self._allowed.items():
            if genotype[name] not in values:
                rule = f"must be one of {', '.join(map(str, values))}, got {genotype[name]!r}"
                raise SpaceError(f"space {self.name}: {name} {rule}")

    def random(self, rng: random.Random) -> dict[str, GeneValue]:
        """Return a genotype drawn uniformly over the values of each gene, inactive ones normalised."""
        return self.canonical({gene.name: rng.choice(gene.values) for gene in self.genes})

    def decode(self, genotype: Genotype) -> Architecture:
        """Return the architecture of `genotype`; SpaceError when it is none."""
        self.check(genotype)
        reader = Reader(genotype)
        stem, stages = reader.stem(self), []
        in_width = stem.width
        for slots in self.stages:
            blocks = tuple(block for block, _ in reader.blocks(slots, in_width))
            shape = {"width": reader.read(slots.width), "stride": reader.read(slots.stride)}
            stages.append(Stage.model_validate({**shape, "blocks": blocks}))
            in_width = stages[-1].width
        try:
            return Architecture(stem=stem, stages=tuple(stages), head=reader.head(self))
        except ValidationError as error:  # a block of another package with a rule of its own; ours were checked before
            raise SpaceError(f"space {self.name}: {explain(error)}") from None

    def canonical(self, genotype: Genotype, active: frozenset[str] | None = None) -> dict[str, GeneValue]:
        """Return `genotype` with every gene at its first value that is not `active`, where that is known already."""
        if active is None:
            active = self.active(genotype)
        return {gene.name: genotype[gene.name] if gene.name in active else gene.values[0] for gene in self.genes}

    def active(self, genotype: Genotype) -> frozenset[str]:
        """Return the names of the genes that matter to the network of `genotype`."""
        self.check(genotype)
        reader = Reader(genotype)
        in_width = reader.stem(self).width
        for slots in self.stages:
            in_width = reader.blocks(slots, in_width)[-1][1].out_width
        reader.head(self)
        return frozenset(reader.names)


def slot_values(slot: Slot) -> tuple[GeneValue, ...]:
    """Return the values that a slot can take."""
    return slot.values if isinstance(slot, Gene) else (slot,)


def readings(model: type[Part], slots: Slots) -> Iterator[tuple[Part, frozenset[str]]]:
    """Yield the stem or head of each choice that decides what else is read, and the other keys that it reads."""
    deciding = ("width", "separable") if model is Stem else ("width", "hidden")
    for values in product(*(slot_values(slots[key]) for key in deciding)):
        part = model.model_validate(dict(zip(deciding, values, strict=True)))
        yield part, frozenset(slots) - part.idle - frozenset(deciding)


def families(block: Slots | None) -> tuple[str, ...]:
    """Return the families that a block can be of; without slots there is none."""
    return tuple(map(str, slot_values(block["block"]))) if block else (NO_BLOCK,)


class Reader:
    """Reads the slots of one genotype that matter, and keeps the names of the genes it had to ask for."""

    def __init__(self, genotype: Genotype) -> None:
        self.genotype = genotype
        self.names: set[str] = set()

    def read(self, slot: Slot) -> GeneValue:
        """Return the value of a slot that matters."""
        if not isinstance(slot, Gene):
            return slot
        self.names.add(slot.name)
        return self.genotype[slot.name]

    def stem(self, space: SearchSpace) -> Stem:
        """Return the stem."""
        return self._part(Stem, space.stems[str(self.read(space.stem))])

    def head(self, space: SearchSpace) -> Head:
        """Return the head."""
        return self._part(Head, space.head)

    def blocks(self, stage: StageSpace, in_width: int) -> list[tuple[Block, Place]]:
        """Return the blocks that stand in a stage behind `in_width` channels, and where."""
        width, stride, depth = int(self.read(stage.width)), int(self.read(stage.stride)), int(self.read(stage.depth))
        downsample = stage.downsample if stride > 1 or width != in_width else None
        present: list[tuple[str, Slots]] = []
        for block in (downsample, *stage.blocks[:depth], stage.last):
            if present and block is present[-1][1]:
                present.append(present[-1])
            elif block and (name := str(self.read(block["block"]))) != NO_BLOCK:
                present.append((name, block))
        places = stage_places([name for name, _ in present], in_width, width, stride)
        standing: list[tuple[Block, Place]] = []
        for i, ((name, block), place) in enumerate(zip(present, places, strict=True)):
            if i and block is present[i - 1][1] and place is places[i - 1]:  # the same slots at the same place
                standing.append(standing[-1])
            else:
                standing.append((block_of(name, self._genes(block, read_keys(name, place))), place))
        return standing

    def _genes(self, slots: Slots, keys: tuple[str, ...]) -> tuple[tuple[str, GeneValue], ...]:
        """Return what `read` gives for `keys`, without a call for each: the inner loop of pricing."""
        chosen = [slot.name for key in keys if isinstance(slot := slots[key], Gene)]
        self.names.update(chosen)
        genotype = self.genotype
        return tuple([(key, genotype[s.name] if isinstance(s := slots[key], Gene) else s) for key in keys])

    def _part(self, model: type[Part], slots: Slots) -> Part:
        genotype = self.genotype
        items = ((key, genotype[slot.name] if isinstance(slot, Gene) else slot) for key, slot in slots.items())
        part: Part = _part(model, tuple(items))
        for key, slot in slots.items():
            if key not in part.idle:
                self.read(slot)
        return part


@lru_cache(maxsize=65_536)
def block_of(name: str, genes: tuple[tuple[str, GeneValue], ...]) -> Block:
    """Return the block of a family with these genes, the others at their defaults."""
    return Block.model_validate({"family": name, **dict(genes)})


@lru_cache(maxsize=4_096)
def _part(model: type[Part], items: tuple[tuple[str, GeneValue], ...]) -> Part:
    return model.model_validate(dict(items))


@lru_cache(maxsize=4_096)
def read_keys(family_name: str, place: Place) -> tuple[str, ...]:
    """Return the block genes that a family reads at a place, in the order of their names."""
    return tuple(sorted(family(family_name).reads(place)))
