"""Which genotype of a search space is a given network, if it is a member."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

from nas.architecture import Architecture, Head, Stage, Stem, normal_block
from nas.blocks import Block, Place
from nas.space import NO_BLOCK, Gene, GeneValue, SearchSpace, Slot, Slots, StageSpace, read_keys, slot_values

Pairs = list[tuple[Slot, GeneValue]]
"""Slots, and the values that they must have."""


def genotype_of(space: SearchSpace, architecture: Architecture) -> dict[str, GeneValue] | None:
    """Return the canonical genotype of `architecture`, the first one where several give it; None when none does."""
    if len(architecture.stages) != len(space.stages):
        return None
    bound: list[dict[str, GeneValue]] = [{}]
    for alternatives in _alternatives(space, architecture):
        bound = [found for known in bound for pairs in alternatives if (found := _bind(known, pairs)) is not None]
    defaults = {gene.name: gene.values[0] for gene in space.genes}
    return space.canonical({**defaults, **bound[0]}) if bound else None


def _bind(known: dict[str, GeneValue], pairs: Pairs) -> dict[str, GeneValue] | None:
    """Return the gene values with those that `pairs` ask for; None where a slot cannot have its value."""
    found = dict(known)
    for slot, value in pairs:
        if value not in slot_values(slot):
            return None
        if isinstance(slot, Gene):
            own = slot.values[slot.values.index(value)]  # 2, where the network says 2.0
            if found.setdefault(slot.name, own) != own:
                return None
    return found


def _alternatives(space: SearchSpace, architecture: Architecture) -> Iterator[list[Pairs]]:
    """Yield, for the stem, each stage and the head, the ways in which the space may have described it."""
    stem = architecture.stem
    yield [[(space.stem, name), *_part(slots, stem)] for name, slots in space.stems.items()]
    in_width = stem.width
    for slots, stage in zip(space.stages, architecture.stages, strict=True):
        yield list(_stage(slots, stage, in_width))
        in_width = stage.width
    yield [_part(space.head, architecture.head)]


def _part(slots: Slots, part: Stem | Head) -> Pairs:
    return [(slot, getattr(part, key)) for key, slot in slots.items() if key not in part.idle]


def _stage(slots: StageSpace, stage: Stage, in_width: int) -> Iterator[Pairs]:
    """Yield the pairs of a stage, with and without a block of its own in front and behind."""
    changes = stage.stride > 1 or stage.width != in_width
    shape: Pairs = [(slots.width, stage.width), (slots.stride, stage.stride)]
    places = stage.places(in_width)
    for (first, no_first), (last, no_last) in product(_ways(slots.downsample if changes else None), _ways(slots.last)):
        depth = len(stage.blocks) - len(first) - len(last)
        if 1 <= depth <= len(slots.blocks):
            described = [*first, *slots.blocks[:depth], *last]
            blocks = (_block(*found) for found in zip(described, stage.blocks, places, strict=True))
            yield [*shape, (slots.depth, depth), *no_first, *no_last, *chain.from_iterable(blocks)]


def _ways(slots: Slots | None) -> list[tuple[list[Slots], Pairs]]:
    """Return the block that a slot describes, then its absence, with what must hold for it."""
    if slots is None:
        return [([], [])]
    return [([slots], []), ([], [(slots["block"], NO_BLOCK)])]


def _block(slots: Slots, block: Block, place: Place) -> Pairs:
    genes = [(slots[key], _value(slots[key], key, block, place)) for key in read_keys(block.family, place)]
    return [(slots["block"], block.family), *genes]


def _value(slot: Slot, key: str, block: Block, place: Place) -> GeneValue:
    """Return what a slot says of a gene of the block: heads may have been left open."""
    value: GeneValue = getattr(block, key)
    if key == "heads" and value not in slot_values(slot):
        return 0 if normal_block(block.model_copy(update={"heads": 0}), place) == block else value
    return value
