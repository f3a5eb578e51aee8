"""How many genotypes a search space holds: counted exactly, without enumerating them.

The count runs over stages, keeping the width that the next stage is given. A gene with one slot multiplies the count
where it is read. A gene with several slots counts once, and only when a block reads it; so states also keep the set of
such genes that became active, and their values are multiplied in when the last slot has been seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from math import prod

from nas.architecture import Head, Stem, next_place
from nas.blocks import Place, family
from nas.space import NO_BLOCK, Gene, SearchSpace, Slot, Slots, StageSpace, families, read_keys, readings, slot_values

Active = frozenset[Gene]
States = Counter[tuple[int, Active]]
"""Ways to fill what was seen, for each width that it gives and set of active genes that it shares with the rest."""


def size(space: SearchSpace) -> int:
    """Return the exact number of different canonical genotypes of `space`."""
    if gene := _common_family_gene(space):
        return sum(size(_with_family(space, gene, value)) for value in gene.values)
    shared = _repeated(slot for part in space.parts for slot in dict.fromkeys(part))
    states: States = Counter()
    for slots in space.stems.values():
        for stem, keys in readings(Stem, slots):
            read, ways = _split((slots[key] for key in keys), shared)
            states[stem.width, read] += ways
    for stage in space.stages:
        states = _extend(states, stage, shared)
    heads = [_split((space.head[key] for key in keys), shared) for _, keys in readings(Head, space.head)]
    return sum(count * ways * _values(active | read) for (_, active), count in states.items() for read, ways in heads)


def _values(genes: Iterable[Gene]) -> int:
    return prod(len(gene.values) for gene in genes)


def _repeated(slots: Iterable[Slot]) -> Active:
    counts = Counter(slot for slot in slots if isinstance(slot, Gene))
    return frozenset(gene for gene, count in counts.items() if count > 1)


def _split(slots: Iterable[Slot], shared: Active) -> tuple[Active, int]:
    """Return the shared genes among `slots`, and the number of ways to fill the others."""
    genes = {slot for slot in slots if isinstance(slot, Gene)}
    return shared & genes, _values(genes - shared)


def _one_family_gene(blocks: Iterable[Slots]) -> Gene | None:
    """Return the gene that chooses the family of all `blocks`, if one does."""
    slots = {block["block"] for block in blocks}
    only = slots.pop() if len(slots) == 1 else None
    return only if isinstance(only, Gene) else None


def _common_family_gene(space: SearchSpace) -> Gene | None:
    """Return the gene that chooses the family of several stages, if there is one: that of [network]."""
    genes = [gene for stage in space.stages if (gene := _one_family_gene(stage.blocks))]
    return next((gene for gene in genes if genes.count(gene) > 1), None)


def _fix_family(blocks: tuple[Slots, ...], gene: Gene, value: object) -> tuple[Slots, ...]:
    """Return the blocks with the family `value` where `gene` chooses it."""
    return tuple({**block, "block": str(value)} if block["block"] == gene else block for block in blocks)


def _with_family(space: SearchSpace, gene: Gene, value: object) -> SearchSpace:
    stages = tuple(replace(stage, blocks=_fix_family(stage.blocks, gene, value)) for stage in space.stages)
    return replace(space, stages=stages)


def _extend(states: States, stage: StageSpace, shared: Active) -> States:
    """Return the states behind `stage`."""
    repeated = shared | _repeated(slot for block in _entries(stage) for slot in block.values())
    known: dict[object, Counter[Active]] = {}
    extended: States = Counter()
    for (in_width, active), count in states.items():
        for width, stride, depth in product(*(slot_values(slot) for slot in (stage.width, stage.stride, stage.depth))):
            place = Place(in_width, int(width), int(stride))
            key = (int(depth), _signature(stage, place))
            if key not in known:
                known[key] = _stage_ways(stage, place, int(depth), repeated, shared)
            for read, ways in known[key].items():
                extended[int(width), active | read] += count * ways
    return extended


def _entries(stage: StageSpace) -> list[Slots]:
    return [block for block in (stage.downsample, *stage.blocks, stage.last) if block]


def _signature(stage: StageSpace, place: Place) -> object:
    """Return what of the place decides which genes the blocks of a stage read."""
    names = sorted({name for block in _entries(stage) for name in families(block)} - {NO_BLOCK})
    if any(family(name).grows for name in names):
        return place
    rest = Place(place.out_width, place.out_width, 1)
    return place.keeps_shape, *((read_keys(name, place), read_keys(name, rest)) for name in names)


def _stage_ways(stage: StageSpace, place: Place, depth: int, repeated: Active, shared: Active) -> Counter[Active]:
    """Return, for each set of active shared genes, the number of ways to fill a stage of the shape of `place`."""
    first = stage.downsample if not place.keeps_shape else None
    blocks = stage.blocks[:depth]
    gene = _one_family_gene(blocks)
    middles = [_fix_family(blocks, gene, value) for value in gene.values] if gene else [blocks]
    ways: Counter[Active] = Counter()
    for head, middle, tail in product(_alternatives(first), middles, _alternatives(stage.last)):
        for active, count in _sequence_ways((*head, *middle, *tail), place, repeated).items():
            ways[active & shared] += count * _values(active - shared)
    return ways


def _alternatives(block: Slots | None) -> list[tuple[Slots, ...]]:
    """Return, for each family that a block may be of, the block with it; nothing for "none"."""
    return [({**block, "block": name},) if block and name != NO_BLOCK else () for name in families(block)]


def _sequence_ways(blocks: tuple[Slots, ...], place: Place, repeated: Active) -> Counter[Active]:
    """Return, for each set of active repeated genes, the number of ways to fill `blocks` one after another."""
    states: States = Counter({(place.in_width, frozenset()): 1})
    for left, slots in zip(range(len(blocks), 0, -1), blocks, strict=True):
        stride = place.stride if left == len(blocks) else 1
        filled: States = Counter()
        for (in_width, active), count in states.items():
            for name in families(slots):
                at = next_place(name, in_width, place.out_width, stride, left)
                read, own = _split((slots[key] for key in read_keys(name, at)), repeated)
                filled[at.out_width, active | read] += count * own
        states = filled
    ways: Counter[Active] = Counter()
    for (_, active), count in states.items():
        ways[active] += count
    return ways
