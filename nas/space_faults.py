"""What is wrong with a search space before any member is drawn: every combination of choices must be a network.

Slots are independent of each other, so it is enough to look at every block that can stand somewhere (`forms`), at
every stem, and at every side that a map can have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, product
from operator import mul

from pydantic import ValidationError

from nas.architecture import Head, Stem, block_fault, dropped_strides, last_side, next_place
from nas.blocks import Block, Place, family
from nas.space import (
    NO_BLOCK,
    SearchSpace,
    Slot,
    Slots,
    StageSpace,
    block_of,
    families,
    read_keys,
    readings,
    slot_values,
)
from nas.value import explain

_DECISIVE = ("expansion", "groups", "heads", "splits")
"""The genes that may keep a block from standing at a place."""

_STEM_SHAPE = ("kernel", "stride", "first_width", "max_pool")
"""The fields of a stem that must suit each other."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a key of the `index`-th stem or stage (from 1)."""

    table: str
    index: int
    key: str
    rule: str


@dataclass(frozen=True, slots=True)
class Form:
    """A block that can stand in a stage: of a family, at a place; `slot` is "", "downsample" or "last"."""

    slot: str
    slots: Slots
    family: str
    place: Place

    def key(self, gene: str) -> str:
        """Return the key of the stage that gives a gene of the block."""
        return f"{self.slot}.{gene}" if self.slot else gene


def faults(space: SearchSpace) -> Iterator[Fault]:
    """Yield what keeps members of `space` from being networks."""
    yield from _stem_faults(space)
    for index in range(1, len(space.stages) + 1):
        yield from _block_faults(space, index)
    yield from _side_faults(space)


def unread(space: SearchSpace) -> tuple[str, ...]:
    """Return the names of the genes that no member reads."""
    read: set[Slot] = {space.stem}
    for slots in space.stems.values():
        for stem, _ in readings(Stem, slots):
            read |= {slots[key] for key in slots.keys() - stem.idle}
    for head, _ in readings(Head, space.head):
        read |= {space.head[key] for key in space.head.keys() - head.idle}
    for index, stage in enumerate(space.stages, start=1):
        read |= {stage.width, stage.depth, stage.stride}
        for form in forms(space, index):
            read |= {form.slots[key] for key in ("block", *read_keys(form.family, form.place))}
    return tuple(gene.name for gene in space.genes if gene not in read)


def forms(space: SearchSpace, index: int) -> Iterator[Form]:
    """Yield every block that can stand in the `index`-th stage (from 1), once."""
    stage, seen = space.stages[index - 1], set()
    before = [slots["width"] for slots in space.stems.values()] if index == 1 else [space.stages[index - 2].width]
    in_widths = {int(width) for slot in before for width in slot_values(slot)}
    for in_width, width, stride in product(in_widths, slot_values(stage.width), slot_values(stage.stride)):
        for form in _forms_at(stage, Place(in_width, int(width), int(stride))):
            key = (id(form.slots), form.family, form.place)
            if key not in seen:
                seen.add(key)
                yield form


def _forms_at(stage: StageSpace, shape: Place) -> Iterator[Form]:
    """Yield the blocks of a stage of one shape; with families that grow, their widths depend on what follows."""
    names = {name for block in (stage.downsample, *stage.blocks, stage.last) for name in families(block)} - {NO_BLOCK}
    depths = slot_values(stage.depth) if any(family(name).grows for name in names) else (len(stage.blocks),)
    first = _choices("downsample", stage.downsample if not shape.keeps_shape else None)
    for head, depth, tail in product(first, depths, _choices("last", stage.last)):
        sequence = [*head, *(("", block) for block in stage.blocks[: int(depth)]), *tail]
        in_widths, stride = {shape.in_width}, shape.stride
        for left, (slot, slots) in zip(range(len(sequence), 0, -1), sequence, strict=True):
            standing = [
                Form(slot, slots, name, next_place(name, in_width, shape.out_width, stride, left))
                for in_width in in_widths
                for name in families(slots)
                if name != NO_BLOCK
            ]
            yield from standing
            in_widths, stride = {form.place.out_width for form in standing}, 1


def _choices(slot: str, slots: Slots | None) -> list[tuple[tuple[str, Slots], ...]]:
    """Return the block that may stand at a slot, and nothing where it may be left out."""
    absent: list[tuple[tuple[str, Slots], ...]] = [()] if NO_BLOCK in families(slots) else []
    return [((slot, slots),), *absent] if slots else absent


def _stem_faults(space: SearchSpace) -> Iterator[Fault]:
    for index, slots in enumerate(space.stems.values(), start=1):
        for values in product(*(slot_values(slots[key]) for key in _STEM_SHAPE)):
            try:
                Stem.model_validate({"width": 1, **dict(zip(_STEM_SHAPE, values, strict=True))})
            except ValidationError as error:
                key = "kernel" if explain(error).startswith("kernel") else "first_width"
                yield Fault("stem", index, key, f"makes an invalid stem: {explain(error)}")
                break


def _block_faults(space: SearchSpace, index: int) -> Iterator[Fault]:
    for form in forms(space, index):
        keys = [key for key in read_keys(form.family, form.place) if key in _DECISIVE]
        for values in product(*(slot_values(form.slots[key]) for key in keys)):
            block = block_of(form.family, tuple(zip(keys, values, strict=True)))
            if fault := block_fault(block, form.place):
                name, _, rule = fault.partition(": ")
                gene = next((key for key in keys if rule.startswith(f"`{key}` ")), None)
                if gene is None:
                    yield Fault("stage", index, "width", f"does not suit {fault}")
                else:
                    yield Fault("stage", index, form.key(gene), f"{rule.removeprefix(f'`{gene}` ')} ({name})")


def _side_faults(space: SearchSpace) -> Iterator[Fault]:
    """Yield the stage that leaves no position of the map, or the windows larger than any map they can stand on.

    A map that keeps a position by the product of the strides cannot vanish in patches or pooling either.
    """
    resolution = space.target.resolution
    strides = [[int(stride) for slot in slots for stride in slot_values(slot)] for slots in space.strides]
    for index, total in enumerate(accumulate(map(max, strides), mul)):
        if total > resolution:
            rule = f"leaves no position of {resolution}x{resolution} images: strides up to here multiply to {total}"
            yield Fault("stage", index, "stride", rule)
            return
    smallest = dropped_strides([*map(min, strides)], resolution)
    for index in range(1, len(strides)):
        yield from _window_faults(space, index, last_side(smallest[: index + 1], resolution))


def _window_faults(space: SearchSpace, index: int, side: int) -> Iterator[Fault]:
    """Yield the windows that are larger than `side`; one that nobody chose is cut to the map without a word."""
    default = Block.model_fields["window"].default
    for form in forms(space, index):
        largest = max(map(int, slot_values(form.slots["window"])))
        if largest > side and form.slots["window"] != default and "window" in read_keys(form.family, form.place):
            rule = f"must fit the largest map of the stage, {side}x{side}, got {largest}"
            yield Fault("stage", index, form.key("window"), rule)
